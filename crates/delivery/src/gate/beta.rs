//! The special functions that exact bounds need: the regularized incomplete beta function, and binomial coefficients.
//!
//! Own code because it is this small; a statistics crate would bring a linear algebra with it. Constant time for any count:
//! the continued fraction is short while one parameter is small, and where both are large the integrand is so close to a
//! bell that a fixed quadrature takes its place (Numerical Recipes, 3rd ed., 6.1, 6.4).

/// From here on Stirling's series is used; the first term it leaves out is then below 1e-15.
const SERIES_FROM: f64 = 12.0;
/// ln √(2π).
const LN_ROOT_TAU: f64 = 0.918_938_533_204_672_7;
/// From here on, in both parameters, the quadrature takes over from the continued fraction.
const QUADRATURE_FROM: f64 = 3000.0;
/// The continued fraction needs a few hundred terms at worst; this bounds it whatever it is given.
const MOST_TERMS: u32 = 5000;

/// ln Γ(x) for x > 0.
fn ln_gamma(x: f64) -> f64 {
    let mut shifted = x;
    let mut product = 1.0;
    while shifted < SERIES_FROM {
        product *= shifted;
        shifted += 1.0;
    }
    (shifted - 0.5) * shifted.ln() - shifted + LN_ROOT_TAU + stirling(shifted) - f64::ln(product)
}

/// What Stirling's formula leaves out of ln Γ(x), for x ≥ `SERIES_FROM`.
fn stirling(x: f64) -> f64 {
    const TERMS: [f64; 6] = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0];
    let inverse = 1.0 / x;
    inverse * TERMS.iter().rev().fold(0.0, |sum, term| sum * inverse * inverse + term)
}

/// ln B(a, b), without subtracting large logarithms from each other: as good at 10¹⁵ as at 10.
fn ln_beta(a: f64, b: f64) -> f64 {
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    if large < SERIES_FROM {
        return ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    }
    let sum = small + large;
    ln_gamma(small) - (large - 0.5) * (small / large).ln_1p() - small * (sum.ln() - 1.0) - stirling(sum)
        + stirling(large)
}

/// ln of the ways to choose `k` of `n`.
pub(super) fn ln_choose(n: f64, k: f64) -> f64 {
    -(n + 1.0).ln() - ln_beta(k + 1.0, n - k + 1.0)
}

/// Iₓ(a, b) for a, b > 0: the chance that a beta variable is below `x`, and so every tail of the binomial distribution.
pub(super) fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    if a > QUADRATURE_FROM && b > QUADRATURE_FROM {
        return quadrature(a, b, x);
    }
    let front = (a * x.ln() + b * (-x).ln_1p() - ln_beta(a, b)).exp();
    // The fraction converges fast on this side of the mean, and the other side is its mirror.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * continued_fraction(a, b, x) / a
    } else {
        1.0 - front * continued_fraction(b, a, 1.0 - x) / b
    }
}

