//! When a certificate is ordered: pure, from what is known and the time.

use std::time::Duration;

/// Seconds since 1970.
pub(crate) type Seconds = i64;

/// Longest time before its end that a certificate is renewed.
const MARGIN: Seconds = 30 * 24 * 60 * 60;

/// After a failure: at once nearly, since most pass by themselves, then so seldom that an authority's limit on failures
/// (Let's Encrypt: five an hour and host) is not reached, and at last twice a day.
const WAITS: [Seconds; 8] = [15, 5 * 60, 15 * 60, 30 * 60, 60 * 60, 3 * 60 * 60, 6 * 60 * 60, 12 * 60 * 60];

/// After the authority said that it is too much.
const LIMITED: Seconds = 60 * 60;

/// What decides about one host.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Known {
    /// Begin and end of the certificate that is served.
    pub(crate) validity: Option<(Seconds, Seconds)>,
    /// When the authority wants it renewed (RFC 9773).
    pub(crate) window: Option<(Seconds, Seconds)>,
    /// Attempts in a row that failed, and when the last one did.
    pub(crate) failures: u32,
    pub(crate) failed_at: Seconds,
    /// The last failure was the authority's limit.
    pub(crate) limited: bool,
    /// From 0 to 1, drawn once for each certificate: hosts that began together do not renew together.
    pub(crate) chance: f64,
}

/// When the next order is due.
pub(crate) fn due(known: &Known) -> Seconds {
    let wanted = match (known.validity, known.window) {
        (None, _) => Seconds::MIN,
        // A window beyond the certificate's end would be a mistake of the authority's, and nobody's wish.
        (Some((_, until)), Some((start, end))) if end < until => {
            start + part(end.saturating_sub(start).max(0), known.chance)
        }
        (Some((start, end)), _) => {
            let margin = MARGIN.min(end.saturating_sub(start).max(0) / 3);
            end - margin - part(margin / 10, known.chance)
        }
    };
    if known.failures == 0 {
        return wanted;
    }
    let step = usize::try_from(known.failures - 1).unwrap_or(usize::MAX).min(WAITS.len() - 1);
    let wait = WAITS[step].max(if known.limited { LIMITED } else { 0 });
    wanted.max(known.failed_at + wait + part(wait / 4, known.chance))
}

/// How long to sleep before looking again: never so long that a clock that was set, a machine that slept or an authority
/// that changed its mind would be noticed late.
pub(crate) fn pause(due: Seconds, now: Seconds) -> Duration {
    const LONGEST: Seconds = 60 * 60;
    let seconds = due.saturating_sub(now).clamp(0, LONGEST);
    Duration::from_secs(seconds.unsigned_abs())
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "seconds of some months, as a share")]
fn part(of: Seconds, chance: f64) -> Seconds {
    (of as f64 * chance.clamp(0.0, 1.0)) as Seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Seconds = 24 * 60 * 60;

    fn valid(days: i64) -> Known {
        Known { validity: Some((0, days * DAY)), ..Known::default() }
    }

    #[test]
    fn what_is_missing_is_ordered_at_once() {
        assert!(due(&Known::default()) < 0);
    }

    #[test]
    fn renewal_is_thirty_days_before_the_end_or_at_a_third_of_a_short_life() {
        assert_eq!(due(&valid(90)), 60 * DAY);
        assert_eq!(due(&valid(365)), 335 * DAY);
        assert_eq!(due(&valid(6)), 4 * DAY);
        assert_eq!(due(&Known { chance: 1.0, ..valid(90) }), 57 * DAY, "earlier by a tenth at most");
    }

    #[test]
    fn the_authoritys_window_goes_before() {
        let known = Known { window: Some((10 * DAY, 12 * DAY)), chance: 0.5, ..valid(90) };
        assert_eq!(due(&known), 11 * DAY);
        let beyond = Known { window: Some((10 * DAY, 91 * DAY)), ..valid(90) };
        assert_eq!(due(&beyond), due(&valid(90)), "unless it would let the certificate expire");
    }

    #[test]
    fn failures_wait_longer_each_time_and_never_order_early() {
        let failed = |failures| due(&Known { failures, failed_at: 1_000, ..Known::default() }) - 1_000;
        assert_eq!(
            (1..=10).map(failed).collect::<Vec<_>>(),
            [15, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 43_200, 43_200]
        );
        assert_eq!(due(&Known { failures: 1, failed_at: 0, ..valid(90) }), 60 * DAY);
    }

    #[test]
    fn five_failures_within_an_hour_are_not_reached() {
        let (mut at, mut times) = (0, Vec::new());
        for failures in 1..=8 {
            times.push(at);
            at = due(&Known { failures, failed_at: at, ..Known::default() });
        }
        for start in &times {
            assert!(times.iter().filter(|time| (*start..start + 3_600).contains(time)).count() <= 5);
        }
    }

    #[test]
    fn the_authoritys_limit_is_respected() {
        let known = Known { failures: 1, limited: true, ..Known::default() };
        assert_eq!(due(&known), LIMITED);
    }

    #[test]
    fn sleep_is_bounded() {
        assert_eq!(pause(5, 10), Duration::ZERO);
        assert_eq!(pause(15, 10), Duration::from_secs(5));
        assert_eq!(pause(Seconds::MAX, 0), Duration::from_hours(1));
    }
}
