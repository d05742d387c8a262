//! `mana build`, `test` and `releases` through the real binary, with real repositories and processes.

mod repository;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use repository::{Repository, text};

const MADE: &str = "command = \"./make.sh\"";

#[test]
fn a_release_is_made_of_the_commit_and_named_by_branch_or_tag() {
    let shop = Repository::new(MADE);
    let out = shop.check(&["build", "shop-backend"], 0, "build │ made it", "");
    assert!(out.contains("of memory"), "the limits in force are named: {out}");
    let commit = shop.git(&["rev-parse", "HEAD"]);
    let [release] = shop.releases("shop-backend").try_into().expect("one");
    assert_eq!(release["version"], format!("main-{}", &commit[..7]));
    assert_eq!((&release["commit"], &release["dirty"]), (&commit.clone().into(), &false.into()));
    assert_eq!((&release["author"], &release["message"]), (&"Ada <ada@example.org>".into(), &"the shop".into()));
    let program = shop.root("shop-backend", &release).join("out/shop");
    assert_eq!(fs::read_to_string(&program).expect("there"), "one");
    assert_eq!(fs::metadata(&program).expect("there").permissions().mode() & 0o777, 0o555);
    assert!(shop.git(&["status", "--porcelain", "--ignored"]).lines().all(|line| line == "!! .mana/"));

    shop.check(&["build", "shop-backend"], 0, "built before", "");
    shop.git(&["tag", "v1.2.0"]);
    shop.check(&["build", "shop-backend", "--ref", "v1.2.0"], 0, "✓ shop-backend v1.2.0+", "");
    let all = shop.releases("shop-backend");
    assert_eq!((all.len(), &all[0]["digest"]), (2, &all[1]["digest"]), "the same bytes are kept once");
    shop.check(&["build", "shop-backend", "--ref", "v9"], 2, "", "there is no commit `v9`");
    shop.check(&["build", "shop-backed"], 2, "", "did you mean `shop-backend`?");
}

#[test]
fn an_older_commit_is_built_as_its_own_manifest_says() {
    let shop = Repository::new(MADE);
    shop.git(&["tag", "v1"]);
    shop.write("source", "two");
    shop.git(&["mv", "make.sh", "build.sh"]);
    let manifest = fs::read_to_string(shop.path().join("mana.toml")).expect("text");
    shop.write("mana.toml", &manifest.replace("make.sh", "build.sh"));
    shop.commit("another way");
    shop.check(&["build", "shop-backend"], 0, "made it", "");
    shop.check(&["build", "shop-backend", "--ref", "v1"], 0, "v1+", "");
    let [old, new] = shop.releases("shop-backend").try_into().expect("two");
    let content = |release| fs::read_to_string(shop.root("shop-backend", release).join("out/shop")).expect("text");
    assert_eq!((content(&old), content(&new)), ("one".into(), "two".into()));
}

#[test]
fn uncommitted_changes_are_for_development_only() {
    let shop = Repository::new(MADE);
    shop.write("source", "changed");
    shop.write("new file", "x");
    let refused = "- source - new file";
    shop.check(&["-e", "production", "build", "shop-backend"], 1, "", refused);
    shop.check(&["-e", "staging", "build", "shop-backend"], 1, "", "--ref HEAD");
    shop.check(&["build", "shop-backend"], 0, "-dirty+", "");
    let [release] = shop.releases("shop-backend").try_into().expect("one");
    assert_eq!(release["dirty"], true);
    assert_eq!(fs::read_to_string(shop.root("shop-backend", &release).join("out/shop")).expect("text"), "changed");
    assert_eq!(shop.git(&["diff", "--cached", "--name-only"]), "", "the index of whoever works here is theirs");
    shop.check(&["-e", "production", "build", "shop-backend", "--ref", "HEAD"], 0, "shop-backend main-", "");
}

#[test]
fn manas_own_data_is_never_part_of_a_release_nor_a_change() {
    let shop = Repository::new("command = \"./make.sh\"\nartefact = [\"out/shop\", \"mana.toml\"]");
    shop.write(".gitignore", "/out\n");
    shop.commit("ignores less");
    shop.check(&["build", "shop-backend"], 0, "", "");
    assert_eq!(shop.releases("shop-backend")[0]["dirty"], false);
    shop.check(&["-e", "production", "build", "shop-backend"], 0, "", "");
    shop.write("source", "changed");
    shop.check(&["build", "shop-backend"], 0, "-dirty+", "");
    assert!(!shop.data("builds/source/.mana").exists());
}

