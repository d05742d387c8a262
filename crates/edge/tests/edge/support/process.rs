//! The edge through its real program, where signals, exit codes or its own memory matter.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mana_edge::admin::Client;
use mana_edge::snapshot::Snapshot;
use tempfile::TempDir;

use super::until;

/// The example program: the edge as its own process.
pub(crate) fn program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("examples/edge")
}

/// An edge as its own process, killed when dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) folder: TempDir,
}

impl Process {
    pub(crate) fn start(snapshot: &Snapshot) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("edge.json");
        std::fs::write(&config, serde_json::to_vec(snapshot).unwrap()).unwrap();
        let child = spawn(folder.path(), &["--threads", "2"]);
        Self { child, folder }
    }

    /// Starts another edge over the same files, which takes the place of this one. Gives the old one.
    pub(crate) async fn replace(&mut self, threads: &str) -> Child {
        let next = spawn(self.folder.path(), &["--threads", threads, "--replace", "yes"]);
        let old = std::mem::replace(&mut self.child, next);
        until("the next one serves", async || {
            self.admin().health().await.is_ok_and(|health| health.threads.to_string() == threads)
        })
        .await;
        old
    }

    pub(crate) fn admin(&self) -> Client {
        Client::new(self.folder.path().join("edge.sock"))
    }

    pub(crate) async fn address(&self) -> std::net::SocketAddr {
        until("it serves", async || self.admin().health().await.is_ok()).await;
        self.admin().health().await.unwrap().addresses[0]
    }

    /// What it holds in memory.
    pub(crate) fn resident_bytes(&self) -> usize {
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * rustix::param::page_size()
    }

    /// The value of one series, by the start of its line.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let page = self.admin().metrics().await.unwrap();
        page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) async fn ended(&mut self) -> i32 {
        let mut code = None;
        until("it ends", async || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        })
        .await;
        code.and_then(|code| code.code()).unwrap()
    }
}

/// Starts one over the files in a folder.
pub(crate) fn spawn(folder: &Path, arguments: &[&str]) -> Child {
    Command::new(program())
        .arg("--config")
        .arg(folder.join("edge.json"))
        .arg("--admin")
        .arg(folder.join("edge.sock"))
        .arg("--log")
        .arg(folder.join("access.log"))
        .args(arguments)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone in most tests.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
