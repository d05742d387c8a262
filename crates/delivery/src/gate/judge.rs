//! The verdict.

use serde::{Deserialize, Serialize};

use super::{Policy, Reading};

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

/// Judges one look at a window.
pub fn judge(_policy: &Policy, _reading: &Reading) -> Judgement {
    Judgement { verdict: Verdict::NoData, findings: Vec::new() }
}