#[test]
fn a_build_of_a_killed_mana_is_ended_by_the_next_one() {
    let shop = Repository::new(MADE);
    let pids = shop.path().join("pids");
    shop.script(
        "make.sh",
        &format!("[ -e {0} ] || {{ echo $$ > {0}; exec sleep 300; }}\nmkdir -p out; echo x > out/shop", pids.display()),
    );
    shop.commit("hangs once");
    let mut child = shop.command(&["build", "shop-backend"]).stdout(Stdio::null()).spawn().expect("mana starts");
    let began = Instant::now();
    while fs::read_to_string(&pids).unwrap_or_default().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(30), "the build never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    let pid = fs::read_to_string(&pids).expect("written");
    assert!(is_alive(pid.trim()), "nobody is there to end it");
    shop.check(&["build", "shop-backend", "--ref", "HEAD"], 0, "had left behind", "");
    assert!(!is_alive(pid.trim()));
}

#[test]
fn two_builds_at_once_take_turns() {
    let shop = Repository::new(MADE);
    shop.script("make.sh", "[ ! -e busy ]; touch busy; sleep 1; rm busy; mkdir -p out; echo x > out/shop");
    shop.commit("takes a while");
    let build = ["build", "shop-backend", "--again"];
    let other = shop.command(&build).stdout(Stdio::piped()).spawn().expect("mana starts");
    shop.check(&build, 0, "", "");
    assert!(other.wait_with_output().expect("mana ends").status.success());
    assert_eq!(shop.releases("shop-backend").len(), 1, "the same commit and the same bytes are one release");
}

#[test]
fn a_manifest_below_the_top_of_its_repository_is_built_there() {
    let shop = Repository::new("command = \"./make.sh\"\ncache = [\"kept\"]");
    for path in ["mana.toml", "make.sh", "source", "site", ".gitignore"] {
        shop.write("deploy/x", "");
        shop.git(&["mv", path, "deploy/"]);
    }
    let gitignore = shop.path().join("deploy/.gitignore");
    fs::write(gitignore, "/out\n/.mana\n/kept\n").expect("written");
    shop.script("deploy/make.sh", "mkdir -p out kept; ls kept > out/shop; touch kept/a; cat ../elsewhere");
    shop.write("elsewhere", "from above\n");
    shop.commit("below");
    for expected in ["", "a\n"] {
        let output =
            shop.command(&["build", "shop-backend", "--again"]).current_dir(shop.path().join("deploy")).output();
        let output = output.expect("mana starts");
        assert!(output.status.success() && text(&output.stdout).contains("from above"), "{}", text(&output.stderr));
        let built = shop.path().join("deploy/.mana/development/builds/source/deploy/out/shop");
        assert_eq!(fs::read_to_string(built).expect("built"), expected);
    }
}

#[test]
fn a_build_servers_shallow_checkout_without_a_branch_is_enough() {
    let shop = Repository::new(MADE);
    shop.write("source", "two");
    shop.commit("second");
    let server = tempfile::tempdir().expect("a folder");
    let clone = server.path().join("clone").display().to_string();
    shop.git(&["clone", "-q", "--depth", "1", &format!("file://{}", shop.path().display()), &clone]);
    shop.git(&["-C", &clone, "checkout", "-q", "--detach"]);
    shop.git(&["-C", &clone, "branch", "-q", "-D", "main"]);
    let output = shop.command(&["build", "shop-backend"]).current_dir(&clone).output().expect("mana starts");
    let out = text(&output.stdout);
    assert!(output.status.success() && out.contains("✓ shop-backend main-"), "{out}{}", text(&output.stderr));
}

#[test]
fn a_folder_is_its_own_artefact() {
    let shop = Repository::new(MADE);
    shop.check(&["build", "shop-landing"], 0, "1 file", "");
    let [release] = shop.releases("shop-landing").try_into().expect("one");
    assert!(shop.root("shop-landing", &release).join("site/index.html").is_file());
}

#[test]
fn a_build_that_fails_or_makes_nothing_leaves_no_release() {
    let shop = Repository::new(MADE);
    shop.check(&["build", "shop-backend"], 0, "", "");
    let cases = [
        ("echo it is broken >&2; exit 3", "build │ it is broken", "failed: exit code 3"),
        ("true", "", "made no out/shop"),
        ("kill -9 $$", "", "failed: signal 9"),
        ("mkdir -p out && ln -s /etc/passwd out/shop", "", "out of the artefact"),
        ("no-such-program", "", "exit code 127: a program is not there"),
    ];
    for (script, out, err) in cases {
        shop.script("make.sh", script);
        shop.commit("worse");
        shop.check(&["build", "shop-backend"], 1, out, err);
    }
    assert_eq!(shop.releases("shop-backend").len(), 1, "what an earlier build left is not released again");
    let left = fs::read_dir(shop.data("releases/shop-backend")).expect("there");
    let hidden = left.filter(|entry| entry.as_ref().expect("an entry").file_name().to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0);
}

