//! Watching what runs: what `mana_watch` decides is carried out here.
//!
//! | module | what it is |
//! |---|---|
//! | `subjects` | what there is to watch at this moment, as the supervisor says |
//! | `rounds` | the tasks that scrape and probe, each target at its own time |
//! | `asking` | one scrape, one probe |
//! | `keeper` | the thread that owns the store: it reads what was scraped, measures host and processes, and keeps all of it |
//! | `prometheus` | the HTTP API of the stored series, in Prometheus' shapes |
//!
//! It only looks: nothing that serves waits for it, and where it fails that is logged, counted and tried again.

mod asking;
mod keeper;
pub(crate) mod prometheus;
mod rounds;
pub(crate) mod subjects;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use mana_watch::store::Reader;
use tokio::sync::mpsc;

use crate::paths;
use crate::supervisor::Message;

/// What the keeper has not taken yet: a round of some hundred targets. Beyond it a round is left out, and counted.
const BACKLOG: usize = 512;

/// Where stored series are read from; empty until the store is open.
#[derive(Clone, Default)]
pub(crate) struct Watching {
    reader: Arc<OnceLock<Reader>>,
}

impl std::fmt::Debug for Watching {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Watching")
    }
}

impl Watching {
    /// The stored series, once they can be read.
    pub(crate) fn reader(&self) -> Option<&Reader> {
        self.reader.get()
    }
}

/// Begins to watch. It ends with the process.
pub(crate) fn start(data: &Path, mailbox: mpsc::Sender<Message>) -> Watching {
    let watching = Watching::default();
    let (told, inbox) = std::sync::mpsc::sync_channel(BACKLOG);
    let (folder, reader) = (paths::series(data), Arc::clone(&watching.reader));
    let begun =
        std::thread::Builder::new().name("watch".to_owned()).spawn(move || keeper::run(&folder, &inbox, &reader));
    match begun {
        Ok(_) => drop(tokio::spawn(rounds::run(data.to_owned(), mailbox, told))),
        Err(error) => tracing::error!(%error, "nothing is watched: no thread for the store"),
    }
    watching
}
