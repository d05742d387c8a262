//! The workflow and the git hook of `docs/ci`: nothing here can run them where they belong, so that they say what is understood is held by
//! tests: YAML, shell, every `mana` in them, and that what they use is told to whoever copies them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Parser;
use serde_json::Value;

use crate::args::Cli;
use crate::exit::Exit;

/// What the host gives each step by itself.
const OF_THE_HOST: &[&str] = &["GITHUB_SHA"];
/// A commit, where one is written as a variable.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ci").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).expect("it is there")
}

/// What a program says of some text, which it has to take.
fn taken(command: &mut Command, text: &str) -> Vec<u8> {
    use std::io::Write;

    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{command:?} does not take this:\n{text}");
    output.stdout
}

/// YAML as JSON, read by Debian's package python3-yaml, as `scripts/test-services.sh install` installs it.
fn yaml(text: &str) -> Value {
    let read = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    serde_json::from_slice(&taken(Command::new("python3").args(["-c", read]), text)).expect("JSON")
}

/// The lines of comments, without their marks.
fn comments(text: &str) -> String {
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix('#'));
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The single commands of a script, as far as they are words with variables and double quotes.
fn commands(script: &str) -> Vec<Vec<String>> {
    let parts = script.split('\n').flat_map(|line| line.split("&&")).flat_map(|part| part.split("||"));
    let words = |part: &str| -> Vec<String> {
        let words = part.split_whitespace().map(|word| word.trim_matches('"'));
        words.map(|word| word.replace("$GITHUB_SHA", COMMIT)).collect()
    };
    parts.map(words).filter(|words: &Vec<String>| !words.is_empty()).collect()
}

/// Those that are written between backticks.
fn quoted(text: &str) -> Vec<Vec<String>> {
    text.split('`').skip(1).step_by(2).flat_map(commands).collect()
}

/// How many of them call `mana`, all of which it understands.
fn understood(commands: &[Vec<String>]) -> usize {
    let ours: Vec<&Vec<String>> = commands.iter().filter(|words| words[0] == "mana").collect();
    for words in &ours {
        if let Err(error) = Cli::try_parse_from(words.iter()) {
            panic!("{words:?}: {error}");
        }
    }
    ours.len()
}

/// Names that follow this, such as those of `secrets.`.
fn named<'a>(text: &'a str, before: &str) -> BTreeSet<&'a str> {
    let is_name = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    let names = text
        .split(before)
        .skip(1)
        .map(|rest| &rest[..rest.find(|letter: char| !is_name(letter)).unwrap_or(rest.len())]);
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn the_workflow_is_one_and_each_command_in_it_is_understood() {
    let (text, workflow) = (text("github-actions.yml"), yaml(&text("github-actions.yml")));
    // To YAML 1.1 `on` is a word for yes; the host reads a name.
    let on = workflow.get("on").or_else(|| workflow.get("true")).expect("when it runs");
    assert_eq!(on["push"]["branches"], serde_json::json!(["main"]));
    assert_eq!(workflow["permissions"], serde_json::json!({"contents": "read"}), "no more than it needs");
    let jobs: BTreeMap<String, Value> = serde_json::from_value(workflow["jobs"].clone()).expect("jobs");
    let mut calls = 0;
    for (name, job) in &jobs {
        assert!(job["runs-on"].is_string() && job["timeout-minutes"].is_u64(), "{name}");
        for needed in job["needs"].as_array().into_iter().flatten() {
            assert!(jobs.contains_key(needed.as_str().expect("a name")), "{name} needs {needed}");
        }
        for step in job["steps"].as_array().expect("steps") {
            let known = ["name", "uses", "run", "env", "with", "if"];
            assert!(step.as_object().expect("a step").keys().all(|key| known.contains(&key.as_str())), "{step}");
            let Some(script) = step["run"].as_str() else {
                let uses = step["uses"].as_str().expect("it runs something, or uses it");
                assert!(uses.split_once('@').is_some_and(|(_, version)| version.starts_with('v')), "{uses}");
                continue;
            };
            taken(Command::new("bash").args(["-n"]), script);
            let given: BTreeSet<&str> =
                step["env"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            for variable in named(script, "$") {
                assert!(given.contains(variable) || OF_THE_HOST.contains(&variable), "{variable} is not given: {step}");
            }
            let commands = commands(script);
            let ours = understood(&commands);
            assert!(
                ours == 0 || given.contains("MANA_TOKEN"),
                "another machine lets nobody in without a token: {step}"
            );
            calls += ours;
        }
    }
    assert_eq!(calls, 1, "it deploys");
    // Whoever copies it is told what has to be there, and how it comes to be.
    let told = comments(&text);
    for (kind, expected) in [("secrets.", BTreeSet::from(["MANA_TOKEN"])), ("vars.", BTreeSet::from(["MANA_DOWNLOAD"]))]
    {
        let used = named(&text, kind);
        assert_eq!(used, expected, "{kind}");
        assert!(used.iter().all(|name| told.contains(*name)), "{used:?} in: {told}");
    }
    assert_eq!(understood(&quoted(&told)), 1, "how a token is made: {told}");
    // The codes that it names are those that there are.
    for (exit, words) in [
        (Exit::Ok, "the new version serves"),
        (Exit::Failed, "it did not get through"),
        (Exit::RolledBack, "it was rolled back"),
        (Exit::Waiting, "it waits for a person"),
    ] {
        assert!(told.contains(&format!("{}: {words}", exit.code())), "{exit:?}");
    }
}

#[test]
fn the_hook_is_a_script_that_tells_what_it_needs() {
    use std::os::unix::fs::PermissionsExt;

    let text = text("post-receive");
    let mode = std::fs::metadata(path("post-receive")).expect("it is there").permissions().mode();
    assert!(text.starts_with("#!/usr/bin/env bash\n") && mode & 0o111 == 0o111, "{mode:o}");
    taken(Command::new("bash").args(["-n"]), &text);
    let told = comments(&text);
    for variable in named(&text, "$") {
        assert!(told.contains(variable), "{variable} is not told of: {told}");
    }
    assert_eq!(understood(&commands(&text)) + understood(&quoted(&told)), 0, "it needs no mana where it runs");
}

/// What they are read by can say no.
#[test]
fn a_command_that_mana_does_not_know_is_found() {
    let calls = commands("true && mana deploy chat \"$GITHUB_SHA\" --supersede\nmana rollout watch 17 || exit 6");
    assert_eq!(calls[1], ["mana", "deploy", "chat", COMMIT, "--supersede"]);
    assert_eq!(understood(&calls), 2);
    let wrong = quoted("first `mana deploy --surprise chat`, then `mana frobnicate`");
    assert!(wrong.len() == 2 && wrong.iter().all(|words| Cli::try_parse_from(words).is_err()));
    assert_eq!(named("$A_B, ${{ secrets.KEY_1 }}", "secrets."), BTreeSet::from(["KEY_1"]));
}
