//! The crate's one source of time and chance.

use std::hash::{BuildHasher, RandomState};

use jiff::Timestamp;

/// Now, to the millisecond: two releases of a small service may be made within a second.
#[expect(clippy::disallowed_methods, reason = "the crate's one sanctioned clock")]
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(jiff::Unit::Millisecond).unwrap_or(now)
}

/// A name that nothing else has at the moment. Not a secret.
pub(crate) fn unique() -> String {
    // `RandomState` takes its keys from the system, once a process, and counts on from there.
    format!("{:x}-{:016x}", std::process::id(), RandomState::new().hash_one(std::process::id()))
}
