//! A route that is closed for a while: it says so, or holds requests until it is open again.

use std::time::Duration;

use http::header::{self, HeaderValue};

use super::Refusal;
use crate::answer::Fault;

/// Requests that one thread holds at a time; what is above gets its answer at once.
pub(crate) const MAX_HELD: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Maintenance {
    /// How long a request waits for the end of it; zero: not at all.
    pub(crate) hold: Duration,
    pub(crate) retry_after: HeaderValue,
}

impl Maintenance {
    pub(crate) fn refusal(&self) -> Refusal {
        if !self.hold.is_zero() {
            return Refusal::Hold(self.hold);
        }
        self.closed()
    }

    /// For whom it is closed to the end.
    pub(crate) fn closed(&self) -> Refusal {
        Refusal::Fault(Fault::Maintenance, vec![(header::RETRY_AFTER, self.retry_after.clone())])
    }
}
