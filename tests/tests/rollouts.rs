//! Rollouts that somebody decides about in a browser: rejected with a comment, promoted where they pause, aborted in their canary.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use system_tests::Ecosystem;
use system_tests::ecosystem::{repository, text};

const SERVICE: &str = "shop-backend";
const COMMENT: &str = "not on a Friday";

/// A repository with one service, whose program is one that needs nothing else. Its rollouts have a canary, and bob approves them.
const MANIFEST: &str = r#"name = "small"
domain = "small.example"

[projects]
shop = {}

[services.shop-backend]
command = "out/shop"
port = 3001
migrate = []
rollout = { canary = ["10% 10m"], warm = "1h", approvers = ["bob"] }

[services.shop-backend.build]
command = "./make.sh"
"#;

fn script(path: &Path, lines: &str) {
    fs::write(path, format!("#!/bin/sh\nset -eu\n{lines}\n")).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set");
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]);
    let output = git.args(arguments).current_dir(folder).output().expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", text(&output));
}

/// A version of the service, with a tag of its name.
fn commit(folder: &Path, version: &str) {
    fs::write(folder.join("version"), version).expect("written");
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "-q", "-m", version]);
    git(folder, &["tag", version]);
}

/// Begins a rollout that nobody waits for; its number.
fn deploy(ecosystem: &Ecosystem, version: &str, more: &[&str]) -> u64 {
    let arguments = ["deploy", SERVICE, version, "--as", "ada", "--detach", "--json"];
    let output = ecosystem.mana(arguments.iter().chain(more));
    assert!(output.status.success(), "{}", text(&output));
    let view: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    view["number"].as_u64().unwrap_or_else(|| panic!("a number: {view:#}"))
}

#[tokio::test]
async fn a_rollout_is_rejected_promoted_and_aborted_in_a_browser() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path();
    let program = repository().join("target/release/ai-echo");
    git(place, &["init", "-q", "-b", "main"]);
    fs::write(place.join("mana.toml"), MANIFEST).expect("written");
    fs::write(place.join(".gitignore"), "/out\n").expect("written");
    let program = program.display();
    let make = format!(
        "mkdir -p out\nprintf '#!/bin/sh\\n# %s\\nexec {program} \"$@\"\\n' \"$(cat version)\" > out/shop\nchmod +x out/shop"
    );
    script(&place.join("make.sh"), &make);
    commit(place, "v1");
    let status = Command::new("./make.sh").current_dir(place).status().expect("it runs");
    assert!(status.success());
    let ecosystem = Ecosystem::new().with_manifest(place.join("mana.toml"));
    ecosystem.start();
    let invited = ecosystem.mana(["operator", "add", "bob", "--role", "approver"]);
    assert!(invited.status.success(), "{}", text(&invited));

    commit(place, "v2");
    let rejected = deploy(&ecosystem, "v2", &[]);
    commit(place, "v3");
    let steered = deploy(&ecosystem, "v3", &["--pause-at", "canary"]);
    let mut node = tokio::process::Command::new("node");
    node.arg("drive-rollouts.mjs").current_dir(repository().join("ui")).kill_on_drop(true);
    node.env("INVITATION", String::from_utf8_lossy(&invited.stdout).trim());
    node.env("REJECTED", rejected.to_string()).env("STEERED", steered.to_string()).env("COMMENT", COMMENT);
    let driven = node.output().await.expect("node runs (`make ui` installs what it needs)");
    assert!(driven.status.success(), "{}", text(&driven));

    // Who decided what is in the audit log, in one row each.
    let audit = ecosystem.mana(["audit", "--json"]);
    let audit: Value = serde_json::from_slice(&audit.stdout).expect("JSON");
    let rows: Vec<String> = audit
        .as_array()
        .expect("rows")
        .iter()
        .filter(|row| {
            row["who"] == "bob" && row["target"].as_str().is_some_and(|target| target.starts_with("rollout "))
        })
        .map(|row| ["what", "target", "outcome"].map(|name| row[name].as_str().unwrap_or_default()).join("|"))
        .collect();
    let expected = [
        format!("reject|rollout {rejected}: {COMMENT}|done"),
        format!("approve|rollout {steered}: looked at it|done"),
        format!("promote|rollout {steered}|done"),
        format!("abort|rollout {steered}|done"),
    ];
    assert_eq!(rows, expected);
    let served = ecosystem.client().get(ecosystem.internal(3001)).send().await;
    assert!(served.is_ok(), "it serves on: {served:?}");
}
