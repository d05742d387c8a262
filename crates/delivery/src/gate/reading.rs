//! What the edge counted in a window.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Exact counts of one slot in one window. Probes are not in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that ended, well or not.
    pub requests: u64,
    /// Of those: 5xx, no connection, timeouts, answers that broke off.
    pub errors: u64,
    /// Requests whose time counts (those after the first seconds of a slot).
    pub timed: u64,
    /// Of those: slower than the policy's limit.
    pub slow: u64,
}

impl Counts {
    /// No part is larger than the whole. Counts that do not add up come from a broken source, and a broken source is no data.
    pub(super) fn add_up(self) -> bool {
        self.errors <= self.requests && self.timed <= self.requests && self.slow <= self.timed
    }
}

/// One look at a window that is open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Since the window opened.
    pub elapsed: Duration,
    /// What the window has to last.
    pub window: Duration,
    /// Of the new version.
    pub green: Counts,
    /// Of the old one, in the same window and generation; `None` when it gets no traffic.
    pub blue: Option<Counts>,
    /// The source has counted for the whole window, without a gap: it was not started anew in it, and remembers all of it.
    pub complete: bool,
}
