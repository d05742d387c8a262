//! How often something happened, of how often it could have.

use super::Counts;

/// Errors of the requests, or slow ones of the timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hits {
    pub(super) hits: u64,
    pub(super) total: u64,
}

impl Hits {
    pub(super) fn errors(counts: Counts) -> Self {
        Self { hits: counts.errors, total: counts.requests }
    }

    pub(super) fn slow(counts: Counts) -> Self {
        Self { hits: counts.slow, total: counts.timed }
    }

    /// From 0 to 1; of nothing it is 0, so that callers have to ask for a least total themselves.
    pub(super) fn share(self) -> f64 {
        if self.total == 0 { 0.0 } else { as_float(self.hits) / as_float(self.total) }
    }
}

/// A count as a number to calculate with.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^53 requests, and nothing here depends on the last digit beyond"
)]
pub(super) fn as_float(count: u64) -> f64 {
    count as f64
}
