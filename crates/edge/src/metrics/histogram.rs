//! A latency histogram in logarithmic buckets: fine inside, coarser where it is shown.
//!
//! Sixteen buckets an octave (4.4 % wide) from 16 µs to 64 s are counted, four an octave are rendered, so a quantile
//! read from Prometheus text is within 19 %, and a gate that reads the cells gets it within 4.4 %. Borders are powers of
//! two of a second and their sixteenths: 0.5 s and 1 s, on which the gates' limits stand, are borders exactly.

use std::sync::OnceLock;
use std::time::Duration;

use super::cells::Counter;
use crate::admin::Latency;

/// Time is counted in 2^-24 s (about 60 ns).
const UNITS_PER_SECOND_LOG2: u32 = 24;

/// log2 of the buckets an octave.
const SUB_LOG2: u32 = 4;
const SUB: usize = 1 << SUB_LOG2;

/// The first octave begins at 2^-16 s (15 µs): shorter is counted there. The last ends at 2^6 s.
const LOWEST_LOG2: i32 = -16;
const HIGHEST_LOG2: i32 = 6;
const OCTAVES: usize = (HIGHEST_LOG2 - LOWEST_LOG2) as usize;
const BUCKETS: usize = OCTAVES * SUB;

/// Shown borders begin at 2^-12 s (0.24 ms), four an octave.
const SHOWN_LOWEST_LOG2: i32 = -12;
const SHOWN_SUB: usize = 4;

/// Counts of one thread.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// One more at the end, for all that is longer. Made with the first count: most slots of a thousand routes never have one, and a
    /// snapshot of them would cost megabytes.
    buckets: OnceLock<Box<[Counter]>>,
    nanos: Counter,
}

impl Histogram {
    pub(crate) fn record(&self, took: Duration) {
        let buckets = self.buckets.get_or_init(|| (0..=BUCKETS).map(|_| Counter::default()).collect());
        buckets[bucket(took)].add(1);
        self.nanos.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// The bucket of a duration. Borders belong to the bucket below, as `le` says.
fn bucket(took: Duration) -> usize {
    let units =
        (u128::from(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)) << UNITS_PER_SECOND_LOG2) / 1_000_000_000;
    let units = u64::try_from(units).unwrap_or(u64::MAX).saturating_sub(1);
    let lowest = UNITS_PER_SECOND_LOG2.saturating_add_signed(LOWEST_LOG2);
    if units < 1 << lowest {
        return 0;
    }
    let octave = units.ilog2();
    let sub = (units >> (octave - SUB_LOG2)) & (SUB as u64 - 1);
    let index = u64::from(octave - lowest) * SUB as u64 + sub;
    usize::try_from(index).unwrap_or(BUCKETS).min(BUCKETS)
}

/// Several threads' histograms, added up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sum {
    /// All of them, or none where nothing was counted.
    buckets: Vec<u64>,
    nanos: u64,
}

impl Sum {
    pub(crate) fn add(&mut self, histogram: &Histogram) {
        let Some(buckets) = histogram.buckets.get() else { return };
        self.buckets.resize(buckets.len(), 0);
        for (sum, bucket) in self.buckets.iter_mut().zip(buckets) {
            *sum += bucket.get();
        }
        self.nanos = self.nanos.wrapping_add(histogram.nanos.get());
    }

    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Of buckets and their counts.
    pub(crate) fn of(counts: impl Iterator<Item = (u16, u64)>, nanos: u64) -> Self {
        let mut sum = Self { nanos, buckets: vec![0; BUCKETS + 1] };
        for (bucket, count) in counts {
            if let Some(place) = sum.buckets.get_mut(usize::from(bucket)) {
                *place += count;
            }
        }
        sum
    }

    /// The buckets that hold anything.
    pub(crate) fn filled(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        (0_u16..).zip(self.buckets.iter().copied()).filter(|(_, count)| *count > 0)
    }

    pub(crate) fn nanos(&self) -> u64 {
        self.nanos
    }

    /// What a judge reads.
    #[expect(clippy::cast_precision_loss, reason = "a mean of at most some billions")]
    pub(crate) fn latency(&self) -> Latency {
        let count = self.count();
        Latency {
            count,
            mean: if count == 0 { 0.0 } else { self.seconds() / count as f64 },
            p50: self.quantile(50, count),
            p90: self.quantile(90, count),
            p95: self.quantile(95, count),
            p99: self.quantile(99, count),
            max: self.quantile(100, count),
        }
    }

