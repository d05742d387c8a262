//! The driver `process` with real processes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mana_runtime::driver::{AdoptError, Driver, Exit, Handle, Identity, Signal, Spec, StartError};
use mana_runtime::process::ProcessDriver;
use tempfile::TempDir;

/// Nothing here takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn spec(folder: &Path, instance: &str, script: &str) -> Spec {
    Spec {
        instance: instance.into(),
        argv: vec!["/bin/sh".into(), "-c".into(), script.into()],
        cwd: folder.to_owned(),
        env: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned().into())]),
        log_file: folder.join("log"),
    }
}

async fn start(folder: &TempDir, instance: &str, script: &str) -> Arc<dyn Handle> {
    ProcessDriver.start(&spec(folder.path(), instance, script)).await.expect("start")
}

async fn end(handle: &dyn Handle) -> Exit {
    tokio::time::timeout(PATIENCE, handle.exited()).await.expect("ends in time")
}

fn log(folder: &TempDir) -> String {
    std::fs::read_to_string(folder.path().join("log")).unwrap_or_default()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs, and is no zombie.
fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])))
}

/// A process whose parent is not this one (it was orphaned), like an instance of a control plane that died.
async fn orphan(folder: &TempDir, instance: &str) -> Identity {
    let status = Command::new("/bin/sh")
        .args(["-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 &"])
        .env("MANA_INSTANCE", instance)
        .current_dir(folder.path())
        .status()
        .expect("start");
    assert!(status.success());
    let wanted = BTreeSet::from([instance.to_owned()]);
    let mut found = None;
    until("the orphan is found", || {
        found = ProcessDriver.find(&wanted).expect("look").remove(instance);
        // Between its fork and its exec it still looks like the shell.
        found.as_ref().is_some_and(|identity| {
            std::fs::read_to_string(format!("/proc/{}/comm", identity.pid)).is_ok_and(|name| name.trim() == "sleep")
        })
    })
    .await;
    found.expect("found")
}

#[tokio::test]
async fn an_instance_gets_its_environment_its_folder_its_log_and_nothing_else() {
    let folder = tempfile::tempdir().expect("folder");
    let handle =
        start(&folder, "a-1", "env; pwd; readlink /proc/self/fd/0; ls /proc/self/fd | wc -l; echo oops >&2; exit 3")
            .await;
    assert_eq!(end(&*handle).await, Exit::Code(3));
    let log = log(&folder);
    let mut names: Vec<&str> = log.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.sort_unstable();
    // PWD, OLDPWD, SHLVL and _ are the shell's own.
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    assert_eq!(names, ["GREETING", "HOME", "LANG", "MANA_INSTANCE", "PATH"]);
    assert!(log.contains("GREETING=hello\n") && log.contains("MANA_INSTANCE=a-1\n"));
    assert!(log.contains(&format!("\n{}\n/dev/null\n", folder.path().canonicalize().expect("path").display())));
    // 0, 1, 2 and the descriptor with which `ls` reads the folder.
    let expected = 4 + handed_down_to_us();
    assert!(log.contains(&format!("\n{expected}\noops\n")), "{log}");
}

/// Descriptors that whoever runs the tests left open for every program: not ours to close.
fn handed_down_to_us() -> usize {
    const CLOSE_ON_EXEC: u64 = 0o2_000_000;
    let flags = |fd: &str| -> Option<u64> {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
        u64::from_str_radix(info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim(), 8).ok()
    };
    std::fs::read_dir("/proc/self/fd")
        .expect("readable")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|fd| !["0", "1", "2"].contains(&fd.as_str()))
        .filter(|fd| flags(fd).is_some_and(|flags| flags & CLOSE_ON_EXEC == 0))
        .count()
}

#[tokio::test]
async fn an_instance_leads_its_own_process_group() {
    let folder = tempfile::tempdir().expect("folder");
    let handle = start(&folder, "a-1", "exec sleep 1000").await;
    let pid = handle.identity().pid;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("runs");
    let group = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(2)).expect("group");
    assert_eq!(group, pid.to_string());
    handle.signal(Signal::Terminate).expect("signal");
    assert_eq!(end(&*handle).await, Exit::Signal(15));
    assert_eq!(end(&*handle).await, Exit::Signal(15), "asked again");
    handle.signal(Signal::Kill).expect("a signal to one that has ended is no error");
}

