//! Which instances are left out for a while because they fail, as one thread sees it. Pure.
//!
//! Failures in a row eject an instance, for longer each time; afterwards it gets a growing share, so that one that is still
//! broken harms few. Each thread learns by itself: a few failures more, and no state that all threads would wait for. Whether
//! an ejection is heeded is decided by [`heeded`]: never so that less than half of a slot's instances are left.

use crate::ticker::Millis;

/// Failures in a row that eject.
const FAILURES: u32 = 5;

/// How long the first time; each further time twice as long.
const FIRST_MS: Millis = 10_000;
const LONGEST_MS: Millis = 300_000;

/// Over this time an instance that returns gets its full share, beginning with a tenth of it.
const RETURN_MS: Millis = 10_000;
const FIRST_SHARE: f64 = 0.1;

/// What one thread knows of one instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    failures: u32,
    /// Ejections so far; forgotten once it is well for as long as it was out.
    times: u32,
    /// Out until then; zero: never was.
    until: Millis,
}

impl Standing {
    /// After an answer of the instance's own.
    #[must_use]
    pub(crate) fn succeeded(self, now: Millis) -> Self {
        let well = now >= self.until.saturating_add(out_for(self.times.saturating_sub(1)));
        if self.times > 0 && well { Self::default() } else { Self { failures: 0, ..self } }
    }

    /// After a failure that is the instance's. Says whether that ejects it.
    #[must_use]
    pub(crate) fn failed(self, now: Millis) -> (Self, bool) {
        let failures = self.failures.saturating_add(1);
        // Whoever is on the way back and fails again is out at once.
        let returning = self.times > 0 && now < self.until.saturating_add(RETURN_MS);
        if now < self.until || failures < FAILURES && !returning {
            return (Self { failures, ..self }, false);
        }
        let until = now.saturating_add(out_for(self.times)).max(1);
        (Self { failures: 0, times: self.times.saturating_add(1), until }, true)
    }

    /// After it was left out for another reason, and is well again.
    #[must_use]
    pub(crate) fn returning(self, now: Millis) -> Self {
        Self { failures: 0, times: self.times.max(1), until: now }
    }

    /// Whether it takes a request, where `chance` is drawn from 0 to 1.
    pub(crate) fn takes(self, now: Millis, chance: f64) -> bool {
        if self.times == 0 {
            return true;
        }
        match now.checked_sub(self.until) {
            None => false,
            Some(back) if back >= RETURN_MS => true,
            Some(back) => chance < share(back),
        }
    }

    /// Whether it is out now.
    pub(crate) fn is_out(self, now: Millis) -> bool {
        now < self.until
    }
}

#[expect(clippy::cast_precision_loss, reason = "a span of seconds")]
fn share(back: Millis) -> f64 {
    FIRST_SHARE + (1.0 - FIRST_SHARE) * back as f64 / RETURN_MS as f64
}

fn out_for(times: u32) -> Millis {
    FIRST_MS.saturating_mul(1 << times.min(8)).min(LONGEST_MS)
}

/// Whether ejections are heeded, where `out` of `all` are: else too few would carry everything.
pub(crate) fn heeded(out: usize, all: usize) -> bool {
    out > 0 && out * 2 <= all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fail(mut standing: Standing, times: u32, now: Millis) -> (Standing, bool) {
        let mut ejected = false;
        for _ in 0..times {
            (standing, ejected) = standing.failed(now);
        }
        (standing, ejected)
    }

    #[test]
    fn five_failures_in_a_row_eject_for_ten_seconds() {
        let (standing, ejected) = fail(Standing::default(), 4, 1_000);
        assert!(!ejected && standing.takes(1_000, 0.99));
        assert!(!fail(standing.succeeded(1_000), 4, 1_000).1, "an answer in between begins anew");
        let (standing, ejected) = fail(standing, 1, 1_000);
        assert!(ejected && standing.is_out(10_999) && !standing.takes(10_999, 0.0));
        assert!(!standing.is_out(11_000));
    }

    #[test]
    fn it_returns_with_a_growing_share() {
        let (standing, _) = fail(Standing::default(), 5, 0);
        assert!(standing.takes(10_000, 0.05) && !standing.takes(10_000, 0.2));
        assert!(standing.takes(15_000, 0.5) && !standing.takes(15_000, 0.6));
        assert!(standing.takes(20_000, 0.99));
    }

    #[test]
    fn who_fails_on_its_way_back_is_out_for_longer() {
        let (standing, _) = fail(Standing::default(), 5, 0);
        let (standing, ejected) = standing.failed(12_000);
        assert!(ejected && standing.is_out(31_999) && !standing.is_out(32_000));
        let well = standing.succeeded(60_000);
        assert_eq!(well, Standing::default(), "well for as long as it was out");
    }

    #[test]
    fn never_less_than_half_are_left() {
        assert!(heeded(1, 2) && heeded(1, 3) && heeded(2, 4));
        assert!(!heeded(0, 2) && !heeded(1, 1) && !heeded(2, 3) && !heeded(2, 2));
    }

    proptest! {
        #[test]
        fn nobody_is_out_for_ever(events in prop::collection::vec((any::<bool>(), 0_u64..60_000), 0..200)) {
            let (mut standing, mut now) = (Standing::default(), 0);
            for (fails, after) in events {
                now += after;
                standing = if fails { standing.failed(now).0 } else { standing.succeeded(now) };
                prop_assert!(standing.until <= now + LONGEST_MS);
                prop_assert!(standing.takes(now + LONGEST_MS + RETURN_MS, 0.999));
            }
        }
    }
}
