//! Counts calls from the moment they are understood until their answer is complete or dropped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;

/// The counters of one echo.
#[derive(Debug, Default)]
pub struct Calls {
    started: AtomicU64,
    finished: AtomicU64,
    cancelled: AtomicU64,
    last: Mutex<Option<Value>>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Count {
    /// Calls that came.
    pub started: u64,
    /// Calls that echo answered in full, with an error, or broke off as told.
    pub finished: u64,
    /// Calls whose caller went away first.
    pub cancelled: u64,
    /// Calls being answered.
    pub open: u64,
}

impl Calls {
    /// The counters now.
    pub fn count(&self) -> Count {
        let finished = self.finished.load(Ordering::SeqCst);
        let cancelled = self.cancelled.load(Ordering::SeqCst);
        let started = self.started.load(Ordering::SeqCst);
        Count { started, finished, cancelled, open: started.saturating_sub(finished + cancelled) }
    }

    /// The body of the call that came last, as it came.
    pub fn last(&self) -> Option<Value> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn remember(&self, body: Value) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    }

    /// A call begins; it counts as cancelled unless [`Call::finish`] is reached. Gives its number too, from 1.
    pub(super) fn begin(self: &Arc<Self>) -> (u64, Call) {
        let number = self.started.fetch_add(1, Ordering::SeqCst) + 1;
        (number, Call { calls: self.clone(), finished: false })
    }
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Call {
    calls: Arc<Calls>,
    finished: bool,
}

impl Call {
    /// Echo did all it meant to do.
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let counter = if self.finished { &self.calls.finished } else { &self.calls.cancelled };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}
