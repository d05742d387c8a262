//! The crate's clock, and its ids: everything else takes the time as an argument.

use jiff::Timestamp;
use uuid::Uuid;

/// Now.
#[expect(clippy::disallowed_methods, reason = "the crate's one sanctioned clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// What tells one question from every other: asked again under the same key, it is not done twice.
#[expect(clippy::disallowed_methods, reason = "the crate's one sanctioned place for ids")]
pub(crate) fn key() -> String {
    Uuid::now_v7().to_string()
}
