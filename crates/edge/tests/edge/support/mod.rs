//! What the tests stand on: a real edge in threads of this process, services written in a few lines, and clients that
//! see bytes.

mod answers;
mod client;
pub(crate) mod http2;
mod liar;
mod overheard;
mod process;
mod service;
mod snapshots;
mod tls;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mana_edge::admin::Client;
use mana_edge::snapshot::Snapshot;
use mana_edge::{Edge, Options};
use tempfile::TempDir;

pub(crate) use answers::{Seen, read_all};
pub(crate) use client::{Answer, Raw, get, send};
pub(crate) use liar::{Liar, Lie, Then};
pub(crate) use overheard::{Overheard, is_whole};
pub(crate) use process::{Process, program, spawn};
pub(crate) use service::{Service, Text, read_head, streamed, text, websocket_echo};
pub(crate) use snapshots::{internal, public, route, site, slot, slots, snapshot};
pub(crate) use tls::TlsClient;

/// Longest wait for anything that should happen at once; generous, since the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// An edge of its own, stopped when dropped.
pub(crate) struct TestEdge {
    edge: Option<Edge>,
    folder: TempDir,
}

impl TestEdge {
    pub(crate) fn start(snapshot: &Snapshot) -> Self {
        Self::with_threads(snapshot, 2)
    }

    pub(crate) fn with_threads(snapshot: &Snapshot, threads: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(config(folder.path()), serde_json::to_vec(snapshot).unwrap()).unwrap();
        let edge = begin(folder.path(), threads);
        Self { edge: Some(edge), folder }
    }

    /// Stops the edge and starts another one over the same files.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.edge = Some(begin(self.folder.path(), 2));
    }

    pub(crate) fn stop(&mut self) {
        if let Some(edge) = self.edge.take() {
            edge.stop().unwrap();
        }
    }

    /// Where the first declared listener accepts.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses()[0]
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        self.edge.as_ref().unwrap().addresses()
    }

    pub(crate) fn admin(&self) -> Client {
        Client::new(self.folder.path().join("edge.sock"))
    }

    pub(crate) fn config(&self) -> PathBuf {
        config(self.folder.path())
    }

    /// The value of one series, by the start of its line.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let page = self.admin().metrics().await.unwrap();
        page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }
}

impl Drop for TestEdge {
    fn drop(&mut self) {
        if let Some(edge) = self.edge.take() {
            let ended = edge.stop();
            assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
        }
    }
}

fn config(folder: &Path) -> PathBuf {
    folder.join("edge.json")
}

fn begin(folder: &Path, threads: usize) -> Edge {
    let options =
        Options::new(config(folder)).admin(folder.join("edge.sock")).threads(NonZeroUsize::new(threads).unwrap());
    Edge::start(options).unwrap()
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < SOON, "{what}: not within {SOON:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
