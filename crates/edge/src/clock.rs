//! The crate's one source of wall-clock time and of chance. Durations are measured with `Instant`, which nothing can
//! set back.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, UTC.
pub(crate) fn unix_millis() -> u64 {
    let since = now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Nanoseconds since 1970, UTC.
pub(crate) fn unix_nanos() -> u64 {
    let since = now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "the crate's one sanctioned clock")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Seconds since 1970, UTC, as certificates count them.
pub(crate) fn unix_seconds() -> i64 {
    i64::try_from(unix_millis() / 1_000).unwrap_or(i64::MAX)
}

/// From 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "53 bits are taken, as many as fit")]
pub(crate) fn chance() -> f64 {
    (random() >> 11) as f64 / (1_u64 << 53) as f64
}

thread_local! {
    /// Seeded by the system; each thread has its own, so ids cost no lock and no system call.
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(std::thread::current().id()));
}

/// 64 random bits (SplitMix64): good for ids that must not collide, not for secrets.
pub(crate) fn random() -> u64 {
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    })
}
