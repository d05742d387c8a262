//! How a release takes over from the one before.

use std::time::Duration;

use serde::Serialize;

use super::{Gate, as_millis, is_false};

/// How a release takes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rollout {
    /// Shares of the traffic before all of it, growing; empty: none.
    pub canary: Vec<CanaryStep>,
    /// How long the old version stays ready to take everything back.
    #[serde(serialize_with = "as_millis")]
    pub warm: Duration,
    /// What the gate judges at a time in it.
    #[serde(serialize_with = "as_millis")]
    pub guard: Duration,
    /// Highest share of errors, in hundredths of a percent.
    pub errors: u16,
    /// An answer that takes longer is slow.
    #[serde(serialize_with = "as_millis")]
    pub slow: Duration,
    /// Highest share of slow answers, in hundredths of a percent.
    pub slow_share: u16,
    /// So many requests have to be seen.
    pub requests: u64,
    /// Longest time to wait for a verdict.
    #[serde(serialize_with = "as_millis")]
    pub longest: Duration,
    /// Whether the share of errors has to be below its limit with 95 % confidence.
    pub strict: bool,
    /// Limits of one's own, for whatever is measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// Whether a breach asks a person, rather than switching back at once.
    pub asks_on_breach: bool,
    /// Branch whose pushes are deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_push: Option<String>,
    /// Whether it has to pass staging first.
    #[serde(skip_serializing_if = "is_false")]
    pub staging: bool,
    /// Who has to say yes; `None`: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

/// A share of the traffic and how long it is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CanaryStep {
    /// 1 to 99.
    pub percent: u8,
    /// How long.
    #[serde(serialize_with = "as_millis")]
    pub window: Duration,
}

impl From<(u8, Duration)> for CanaryStep {
    fn from((percent, window): (u8, Duration)) -> Self {
        Self { percent, window }
    }
}

/// Who has to say yes before production traffic moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// One of these; empty: any operator.
    pub approvers: Vec<String>,
    /// Whether the one who started the rollout may.
    pub starter_may_approve: bool,
    /// How long it is waited for.
    #[serde(serialize_with = "as_millis")]
    pub expiry: Duration,
}
