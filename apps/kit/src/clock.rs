//! Time and ids: the one place of the apps that looks at a clock.

use jiff::Timestamp;
use uuid::Uuid;

/// Now, UTC.
#[expect(clippy::disallowed_methods, reason = "the apps' one sanctioned clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A new UUIDv7: unique, and sorted by time.
#[expect(clippy::disallowed_methods, reason = "the apps' one sanctioned source of ids")]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}
