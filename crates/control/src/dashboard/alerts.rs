//! The alerts as the dashboard shows them.

use super::state::State;
use crate::api::Alerting;

/// All that are active.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Alerts {
    /// Worst first, then oldest first.
    pub(crate) active: Vec<Alert>,
    /// Rules that are watched.
    pub(crate) rules: usize,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alert {
    /// `P1` to `P4`.
    pub(crate) severity: String,
    /// Name of the rule.
    pub(crate) rule: String,
    /// What it is about: a service, the host, a database.
    pub(crate) subject: String,
    /// In a sentence, with its figures.
    pub(crate) summary: String,
    /// RFC 3339.
    pub(crate) since: String,
    /// Who looks after it.
    pub(crate) acknowledged_by: Option<String>,
}

impl Alerts {
    /// Those that fire, as they are seen. `None`: the rules were not evaluated yet.
    pub(crate) fn of(alerting: &Alerting) -> Option<Self> {
        alerting.evaluated_at.as_ref()?;
        let fires = alerting.alerts.iter().filter(|alert| alert.fired_at.is_some() && alert.muted.is_none());
        let active = fires.map(|alert| {
            let group = alerting.groups.iter().find(|group| Some(group.number) == alert.group);
            Alert {
                severity: alert.severity.clone(),
                rule: alert.rule.clone(),
                subject: alert.subject.clone(),
                summary: alert.summary.clone(),
                since: alert.fired_at.clone().unwrap_or_default(),
                acknowledged_by: group.and_then(|group| group.acknowledged_by.clone()),
            }
        });
        Some(Self { active: active.collect(), rules: alerting.rules.len() })
    }
}

impl Alert {
    /// P1 and P2 wake people.
    pub(crate) fn state(&self) -> State {
        match self.severity.as_str() {
            "P1" | "P2" => State::Critical,
            "P3" | "P4" => State::Warning,
            _ => State::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_evaluating_is_another_thing_than_nothing_active() {
        let mut alerting = Alerting::default();
        assert_eq!(Alerts::of(&alerting), None);
        alerting.evaluated_at = Some("2026-01-01T00:00:00Z".into());
        assert_eq!(Alerts::of(&alerting), Some(Alerts::default()));
    }
}
