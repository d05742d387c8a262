//! Times as the tables have them: milliseconds since 1970, UTC.

use jiff::Timestamp;
use kit::clock;

/// Now.
pub(crate) fn now_ms() -> i64 {
    clock::now().as_millisecond()
}

/// As callers see it. Times in the tables are written by us, so one out of range would be a fault of ours; it shows as 1970
/// rather than as an error.
pub(crate) fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}
