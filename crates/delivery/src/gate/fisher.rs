//! Fisher's exact test: are green's errors more than chance would have put there, had both slots been alike?

use super::beta::{incomplete_beta, ln_gamma};
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
    let up = |x: f64| (hits - x) * (as_float(green.total) - x) / ((x + 1.0) * (total - hits - as_float(green.total) + x + 1.0));
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
    let ln_choose = |n: f64, k: f64| ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
    (ln_choose(hits, x) + ln_choose(total - hits, green - x) - ln_choose(total, green)).exp()
}
