//! Counters with one writer each.
//!
//! A thread counts in cells of its own, so counting is a load, an add and a store to memory that no other core writes:
//! no lock, no contended cache line. A scrape reads all threads' cells and adds them up; it may miss what is being
//! counted at that instant, and sees it the next time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::Histogram;
use crate::cache::Use;

/// A number that only its owner thread increases.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, amount: u64) {
        // Not `fetch_add`: with one writer a plain store is enough, and far cheaper.
        self.0.store(self.get().wrapping_add(amount), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// With this status.
    Status(u16),
    /// The client went away before there was an answer.
    Aborted,
}

/// Labels of [`Class`], in the order of their counters.
pub(crate) const CLASSES: [&str; 6] = ["aborted", "1xx", "2xx", "3xx", "4xx", "5xx"];

impl Class {
    fn index(self) -> usize {
        match self {
            Self::Aborted => 0,
            Self::Status(status) => usize::from(status / 100).clamp(1, 5),
        }
    }
}

/// All that one thread knows of one slot of one release (or of a route's requests that reached no slot).
///
/// Aligned to two cache lines, the unit in which processors fetch ahead, so that neighbours never share one.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Cells {
    pub(crate) started: Counter,
    /// Requests that went on in another slot, since no connection could be opened in this one.
    pub(crate) moved: Counter,
    pub(crate) classes: [Counter; CLASSES.len()],
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) connect_failures: Counter,
    pub(crate) retries: Counter,
    /// Instances left out for a while since they failed.
    pub(crate) ejections: Counter,
    /// By [`Use`].
    pub(crate) cache: [Counter; Use::NAMES.len()],
    /// Answers that had begun and were cut. They count by the status they began with, too.
    pub(crate) broken_off: Counter,
    /// To the answer's head; requests that ended without one are not in it.
    pub(crate) seconds: Histogram,
    /// From the request to an instance to its answer's head.
    pub(crate) upstream_seconds: Histogram,
    /// To the answer's last byte, or to whatever ended the request.
    pub(crate) total_seconds: Histogram,
}

impl Cells {
    pub(crate) fn finish(
        &self,
        class: Class,
        to_head: Option<Duration>,
        upstream: Option<Duration>,
        total: Duration,
        received_bytes: u64,
        sent_bytes: u64,
    ) {
        self.classes[class.index()].add(1);
        self.received_bytes.add(received_bytes);
        self.sent_bytes.add(sent_bytes);
        if let Some(to_head) = to_head {
            self.seconds.record(to_head);
        }
        if let Some(upstream) = upstream {
            self.upstream_seconds.record(upstream);
        }
        self.total_seconds.record(total);
    }
}

/// Why the edge turned something away before it belonged to a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    UnknownHost,
    UnknownPath,
    BadRequest,
    Connection,
    Timeout,
    Resets,
    Overload,
    UntrustedPeer,
    ProxyHeader,
}

/// Labels of [`Refused`], in its order.
pub(crate) const REFUSALS: [&str; 9] = [
    "unknown_host",
    "unknown_path",
    "bad_request",
    "too_many_connections",
    "timeout",
    "too_many_resets",
    "overload",
    "untrusted_peer",
    "bad_proxy_header",
];

/// How a TLS handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshake {
    Full,
    Resumed,
    Failed,
    TimedOut,
}

/// Labels of [`Handshake`], in its order.
pub(crate) const HANDSHAKES: [&str; 4] = ["full", "resumed", "failed", "timeout"];

/// What one thread counts whatever the route.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ThreadCells {
    pub(crate) accepted: Counter,
    pub(crate) closed: Counter,
    pub(crate) accept_errors: Counter,
    pub(crate) refused: [Counter; REFUSALS.len()],
    pub(crate) handshakes: [Counter; HANDSHAKES.len()],
    /// Health checks through the edge; they are in no route's numbers, since they would dilute a gate's.
    pub(crate) probes: Counter,
    /// The edge's own questions to instances that came to nothing.
    pub(crate) probe_failures: Counter,
    pub(crate) spans: Counter,
    pub(crate) spans_dropped: Counter,
    pub(crate) log_lines: Counter,
    pub(crate) log_dropped: Counter,
}

impl ThreadCells {
    pub(crate) fn refuse(&self, why: Refused) {
        self.refused[why as usize].add(1);
    }

    pub(crate) fn handshake(&self, how: Handshake) {
        self.handshakes[how as usize].add(1);
    }
}
