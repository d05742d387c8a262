//! Watching what runs: what `mana_watch` decides is carried out here.
//!
//! | module | what it is |
//! |---|---|
//! | `subjects` | what there is to watch at this moment, as the supervisor says |
//! | `rounds` | the tasks that scrape and probe, each target at its own time |
//! | `asking` | one scrape, one probe |
//! | `outside` | databases, Redis and others that services need |
//! | `disks` | how much room disks have, asked apart, since a file system may hang |
//! | `keeper` | the thread that owns the store: it reads what was scraped, measures host and processes, and keeps all of it |
//! | `elsewhere` | others who are told: samples, and a heartbeat |
//! | `alerts` | rules evaluated, people told |
//! | `budgets` | what is left of the error budgets of objectives |
//! | `incidents` | incidents written down: what happened, who was affected, what people say |
//! | `one` | one value of what is stored, for whoever decides by it |
//! | `prometheus` | the HTTP API of the stored series, in Prometheus' shapes |
//!
//! It only looks: nothing that serves waits for it, and where it fails that is logged, counted and tried again.

pub(crate) mod address;
pub(crate) mod alerts;
mod alerts_view;
mod asking;
pub(crate) mod beside;
mod budgets;
mod counting;
mod disks;
pub(crate) mod elsewhere;
mod happenings;
mod incidents;
pub(crate) mod incidents_view;
mod keeper;
mod one;
pub(crate) mod outside;
pub(crate) mod prometheus;
mod pulse;
mod rounds;
pub(crate) mod subjects;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use mana_watch::store::Reader;
use tokio::sync::{mpsc, watch};

use crate::paths;
use crate::supervisor::Message;
use alerts::Alerts;
use pulse::Pulse;
use subjects::Subjects;

/// What the keeper has not taken yet: a round of some hundred targets. Beyond it a round is left out, and counted.
const BACKLOG: usize = 512;

/// Where stored series are read from, and how alerts are.
#[derive(Clone)]
pub(crate) struct Watching {
    /// Empty until the store is open.
    reader: Arc<OnceLock<Reader>>,
    pub(crate) alerts: Alerts,
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
    let (told, inbox) = std::sync::mpsc::sync_channel(BACKLOG);
    let (known, subjects) = watch::channel(Subjects::default());
    let reader = Arc::new(OnceLock::new());
    let pulse = Arc::new(Pulse::default());
    elsewhere::start(data, Arc::clone(&reader), &subjects, &pulse);
    let alerts = alerts::start(data, mailbox.clone(), Arc::clone(&reader), subjects, Arc::clone(&pulse));
    let watching = Watching { reader: Arc::clone(&reader), alerts };
    let folder = paths::series(data);
    let begun = std::thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || keeper::run(&folder, &inbox, &reader, &pulse));
    if let Err(error) = disks::start(told.clone()) {
        tracing::error!(%error, "how much room disks have is not measured: no thread for it");
    }
    match begun {
        Ok(_) => drop(tokio::spawn(rounds::run(data.to_owned(), mailbox, told, known))),
        Err(error) => tracing::error!(%error, "nothing is watched: no thread for the store"),
    }
    watching
}
