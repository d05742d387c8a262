//! Commits on their way out and back, as a person or a script brings them, through the real binary: exit codes, what is said, and that
//! whoever follows may come and go, as may the control plane.

mod lost;
mod repository;
mod support;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use lost::LostAnswers;
use repository::Repository;
use rustix::process::Signal;
use serde_json::Value;
use support::{Background, example, text, until};
use tempfile::TempDir;
use test_ports::free_port;

const BACKEND: &str = "shop-backend";
const WEB: &str = "shop-web";
/// Both versions stay ready after the cutover.
const WARM: &str = "canary = [], warm = \"1h\", requests = 1";

/// A project of two services, the second needing the first, of which releases are made. Dropping it runs `mana down`.
struct Shop {
    repository: Repository,
    outside: TempDir,
}

impl Shop {
    /// What lies in the folder runs. `backend`, `web`: how each is rolled out.
    fn up(backend: &str, web: &str) -> Self {
        let shop = Self { repository: Repository::new(""), outside: tempfile::tempdir().expect("a folder") };
        let [edge, one, other] = std::array::from_fn(|_| free_port());
        let manifest = format!(
            r#"
name = "small"
domain = "small.example"

[environments.development]
listen = "127.0.0.1:{edge}"

[projects]
shop = {{ about = "A shop" }}

[services.{BACKEND}]
command = "out/backend"
port = {one}
database = "shop"
migrate = []
rollout = {{ {backend} }}

[services.{BACKEND}.build]
command = "./make.sh"
migrations = "migrations"

[services.{BACKEND}.build.checks]
test = "./check.sh"

[services.{WEB}]
command = "out/web"
port = {other}
migrate = []
needs = ["{BACKEND}"]
rollout = {{ {web} }}

[services.{WEB}.build]
command = "./make.sh"
"#
        );
        let program = example("small_service");
        let make = format!(
            "mkdir -p out\nfor part in backend web; do\n  printf '#!/bin/sh\\n# %s\\nexec {} \"$@\"\\n' \"$(cat source)\" > out/$part\n  \
             chmod +x out/$part\ndone",
            program.display()
        );
        shop.repository.write("mana.toml", &manifest);
        shop.repository.write("migrations/0001_first.sql", "CREATE TABLE shelves (id INTEGER);\n");
        shop.repository.script("make.sh", &make);
        shop.repository.script("check.sh", &format!("while [ -e {} ]; do sleep 0.05; done", shop.hold().display()));
        shop.repository.commit("a project");
        let status = Command::new("./make.sh").current_dir(shop.repository.path()).status().expect("it runs");
        assert!(status.success());
        shop.check(&["up"], 0);
        shop
    }

    /// As long as this file is there, the checks do not end.
    fn hold(&self) -> PathBuf {
        self.outside.path().join("hold")
    }

    /// A commit with a tag, and a migration of its own.
    fn commit(&self, version: &str) {
        self.repository.write("source", version);
        let migrations = std::fs::read_dir(self.repository.path().join("migrations")).expect("a folder").count();
        let number = migrations + 1;
        let file = format!("migrations/{number:04}_{}.sql", version.replace('.', "_"));
        self.repository.write(&file, &format!("CREATE TABLE more_{number} (id INTEGER);\n"));
        self.repository.commit(version);
        self.repository.git(&["tag", version]);
    }

    /// A command that must end with this code; what it printed.
    #[track_caller]
    fn check(&self, arguments: &[&str], code: i32) -> (String, String) {
        ended(&mut self.repository.command(arguments), code)
    }

