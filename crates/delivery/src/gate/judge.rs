//! The verdict.

use serde::{Deserialize, Serialize};

use super::figure::{Figure, Progress, Standing};
use super::hits::{Hits, as_float};
use super::{Counts, Policy, Reading};

/// What a gate says. Only [`Verdict::Pass`] lets a rollout go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The whole window, enough requests, within every limit, not worse than blue.
    Pass,
    /// Green is at fault.
    Fail,
    /// Too little was seen to say anything, or the source was away.
    NoData,
    /// Neither passed nor failed yet: look again later, up to the policy's longest window.
    Inconclusive,
    /// Both versions breach: not green's fault.
    Environment,
}

/// One figure beside its limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was measured: `errors`, `slow`, `requests`, `errors against blue` …
    pub figure: String,
    /// What it was.
    pub value: f64,
    /// What it was held against.
    pub limit: f64,
    /// Within the limit.
    pub met: bool,
}

/// A verdict with what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// What the gate says.
    pub verdict: Verdict,
    /// Every figure that was looked at.
    pub findings: Vec<Finding>,
}

/// Slow answers may be twice blue's share: a process that has just started has cold caches and fewer connections.
const SLOW_TOLERATED: f64 = 2.0;
/// Below this part of the limit (1 % of the answers at the default of 5 %) slow ones are not held against blue's.
const SLOW_LEAST_PART: f64 = 0.2;

/// Judges one look at a window. See the [module](super) for the rules.
pub fn judge(policy: &Policy, reading: &Reading) -> Judgement {
    let mut findings = Vec::new();
    let verdict = verdict(policy, reading, &mut findings);
    Judgement { verdict, findings }
}

fn verdict(policy: &Policy, reading: &Reading, findings: &mut Vec<Finding>) -> Verdict {
    for (name, limit) in [("limit of errors", policy.error_share), ("limit of slow", policy.slow_share)] {
        if !(0.0..=1.0).contains(&limit) {
            findings.push(Finding { figure: name.into(), value: if limit.is_finite() { limit } else { -1.0 }, limit: 1.0, met: false });
            return Verdict::NoData;
        }
    }
    let green = reading.green;
    let consistent = [Some(green), reading.blue].into_iter().flatten().all(Counts::add_up);
    if !consistent {
        findings.push(Finding { figure: "counts that add up".into(), value: 0.0, limit: 1.0, met: false });
        return Verdict::NoData;
    }
    let least = policy.least_requests.max(1);
    let mut enough = at_least("requests", green.requests, least, findings);
    if policy.slow_share < 1.0 {
        enough &= at_least("timed requests", green.timed, least, findings);
    }
    findings.push(Finding { figure: "complete".into(), value: f64::from(u8::from(reading.complete)), limit: 1.0, met: reading.complete });

    let longest = policy.longest.max(reading.window);
    let progress = Progress {
        ended: reading.elapsed >= reading.window,
        last: reading.elapsed >= longest,
        to_come: (longest.as_secs_f64() / reading.elapsed.as_secs_f64().max(1.0)).max(1.0),
        complete: reading.complete,
    };
    let figures = [
        Figure {
            name: "errors",
            green: Hits::errors(&green),
            blue: reading.blue.as_ref().map(Hits::errors).filter(|blue| blue.total > 0),
            limit: policy.error_share,
            tolerated: 1.0,
            least_share: 0.0,
            strict: policy.strict,
        },
        Figure {
            name: "slow",
            green: Hits::slow(&green),
            blue: reading.blue.as_ref().map(Hits::slow).filter(|blue| blue.total > 0),
            limit: policy.slow_share,
            tolerated: SLOW_TOLERATED,
            least_share: policy.slow_share * SLOW_LEAST_PART,
            strict: false,
        },
    ];
    let standings = figures.map(|figure| figure.stands(progress, findings));
    if standings.contains(&Standing::Breach) {
        Verdict::Fail
    } else if standings.contains(&Standing::BreachOfBoth) {
        Verdict::Environment
    } else if !(enough && reading.complete) {
        Verdict::NoData
    } else if standings.iter().all(|standing| *standing == Standing::Fine) {
        Verdict::Pass
    } else {
        Verdict::Inconclusive
    }
}

fn at_least(figure: &str, value: u64, limit: u64, findings: &mut Vec<Finding>) -> bool {
    let met = value >= limit;
    findings.push(Finding { figure: figure.into(), value: as_float(value), limit: as_float(limit), met });
    met
}
