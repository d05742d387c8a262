//! Fisher's exact test: are green's errors more than chance would have put there, had both slots been alike?

use super::beta::{incomplete_beta, ln_choose};
use super::hits::{Hits, as_float};

/// A sum stops where a term adds less than this share of it.
const NEGLIGIBLE: f64 = 1e-17;
/// With a larger variance the sum would be long (about ten deviations of terms), and the binomial tail is as good.
const WIDEST_SUM: f64 = 1e6;

/// The chance of at least so many hits on green, given the hits of both slots together: one-sided, small where green is worse.
///
/// At most some ten thousand steps, however large the counts: beyond that the hits are put on green one by one with the share
/// of its traffic (a binomial tail), which without the finite population's correction comes out larger, never smaller.
pub(super) fn p_worse(green: Hits, blue: Hits) -> f64 {
    let (hits, total) = (as_float(green.hits) + as_float(blue.hits), as_float(green.total) + as_float(blue.total));
    if green.hits == 0 || blue.total == 0 || total <= hits {
        return 1.0;
    }
    let share = as_float(green.total) / total;
    let mean = hits * share;
    if mean * (1.0 - share) * (1.0 - hits / total) > WIDEST_SUM {
        return incomplete_beta(as_float(green.hits), as_float(blue.hits) + 1.0, share);
    }
    let seen = as_float(green.hits);
    let (low, high) = ((as_float(green.total) - (total - hits)).max(0.0), as_float(green.total).min(hits));
    // chance(x + 1) / chance(x), and its inverse one down, so that the sum needs one logarithm only.
    let up = |x: f64| {
        (hits - x) * (as_float(green.total) - x) / ((x + 1.0) * (total - hits - as_float(green.total) + x + 1.0))
    };
    if seen > mean {
        chance(seen, hits, total, as_float(green.total)) * series(seen, high, 1.0, up)
    } else if seen <= low {
        1.0
    } else {
        let below = seen - 1.0;
        1.0 - chance(below, hits, total, as_float(green.total)) * series(below, low, -1.0, |x| 1.0 / up(x - 1.0))
    }
    .clamp(0.0, 1.0)
}

/// 1 + r(x) + r(x)·r(x+step) + …, until the end or until nothing is added.
fn series(from: f64, to: f64, step: f64, ratio: impl Fn(f64) -> f64) -> f64 {
    let (mut x, mut term, mut sum) = (from, 1.0, 1.0);
    while (to - x) * step > 0.5 {
        term *= ratio(x);
        if term < sum * NEGLIGIBLE {
            break;
        }
        sum += term;
        x += step;
    }
    sum
}

/// Hypergeometric: `x` of `hits` among the `green` of `total`.
fn chance(x: f64, hits: f64, total: f64, green: f64) -> f64 {
    // Told by the rarer of the two, hits or others, the logarithms stay small.
    let (x, hits) = if hits > total / 2.0 { (green - x, total - hits) } else { (x, hits) };
    (ln_choose(green, x) + ln_choose(total - green, hits - x) - ln_choose(total, hits)).exp()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Hits, p_worse};

    fn of(hits: u64, total: u64) -> Hits {
        Hits { hits, total }
    }

    #[track_caller]
    fn check(green: (u64, u64), blue: (u64, u64), exact: f64) {
        let p = p_worse(of(green.0, green.1), of(blue.0, blue.1));
        assert!((p - exact).abs() <= 1e-10 * exact, "{green:?} {blue:?}: {p} is not {exact}");
    }

    /// Against sums of fractions. The first is Fisher's tea: 17 of 70.
    #[test]
    fn small_tables_are_exact() {
        check((3, 4), (1, 4), 17.0 / 70.0);
        check((1, 2), (1, 2), 5.0 / 6.0);
        check((10, 10), (0, 10), 1.0 / 184_756.0);
        check((3, 300), (2, 2700), 0.008_495_219_748_324_767);
        check((3, 300), (13, 2700), 0.210_392_819_479_926_3);
        check((6, 100), (45, 900), 0.402_336_365_974_196_6);
        check((6, 100), (9, 900), 0.002_044_613_982_711_785);
        check((40, 1000), (200, 9000), 8.127_776_244_255_969e-4);
        check((30, 3000), (135, 27_000), 9.200_484_725_438_2e-4);
        check((10, 3000), (135, 27_000), 0.923_749_969_028_018_4);
    }

    #[test]
    fn nothing_to_compare_is_no_sign() {
        check((0, 100), (5, 900), 1.0);
        check((5, 100), (0, 0), 1.0);
        check((0, 0), (5, 900), 1.0);
        check((100, 100), (900, 900), 1.0);
    }

    #[test]
    fn huge_tables_end_soon_and_make_sense() {
        let billion = 1_000_000_000;
        assert!(p_worse(of(5_000_000, billion), of(45_000_000, 9 * billion)) > 0.4);
        assert!(p_worse(of(5_020_000, billion), of(45_000_000, 9 * billion)) < 1e-9);
        // Few of very many, and all but few of very many.
        let (green, blue) = (10_u64.pow(15), 9 * 10_u64.pow(15));
        assert!((p_worse(of(1, green), of(1, blue)) - 0.19).abs() < 1e-6);
        assert!((p_worse(of(green, green), of(blue - 2, blue)) - 0.81).abs() < 1e-6);
    }

    proptest! {
        /// Green has at least a, or blue has at least all − a + 1: one of the two always, never both.
        #[test]
        fn the_two_sides_add_up(green in 1_u64..3000, blue in 1_u64..3000, a in 1_u64..100, b in 0_u64..100) {
            let (a, b) = (a.min(green), b.min(blue));
            prop_assume!(b < blue && a + b < green + blue);
            let worse = p_worse(of(a, green), of(b, blue));
            let other = p_worse(of(b + 1, blue), of(a - 1, green));
            prop_assert!((worse + other - 1.0).abs() < 1e-9, "{worse} + {other}");
        }

        #[test]
        fn one_more_on_green_is_never_less_of_a_sign(green in 2_u64..3000, blue in 1_u64..30_000, a in 0_u64..60, b in 0_u64..600) {
            let (a, b) = (a.min(green - 1), b.min(blue));
            prop_assert!(p_worse(of(a + 1, green), of(b, blue)) <= p_worse(of(a, green), of(b, blue)) + 1e-12);
        }
    }
}
