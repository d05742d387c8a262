//! How far the receiver was told, and when what comes next is: pure, with the time in each question.

/// Samples come in this long after their time at most: a turn ends within eight seconds, and the keeper takes it at once.
pub const LAG_MS: i64 = 15_000;
/// What is told at once.
pub const WINDOW_MS: i64 = 60_000;
/// Less than a round is not told alone.
const LEAST_MS: i64 = 10_000;
/// What is older is given up: of what it holds in memory, Prometheus takes nothing that is more than an hour old.
pub const MAX_BEHIND_MS: i64 = 50 * 60_000;
/// From the first failure to the next try; twice as long after each further one…
const BACKOFF_MS: i64 = 1_000;
/// …up to this.
const MAX_BACKOFF_MS: i64 = 60_000;

/// See the module's page. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Everything up to here, itself included, was told or given up.
    told: i64,
    not_before: i64,
    failures: u32,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing until then.
    Wait(i64),
    /// To tell what is from the first to the last of these times.
    Tell(i64, i64),
    /// To count what is from the first to the last of these times, since it is told no more.
    GiveUp(i64, i64),
}

impl Cursor {
    /// One that was told everything up to `told`, itself included.
    #[must_use]
    pub const fn new(told: i64) -> Self {
        Self { told, not_before: i64::MIN, failures: 0 }
    }

    /// How far it is.
    #[must_use]
    pub const fn told(&self) -> i64 {
        self.told
    }

    /// What is to be done now.
    pub fn next(&mut self, now: i64) -> Next {
        if self.told > now {
            // The clock was set back: what is measured from now on is told.
            (self.told, self.not_before) = (now, now);
        }
        let oldest = now - MAX_BEHIND_MS;
        if self.told < oldest {
            return Next::GiveUp(self.told + 1, oldest.min(self.told + WINDOW_MS));
        }
        if now < self.not_before {
            return Next::Wait(self.not_before.min(now + MAX_BACKOFF_MS));
        }
        let last = (now - LAG_MS).min(self.told + WINDOW_MS);
        if last - self.told < LEAST_MS {
            return Next::Wait(self.told + LEAST_MS + LAG_MS);
        }
        Next::Tell(self.told + 1, last)
    }

    /// What is up to there was told, or given up.
    pub fn done(&mut self, last: i64) {
        (self.told, self.failures, self.not_before) = (self.told.max(last), 0, i64::MIN);
    }

    /// It was not taken, for now. `chance` is from 0 to 1, so that not everybody comes back at once; `after_ms` is what the receiver asked for.
    pub fn failed(&mut self, now: i64, after_ms: Option<i64>, chance: f64) {
        let doubled = BACKOFF_MS.saturating_mul(1 << self.failures.min(16)).min(MAX_BACKOFF_MS);
        self.failures = self.failures.saturating_add(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a part of a minute")]
        let jittered = doubled / 2 + ((doubled / 2) as f64 * chance.clamp(0.0, 1.0)) as i64;
        self.not_before = now + after_ms.unwrap_or(0).clamp(jittered, MAX_BACKOFF_MS);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: i64 = 1_700_000_000_000;

    #[test]
    fn what_was_measured_is_told_in_order_once_it_can_be_complete() {
        let mut cursor = Cursor::new(T0);
        assert_eq!(cursor.next(T0 + 5_000), Next::Wait(T0 + 25_000));
        assert_eq!(cursor.next(T0 + 25_000), Next::Tell(T0 + 1, T0 + 10_000));
        cursor.done(T0 + 10_000);
        assert_eq!(cursor.next(T0 + 35_000), Next::Tell(T0 + 10_001, T0 + 20_000));
    }

    #[test]
    fn whoever_is_away_is_asked_less_often_and_told_all_of_it_later() {
        let mut cursor = Cursor::new(T0);
        let mut now = T0 + 60_000;
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert!(matches!(cursor.next(now), Next::Tell(first, _) if first == T0 + 1));
            cursor.failed(now, None, 1.0);
            let Next::Wait(until) = cursor.next(now) else { panic!("it waits") };
            waits.push(until - now);
            now = until;
        }
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        let mut windows = 0;
        while let Next::Tell(_, last) = cursor.next(now) {
            cursor.done(last);
            windows += 1;
        }
        assert!(windows >= 4 && now - cursor.told() < LAG_MS + 10_000, "{windows} {cursor:?}");
        cursor.failed(now, Some(30_000), 0.5);
        assert_eq!(cursor.next(now), Next::Wait(now + 30_000), "the receiver says how long");
    }

    #[test]
    fn what_is_too_old_is_given_up_by_pieces_and_a_clock_that_was_set_back_is_followed() {
        let mut cursor = Cursor::new(T0);
        let now = T0 + MAX_BEHIND_MS + 90_000;
        assert_eq!(cursor.next(now), Next::GiveUp(T0 + 1, T0 + 60_000));
        cursor.done(T0 + 60_000);
        assert_eq!(cursor.next(now), Next::GiveUp(T0 + 60_001, T0 + 90_000));
        cursor.done(T0 + 90_000);
        assert!(matches!(cursor.next(now), Next::Tell(first, _) if first == T0 + 90_001));
        assert!(matches!(cursor.next(T0 - 500_000), Next::Wait(_)));
        assert_eq!(cursor.told(), T0 - 500_000);
    }

    proptest! {
        #[test]
        fn each_moment_is_told_or_given_up_exactly_once(
            steps in prop::collection::vec((0..120_000_i64, 0..4_u8), 1..200)
        ) {
            let (mut cursor, mut now, mut covered) = (Cursor::new(T0), T0, T0);
            for (wait, what) in steps {
                now += wait * if what == 3 { 40 } else { 1 };
                match cursor.next(now) {
                    Next::Wait(until) => prop_assert!(until > now && until <= now + MAX_BACKOFF_MS),
                    Next::Tell(first, last) | Next::GiveUp(first, last) => {
                        prop_assert!(first == covered + 1 && first <= last && last <= now - LAG_MS && last - first < WINDOW_MS);
                        if what == 0 { cursor.failed(now, None, 0.5); } else { cursor.done(last); covered = last; }
                    }
                }
            }
        }
    }
}
