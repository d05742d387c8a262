//! Durations in logarithmic buckets, 128 an octave: a quantile is at most 0.8 % above the truth.

use std::time::Duration;

const SUB_LOG2: u32 = 7;
const SUB: u64 = 1 << SUB_LOG2;
/// Below `SUB` nanoseconds each has a bucket of its own; each octave above has `SUB`.
const BUCKETS: usize = (64 - SUB_LOG2 as usize + 1) << SUB_LOG2;

/// Counts of durations.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], max: Duration::ZERO }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.max = self.max.max(took);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.max = self.max.max(other.max);
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Seconds at which this share of all, in thousandths, is reached; 0 without any.
    pub(crate) fn seconds_at(&self, permille: u64) -> f64 {
        let wanted = (self.count() * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(upper(index)).min(self.max).as_secs_f64();
            }
        }
        0.0
    }

    /// How many took longer, as exactly as a bucket is narrow.
    pub(crate) fn above(&self, limit: Duration) -> u64 {
        let first = u64::try_from(limit.as_nanos()).map_or(BUCKETS, bucket) + 1;
        self.counts.iter().skip(first).sum()
    }

    pub(crate) fn max_seconds(&self) -> f64 {
        self.max.as_secs_f64()
    }
}

fn bucket(nanos: u64) -> usize {
    let shift = nanos.max(1).ilog2().saturating_sub(SUB_LOG2);
    // Below two octaves of `SUB` the shift is 0, and a bucket is a nanosecond.
    usize::try_from(u64::from(shift) * SUB + (nanos >> shift)).unwrap_or(BUCKETS - 1).min(BUCKETS - 1)
}

/// The largest duration of a bucket.
fn upper(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index / SUB).saturating_sub(1);
    let sub = index - shift * SUB;
    ((sub + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_durations_and_is_narrow() {
        for nanos in (0..2_000).chain((0..40).map(|octave| (1 << octave) + (1 << octave) / 3)) {
            let upper = upper(bucket(nanos));
            assert!(upper >= nanos && upper <= nanos + nanos / SUB, "{nanos} is below {upper}");
        }
    }

    #[test]
    fn what_took_longer_is_counted() {
        let mut histogram = Histogram::default();
        for millis in [10, 900, 1_100, 5_000] {
            histogram.record(Duration::from_millis(millis));
        }
        assert_eq!(histogram.above(Duration::from_secs(1)), 2);
        assert_eq!(histogram.above(Duration::from_secs(6)), 0);
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut histogram = Histogram::default();
        (1..=1_000).for_each(|millis| histogram.record(Duration::from_millis(millis)));
        for (permille, truth) in [(500, 0.5), (990, 0.99), (1_000, 1.0)] {
            let measured = histogram.seconds_at(permille);
            assert!(measured >= truth && measured <= truth * 1.008, "{permille}: {measured}");
        }
        assert_eq!(histogram.count(), 1_000);
    }
}
