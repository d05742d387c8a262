//! What a gate asks for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::series::SeriesLimit;

/// The limits of one gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The share of errors that must not be reached, from 0 to 1. 0: none at all; 1: judged against blue only; else refused.
    pub error_share: f64,
    /// An answer that takes longer is slow.
    pub slow_after: Duration,
    /// The share of slow answers that must not be reached, likewise.
    pub slow_share: f64,
    /// So many requests must have reached green, and been timed, or there is no data; 0 is taken for 1.
    pub least_requests: u64,
    /// A window without a verdict is extended to at most this, counted from its start.
    pub longest: Duration,
    /// Limits of one's own, each for what a query gives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<SeriesLimit>,
    /// A pass also needs the upper bound of the error share at 95 % confidence to be below the limit.
    pub strict: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            error_share: 0.01,
            slow_after: Duration::from_secs(1),
            slow_share: 0.05,
            least_requests: 100,
            longest: Duration::from_mins(30),
            series: Vec::new(),
            strict: false,
        }
    }
}
