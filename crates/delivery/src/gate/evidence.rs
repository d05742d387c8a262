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
pub(super) fn against_blue(green: Hits, blue: Hits, tolerated: f64) -> AgainstBlue {
    let share = as_float(green.total) / (as_float(green.total) + as_float(blue.total));
    let log_likelihood = |ratio: f64| {
        let all = share * ratio + (1.0 - share);
        weighed(green.hits, share * ratio / all) + weighed(blue.hits, (1.0 - share) / all)
    };
    let as_tolerated = log_likelihood(tolerated);
    let against = WORSE_BY.map(|worse| log_likelihood(tolerated * worse) - as_tolerated);
    AgainstBlue { worse: mean_of(against), not_worse: -against[0] }
}

/// Green's true share is below `limit`, against "at the limit or above".
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
