//! How busy and how fast an instance is, as one thread sees it, and which of two is the better choice. Pure.
//!
//! Latency is a peak-sensitive moving average: a slow answer counts at once, fast ones bring it down little by little, and so
//! does time without any, so that an instance that was slow is tried again.

use std::cmp::Ordering;

use crate::ticker::Millis;

/// Time in which what is known of an instance loses most of its weight.
const MEMORY_MS: f64 = 3_000.0;

/// Differences below this factor are noise: among such instances only the number of requests counts.
const NOTABLE: f64 = 2.0;

/// What is assumed of an instance that has not answered yet, and the least that counts: in milliseconds. Below it a machine's
/// own noise decides, and one slow answer by chance must not leave an instance without requests.
const LEAST_MS: f64 = 5.0;

/// Times to the head of an answer, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Latency {
    average: f64,
    at: Millis,
}

impl Latency {
    /// After an answer that took so long.
    #[must_use]
    pub(crate) fn observed(self, took_ms: f64, now: Millis) -> Self {
        let weight = fading(self.at, now);
        // A step of at least a tenth: many answers within one tick of the clock count too.
        let weight = weight.min(0.9);
        let average = if took_ms > self.average { took_ms } else { self.average * weight + took_ms * (1.0 - weight) };
        Self { average, at: now }
    }

    fn at(self, now: Millis) -> f64 {
        (self.average * fading(self.at, now)).max(LEAST_MS)
    }
}

/// How much what was known then still counts now, from 1 to 0.
#[expect(clippy::cast_precision_loss, reason = "a span of milliseconds")]
fn fading(then: Millis, now: Millis) -> f64 {
    (-(now.saturating_sub(then) as f64) / MEMORY_MS).exp()
}

/// An instance as a choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    pub(crate) outstanding: u32,
    pub(crate) latency: Latency,
}

/// `Less`: the first is the better choice.
pub(crate) fn compare(one: Load, other: Load, now: Millis) -> Ordering {
    let cost = |load: Load| (f64::from(load.outstanding) + 1.0) * load.latency.at(now);
    let (first, second) = (cost(one), cost(other));
    if first > second * NOTABLE {
        Ordering::Greater
    } else if second > first * NOTABLE {
        Ordering::Less
    } else {
        one.outstanding.cmp(&other.outstanding)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn load(outstanding: u32, took_ms: f64) -> Load {
        Load { outstanding, latency: Latency::default().observed(took_ms, 1_000) }
    }

    #[test]
    fn the_less_busy_one_is_better_and_a_much_slower_one_is_not() {
        for (one, other, expected) in [
            (load(0, 10.0), load(0, 12.0), Ordering::Equal),
            (load(0, 10.0), load(1, 10.0), Ordering::Less),
            (load(3, 10.0), load(4, 11.0), Ordering::Less),
            (load(0, 100.0), load(2, 10.0), Ordering::Greater),
            (load(0, 0.01), load(0, 0.9), Ordering::Equal),
        ] {
            assert_eq!(compare(one, other, 1_000), expected, "{one:?} {other:?}");
            assert_eq!(compare(other, one, 1_000), expected.reverse());
        }
    }

    #[test]
    fn a_slow_answer_counts_at_once_and_is_forgotten_in_time() {
        let slow = Latency::default().observed(5.0, 0).observed(900.0, 100);
        assert!(slow.at(100) > 890.0);
        assert!(slow.at(20_000) < 150.0, "time alone");
        let again = (0..100).fold(slow, |latency, _| latency.observed(5.0, 200));
        assert!(again.at(200) < 6.0, "fast answers");
    }

    proptest! {
        #[test]
        fn an_average_stays_between_its_answers(took in prop::collection::vec((0.0_f64..10_000.0, 0_u64..5_000), 1..100)) {
            let (mut latency, mut now, mut highest) = (Latency::default(), 0, 0.0_f64);
            for (took, after) in took {
                now += after;
                highest = highest.max(took);
                latency = latency.observed(took, now);
                prop_assert!(latency.average.is_finite() && (0.0..=highest).contains(&latency.average));
            }
        }
    }
}
