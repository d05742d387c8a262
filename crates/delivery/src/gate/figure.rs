//! One figure of a gate, the errors or the slow answers: how it stands against its limit and against blue.

use super::bounds::{lower_bound, upper_bound};
use super::evidence::{against_blue, below};
use super::fisher::p_worse;
use super::hits::{Hits, as_float};
use super::judge::Finding;

/// Confidence of a failure at once. A green that is truly at its limit of 1 % fails by it in 0.3 % of windows with 20 looks at 300
/// requests, in 0.7 % with 60 at 3,000; at 95 % that would be 12 and 19 %.
const AT_ONCE: f64 = 0.999;
/// Confidence of what `strict` asks for: 299 requests without an error, 473 with one, 628 with two.
const STRICT: f64 = 0.95;
/// Odds at which green is clearly worse than blue: a green like blue ever comes to them in at most one window of 200, however often
/// it is looked at.
const CLEARLY_WORSE: f64 = 200.0;
/// Odds at which a figure is shown to be good. Either kind, "below the limit" and "not twice blue", misleads in at most one window of
/// 20, however often it is looked at; both together do in 2 to 4 of 100 simulated ones.
const SHOWN: f64 = 20.0;
/// Below this, Fisher's p says that it was green, and not chance or the surroundings. 1 % would do for one look; an extension has a
/// hundred, and at 1 % they stop about twice as many good ones.
const NOT_CHANCE: f64 = 0.003;
/// One or two of anything are an accident; they hold a canary at most, and only a third one stops it.
const LEAST_HITS: u64 = 3;
/// So many hits has a green at its limit come to by the end of the longest window where there is traffic enough to show a good one good.
const ENOUGH_TO_SHOW: f64 = 45.0;
/// With hardly any traffic, the odds that a pass needs: as bad is allowed to be up to twice as likely as good.
const LITTLE_TRAFFIC: f64 = 0.5;

/// How a figure stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing against it.
    Fine,
    /// Neither good nor bad beyond doubt.
    Unsure,
    /// Green is at fault.
    Breach,
    /// Blue is no better.
    BreachOfBoth,
}

/// Where in its window a gate is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Progress {
    /// No gap: both slots' counts are of the same time.
    pub(super) complete: bool,
    /// The window is over, without a gap, and there were requests enough.
    pub(super) ended: bool,
    /// So is every extension of it.
    pub(super) last: bool,
    /// How many times the traffic until now there will have been by the end of the last extension; 1 or more.
    pub(super) to_come: f64,
}

/// A figure and its limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) green: Hits,
    /// `None` where blue has nothing to compare with.
    pub(super) blue: Option<Hits>,
    /// The share that must not be reached; 1 allows everything.
    pub(super) limit: f64,
    /// So many times blue's share is not yet worse than blue.
    pub(super) tolerated: f64,
    /// A share below this is not held against blue's.
    pub(super) least_share: f64,
    pub(super) strict: bool,
}

impl Figure {
    /// The rules, in their order: what fails at once, what fails at the end, what passes.
    pub(super) fn stands(&self, progress: Progress, findings: &mut Vec<Finding>) -> Standing {
        let share = self.green.share();
        let over = self.limited() && self.green.hits > 0 && share >= self.limit;
        findings.push(self.finding("", share, self.limit, !over));
        if over {
            let least = lower_bound(self.green.hits, self.green.total, AT_ONCE);
            findings.push(self.finding(", at least", least, self.limit, least <= self.limit));
            if least > self.limit {
                return self.fault();
            }
        }
        let compared =
            self.blue.filter(|_| progress.complete).and_then(|blue| against_blue(self.green, blue, self.tolerated));
        if let Some(compared) = compared {
            let odds = odds(compared.worse);
            let worse = odds >= CLEARLY_WORSE && self.green.hits >= LEAST_HITS && share >= self.least_share;
            findings.push(self.finding(", odds of worse than blue", odds, CLEARLY_WORSE, !worse));
            if worse {
                return Standing::Breach;
            }
        }
        if !progress.ended {
            return Standing::Unsure;
        }
        if over {
            // What may be blue's share and chance gets the extension to prove it.
            let stop = self.green.hits >= LEAST_HITS && (progress.last || !self.as_blue());
            return if stop { self.fault() } else { Standing::Unsure };
        }
        let not_worse = compared.map_or(f64::NEG_INFINITY, |compared| compared.not_worse);
        if self.bounded(findings) & self.shown(not_worse, progress.to_come, findings) {
            Standing::Fine
        } else {
            Standing::Unsure
        }
    }

    /// A limit of 1 allows everything; then there is only blue to compare with.
    fn limited(&self) -> bool {
        self.limit < 1.0
    }

    /// What `strict` asks for.
    fn bounded(&self, findings: &mut Vec<Finding>) -> bool {
        if !(self.strict && self.limited()) {
            return true;
        }
        let most = upper_bound(self.green.hits, self.green.total, STRICT);
        let met = most < self.limit;
        findings.push(self.finding(", at most", most, self.limit, met));
        met
    }

    /// Below the limit, or not worse than blue, beyond the doubt that this much traffic can remove.
    fn shown(&self, not_worse: f64, to_come: f64, findings: &mut Vec<Finding>) -> bool {
        // Nothing is below a limit of 0: there, no error in the whole window is all that can be asked.
        if !self.limited() || self.limit <= 0.0 {
            return true;
        }
        let foreseen = as_float(self.green.total) * to_come * self.limit;
        let needed = LITTLE_TRAFFIC * (SHOWN / LITTLE_TRAFFIC).powf((foreseen / ENOUGH_TO_SHOW).min(1.0));
        let odds = odds(below(self.green, self.limit).max(not_worse));
        let met = odds >= needed;
        findings.push(self.finding(", odds of good", odds, needed, met));
        met
    }

    /// Whose fault is it that green breaches?
    fn fault(&self) -> Standing {
        let blue_breaches = self.blue.is_some_and(|blue| blue.hits >= LEAST_HITS && blue.share() >= self.limit);
        if blue_breaches && self.as_blue() { Standing::BreachOfBoth } else { Standing::Breach }
    }

    /// What green has could be blue's share and chance.
    fn as_blue(&self) -> bool {
        self.blue.is_some_and(|blue| p_worse(self.green, blue) >= NOT_CHANCE)
    }

    fn finding(&self, of_what: &str, value: f64, limit: f64, met: bool) -> Finding {
        Finding { figure: format!("{}{of_what}", self.name), value, limit, met }
    }
}

/// Finite, as JSON has no infinity; nobody tells a billion to one from more.
fn odds(log: f64) -> f64 {
    log.exp().min(1e9)
}
