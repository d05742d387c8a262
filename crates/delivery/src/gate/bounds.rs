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

#[cfg(test)]
mod tests {
    use super::{lower_bound, upper_bound};

    #[track_caller]
    fn near(value: f64, exact: f64) {
        assert!((value - exact).abs() < 1e-10, "{value} is not {exact}");
    }

    /// Solved in sixty digits.
    #[test]
    fn lower_bounds_are_exact() {
        for (hits, total, confidence, exact) in [
            (0, 10, 0.999, 0.0),
            (1, 10, 0.975, 0.002_528_578_544_461_784),
            (5, 10, 0.975, 0.187_086_028_447_398_52),
            (4, 20, 0.999, 0.022_943_806_082_635_316),
            (5, 50, 0.999, 0.015_292_951_553_190_487),
            (6, 100, 0.999, 0.011_292_691_197_448_407),
            (11, 300, 0.999, 0.011_766_642_897_607_078),
            (45, 900, 0.999, 0.030_374_609_610_930_16),
        ] {
            near(lower_bound(hits, total, confidence), exact);
        }
    }

    #[test]
    fn upper_bounds_are_exact() {
        for (hits, total, confidence, exact) in [
            (0, 10, 0.95, 0.258_865_550_893_052_3),
            (1, 10, 0.975, 0.445_016_117_028_195_43),
            (5, 10, 0.975, 0.812_913_971_552_601_5),
            (0, 299, 0.95, 0.009_969_146_792_899_27),
            (1, 473, 0.95, 0.009_989_707_474_224_695),
            (2, 628, 0.95, 0.009_990_915_929_894_482),
            (10, 10, 0.95, 1.0),
            (0, 0, 0.95, 1.0),
        ] {
            near(upper_bound(hits, total, confidence), exact);
        }
    }

    #[test]
    fn a_billion_requests_are_no_more_work_and_leave_no_doubt() {
        // Where the bell is right.
        let close = |value: f64, bell: f64| assert!((value - bell).abs() < 1e-6, "{value} is not {bell}");
        close(lower_bound(10_000_000, 1_000_000_000, 0.999) / 0.01, 1.0 - 3.0902 * 0.000_314_6);
        close(upper_bound(10_000_000, 1_000_000_000, 0.95) / 0.01, 1.0 + 1.6449 * 0.000_314_6);
    }
}
