//! What the real binary does where no control plane runs: exit codes, answers on standard output, complaints on standard
//! error.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const MANIFEST: &str = r#"
name = "small"
domain = "small.example"

[projects]
shop = { about = "A shop" }

[secrets]
SIGNING_SEED = { generate = 32 }

[services.shop-backend]
command = "/bin/echo"
port = 3001
secrets = ["SIGNING_SEED"]
"#;

/// The same with a secret that a person provides.
fn with_provided_secret() -> String {
    MANIFEST
        .replace("[secrets]", "[secrets]\nAPI_KEY = { about = \"from the provider\" }")
        .replace("[\"SIGNING_SEED\"]", "[\"API_KEY\", \"SIGNING_SEED\"]")
}

struct Place(TempDir);

impl Place {
    /// An empty folder.
    fn empty() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// A folder with this manifest.
    fn with(manifest: &str) -> Self {
        let place = Self::empty();
        std::fs::write(place.path().join("mana.toml"), manifest).expect("written");
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The binary in this folder, with nothing of this machine's own environment that it would read.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mana"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MANA_")) {
            command.env_remove(name);
        }
        command
    }

    fn mana(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("mana starts")
    }

    #[track_caller]
    fn check(&self, arguments: &[&str], code: i32, stdout: &str, stderr: &str) {
        let output = self.mana(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}{err}");
        assert!(out.contains(stdout), "{arguments:?}: `{stdout}` is not in {out}");
        assert!(err.contains(stderr), "{arguments:?}: `{stderr}` is not in {err}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_command_line_that_is_not_understood_ends_with_2() {
    let place = Place::empty();
    place.check(&["bogus"], 2, "", "unrecognized subcommand 'bogus'");
    place.check(&["logs", "--tail", "many"], 2, "", "invalid value 'many'");
    place.check(&["--listen", "nowhere", "plan"], 2, "", "invalid value 'nowhere'");
    place.check(&["secret", "set", "NAME", "value"], 2, "", "unexpected argument 'value'");
    place.check(&[], 2, "", "Usage: mana");
}

#[test]
fn help_and_exit_codes_are_answers() {
    let place = Place::empty();
    place.check(&["--help"], 0, "Exit codes:", "");
    place.check(&["help", "exit-codes"], 0, "64  the manifest", "");
    place.check(&["exit-codes"], 0, "64  the manifest", "");
    place.check(&["help", "up"], 0, "Examples:", "");
    place.check(&["--version"], 0, env!("CARGO_PKG_VERSION"), "");
    place.check(&["version", "--json"], 0, "\"control_plane\": null", "");
    place.check(&["schema"], 0, "\"$schema\"", "");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        place.check(&["completions", shell], 0, "mana", "");
    }
}

#[test]
fn without_a_manifest_the_search_is_named() {
    let place = Place::empty();
    for command in ["check", "plan", "up", "status", "down", "top"] {
        place.check(&[command], 64, "", "there is no mana.toml");
    }
    place.check(&["-m", "other.toml", "check"], 64, "", "other.toml");
}

#[test]
fn the_manifest_is_found_from_a_folder_below_it() {
    let place = Place::with(MANIFEST);
    let below = place.path().join("a/b");
    std::fs::create_dir_all(&below).expect("made");
    let output = place.command(&["check"]).current_dir(&below).output().expect("mana starts");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn a_right_manifest_is_checked_and_planned() {
    let place = Place::with(MANIFEST);
    place.check(&["check"], 0, "1 service", "");
    place.check(&["check", "--json"], 0, "\"problems\": []", "");
    place.check(&["plan"], 0, "shop-backend", "");
    place.check(&["--port-offset", "100", "plan", "--json"], 0, "127.0.0.1:3101", "");
    place.check(&["-e", "production", "plan"], 0, "api-shop.small.example", "");
    place.check(&["-e", "tomorrow", "plan"], 64, "", "tomorrow");
}

#[test]
fn a_missing_secret_is_found_before_anything_starts() {
    let place = Place::with(&with_provided_secret());
    for command in ["check", "up"] {
        place.check(&[command], 64, "", "API_KEY (from the provider), needed by shop-backend");
    }
    place.check(&["check", "--json"], 64, "\"name\": \"API_KEY\"", "");
    assert!(!place.path().join(".mana").exists());
    let checked = place.command(&["check"]).env("MANA_SECRET_API_KEY", "value").output().expect("mana starts");
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
}

#[test]
fn a_wrong_manifest_ends_with_64_and_starts_nothing() {
    let place = Place::with(
        "name = \"small\"\ndomain = \"small.example\"\n\n[services.shop-backend]\ncomand = \"x\"\nport = 3001\n",
    );
    for command in ["check", "plan", "up"] {
        place.check(&[command], 64, "", "comand");
    }
    place.check(&["check", "--json"], 64, "comand", "");
    assert!(!place.path().join(".mana").exists());
}

#[test]
fn status_ends_with_4_and_says_what_was_known_last() {
    let place = Place::with(MANIFEST);
    place.check(&["status"], 4, "", "no control plane runs on");
    place.check(&["status", "--json"], 4, "\"not running\"", "");
    place.check(&["top"], 4, "", "mana up");
    place.check(&["open"], 4, "", "mana up");
    place.check(&["restart", "shop-backend"], 4, "", "mana up");
    let data = place.path().join(".mana/development");
    std::fs::create_dir_all(&data).expect("made");
    let snapshot = r#"{"generation": 3, "listeners": [], "routes": [{"name": "shop-backend", "target": {"slots": [
        {"name": "blue", "release": "dev", "weight": 1, "instances": [{"id": "a", "address": "127.0.0.1:20001"}]}]}}]}"#;
    std::fs::write(data.join("edge.json"), snapshot).expect("written");
    place.check(&["status"], 4, "shop-backend  1 instance", "no control plane runs on");
}