/// Lentz's method, in its usual letters.
#[expect(clippy::many_single_char_names, reason = "as in every book")]
fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for term in 1..=MOST_TERMS {
        let m = f64::from(term);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        let step = d * c;
        fraction *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// Gauss–Legendre over the nearer tail, cut off ten standard deviations out; both parameters are large here.
fn quadrature(a: f64, b: f64, x: f64) -> f64 {
    // Nodes and weights of the 20-point rule on [-1, 1]; the negative half mirrors them.
    const RULE: [(f64, f64); 10] = [
        (0.076_526_521_133_497_34, 0.152_753_387_130_725_85),
        (0.227_785_851_141_645_08, 0.149_172_986_472_603_74),
        (0.373_706_088_715_419_56, 0.142_096_109_318_382_05),
        (0.510_867_001_950_827_1, 0.131_688_638_449_176_63),
        (0.636_053_680_726_515, 0.118_194_531_961_518_42),
        (0.746_331_906_460_150_8, 0.101_930_119_817_240_44),
        (0.839_116_971_822_218_8, 0.083_276_741_576_704_75),
        (0.912_234_428_251_326, 0.062_672_048_334_109_06),
        (0.963_971_927_277_913_8, 0.040_601_429_800_386_94),
        (0.993_128_599_185_094_9, 0.017_614_007_139_152_12),
    ];
    let (sum, mean) = (a + b, a / (a + b));
    let deviation = (mean * (1.0 - mean) / (sum + 1.0)).sqrt();
    let from = x - mean;
    let to = if from > 0.0 {
        (10.0 * deviation).max(from + 5.0 * deviation).min(1.0 - mean)
    } else {
        (-10.0 * deviation).min(from - 5.0 * deviation).max(-mean)
    };
    // Seen from the mean, where the density is known without cancellation.
    let at_mean =
        1.5 * sum.ln() - 0.5 * a.ln() - 0.5 * b.ln() - LN_ROOT_TAU - stirling(a) - stirling(b) + stirling(sum);
    let density =
        |off: f64| (at_mean + (a - 1.0) * (off / mean).ln_1p() + (b - 1.0) * (-off / (1.0 - mean)).ln_1p()).exp();
    let (half, middle) = ((to - from) / 2.0, f64::midpoint(to, from));
    let area: f64 = RULE
        .iter()
        .map(|(node, weight)| weight * (density(middle + half * node) + density(middle - half * node)))
        .sum();
    let tail = (area * half.abs()).clamp(0.0, 1.0);
    if from > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::{incomplete_beta, ln_beta, ln_choose, ln_gamma};

    #[track_caller]
    fn near(value: f64, exact: f64, relative: f64) {
        assert!((value - exact).abs() <= exact.abs() * relative, "{value} is not {exact}");
    }

    #[test]
    fn ln_gamma_is_the_factorials() {
        let mut factorial = 1.0;
        for n in 1..=25_u32 {
            near(ln_gamma(f64::from(n)).exp(), factorial, 1e-12);
            factorial *= f64::from(n);
        }
        near(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln(), 1e-14);
    }

    #[test]
    fn ways_to_choose() {
        near(ln_choose(52.0, 5.0).exp(), 2_598_960.0, 1e-12);
        near(ln_choose(1e15, 2.0).exp(), 1e15 * (1e15 - 1.0) / 2.0, 1e-12);
        near(ln_choose(7.0, 0.0).exp(), 1.0, 1e-12);
    }

    #[test]
    fn ln_beta_does_not_depend_on_how_it_is_calculated() {
        for (a, b) in [(1.0, 11.5), (3.0, 12.5), (0.5, 40.0), (200.0, 300.0), (9e3, 2.0)] {
            near(ln_beta(a, b), ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b), 1e-11);
            near(ln_beta(b, a), ln_beta(a, b), 1e-15);
        }
    }

    /// Against sums of binomial terms in exact arithmetic.
    #[test]
    fn incomplete_beta_is_the_tail_of_the_binomial() {
        for (a, b, x, exact) in [
            (1.0, 1.0, 0.3, 0.3),
            (2.0, 3.0, 0.5, 0.6875),
            (4.0, 17.0, 0.01, 4.262_092_764_244_013e-5),
            (6.0, 95.0, 0.01, 5.345_344_639_930_333e-4),
            (30.0, 70.0, 0.35, 0.861_575_475_866_109_2),
            (300.0, 701.0, 0.32, 0.918_295_896_349_841_2),
            (100.0, 999_901.0, 0.000_08, 0.017_104_570_653_927_57),
            (3500.0, 3600.0, 0.49, 0.309_100_786_537_486_24),
            (3500.0, 3600.0, 0.5, 0.882_360_733_197_790_2),
            (5000.0, 95_001.0, 0.0478, 6.134_432_273_746_602e-4),
        ] {
            near(incomplete_beta(a, b, x), exact, 1e-10);
            near(incomplete_beta(b, a, 1.0 - x), 1.0 - exact, 1e-10);
        }
    }

    #[test]
    fn both_ways_meet() {
        for x in [0.047, 0.049, 0.0497, 0.0503, 0.051, 0.053] {
            let (fixed, fraction) = (super::quadrature(2990.0, 57_000.0, x), incomplete_beta(2990.0, 57_000.0, x));
            assert!((fixed - fraction).abs() < 1e-11, "{x}: {fixed} and {fraction}");
        }
    }

    #[test]
    fn any_count_gives_a_chance() {
        for a in [1.0, 1e3, 1e6, 1e9, 1e15, 1.8e19] {
            for b in [1.0, 1e3, 1e6, 1e9, 1e15, 1.8e19] {
                for x in [0.0, 1e-300, 1e-9, 0.01, 0.5, 1.0 - 1e-12, 1.0] {
                    let chance = incomplete_beta(a, b, x);
                    assert!((0.0..=1.0).contains(&chance), "{a} {b} {x}: {chance}");
                }
            }
        }
    }
}
