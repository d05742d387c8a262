//! Quantiles, of values and of the buckets of histograms, by Prometheus' rules.

use std::cmp::Ordering;

use super::window::count as number;

/// Ascending, with what is no number first, as Prometheus orders.
pub(super) fn ascending(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// Between the two values nearest the quantile. Sorts the values.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if let Some(beyond) = beyond(q) {
        return beyond;
    }
    values.sort_unstable_by(|a, b| ascending(*a, *b));
    let rank = q * (number(values.len()) - 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the number of values")]
    let lower = (rank.floor().max(0.0) as usize).min(values.len() - 1);
    let upper = (lower + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

fn beyond(q: f64) -> Option<f64> {
    if q < 0.0 {
        Some(f64::NEG_INFINITY)
    } else if q > 1.0 {
        Some(f64::INFINITY)
    } else {
        None
    }
}

/// Everything up to a bound, counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bucket {
    pub(super) bound: f64,
    pub(super) count: f64,
}

/// The value below which `q` of all lie, taken to be spread evenly within a bucket. The buckets are in the order of their bounds, and are
/// changed: those with the same bound are added up, and a count never falls.
pub(super) fn of_buckets(q: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if let Some(beyond) = beyond(q) {
        return beyond;
    }
    if buckets.last().is_none_or(|last| last.bound != f64::INFINITY) {
        return f64::NAN;
    }
    #[expect(clippy::float_cmp, reason = "bounds are what labels say")]
    buckets.dedup_by(|next, kept| {
        let same = next.bound == kept.bound;
        if same {
            kept.count += next.count;
        }
        same
    });
    let mut most = buckets[0].count;
    for bucket in &mut *buckets {
        if bucket.count > most {
            most = bucket.count;
        } else if bucket.count < most {
            bucket.count = most;
        }
    }
    let [.., second_last, last] = buckets.as_slice() else { return f64::NAN };
    if last.count == 0.0 {
        return f64::NAN;
    }
    let mut rank = q * last.count;
    let found = first_that_holds(&buckets[..buckets.len() - 1], rank);
    if found == buckets.len() - 1 {
        return second_last.bound;
    }
    let bucket = buckets[found];
    if found == 0 {
        return if bucket.bound <= 0.0 { bucket.bound } else { bucket.bound * (rank / bucket.count) };
    }
    let before = buckets[found - 1];
    rank -= before.count;
    before.bound + (bucket.bound - before.bound) * (rank / (bucket.count - before.count))
}

/// The first bucket that counts as many. Halves as Go's `sort.Search` does, so that counts that are no numbers lead to the same place.
fn first_that_holds(buckets: &[Bucket], rank: f64) -> usize {
    let (mut low, mut high) = (0, buckets.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        if buckets[middle].count >= rank {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the values are exact")]
mod tests {
    use super::*;

    fn of(q: f64, buckets: &[(f64, f64)]) -> f64 {
        of_buckets(q, &mut buckets.iter().map(|(bound, count)| Bucket { bound: *bound, count: *count }).collect())
    }

    #[test]
    fn quantiles_lie_between_values() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(0.25, &mut [1.0, 2.0]), 1.25);
        assert_eq!(quantile(-1.0, &mut [1.0]), f64::NEG_INFINITY);
        assert_eq!(quantile(2.0, &mut [1.0]), f64::INFINITY);
        assert!(quantile(f64::NAN, &mut [1.0]).is_nan() && quantile(0.5, &mut []).is_nan());
        assert_eq!(quantile(1.0, &mut [f64::NAN, 1.0]), 1.0);
    }

    #[test]
    fn histograms_without_a_last_bucket_or_without_events_have_no_quantile() {
        assert!(of(0.5, &[(1.0, 5.0), (2.0, 8.0)]).is_nan());
        assert!(of(0.5, &[(1.0, 0.0), (f64::INFINITY, 0.0)]).is_nan());
        assert!(of(0.5, &[(f64::INFINITY, 5.0)]).is_nan());
        assert!(of(0.5, &[]).is_nan());
    }

    #[test]
    fn values_are_spread_evenly_in_a_bucket_and_the_open_one_gives_its_lower_bound() {
        let buckets = [(1.0, 10.0), (2.0, 20.0), (f64::INFINITY, 40.0)];
        assert_eq!(of(0.125, &buckets), 0.5);
        assert_eq!(of(0.375, &buckets), 1.5);
        assert_eq!(of(0.9, &buckets), 2.0);
        assert_eq!(of(0.1, &[(-1.0, 10.0), (f64::INFINITY, 20.0)]), -1.0);
        assert_eq!(of(1.5, &buckets), f64::INFINITY);
    }

    #[test]
    fn a_count_that_falls_is_raised_and_equal_bounds_are_one() {
        assert_eq!(of(0.5, &[(1.0, 10.0), (2.0, 5.0), (f64::INFINITY, 20.0)]), 1.0);
        assert_eq!(of(0.25, &[(1.0, 5.0), (1.0, 5.0), (f64::INFINITY, 20.0)]), 0.5);
    }
}
