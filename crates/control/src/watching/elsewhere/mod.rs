//! Telling others: all samples to another store ([`remote_write`]), and that somebody watches ([`heartbeat`]).

mod heartbeat;
mod remote_write;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mana_watch::store::Reader;
use tokio::sync::watch;

use super::address::Address;
use super::pulse::Pulse;
use super::subjects::Subjects;

/// Who is told.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Elsewhere {
    /// The manifest names a receiver of samples, whether its secrets can be read now or not: what it was not told yet waits.
    pub(crate) is_told: bool,
    pub(crate) remote_write: Option<Receiver>,
    pub(crate) heartbeat: Option<Beat>,
}

/// A receiver of Prometheus' remote_write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Receiver {
    pub(crate) url: Address,
    pub(crate) headers: Vec<(String, Address)>,
    /// Labels that say whose the samples are.
    pub(crate) labels: Vec<(&'static str, String)>,
}

/// Whoever wakes people when they hear nothing any more.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Beat {
    pub(crate) url: Address,
    pub(crate) every: Duration,
}

/// Begins; it ends with the process.
pub(super) fn start(
    data: &Path,
    reader: Arc<OnceLock<Reader>>,
    subjects: &watch::Receiver<Subjects>,
    pulse: &Arc<Pulse>,
) {
    tokio::spawn(remote_write::run(data.to_owned(), reader, subjects.clone(), Arc::clone(pulse)));
    tokio::spawn(heartbeat::run(subjects.clone(), Arc::clone(pulse)));
}

/// An error without the address in it.
fn in_words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let behind = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    behind.fold(error.to_string(), |text, error| format!("{text}: {error}"))
}
