//! Jobs where no control group holds them together. Through the real binary they run as this machine allows.

use super::*;

struct Run {
    folder: tempfile::TempDir,
    limits: Limits,
    timeout: Duration,
}

impl Run {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        Self { folder, limits: Limits::default(), timeout: Duration::from_secs(20) }
    }

    async fn shell(&self, script: &str) -> End {
        let enclosure = Enclosure::bare(self.limits, self.folder.path());
        self.shell_in(&enclosure, script).await
    }

    async fn shell_in(&self, enclosure: &Enclosure, script: &str) -> End {
        let argv = ["sh", "-c", script].map(str::to_owned);
        let env = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").expect("a path"))]);
        let (folder, log) = (self.folder.path(), self.folder.path().join("log"));
        let job = Job { name: "build", argv: &argv, folder, env: &env, timeout: self.timeout, log: &log };
        run(&job, enclosure, &Events::nowhere()).await.expect("it runs")
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).expect("written")
    }

    /// The processes whose ids a script wrote to `pids`.
    fn living(&self) -> Vec<u32> {
        let pids = self.read("pids");
        pids.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| processes::lives(*pid)).collect()
    }
}

#[tokio::test]
async fn ends_are_told_as_they_are() {
    let run = Run::new();
    for (script, end) in [("true", End::Code(0)), ("exit 7", End::Code(7)), ("kill -TERM $$", End::Signal(15))] {
        assert_eq!(run.shell(script).await, end, "{script}");
    }
    assert_eq!(run.shell("cat; echo out; echo err >&2").await, End::Code(0), "there is no input to wait for");
    assert_eq!(run.read("log"), "out\nerr\n");
}

#[tokio::test]
async fn nothing_is_left_behind_whatever_left_its_group() {
    let script = "setsid sleep 300 & echo $! >> pids; sh -c 'sleep 300 & echo $! >> pids' & wait $!; echo $$ >> pids";
    let run = Run::new();
    assert_eq!(run.shell(script).await, End::Code(0));
    assert_eq!((run.read("pids").lines().count(), run.living()), (3, vec![]));
    let run = Run { timeout: Duration::from_secs(1), ..Run::new() };
    assert_eq!(run.shell(&format!("{script}; sleep 300")).await, End::TimedOut(run.timeout));
    assert_eq!(run.living(), Vec::<u32>::new());
}

#[tokio::test]
async fn one_that_multiplies_is_ended_as_a_whole() {
    // 127 shells, of which 64 go on for long.
    let script =
        "f() { if [ $1 -ge 6 ]; then echo $$ > /dev/null; sleep 300; else f $(($1+1)) & f $(($1+1)) & wait; fi; }; f 0";
    let run = Run { timeout: Duration::from_secs(2), ..Run::new() };
    let enclosure = Enclosure::bare(run.limits, run.folder.path());
    assert_eq!(run.shell_in(&enclosure, script).await, End::TimedOut(run.timeout));
    assert_eq!(Enclosure::sweep(run.folder.path()), 0);
}

#[tokio::test]
async fn a_job_that_is_dropped_ends() {
    let run = Run::new();
    let enclosure = Enclosure::bare(run.limits, run.folder.path());
    let script = "setsid sleep 300 & echo $! >> pids; sleep 300";
    {
        let job = run.shell_in(&enclosure, script);
        let begun = async {
            while !run.folder.path().join("pids").exists() || run.read("pids").is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! { end = job => panic!("{end}"), () = begun => {} }
    }
    assert_eq!(run.living(), Vec::<u32>::new());
}

#[tokio::test]
async fn memory_and_processors_are_bounded() {
    let limits = Limits { cpus: Some(1), memory_bytes: Some(64 << 20) };
    let run = Run { limits, ..Run::new() };
    // All of it is one line, which has to be kept as a whole.
    assert_eq!(run.shell("head -c 1073741824 /dev/zero | tail -n 1 | wc -c").await, End::OutOfMemory(64 << 20));
    run.shell("nproc").await;
    assert_eq!(run.read("log"), "1\n");
}

#[tokio::test]
async fn what_a_killed_mana_left_behind_is_swept_and_nothing_else() {
    let (run, other) = (Run::new(), Run::new());
    let begin = |run: &Run| {
        let enclosure = Enclosure::bare(run.limits, run.folder.path());
        let mut command = std::process::Command::new("sleep");
        command.arg("300").envs(enclosure.mark("build")).spawn().expect("started")
    };
    let (mut ours, mut theirs) = (begin(&run), begin(&other));
    assert_eq!(Enclosure::sweep(run.folder.path()), 1);
    assert_eq!(ours.wait().expect("ended").code(), None);
    assert!(theirs.try_wait().expect("asked").is_none());
    theirs.kill().expect("killed");
    theirs.wait().expect("ended");
}