#[test]
fn a_build_that_hangs_is_ended_with_all_its_children() {
    let shop = Repository::new(&format!("{MADE}\ntimeout = \"2s\""));
    let pids = shop.path().join("pids");
    // Children, grandchildren, and some that leave group and session behind.
    let script = format!(
        "for n in 1 2 3 4 5 6 7 8; do (sleep 300 & setsid sleep 300 & echo $! >> {0}; wait) & done\n\
         setsid sh -c 'trap \"\" TERM HUP; echo $$ >> {0}; while :; do sleep 1; done' &\nsleep 300",
        pids.display()
    );
    shop.script("make.sh", &script);
    shop.commit("hangs");
    let began = Instant::now();
    shop.check(&["build", "shop-backend"], 1, "", "it took longer than 2s");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let pids = fs::read_to_string(pids).expect("written");
    assert_eq!(pids.lines().count(), 9);
    for pid in pids.lines() {
        assert!(!is_alive(pid), "{pid} lives on");
    }
}

#[test]
fn what_a_successful_build_leaves_running_is_ended_too() {
    let shop = Repository::new(MADE);
    let pids = shop.path().join("pids");
    let leave = format!("setsid sleep 300 & echo $! > {}\n", pids.display());
    shop.script("make.sh", &format!("{leave}mkdir -p out && echo x > out/shop"));
    shop.commit("leaves something");
    shop.check(&["build", "shop-backend"], 0, "", "");
    assert!(!is_alive(fs::read_to_string(pids).expect("written").trim()));
}

#[test]
fn ctrl_c_ends_a_build_and_leaves_nothing() {
    let shop = Repository::new(MADE);
    let pids = shop.path().join("pids");
    shop.script("make.sh", &format!("setsid sleep 300 & echo $! > {}\nsleep 300", pids.display()));
    shop.commit("hangs");
    let child = shop.command(&["build", "shop-backend"]).stdout(Stdio::null()).spawn().expect("mana starts");
    let began = Instant::now();
    while fs::read_to_string(&pids).unwrap_or_default().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(30), "the build never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .expect("signalled");
    let output = child.wait_with_output().expect("mana ends");
    assert_eq!(output.status.code(), Some(130));
    assert!(!is_alive(fs::read_to_string(pids).expect("written").trim()));
}

#[test]
fn a_gibibyte_of_output_takes_a_bounded_place() {
    let shop = Repository::new(MADE);
    let flood = "head -c 1073741824 /dev/zero | tr '\\0' 'x' | fold -w 200\necho\necho the end\nexit 1";
    shop.script("make.sh", flood);
    shop.commit("talks too much");
    let out = shop.check(&["build", "shop-backend"], 1, "of output left out here", "exit code 1");
    assert!(out.len() < 20 << 20, "{} bytes on the screen", out.len());
    assert!(out.contains("build │ the end"), "the end is shown");
    let log = fs::metadata(shop.data("builds/logs/shop-backend.build.log")).expect("there").len();
    assert!(log < 16 << 20, "{log} bytes in the log");
}

#[test]
fn memory_is_bounded() {
    let shop = Repository::new(&format!("{MADE}\nmemory = \"100MiB\"\ntimeout = \"60s\""));
    shop.script("make.sh", "head -c 1073741824 /dev/zero | tail -n 1 | wc -c");
    shop.commit("eats");
    shop.check(&["build", "shop-backend"], 1, "100.0 MiB of memory", "it needed more than 100.0 MiB of memory");
}

#[test]
fn processors_are_bounded() {
    let shop = Repository::new(&format!("{MADE}\ncpu = 1"));
    shop.script("make.sh", "mkdir -p out && nproc > out/shop");
    shop.commit("counts");
    shop.check(&["build", "shop-backend"], 0, "", "");
    let [release] = shop.releases("shop-backend").try_into().expect("one");
    assert_eq!(fs::read_to_string(shop.root("shop-backend", &release).join("out/shop")).expect("text"), "1\n");
}

