//! How long a provider may take, by phase. Each limit has a name, a default with its reason, and a variable.

use std::time::Duration;

/// The limits of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands (`AI_TIMEOUT_CONNECT_MS`).
    pub connect: Duration,
    /// From sending the request until the first token of a stream (`AI_TIMEOUT_FIRST_BYTE_MS`). A plain answer has no
    /// first byte before it is complete, so only `total` bounds it.
    pub first_byte: Duration,
    /// Between two tokens of a stream (`AI_TIMEOUT_BETWEEN_TOKENS_MS`). Comments and empty chunks do not reset it: a
    /// provider that only keeps the line open is stalled all the same.
    pub between_tokens: Duration,
    /// The whole call (`AI_TIMEOUT_TOTAL_MS`).
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            // A reachable provider accepts within a round trip; three seconds covers one lost SYN and its retry.
            connect: Duration::from_secs(3),
            // Reasoning models think before they speak; half a minute is where people give up.
            first_byte: Duration::from_secs(30),
            // The slowest models write several tokens a second: fifteen seconds of silence is a stall.
            between_tokens: Duration::from_secs(15),
            // The longest answers at slow speed; just below the two minutes that services allow a request.
            total: Duration::from_secs(110),
        }
    }
}