#[tokio::test]
async fn a_kill_takes_everything_the_instance_started() {
    let folder = tempfile::tempdir().expect("folder");
    let handle = start(&folder, "a-1", "trap '' TERM; sleep 1000 & echo $!; wait; wait").await;
    until("the child is there", || log(&folder).ends_with('\n')).await;
    let child: u32 = log(&folder).trim().parse().expect("pid");
    assert!(runs(child));
    handle.signal(Signal::Terminate).expect("signal");
    assert!(tokio::time::timeout(Duration::from_millis(100), handle.exited()).await.is_err(), "it ignores that");
    handle.signal(Signal::Kill).expect("signal");
    assert_eq!(end(&*handle).await, Exit::Signal(9));
    until("the child is gone", || !runs(child)).await;
}

#[tokio::test]
async fn what_an_ended_instance_left_behind_is_killed_and_others_are_not() {
    let folder = tempfile::tempdir().expect("folder");
    let other = start(&folder, "b-1", "exec sleep 1000").await;
    let handle = start(&folder, "a-1", "sleep 1000 & echo $!; exit 0").await;
    assert_eq!(end(&*handle).await, Exit::Code(0));
    let child: u32 = log(&folder).trim().parse().expect("pid");
    until("the child is gone", || !runs(child)).await;
    assert!(runs(other.identity().pid));
    other.signal(Signal::Kill).expect("signal");
    end(&*other).await;
}

#[tokio::test]
async fn an_adopted_instance_can_be_signalled_and_its_end_is_seen() {
    let folder = tempfile::tempdir().expect("folder");
    let identity = orphan(&folder, "orphan-of-adoption").await;
    let handle = ProcessDriver.adopt("orphan-of-adoption", &identity).expect("adopt");
    assert_eq!(handle.identity(), &identity);
    handle.signal(Signal::Terminate).expect("signal");
    assert_eq!(end(&*handle).await, Exit::Unobserved);
    let again = ProcessDriver.adopt("orphan-of-adoption", &identity);
    assert!(matches!(again, Err(AdoptError::Gone { .. })));
}

#[tokio::test]
async fn a_recycled_pid_is_never_signalled() {
    let folder = tempfile::tempdir().expect("folder");
    let stranger = orphan(&folder, "stranger").await;
    // What was recorded ran under this pid before: it started earlier, or in another boot.
    let recycled = Identity { start_time_ticks: stranger.start_time_ticks - 1, ..stranger.clone() };
    let rebooted = Identity { boot_id: "0000".into(), ..stranger.clone() };
    for identity in [recycled, rebooted] {
        assert!(matches!(ProcessDriver.adopt("a-1", &identity), Err(AdoptError::Gone { .. })));
    }
    assert!(runs(stranger.pid));
    let handle = ProcessDriver.adopt("stranger", &stranger).expect("adopt");
    handle.signal(Signal::Kill).expect("signal");
    end(&*handle).await;
}

#[tokio::test]
async fn a_zombie_is_not_adopted() {
    let folder = tempfile::tempdir().expect("folder");
    let handle = start(&folder, "a-1", "exit 0").await;
    let pid = handle.identity().pid;
    until("it ended, and nobody waited for it", || !runs(pid)).await;
    assert!(matches!(ProcessDriver.adopt("a-1", handle.identity()), Err(AdoptError::Gone { .. })));
    assert_eq!(end(&*handle).await, Exit::Code(0));
}

#[tokio::test]
async fn only_the_wanted_instances_are_found() {
    let folder = tempfile::tempdir().expect("folder");
    let id = format!("found-by-id-{}", std::process::id());
    let handle = start(&folder, &id, "sleep 1000 & wait").await;
    let wanted = BTreeSet::from([id.clone(), "not-there".to_owned()]);
    let expected = BTreeMap::from([(id, handle.identity().clone())]);
    // In the first moment of a program the system does not show its environment yet.
    until("it is found", || ProcessDriver.find(&wanted).expect("look") == expected).await;
    handle.signal(Signal::Kill).expect("signal");
    end(&*handle).await;
    assert!(ProcessDriver.find(&wanted).expect("look").is_empty());
}

#[tokio::test]
async fn what_cannot_be_started_says_whether_a_person_has_to_act() {
    let folder = tempfile::tempdir().expect("folder");
    let check = async |change: &dyn Fn(&mut Spec), text: &str, person: bool| {
        let mut spec = spec(folder.path(), "a-1", "true");
        change(&mut spec);
        let error: StartError = ProcessDriver.start(&spec).await.expect_err("cannot start");
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(error.needs_a_person(), person, "{error}");
    };
    check(&|spec| spec.argv.clear(), "no program", true).await;
    check(&|spec| spec.argv[0] = "/no/such/program".into(), "is it built", true).await;
    check(&|spec| spec.argv[0] = "/etc/passwd".into(), "is it built", true).await;
    check(&|spec| spec.cwd = "/no/such/folder".into(), "/no/such/folder", true).await;
    check(&|spec| spec.log_file = "/no/such/folder/log".into(), "/no/such/folder/log", false).await;
}
