//! Clients of others, from npm and PyPI: installed where they are when they are not there, exactly as their lock files say.
//! Tests that need the same at the same time wait for the one that installs it: each is a process of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Longest time for all that schemathesis sends.
const CONFORMS: Duration = Duration::from_mins(10);

/// Installs what a folder's `package-lock.json` names.
///
/// # Panics
/// When npm fails.
pub fn install_clients(folder: &str) {
    let folder = Path::new(folder);
    let wanted = folder.join("package-lock.json");
    let _lock = locked(&wanted);
    let (installed, wanted) = (folder.join("node_modules/.installed.json"), content(&wanted));
    if std::fs::read(&installed).is_ok_and(|there| there == wanted) {
        return;
    }
    run(Command::new("npm").arg("ci").current_dir(folder));
    // The last step: what is not whole has none.
    std::fs::write(installed, wanted).expect("the folder can be written");
}

/// Installs what a folder's `requirements.txt` names, each with the hashes of its files; gives the Python that has it.
///
/// # Panics
/// When Python or pip fail.
pub fn install_python_clients(folder: &str) -> PathBuf {
    let folder = Path::new(folder);
    let requirements = folder.join("requirements.txt");
    let _lock = locked(&requirements);
    let (venv, installed) = (folder.join(".venv"), folder.join(".venv/requirements.txt"));
    let (python, wanted) = (venv.join("bin/python"), content(&requirements));
    if std::fs::read(&installed).is_ok_and(|there| there == wanted) {
        return python;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--require-hashes",
        "--only-binary",
        ":all:",
    ]);
    run(pip.arg("-r").arg(&requirements));
    // The last step: what is not whole has none.
    std::fs::write(installed, wanted).expect("the folder can be written");
    python
}

/// Sends a service what its OpenAPI document allows, and what it does not (`scripts/schemathesis.sh`): no answer is a server error, and
/// each is one of those in the document. `flags` are schemathesis' own.
///
/// # Panics
/// When one is not, with what was sent and what came back.
pub async fn conforms(document: &str, headers: &[(&str, &str)], flags: &[&str]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/schemathesis.sh");
    let mut command = tokio::process::Command::new(script);
    command.arg(document).args(["--seed", "7"]).args(flags).kill_on_drop(true);
    for (name, value) in headers {
        command.arg("--header").arg(format!("{name}: {value}"));
    }
    let output = tokio::time::timeout(CONFORMS, command.output()).await.expect("in time").expect("the script starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

fn content(file: &Path) -> Vec<u8> {
    std::fs::read(file).expect("a file that can be read")
}

fn locked(file: &Path) -> File {
    let file = File::open(file).expect("a folder of clients");
    file.lock().expect("file systems know locks");
    file
}

fn run(command: &mut Command) {
    let done = command.output().expect("it starts");
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
