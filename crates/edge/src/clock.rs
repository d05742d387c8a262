//! The crate's one source of wall-clock time and of chance. Durations are measured with `Instant`, which nothing can
//! set back.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, UTC.
pub(crate) fn unix_millis() -> u64 {
    let since = now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The time of day at one moment, and what has passed since: times that can be taken from one another, since a clock that is set changes
/// nothing about them. They are those of the clock as it was in that moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchor {
    unix_ms: u64,
    at: Instant,
}

impl Anchor {
    /// Of this moment.
    pub(crate) fn now() -> Self {
        Self { unix_ms: unix_millis(), at: Instant::now() }
    }

    /// Milliseconds since 1970, UTC.
    pub(crate) fn unix_millis(self) -> u64 {
        self.unix_millis_at(Instant::now())
    }

    fn unix_millis_at(self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.at).as_millis();
        self.unix_ms.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_window_is_as_long_as_it_took_whatever_the_clock_says_meanwhile() {
        let at = Instant::now();
        let (from, to) = (at + Duration::from_secs(5), at + Duration::from_secs(605));
        // Whatever the clock is set to after that moment, nothing asks it again.
        for unix_ms in [0, 1_767_225_600_000, u64::MAX - 605_000] {
            let anchor = Anchor { unix_ms, at };
            assert_eq!(anchor.unix_millis_at(from), unix_ms + 5_000);
            assert_eq!(anchor.unix_millis_at(to) - anchor.unix_millis_at(from), 600_000);
        }
        let anchor = Anchor::now();
        assert!(anchor.unix_millis().abs_diff(unix_millis()) < 60_000);
    }
}