#[test]
fn a_build_gets_no_variable_that_it_should_not_see_and_keeps_what_is_called_cache() {
    let shop = Repository::new(&format!("{MADE}\ncache = [\"kept\"]\nenv = {{ COLOUR = \"red\" }}"));
    let script = "mkdir -p out kept lost && env > out/shop && ls kept lost > out/list; touch kept/a lost/b";
    shop.script("make.sh", script);
    shop.write(".gitignore", "/out\n/.mana\n/kept\n/lost\n");
    shop.commit("looks around");
    let build = ["build", "shop-backend", "--again"];
    let output = shop.command(&build).env("AWS_SECRET_ACCESS_KEY", "hunter2").output().expect("mana starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let [release] = shop.releases("shop-backend").try_into().expect("one");
    let env = fs::read_to_string(shop.root("shop-backend", &release).join("out/shop")).expect("text");
    assert!(env.contains("COLOUR=red") && env.contains("MANA_COMMIT=") && !env.contains("hunter2"), "{env}");
    shop.check(&build, 0, "", "");
    let list = fs::read_to_string(shop.data("builds/source/out/list")).expect("text");
    assert_eq!(list, "kept:\na\n\nlost:\n");
}

#[test]
fn checks_run_beside_each_other_and_one_failure_fails() {
    let checks = "checks = { lint = \"./lint.sh\", test = \"./test.sh\", slow = \"sleep 60\" }\ncheck_timeout = \"3s\"";
    let shop = Repository::new(&format!("{MADE}\n{checks}"));
    // Each waits for the other: one after the other they would wait until their time is over.
    let meet = |own: &str, other: &str| {
        format!("touch {own}.here; until [ -e {other}.here ]; do sleep 0.05; done; echo {own} done")
    };
    shop.script("lint.sh", &meet("lint", "test"));
    shop.script("test.sh", &meet("test", "lint"));
    shop.commit("checks");
    let out = shop.check(&["test", "shop-backend"], 1, "lint │ lint done", "slow: it took longer than 3s");
    assert!(out.contains("test │ test done"), "{out}");
    shop.write(
        "mana.toml",
        &fs::read_to_string(shop.path().join("mana.toml")).expect("text").replace(", slow = \"sleep 60\"", ""),
    );
    shop.check(&["test", "shop-backend"], 0, "2 checks of shop-backend passed", "");
}

#[test]
fn releases_are_kept_by_count_and_damage_is_found() {
    let shop = Repository::new(MADE);
    shop.write(
        "mana.toml",
        &(fs::read_to_string(shop.path().join("mana.toml")).expect("text") + "[releases]\nkeep = 2\n"),
    );
    shop.check(&["releases"], 0, "no releases yet", "");
    for version in ["one", "two", "three"] {
        shop.write("source", version);
        shop.commit(version);
        shop.check(&["build", "shop-backend"], 0, "", "");
    }
    let all = shop.releases("shop-backend");
    assert_eq!(
        all.iter().map(|release| release["message"].as_str().expect("text")).collect::<Vec<_>>(),
        ["three", "two"]
    );
    assert_eq!(fs::read_dir(shop.data("releases/shop-backend/artefacts")).expect("there").count(), 2);
    shop.check(&["releases", "--verify"], 0, "yes", "");
    let program = shop.root("shop-backend", &all[0]).join("out/shop");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
    fs::write(&program, "another").expect("written");
    shop.check(&["releases", "--verify"], 1, "out/shop was changed or is missing", "");
    shop.check(&["releases", "nothing"], 2, "", "no service is called `nothing`");
}

#[test]
fn what_cannot_be_built_says_what_to_do() {
    let shop = Repository::new(MADE);
    let manifest = fs::read_to_string(shop.path().join("mana.toml")).expect("text");
    shop.write("mana.toml", &manifest.replace("[services.shop-backend.build]\ncommand = \"./make.sh\"", ""));
    shop.commit("says nothing");
    shop.check(&["build", "shop-backend"], 64, "", "add [services.shop-backend.build]");
    shop.write("mana.toml", &format!("{manifest}comand = \"x\"\n"));
    shop.check(&["build", "shop-backend"], 64, "", "comand");

    let empty = tempfile::tempdir().expect("a folder");
    fs::write(empty.path().join("mana.toml"), &manifest).expect("written");
    let output = shop.command(&["build", "shop-landing"]).current_dir(empty.path()).output().expect("mana starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("git init"), "{}", text(&output.stderr));
}

#[test]
fn submodules_are_refused_by_name() {
    let shop = Repository::new(MADE);
    let head = shop.git(&["rev-parse", "HEAD"]);
    shop.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},vendor/other")]);
    shop.git(&["commit", "-q", "-m", "a submodule"]);
    shop.check(&["build", "shop-landing", "--ref", "HEAD"], 1, "", "vendor/other");
}

/// Whether a process is there, and not only waiting to be collected.
fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
