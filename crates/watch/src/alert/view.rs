//! What people look at: each rule with its state, its alerts, the groups, and who is not to be disturbed.

use serde::{Deserialize, Serialize};

use super::group::Group;
use super::instance::{Alert, AlertId, Kind};
use super::rule::Rule;
use super::silence::Quiet;
use super::state::{Answer, State};

/// How a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleState {
    /// Something of it fires.
    Firing,
    /// It could not be evaluated, or has not been for too long.
    Error,
    /// It finds no series.
    NoData,
    /// It was not evaluated yet.
    Unheard,
    /// Something is in breach, not for long enough.
    Pending,
    /// What it watches is measured, and well.
    Inactive,
}

/// A rule, and how it is.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleView<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// How it is.
    pub state: RuleState,
    /// Why it cannot be judged, if so.
    pub why: Option<&'a str>,
    /// Since when its last answer is of this kind, in milliseconds since 1970.
    pub since: i64,
}

impl State {
    /// All rules by name.
    pub fn rules(&self) -> impl Iterator<Item = RuleView<'_>> {
        self.rules.values().filter_map(|rule| {
            let health = self.health.get(&rule.name)?;
            let of_rule = || self.alerts.iter().filter(|(id, _)| id.rule == rule.name);
            let is_breach = |(id, alert): (&AlertId, &Alert)| id.kind == Kind::Breach && alert.fired.is_some();
            let unknown = of_rule().find(|(id, _)| id.kind != Kind::Breach);
            let (state, why) = match (&health.answer, unknown) {
                _ if of_rule().any(is_breach) => (RuleState::Firing, unknown.map(|(_, alert)| alert.summary.as_str())),
                (Answer::Error(why), _) => (RuleState::Error, Some(why.as_str())),
                (_, Some((id, alert))) if id.kind == Kind::Error => (RuleState::Error, Some(alert.summary.as_str())),
                (Answer::NoData, _) => (RuleState::NoData, None),
                (Answer::Unheard, _) => (RuleState::Unheard, None),
                (Answer::Good, _) if of_rule().next().is_some() => (RuleState::Pending, None),
                (Answer::Good, _) => (RuleState::Inactive, None),
            };
            Some(RuleView { rule, state, why, since: health.since_at })
        })
    }

    /// Everything that is pending or fires, rule by rule.
    pub fn alerts(&self) -> impl Iterator<Item = (&AlertId, &Alert)> {
        self.alerts.iter()
    }

    /// Everything that was told and is not over, and what is about to be told; the oldest first.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// Silences and maintenances that hold or are to come.
    pub fn quiets(&self) -> impl Iterator<Item = &Quiet> {
        self.quiets.values()
    }
}
