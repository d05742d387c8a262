//! The alerts as the dashboard shows them.

use super::state::{Mark, State};
use crate::api::{AlertView, Alerting};

/// All that are active.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Alerts {
    /// Worst first, then oldest first.
    pub(crate) active: Vec<Alert>,
    /// Those of which nobody is told, likewise.
    pub(crate) muted: Vec<Alert>,
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
    /// Why nobody is told.
    pub(crate) muted: Option<Muted>,
}

/// Why nobody is told of an alert that fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Muted {
    /// In a word: `silenced`.
    pub(crate) word: &'static str,
    /// Until when, by whom, and why; or what it follows from.
    pub(crate) why: String,
}

impl Alerts {
    /// Those that fire, as they are seen. `None`: the rules were not evaluated yet.
    pub(crate) fn of(alerting: &Alerting) -> Option<Self> {
        alerting.evaluated_at.as_ref()?;
        let fires = alerting.alerts.iter().filter(|alert| alert.fired_at.is_some());
        let all = fires.map(|alert| {
            let group = alerting.groups.iter().find(|group| Some(group.number) == alert.group);
            Alert {
                severity: alert.severity.clone(),
                rule: alert.rule.clone(),
                subject: alert.subject.clone(),
                summary: alert.summary.clone(),
                since: alert.fired_at.clone().unwrap_or_default(),
                acknowledged_by: group.and_then(|group| group.acknowledged_by.clone()),
                muted: Muted::of(alert),
            }
        });
        let (active, muted) = all.partition(|alert: &Alert| alert.muted.is_none());
        Some(Self { active, muted, rules: alerting.rules.len() })
    }

    /// What is said of the critical ones where nobody is told of any: that there are none, or that somebody chose not to be told.
    pub(crate) fn no_critical(&self) -> Option<Mark> {
        let is_critical = |alert: &&Alert| alert.state() == State::Critical;
        if self.active.iter().any(|alert| is_critical(&alert)) {
            return None;
        }
        let muted: Vec<&Alert> = self.muted.iter().filter(is_critical).collect();
        if muted.is_empty() {
            return Some(State::Healthy.mark("No critical alerts"));
        }
        let parts = Muted::WORDS.into_iter().filter_map(|word| {
            let is_it = |alert: &&&Alert| alert.muted.as_ref().is_some_and(|muted| muted.word == word);
            match muted.iter().filter(is_it).count() {
                0 => None,
                all if all == muted.len() => Some(word.to_owned()),
                some => Some(format!("{some} {word}")),
            }
        });
        let parts: Vec<String> = parts.collect();
        Some(State::Warning.mark(format!("{} critical, {}", muted.len(), parts.join(", "))))
    }
}

impl Muted {
    const SILENCED: &'static str = "silenced";
    const MAINTAINED: &'static str = "in maintenance";
    const FOLLOWS: &'static str = "following from another";
    const WORDS: [&'static str; 3] = [Self::SILENCED, Self::MAINTAINED, Self::FOLLOWS];

    fn of(alert: &AlertView) -> Option<Self> {
        let why = alert.muted.clone()?;
        let word = match alert.muted_by.as_deref() {
            Some("silence") => Self::SILENCED,
            Some("maintenance") => Self::MAINTAINED,
            _ => Self::FOLLOWS,
        };
        Some(Self { word, why })
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

    fn fires(severity: &str, muted: Option<(&str, &str)>) -> AlertView {
        AlertView {
            rule: "ServiceDown".into(),
            kind: "breach".into(),
            severity: severity.into(),
            subject: "shop".into(),
            summary: "shop is down".into(),
            labels: std::collections::BTreeMap::new(),
            state: "firing".into(),
            began_at: "2026-01-01T00:00:00Z".into(),
            fired_at: Some("2026-01-01T00:00:00Z".into()),
            muted: muted.map(|(_, why)| why.to_owned()),
            muted_by: muted.map(|(by, _)| by.to_owned()),
            group: None,
            runbook: None,
        }
    }

    fn said(alerts: Vec<AlertView>) -> (usize, usize, Option<(State, String)>) {
        let evaluated_at = Some("2026-01-01T00:00:00Z".into());
        let alerts = Alerts::of(&Alerting { alerts, evaluated_at, ..Alerting::default() }).expect("evaluated");
        let mark = alerts.no_critical().map(|mark| (mark.state, mark.word));
        (alerts.active.len(), alerts.muted.len(), mark)
    }

    #[test]
    fn nobody_evaluating_is_another_thing_than_nothing_active() {
        let mut alerting = Alerting::default();
        assert_eq!(Alerts::of(&alerting), None);
        alerting.evaluated_at = Some("2026-01-01T00:00:00Z".into());
        assert_eq!(Alerts::of(&alerting), Some(Alerts::default()));
    }

    #[test]
    fn a_critical_alert_of_which_nobody_is_told_is_shown_and_counted_all_the_same() {
        let silence = Some(("silence", "silenced until 2026-01-02T00:00:00Z by ana (silence 3): new disk"));
        let cause = Some(("cause", "because of DependencyDown of postgres"));
        let mark = |state: State, word: &str| Some((state, word.to_owned()));
        for (alerts, expected) in [
            (vec![], (0, 0, mark(State::Healthy, "No critical alerts"))),
            (vec![fires("P3", silence)], (0, 1, mark(State::Healthy, "No critical alerts"))),
            (vec![fires("P1", silence)], (0, 1, mark(State::Warning, "1 critical, silenced"))),
            (
                vec![fires("P1", silence), fires("P2", cause), fires("P1", silence)],
                (0, 3, mark(State::Warning, "3 critical, 2 silenced, 1 following from another")),
            ),
            (vec![fires("P1", silence), fires("P1", None)], (1, 1, None)),
        ] {
            assert_eq!(said(alerts), expected);
        }
    }
}