    /// `scripts/rollback.sh`, which runbooks name.
    #[track_caller]
    fn script(&self, arguments: &[&str], code: i32) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/rollback.sh");
        let mut command = Command::new(script);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MANA_")) {
            command.env_remove(name);
        }
        command.args(arguments).arg("--manifest").arg(self.repository.path().join("mana.toml"));
        ended(command.env("MANA", env!("CARGO_BIN_EXE_mana")), code).1
    }

    /// The last rollout of a service.
    fn newest(&self, service: &str) -> Value {
        let (out, _) = self.check(&["rollouts", service, "--json"], 0);
        serde_json::from_str::<Value>(&out).expect("JSON")[0].clone()
    }

    /// The version that has all requests of a service.
    #[track_caller]
    fn serves(&self, service: &str) -> String {
        let newest = self.newest(service);
        let slots = [&newest["old"], &newest["new"]];
        let all = slots.into_iter().find(|slot| slot["percent"] == 100);
        let all = all.unwrap_or_else(|| panic!("nothing has all requests: {newest:#}"));
        all["version"].as_str().unwrap_or_default().to_owned()
    }

    /// A command that goes on beside the test, and what it has printed so far.
    fn beside(&self, arguments: &[&str]) -> (Background, Arc<Mutex<String>>) {
        let mut background = Background::start(&mut self.repository.command(arguments));
        let (mut output, said) = (background.output(), Arc::new(Mutex::new(String::new())));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut piece) {
                heard.lock().expect("unbroken").push_str(&text(&piece[..length]));
            }
        });
        (background, said)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let down = self.repository.mana(&["down"]);
        if !std::thread::panicking() {
            assert!(down.status.success(), "mana down: {}", text(&down.stderr));
        }
    }
}

#[track_caller]
fn ended(command: &mut Command, code: i32) -> (String, String) {
    let output = command.output().expect("it starts");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{out}{err}");
    (out, err)
}

#[track_caller]
fn until_it_says(said: &Mutex<String>, what: &str) {
    until(what, || said.lock().expect("unbroken").contains(what).then_some(()));
}

#[test]
fn a_project_goes_out_is_switched_and_comes_back() {
    let shop = Shop::up(WARM, WARM);
    let both = |version: &str| {
        for service in [BACKEND, WEB] {
            assert_eq!(shop.serves(service), version, "{service}");
        }
    };
    shop.commit("v1.5.2");
    let (out, _) = shop.check(&["deploy", "shop", "v1.5.2", "--json"], 0);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let last = lines.last().expect("lines");
    assert_eq!((&last["service"], &last["stage"]), (&WEB.into(), &"window".into()));
    both("v1.5.2");

    shop.commit("v1.6.0");
    let (out, _) = shop.check(&["diff", BACKEND, "v1.6.0"], 0);
    assert!(out.contains("_v1_6_0.sql") && !out.contains("_v1_5_2.sql"), "{out}");
    shop.check(&["deploy", "shop", "v1.6.0", "--supersede"], 0);
    both("v1.6.0");

    let newest = shop.newest(BACKEND);
    let slot = |part: &str| newest[part]["slot"].as_str().expect("a slot").to_owned();
    shop.check(&["switch", "shop", &slot("old")], 0);
    both("v1.5.2");
    shop.check(&["switch", "shop", &slot("new")], 0);
    both("v1.6.0");

    shop.script(&["shop", "v1.5.2"], 0);
    both("v1.5.2");
    let err = shop.script(&["shop", "v1.5.2"], 0);
    for service in [BACKEND, WEB] {
        assert!(err.contains(&format!("{service} serves v1.5.2 already")), "{err}");
    }
    // One of them is what is wanted, the other is on its way elsewhere.
    let (deploy, _) = shop.beside(&["deploy", WEB, "v1.6.0", "--wait"]);
    until("it serves", || (shop.newest(WEB)["stage"] == "window" && shop.serves(WEB) == "v1.6.0").then_some(()));
    let err = shop.script(&["shop", "v1.5.2"], 0);
    assert!(err.contains(&format!("{BACKEND} serves v1.5.2 already")) && !err.contains(WEB), "{err}");
    both("v1.5.2");
    assert_eq!(deploy.end(), Some(6), "it went back");
    let err = shop.script(&["shop", "v9.9.9"], 2);
    assert!(err.contains(&format!("{WEB}:")) && err.contains(&format!("{BACKEND}:")), "each was tried: {err}");
}

