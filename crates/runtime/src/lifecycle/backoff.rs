//! How long to wait before the next start.

use std::time::Duration;

/// Wait before the second try in a row; each further one doubles it.
pub const BACKOFF_BASE: Duration = Duration::from_secs(1);
/// No wait is longer. Tries go on for ever at this pace: a machine that comes back at night should find its services
/// coming back too.
pub const BACKOFF_CAP: Duration = Duration::from_mins(1);
/// An instance that was ready for so long without a break starts anew: its next crash counts as a first one.
pub const HEALTHY_PERIOD: Duration = Duration::from_mins(1);

/// The wait after `crashes` ends in a row. The first one is not waited for: the instance is back within a second. From
/// the second on, the wait lies between half and all of a doubling span, by `jitter` in 0.0..=1.0, so that instances that
/// fell together do not rise together.
pub fn backoff(crashes: u32, jitter: f64) -> Duration {
    let Some(doublings) = crashes.checked_sub(2) else { return Duration::ZERO };
    // 2^6 seconds is over the cap already.
    let span = BACKOFF_BASE.saturating_mul(1 << doublings.min(6)).min(BACKOFF_CAP);
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 1.0 };
    span.mul_f64(0.5 + jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_crash_is_repaired_at_once_and_later_waits_double_up_to_the_cap() {
        let full = |crashes| backoff(crashes, 1.0).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, u32::MAX].map(full), [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        assert_eq!(backoff(9, 0.0), BACKOFF_CAP / 2);
        assert_eq!(backoff(2, f64::NAN), BACKOFF_BASE);
    }
}