#[test]
fn down_is_idempotent() {
    let place = Place::with(MANIFEST);
    place.check(&["down"], 0, "nothing is running", "");
    place.check(&["down", "--json"], 0, "{\"event\":\"settled\",\"took_ms\":0}", "");
    assert!(!place.path().join(".mana").exists(), "asking leaves nothing behind");
}

#[test]
fn an_ecosystem_can_be_asked_for_and_stopped_while_its_manifest_is_wrong() {
    let place = Place::with("name = ");
    place.check(&["down"], 0, "nothing is running", "");
    place.check(&["status"], 4, "", "no control plane runs on");
}

#[test]
fn logs_are_read_from_the_files() {
    let place = Place::with(MANIFEST);
    let logs = place.path().join("data/logs");
    std::fs::create_dir_all(&logs).expect("made");
    let line = |second: u8, word: &str| {
        format!("{{\"timestamp\":\"2026-01-02T03:04:{second:02}Z\",\"message\":\"{word}\"}}\n")
    };
    std::fs::write(logs.join("1-shop-backend.log"), line(1, "first") + &line(3, "third")).expect("written");
    std::fs::write(logs.join("1-edge.log"), line(2, "second")).expect("written");
    let check = |arguments: &[&str], expected: &[&str]| {
        let arguments = [&["--data", "data", "logs"], arguments].concat();
        let output = place.mana(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let out = text(&output.stdout);
        let got: Vec<&str> = out.lines().collect();
        assert_eq!(got.len(), expected.len(), "{arguments:?}: {out}");
        for (line, expected) in got.iter().zip(expected) {
            assert!(line.contains(expected), "{arguments:?}: `{expected}` is not in {line}");
        }
    };
    check(&["shop-backend"], &["{\"timestamp\":\"2026-01-02T03:04:01Z\",\"message\":\"first\"}", "third"]);
    check(&["shop-backend", "--tail", "1"], &["third"]);
    check(&[], &["shop-backend │ ", "edge         │ ", "third"]);
    check(&["control"], &[]);
    place.check(&["--data", "data", "logs", "shop-backed"], 2, "", "did you mean `shop-backend`?");
}

#[test]
fn a_secret_is_set_from_a_pipe_and_never_shown() {
    const VALUE: &str = "s3cr3t-value";
    let place = Place::with(&with_provided_secret());
    place.check(&["secret", "list"], 0, "missing", "");
    place.check(&["secret", "set", "API_KAY"], 2, "", "did you mean `API_KEY`?");
    place.check(&["secret", "set", "API_KEY"], 2, "", "it is empty");
    let mut set = place.command(&["secret", "set", "API_KEY"]);
    let mut set = set.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mana starts");
    writeln!(set.stdin.take().expect("a pipe"), "{VALUE}").expect("written");
    let output = set.wait_with_output().expect("mana ends");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("mana restart shop-backend"), "{}", text(&output.stdout));
    let list = place.mana(&["secret", "list", "--json"]);
    assert!(!text(&list.stdout).contains(VALUE));
    let listed: serde_json::Value = serde_json::from_slice(&list.stdout).expect("JSON");
    assert_eq!(listed[0]["name"], "API_KEY");
    assert_eq!(listed[0]["set"], true);
    assert_eq!(listed[1]["generated"], true);
}

#[test]
fn an_edge_with_a_wrong_snapshot_ends_with_64() {
    let place = Place::empty();
    place.check(&["edge", "--config", "none.json"], 64, "", "cannot read the snapshot none.json");
    std::fs::write(place.path().join("edge.json"), "{").expect("written");
    place.check(&["edge", "--config", "edge.json"], 64, "", "edge.json");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::empty();
    let mut child = place.command(&["completions", "zsh"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mana starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("mana ends");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn colours_are_for_terminals() {
    let place = Place::with(MANIFEST);
    let plain = place.mana(&["status"]);
    assert!(!text(&plain.stderr).contains('\u{1b}'));
    let painted = place.mana(&["--color", "always", "status"]);
    assert!(text(&painted.stderr).contains('\u{1b}'));
}
