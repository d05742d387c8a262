//! Evidence that holds at every look: likelihood ratios whose mean is 1 while the doubted thing is true.
//!
//! A p-value that is looked at twenty times is no longer what it says. Of a ratio with mean 1 the chance to *ever* reach 1/α is at
//! most α (Ville, 1939), looked at as often as one likes and stopped when one likes: a mixture SPRT (Wald, 1945; Robbins,
//! 1970; Johari et al., *Always valid inference*, 2015). Both ratios here follow from the window's totals alone, so a gate needs
//! no memory between looks: after a restart the same counts give the same evidence.
//!
//! All values are natural logarithms.

use super::hits::{Hits, as_float};

/// How much worse than tolerated green may be thought to be. Twice is what a gate has to find; the larger ones find a broken
/// build sooner where blue hardly ever fails.
const WORSE_BY: [f64; 3] = [2.0, 4.0, 16.0];
/// Where green may be thought to be, as shares of the limit.
const WELL_BELOW: [f64; 3] = [0.1, 0.5, 0.75];

/// Green against blue in the same window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct AgainstBlue {
    /// For "worse than tolerated", against "at most as tolerated".
    pub(super) worse: f64,
    /// For "at most as tolerated", against "twice that".
    pub(super) not_worse: f64,
}

/// Of the errors of both slots each fell on green with the chance w·r / (w·r + 1 − w), where w is its share of the traffic and r how
/// many times blue's error share it has. That leaves the unknown error share itself out of the question.
///
/// Exact for rare hits; for frequent ones it doubts more than it should (the binomial is wider than the hypergeometric).
/// `None` while either slot has seen nothing.
pub(super) fn against_blue(green: Hits, blue: Hits, tolerated: f64) -> Option<AgainstBlue> {
    if green.total == 0 || blue.total == 0 {
        return None;
    }
    let log_likelihood = |ratio: f64| {
        let (on_green, on_blue) = (as_float(green.total) * ratio, as_float(blue.total));
        weighed(green.hits, on_green / (on_green + on_blue)) + weighed(blue.hits, on_blue / (on_green + on_blue))
    };
    let as_tolerated = log_likelihood(tolerated);
    let against = WORSE_BY.map(|worse| log_likelihood(tolerated * worse) - as_tolerated);
    Some(AgainstBlue { worse: mean_of(against), not_worse: -against[0] })
}

/// For "green's true share is below `limit`", against "at the limit or above"; the limit is above 0 and below 1.
pub(super) fn below(green: Hits, limit: f64) -> f64 {
    let passed = green.total.saturating_sub(green.hits);
    let log_likelihood = |share: f64| weighed(green.hits, share) + weighed(passed, 1.0 - share);
    let at_limit = log_likelihood(limit);
    mean_of(WELL_BELOW.map(|part| log_likelihood(limit * part) - at_limit))
}

/// count · ln chance, where nothing counted says nothing, however unlikely it is.
fn weighed(count: u64, chance: f64) -> f64 {
    if count == 0 { 0.0 } else { as_float(count) * chance.ln() }
}

/// The logarithm of the mean of what these are logarithms of.
fn mean_of<const N: usize>(logs: [f64; N]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return largest;
    }
    let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
    largest + (sum / as_float(N as u64)).ln()
}

#[cfg(test)]
mod tests {
    use super::{Hits, against_blue, as_float, below};

    fn of(hits: u64, total: u64) -> Hits {
        Hits { hits, total }
    }

    /// The mean of some odds over everything that chance can do, where each of `of` is a hit with `chance`.
    fn mean_odds(of: u64, chance: f64, log_odds: impl Fn(u64) -> f64) -> f64 {
        let (mut mean, mut ways) = (0.0, 1.0);
        for hits in 0..=of {
            let likelihood = ways * chance.powf(as_float(hits)) * (1.0 - chance).powf(as_float(of - hits));
            mean += likelihood * log_odds(hits).exp();
            ways *= as_float(of - hits) / as_float(hits + 1);
        }
        mean
    }

    #[track_caller]
    fn fair(mean: f64) {
        assert!((mean - 1.0).abs() < 1e-9, "the mean is {mean}: what bounds the false verdicts does not hold");
    }

    #[test]
    fn odds_of_worse_are_fair_where_green_is_as_tolerated() {
        for (tolerated, on_green) in [(1.0, 0.1), (2.0, 0.2 / 1.1)] {
            fair(mean_odds(12, on_green, |hits| {
                against_blue(of(hits, 1000), of(12 - hits, 9000), tolerated).unwrap().worse
            }));
        }
    }

    #[test]
    fn odds_of_not_worse_are_fair_where_green_is_twice_as_bad() {
        fair(mean_odds(12, 0.2 / 1.1, |hits| {
            against_blue(of(hits, 1000), of(12 - hits, 9000), 1.0).unwrap().not_worse
        }));
    }

    #[test]
    fn odds_of_good_are_fair_where_green_is_at_its_limit() {
        fair(mean_odds(60, 0.1, |hits| below(of(hits, 60), 0.1)));
    }

    #[test]
    fn nothing_seen_is_no_evidence() {
        assert_eq!(against_blue(of(0, 0), of(5, 900), 1.0), None);
        assert_eq!(against_blue(of(5, 100), of(0, 0), 1.0), None);
        let quiet = against_blue(of(0, 100), of(0, 900), 1.0).unwrap();
        assert!(quiet.worse.abs() < 1e-12 && quiet.not_worse.abs() < 1e-12);
    }

    #[test]
    fn any_count_gives_a_number() {
        for hits in [0, 1, 1_000_000_000, u64::MAX / 2] {
            for limit in [1e-9, 0.01, 0.999] {
                assert!(!below(of(hits, u64::MAX), limit).is_nan());
            }
            let compared = against_blue(of(hits, u64::MAX), of(1, 2), 2.0).unwrap();
            assert!(!compared.worse.is_nan() && !compared.not_worse.is_nan());
        }
    }
}
