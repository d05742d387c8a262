//! The verdict.

use serde::{Deserialize, Serialize};

use super::figure::{Figure, Progress, Standing};
use super::hits::{Hits, as_float};
use super::series::{Kept, Series};
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
    /// What was measured: `requests`, `timed requests`, `complete` (1 or 0), and of `errors` and `slow` the share itself, its bounds
    /// (`errors, at least`, `errors, at most`) and odds to 1 (`errors, odds of worse than blue`, `errors, odds of good`). Of a limit of
    /// one's own `gate NAME`, `gate NAME, at least`, and `gate NAME, measured` (0) where it was not.
    pub figure: String,
    /// What it was; always finite.
    pub value: f64,
    /// What it was held against: a share is to stay below it, bounds likewise; requests and the odds of good are to reach it.
    pub limit: f64,
    /// Within the limit.
    pub met: bool,
}

/// A verdict with what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// What the gate says.
    pub verdict: Verdict,
    /// Every figure that was looked at, in the order of the rules; a pass has none that is not met.
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

/// The same, with the limits of one's own held against what their queries gave.
pub fn judge_all(policy: &Policy, reading: &Reading, series: &[Series]) -> Judgement {
    let Judgement { verdict, mut findings } = judge(policy, reading);
    let kept: Vec<Kept> = policy.series.iter().map(|limit| limit.kept(series, &mut findings)).collect();
    let verdict = match verdict {
        Verdict::Fail | Verdict::Environment => verdict,
        _ if kept.contains(&Kept::No) => Verdict::Fail,
        _ if kept.contains(&Kept::Unknown) => Verdict::NoData,
        verdict => verdict,
    };
    Judgement { verdict, findings }
}

fn verdict(policy: &Policy, reading: &Reading, findings: &mut Vec<Finding>) -> Verdict {
    if !(usable("limit of errors", policy.error_share, findings) & usable("limit of slow", policy.slow_share, findings))
    {
        return Verdict::NoData;
    }
    if ![Some(reading.green), reading.blue].into_iter().flatten().all(Counts::add_up) {
        holds("counts add up", false, findings);
        return Verdict::NoData;
    }
    let told = holds("complete", reading.complete, findings) & enough(policy, &reading.green, findings);
    let progress = progress(policy, reading, told);
    let standings = figures(policy, reading).map(|figure| figure.stands(progress, findings));
    if standings.contains(&Standing::Breach) {
        Verdict::Fail
    } else if standings.contains(&Standing::BreachOfBoth) {
        Verdict::Environment
    } else if !told {
        Verdict::NoData
    } else if standings == [Standing::Fine; 2] {
        Verdict::Pass
    } else {
        Verdict::Inconclusive
    }
}

fn progress(policy: &Policy, reading: &Reading, told: bool) -> Progress {
    let longest = policy.longest.max(reading.window);
    Progress {
        complete: reading.complete,
        ended: told && reading.elapsed >= reading.window,
        last: reading.elapsed >= longest,
        to_come: (longest.as_secs_f64() / reading.elapsed.as_secs_f64().max(1.0)).max(1.0),
    }
}

fn figures(policy: &Policy, reading: &Reading) -> [Figure; 2] {
    [
        Figure {
            name: "errors",
            green: Hits::errors(reading.green),
            blue: reading.blue.map(Hits::errors),
            limit: policy.error_share,
            tolerated: 1.0,
            least_share: 0.0,
            strict: policy.strict,
        },
        Figure {
            name: "slow",
            green: Hits::slow(reading.green),
            blue: reading.blue.map(Hits::slow),
            limit: policy.slow_share,
            tolerated: SLOW_TOLERATED,
            least_share: policy.slow_share * SLOW_LEAST_PART,
            strict: false,
        },
    ]
}

/// A limit that is no share (5 for "5 %", or no number at all) is refused rather than guessed at.
fn usable(figure: &str, limit: f64, findings: &mut Vec<Finding>) -> bool {
    let met = (0.0..=1.0).contains(&limit);
    if !met {
        // JSON has neither infinity nor "not a number".
        let value = if limit.is_finite() { limit } else { -1.0 };
        findings.push(Finding { figure: figure.into(), value, limit: 1.0, met });
    }
    met
}

/// Requests enough to say anything; of timed ones too, unless any share of them may be slow.
fn enough(policy: &Policy, green: &Counts, findings: &mut Vec<Finding>) -> bool {
    let least = policy.least_requests.max(1);
    let requests = at_least("requests", green.requests, least, findings);
    requests & (policy.slow_share >= 1.0 || at_least("timed requests", green.timed, least, findings))
}

fn at_least(figure: &str, value: u64, limit: u64, findings: &mut Vec<Finding>) -> bool {
    let met = value >= limit;
    findings.push(Finding { figure: figure.into(), value: as_float(value), limit: as_float(limit), met });
    met
}

/// Yes or no as a figure: 1 or 0, held against 1.
fn holds(figure: &str, met: bool, findings: &mut Vec<Finding>) -> bool {
    findings.push(Finding { figure: figure.into(), value: f64::from(u8::from(met)), limit: 1.0, met });
    met
}
