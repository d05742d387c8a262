//! What people are woken for, beyond what everybody is.

use std::time::Duration;

use serde::Serialize;

/// A rule of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// Its name.
    pub name: String,
    /// In PromQL: whatever it gives is in breach.
    pub expression: String,
    /// How long that has to last.
    pub hold: Duration,
    /// How long it has to be well again.
    pub keep_firing_for: Duration,
    /// `P1` to `P4`.
    pub severity: String,
    /// One line for people, with `{{LABEL}}` and `{{value}}`.
    pub summary: String,
    /// A link to what is to be done.
    pub runbook: Option<String>,
    /// Alerts that are alike in these labels are told together.
    pub group_by: Vec<String>,
    /// Which path of escalation it takes.
    pub path: Option<String>,
    /// Who is told besides.
    pub tell: Vec<String>,
}

/// What a service promises its users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Objective {
    /// Which share of requests has to go well, in hundredths of a percent.
    pub share: u16,
    /// Within which time; `None`: it only has not to fail.
    pub within: Option<Duration>,
    /// Over what time.
    pub window: Duration,
}
