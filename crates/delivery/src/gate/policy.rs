//! What a gate asks for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The limits of one gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Highest share of errors, from 0 to 1.
    pub error_share: f64,
    /// An answer that takes longer is slow.
    pub slow_after: Duration,
    /// Highest share of slow answers, from 0 to 1.
    pub slow_share: f64,
    /// So many requests must have reached green, or there is no data.
    pub least_requests: u64,
    /// A window without a verdict is extended to at most this.
    pub longest: Duration,
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
            strict: false,
        }
    }
}
