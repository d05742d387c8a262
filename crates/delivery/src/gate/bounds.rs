//! Exact bounds of a share (Clopper and Pearson, 1934), one-sided.
//!
//! Exact, because a canary is judged on a handful of errors, where approximations by a bell are wrong by more than the limit.

use super::beta::incomplete_beta;
use super::hits::as_float;

/// Halvings of the interval: more than a double can tell apart.
const HALVINGS: u32 = 60;

/// The lowest true share with which `hits` of `total` or more are no rarer than `1 - confidence`; 0 without a hit.
pub(super) fn lower_bound(hits: u64, total: u64, confidence: f64) -> f64 {
    if hits == 0 || total == 0 {
        return 0.0;
    }
    let (above, below) = (as_float(hits), as_float(total.saturating_sub(hits)) + 1.0);
    crossing(0.0, as_float(hits) / as_float(total), |share| incomplete_beta(above, below, share) > 1.0 - confidence)
}

/// The highest true share with which `hits` of `total` or fewer are no rarer than `1 - confidence`; 1 where all are hits.
pub(super) fn upper_bound(hits: u64, total: u64, confidence: f64) -> f64 {
    if hits >= total {
        return 1.0;
    }
    let (above, below) = (as_float(hits) + 1.0, as_float(total - hits));
    crossing(as_float(hits) / as_float(total), 1.0, |share| incomplete_beta(above, below, share) > confidence)
}

/// Where `beyond` turns from false to true.
fn crossing(mut low: f64, mut high: f64, beyond: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if beyond(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    f64::midpoint(low, high)
}
