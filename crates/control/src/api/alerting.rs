//! Alerts and incidents.

use std::collections::BTreeMap;

use mana_watch::alert::Condition;
use serde::{Deserialize, Serialize};

/// How everything is that is watched for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Alerting {
    /// What fires, the most urgent first, then what is in breach and does not fire yet.
    pub alerts: Vec<AlertView>,
    /// What people were told together.
    pub groups: Vec<GroupView>,
    /// Silences and maintenances.
    pub quiets: Vec<QuietView>,
    /// Every rule.
    pub rules: Vec<RuleView>,
    /// What is left of each objective's error budget.
    #[serde(default)]
    pub budgets: Vec<BudgetView>,
    /// When the rules were evaluated last, RFC 3339; absent: not yet.
    pub evaluated_at: Option<String>,
    /// While a test goes on: the channels that it goes to. Where there is none, nobody is told.
    #[serde(default)]
    pub test_channels: Option<Vec<String>>,
}

/// An alert.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertView {
    /// Its rule.
    pub rule: String,
    /// `breach`, `no-data` (nothing is measured that could be judged) or `error` (the rule cannot be evaluated).
    pub kind: String,
    /// `P1` to `P4`.
    pub severity: String,
    /// What it is about.
    pub subject: String,
    /// One line.
    pub summary: String,
    /// What its expression gave.
    pub labels: BTreeMap<String, String>,
    /// `firing`, `pending` or `clearing` (well again, not for long enough).
    pub state: String,
    /// When the breach was seen first, RFC 3339.
    pub began_at: String,
    /// Since when it fires, RFC 3339.
    pub fired_at: Option<String>,
    /// Why nobody is told, in words: until when and by whom, or what it follows from.
    pub muted: Option<String>,
    /// Likewise in one: `silence`, `maintenance` or `cause`.
    #[serde(default)]
    pub muted_by: Option<String>,
    /// Number of the group that it is in, once people were told of that group.
    pub group: Option<u64>,
    /// What to do about it.
    pub runbook: Option<String>,
}

/// Alerts that people were told of together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupView {
    /// Its number.
    pub number: u64,
    /// When it began, RFC 3339.
    pub began_at: String,
    /// How many of its alerts fire.
    pub firing: usize,
    /// Who was told.
    pub audience: Vec<String>,
    /// Who looks after it.
    pub acknowledged_by: Option<String>,
    /// Why its last message has come to nobody so far; absent: it has, or nothing is known against it.
    #[serde(default)]
    pub undelivered: Option<String>,
}

/// A silence or a maintenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuietView {
    /// Its number.
    pub number: u64,
    /// `silence` or `maintenance`.
    #[serde(default)]
    pub kind: String,
    /// What it covers, in words.
    pub covers: String,
    /// Of a maintenance: the services.
    #[serde(default)]
    pub services: Vec<String>,
    /// From when, RFC 3339.
    pub from: String,
    /// Until when, RFC 3339.
    pub until: String,
    /// Who wants it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// An objective, and what is left of its error budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetView {
    /// Of which service.
    pub service: String,
    /// Requests have to be answered within this time; absent: without an error.
    pub within_ms: Option<u64>,
    /// Which share has to go well, from 0 to 1.
    pub objective: f64,
    /// Over what time, such as `30d`.
    pub window: String,
    /// Requests in that time. This and the following are absent where it is not known, or where there were none.
    pub requests: Option<f64>,
    /// Those that went wrong.
    pub bad: Option<f64>,
    /// So many of them may.
    pub allowed: Option<f64>,
    /// Which share went well.
    pub reached: Option<f64>,
    /// The share of the budget that is left: 1 where nothing went wrong, 0 or less where as much did as may, or more.
    pub left: Option<f64>,
    /// Why it is not known.
    pub why: Option<String>,
}

impl BudgetView {
    /// What is promised, in words.
    #[must_use]
    pub fn about(&self) -> String {
        match self.within_ms {
            None => "answered without an error".to_owned(),
            Some(ms) if ms >= 1_000 && ms.is_multiple_of(1_000) => format!("answered within {} s", ms / 1_000),
            Some(ms) => format!("answered within {ms} ms"),
        }
    }
}

/// A rule, and how it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleView {
    /// Its name.
    pub name: String,
    /// `P1` to `P4`.
    pub severity: String,
    /// `firing`, `pending`, `inactive`, `no-data`, `unheard`, `error`.
    pub state: String,
    /// Why it cannot be judged.
    pub why: Option<String>,
    /// In PromQL.
    pub expression: String,
    /// How long a breach has to last.
    pub hold: String,
    /// How long it has to be well again.
    #[serde(default)]
    pub keep_firing_for: String,
    /// What to do about it.
    #[serde(default)]
    pub runbook: Option<String>,
}

/// What somebody wants of the alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertRequest {
    /// Who.
    pub by: String,
    /// What.
    pub command: AlertCommand,
}

/// What can be wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertCommand {
    /// Look after a group: no repeats and no escalation.
    Acknowledge {
        /// Its number.
        group: u64,
        /// In their words.
        comment: String,
        /// For how long; absent: until it is over.
        for_ms: Option<u64>,
    },
    /// Not be told of some.
    Silence {
        /// Which: all of these hold. `alertname` and `severity` are labels, too.
        conditions: Vec<Condition>,
        /// For how long.
        for_ms: u64,
        /// Why.
        reason: String,
    },
    /// Work on something.
    Maintenance {
        /// What may be in trouble meanwhile.
        services: Vec<String>,
        /// From when, in milliseconds since 1970; absent: from now.
        #[serde(default)]
        from_ms: Option<i64>,
        /// For how long.
        for_ms: u64,
        /// Why.
        reason: String,
    },
    /// End a silence or a maintenance.
    Unsilence {
        /// Its number.
        number: u64,
    },
    /// Fire one for a minute, to see that it arrives.
    Test,
}
