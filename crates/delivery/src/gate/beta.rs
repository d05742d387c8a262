//! The two special functions that exact bounds need: ln Γ and the regularized incomplete beta function.
//!
//! Own code because it is this small; a statistics crate would bring a linear algebra with it. Constant time for any count:
//! the continued fraction is short while one parameter is small, and where both are large the integrand is so close to a
//! bell that a fixed quadrature takes its place (Numerical Recipes, 3rd ed., 6.1, 6.4).

/// From here on `ln_gamma` uses its asymptotic series, whose next term is then below 1e-15.
const SERIES_FROM: f64 = 12.0;
/// From here on, in both parameters, the quadrature takes over from the continued fraction.
const QUADRATURE_FROM: f64 = 3000.0;
/// The continued fraction needs a few hundred terms at worst; this bounds it whatever it is given.
const MOST_TERMS: u32 = 5000;

/// ln Γ(x) for x > 0; relative error about 1e-15.
pub(super) fn ln_gamma(x: f64) -> f64 {
    let mut shifted = x;
    let mut product = 1.0;
    while shifted < SERIES_FROM {
        product *= shifted;
        shifted += 1.0;
    }
    let inverse = 1.0 / shifted;
    let square = inverse * inverse;
    let series = inverse
        * (1.0 / 12.0
            - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square * (1.0 / 1188.0 - square * 691.0 / 360_360.0)))));
    (shifted - 0.5) * shifted.ln() - shifted + 0.5 * std::f64::consts::TAU.ln() + series - product.ln()
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
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    // The fraction converges fast on this side of the mean, and the other side is its mirror.
    if x < (a + 1.0) / (a + b + 2.0) { front * continued_fraction(a, b, x) / a } else { 1.0 - front * continued_fraction(b, a, 1.0 - x) / b }
}

/// Lentz's method.
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
        (0.636_053_680_726_515_0, 0.118_194_531_961_518_42),
        (0.746_331_906_460_150_8, 0.101_930_119_817_240_44),
        (0.839_116_971_822_218_8, 0.083_276_741_576_704_75),
        (0.912_234_428_251_325_9, 0.062_672_048_334_109_06),
        (0.963_971_927_277_913_8, 0.040_601_429_800_386_94),
        (0.993_128_599_185_094_9, 0.017_614_007_139_152_12),
    ];
    let mean = a / (a + b);
    let deviation = (a * b / ((a + b) * (a + b) * (a + b + 1.0))).sqrt();
    let above = x > mean;
    let far = if above { (mean + 10.0 * deviation).max(x + 5.0 * deviation).min(1.0) } else { (mean - 10.0 * deviation).min(x - 5.0 * deviation).max(0.0) };
    // Relative to the density at the mean, so that nothing overflows on the way.
    let log_density = |t: f64| (a - 1.0) * (t / mean).ln() + (b - 1.0) * ((1.0 - t) / (1.0 - mean)).ln();
    let half = (far - x) / 2.0;
    let middle = f64::midpoint(far, x);
    let sum: f64 = RULE.iter().map(|(node, weight)| weight * (log_density(middle + half * node).exp() + log_density(middle - half * node).exp())).sum();
    let peak = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + (a - 1.0) * mean.ln() + (b - 1.0) * (-mean).ln_1p();
    let tail = (sum * half.abs() * peak.exp()).clamp(0.0, 1.0);
    if above { 1.0 - tail } else { tail }
}
