//! The crate's clock: everything else takes the time as an argument.

use jiff::Timestamp;

/// Now.
#[expect(clippy::disallowed_methods, reason = "the crate's one sanctioned clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