#[test]
fn whoever_follows_may_come_and_go_and_so_may_the_control_plane() {
    let shop = Shop::up("approvers = [\"bob\"]", "");
    let check = fs::read_to_string(shop.repository.path().join("check.sh")).expect("text");
    shop.repository.script("check.sh", "echo 1 test failed; exit 3");
    shop.commit("v0");
    let (out, err) = shop.check(&["deploy", "shop", "--as", "ada"], 1);
    assert!(out.contains("1 test failed"), "{out}");
    assert!(err.contains(&format!("not begun: {WEB}")) && err.contains(&format!("mana deploy {WEB}")), "{err}");

    shop.repository.write("check.sh", &check);
    shop.commit("v1");
    fs::write(shop.hold(), "").expect("written");
    let (deploy, said) = shop.beside(&["deploy", BACKEND, "--as", "ada"]);
    until_it_says(&said, "checking");
    deploy.signal(Signal::INT);
    assert_eq!(deploy.end(), Some(130));

    let number = shop.newest(BACKEND)["number"].to_string();
    let (watch, said) = shop.beside(&["rollout", "watch", &number]);
    until_it_says(&said, "checking");
    let status: Value = serde_json::from_str(&shop.check(&["status", "--json"], 0).0).expect("JSON");
    let control = status["control_pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    let control = control.and_then(rustix::process::Pid::from_raw).expect("a process");
    rustix::process::kill_process(control, Signal::KILL).expect("it runs");
    until_it_says(&said, "the control plane does not answer, trying again");
    shop.check(&["up"], 0);
    fs::remove_file(shop.hold()).expect("removed");
    assert_eq!(watch.end(), Some(7), "it waits for bob: {}", said.lock().expect("unbroken"));

    shop.check(&["rollout", "approve", &number, "--as", "ada"], 1);
    let (out, _) = shop.check(&["rollout", "approve", &number, "--as", "bob", "--json"], 0);
    assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON")["number"].to_string(), number);
    shop.check(&["rollout", "watch", &number], 0);
    assert_eq!((shop.newest(BACKEND)["stage"].clone(), shop.serves(BACKEND)), ("done".into(), "v1".to_owned()));

    // What serves is to stay: that ends what would replace it.
    shop.commit("v2");
    let (_, err) = shop.check(&["deploy", "shop", "v2", "--as", "ada"], 7);
    assert!(err.contains(&format!("not begun: {WEB}")) && err.contains(&format!("mana deploy {WEB} v2")), "{err}");
    shop.script(&[BACKEND, "v1"], 0);
    assert_eq!((shop.newest(BACKEND)["stage"].clone(), shop.serves(BACKEND)), ("aborted".into(), "v1".to_owned()));
    let err = shop.script(&[BACKEND, "v1"], 0);
    assert!(err.contains("serves v1 already"), "{err}");
}

#[test]
fn what_is_asked_again_because_its_answer_got_lost_is_done_once() {
    let shop = Shop::up(WARM, WARM);
    let lost = LostAnswers::of(&shop.repository.data(""));
    let count = || serde_json::from_str::<Value>(&shop.check(&["rollouts", "--json"], 0).0).expect("JSON");
    shop.commit("v1");
    let (_, err) = shop.check(&["deploy", BACKEND, "v1", "--pause-at", "green-starting"], 7);
    assert!(err.contains("the control plane does not answer, trying again"), "{err}");
    let newest = shop.newest(BACKEND);
    assert_eq!((&newest["stage"], count().as_array().map(Vec::len)), (&"held".into(), Some(1)));

    // What is said twice goes on once: it stops again where it was asked to.
    let number = newest["number"].to_string();
    shop.check(&["rollout", "pause", &number, "--at", "cutting-over"], 0);
    shop.check(&["rollout", "promote", &number], 0);
    shop.check(&["rollout", "watch", &number], 7);
    assert_eq!((shop.newest(BACKEND)["stage"].clone(), lost.count()), ("held".into(), 3));
    shop.check(&["rollout", "promote", &number], 0);
    until("it serves", || (shop.newest(BACKEND)["stage"] == "window").then_some(()));
    assert_eq!(shop.serves(BACKEND), "v1");

    let slot = |part: &str| shop.newest(BACKEND)[part]["slot"].as_str().expect("a slot").to_owned();
    shop.check(&["switch", BACKEND, &slot("old")], 0);
    shop.check(&["switch", BACKEND, &slot("new")], 0);
    shop.check(&["rollback", BACKEND], 0);
    assert_eq!((shop.newest(BACKEND)["stage"].clone(), lost.count()), ("rolled-back".into(), 7));
    assert_eq!(count().as_array().map(Vec::len), Some(1));
}
