//! Clients of others, from npm.

use std::fs::File;
use std::path::Path;
use std::process::Command;

/// Installs what a folder's `package-lock.json` names, if it is not there. Tests that need it at the same time wait for the one that does it: each is a process of its own.
///
/// # Panics
/// When npm fails.
pub fn install_clients(folder: &str) {
    let lock = File::open(Path::new(folder).join("package-lock.json")).expect("a folder of clients");
    lock.lock().expect("file systems know locks");
    // npm writes it when all is there.
    if !Path::new(folder).join("node_modules/.package-lock.json").exists() {
        let done = Command::new("npm").arg("ci").current_dir(folder).output().expect("npm runs");
        assert!(done.status.success(), "npm ci in {folder}: {}", String::from_utf8_lossy(&done.stderr));
    }
}