    /// How many took longer than this; exact where it is a border (a second, its halves and quarters). Else whoever is within 4.4 %
    /// of it may count as well: better too strict.
    pub(crate) fn over(&self, limit: Duration) -> u64 {
        let longer = |bucket: u16| border(usize::from(bucket) + 1) > limit.as_secs_f64();
        self.filled().filter(|(bucket, _)| longer(*bucket)).map(|(_, count)| count).sum()
    }

    /// The upper border of the bucket in which this share of requests, in percent, is reached; 0 without any.
    fn quantile(&self, percent: u64, count: u64) -> f64 {
        let wanted = (count * percent).div_ceil(100);
        let mut seen = 0;
        for (bucket, held) in self.filled() {
            seen += held;
            if seen >= wanted {
                return border(usize::from(bucket) + 1);
            }
        }
        0.0
    }

    #[expect(clippy::cast_precision_loss, reason = "shown to a person or a gate; 53 bits of nanoseconds are 104 days")]
    pub(crate) fn seconds(&self) -> f64 {
        self.nanos as f64 / 1e9
    }

    /// `(upper border in seconds, requests that took at most so long)`, ascending.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let step = SUB / SHOWN_SUB;
        let first = (SHOWN_LOWEST_LOG2 - LOWEST_LOG2) as usize * SUB;
        (first..=BUCKETS).step_by(step).map(|end| (border(end), self.buckets.iter().take(end).sum()))
    }
}

/// The upper border of the bucket before `index`, in seconds.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "small integers"
)]
fn border(index: usize) -> f64 {
    let octave = (index / SUB) as i32 + LOWEST_LOG2;
    let sub = (index % SUB) as f64 / SUB as f64;
    2_f64.powi(octave) * (1.0 + sub)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum_of(durations: &[Duration]) -> Sum {
        let histogram = Histogram::default();
        for took in durations {
            histogram.record(*took);
        }
        let mut sum = Sum::default();
        sum.add(&histogram);
        sum
    }

    #[test]
    fn borders_rise_and_hold_half_a_second_and_a_second() {
        let borders: Vec<_> = Sum::default().cumulative().map(|(border, _)| border).collect();
        assert!(borders.is_sorted());
        assert!(borders.contains(&0.5) && borders.contains(&1.0), "{borders:?}");
        assert_eq!((borders[0], *borders.last().unwrap()), (2_f64.powi(-12), 64.0));
        assert_eq!(borders.len(), 18 * 4 + 1);
    }

    #[test]
    fn every_duration_is_counted_below_a_border_that_is_not_below_it() {
        for micros in
            [0, 1, 15, 16, 100, 244, 245, 999, 1_000, 50_000, 499_999, 500_000, 500_001, 1_000_000, 63_999_999]
        {
            let took = Duration::from_micros(micros);
            let sum = sum_of(&[took]);
            let seconds = took.as_secs_f64();
            for (border, count) in sum.cumulative() {
                let slack = 1e-6;
                assert_eq!(
                    count,
                    u64::from(border + slack >= seconds && bucket_end(took) <= border + slack),
                    "{micros} µs at {border}"
                );
            }
            assert_eq!(sum.count(), 1);
        }
    }

    fn bucket_end(took: Duration) -> f64 {
        border(bucket(took) + 1)
    }

    #[test]
    fn a_limit_on_a_border_counts_what_meets_it_exactly() {
        let sum = sum_of(&[Duration::from_millis(500), Duration::from_micros(500_100)]);
        let (_, at_half) = sum.cumulative().find(|(border, _)| (*border - 0.5).abs() < 1e-9).unwrap();
        assert_eq!(at_half, 1);
    }

    #[test]
    fn what_takes_for_ever_is_counted_but_below_no_border() {
        let sum = sum_of(&[Duration::from_secs(65), Duration::MAX]);
        assert_eq!(sum.count(), 2);
        assert_eq!(sum.cumulative().last().unwrap().1, 0);
    }

    #[test]
    fn buckets_are_no_wider_than_a_sixteenth() {
        for index in SUB..BUCKETS {
            let (low, high) = (border(index), border(index + 1));
            assert!(high / low <= 1.0 + 1.0 / 16.0 + 1e-9, "{low} to {high}");
        }
    }
}
