//! Alerts as operators see them.

use std::collections::BTreeMap;

use mana_watch::alert::{Alert, Comparison, Covers, Group, Kind, Muted, Quiet, RuleState, State};

use crate::api::{AlertView, Alerting, BudgetView, GroupView, QuietView, RuleView};

/// How everything is.
pub(super) fn alerting(
    state: &State,
    doubts: &BTreeMap<String, String>,
    budgets: Vec<BudgetView>,
    evaluated_at: Option<i64>,
) -> Alerting {
    // Whoever sees a group may acknowledge it, which waits until people were told of it.
    let groups: Vec<GroupView> = state.groups().filter(|group| group.is_told()).map(group).collect();
    let mut alerts: Vec<AlertView> = state
        .alerts()
        .map(|(id, alert)| AlertView {
            rule: id.rule.clone(),
            kind: match id.kind {
                Kind::Breach => "breach",
                Kind::NoData => "no-data",
                Kind::Error => "error",
            }
            .to_owned(),
            severity: alert.severity.as_str().to_owned(),
            subject: alert.subject.clone(),
            summary: alert.summary.clone(),
            labels: id.labels.iter().map(|(label, value)| (label.to_owned(), value.to_owned())).collect(),
            state: state_of(alert).to_owned(),
            began_at: time(alert.began_at),
            fired_at: alert.fired.map(|fired| time(fired.at)),
            muted: alert
                .muted
                .as_ref()
                .map(|why| muted(why, |number| state.quiets().find(|quiet| quiet.number == number))),
            muted_by: alert.muted.as_ref().map(|why| muted_by(why).to_owned()),
            group: alert.group.filter(|number| groups.iter().any(|group| group.number == *number)),
            runbook: state.rules().find(|view| view.rule.name == id.rule).and_then(|view| view.rule.runbook.clone()),
        })
        .collect();
    alerts.sort_by(|one, other| {
        let rank = |alert: &AlertView| (alert.fired_at.is_none(), alert.severity.clone(), alert.began_at.clone());
        rank(one).cmp(&rank(other))
    });
    Alerting {
        alerts,
        groups,
        quiets: state.quiets().map(quiet).collect(),
        rules: state
            .rules()
            .map(|view| RuleView {
                name: view.rule.name.clone(),
                severity: view.rule.severity.as_str().to_owned(),
                state: rule_state(view.state).to_owned(),
                // What cannot fire at all says why before it says anything else.
                why: doubts.get(&view.rule.name).cloned().or_else(|| view.why.map(str::to_owned)),
                expression: view.rule.expression.trim().to_owned(),
                hold: view.rule.hold.to_string(),
                keep_firing_for: view.rule.keep_firing_for.to_string(),
                runbook: view.rule.runbook.clone(),
            })
            .collect(),
        budgets,
        evaluated_at: evaluated_at.map(time),
        test_channels: None,
    }
}

fn state_of(alert: &Alert) -> &'static str {
    match (&alert.fired, &alert.clear) {
        (None, _) => "pending",
        (Some(_), None) => "firing",
        (Some(_), Some(_)) => "clearing",
    }
}

const fn rule_state(state: RuleState) -> &'static str {
    match state {
        RuleState::Firing => "firing",
        RuleState::Error => "error",
        RuleState::NoData => "no-data",
        RuleState::Unheard => "unheard",
        RuleState::Pending => "pending",
        RuleState::Inactive => "inactive",
    }
}

/// Why nobody is told, as far as it is known: a silence that has just ended is a number only.
fn muted<'a>(muted: &Muted, quiet: impl Fn(u64) -> Option<&'a Quiet>) -> String {
    let until = |what: &str, kind: &str, number: u64| match quiet(number) {
        Some(Quiet { until, by, reason, .. }) => {
            format!("{what} until {} by {by} ({kind} {number}): {reason}", time(*until))
        }
        None => format!("{kind} {number}"),
    };
    match muted {
        Muted::Silenced { number } => until("silenced", "silence", *number),
        Muted::Maintained { number } => until("in maintenance", "maintenance", *number),
        Muted::Inhibited { by, subject } if subject.is_empty() => format!("because of {}", by.rule),
        Muted::Inhibited { by, subject } => format!("because of {} of {subject}", by.rule),
    }
}

const fn muted_by(muted: &Muted) -> &'static str {
    match muted {
        Muted::Silenced { .. } => "silence",
        Muted::Maintained { .. } => "maintenance",
        Muted::Inhibited { .. } => "cause",
    }
}

fn group(group: &Group) -> GroupView {
    GroupView {
        number: group.number,
        began_at: time(group.began_at),
        firing: group.members.len() + group.waiting.len(),
        audience: group.audience.iter().cloned().collect(),
        acknowledged_by: group.acknowledged.as_ref().map(|acknowledged| acknowledged.by.clone()),
        undelivered: group.undelivered.clone(),
    }
}

fn quiet(quiet: &Quiet) -> QuietView {
    let covers = match &quiet.covers {
        Covers::Services(services) => services.iter().cloned().collect::<Vec<_>>().join(", "),
        Covers::Alerts(selector) => {
            let conditions = selector.conditions().iter().map(|condition| {
                let is = match condition.is {
                    Comparison::Equal => "=",
                    Comparison::NotEqual => "!=",
                    Comparison::Like => "=~",
                    Comparison::Unlike => "!~",
                };
                format!("{}{is}{:?}", condition.label, condition.value)
            });
            conditions.collect::<Vec<_>>().join(", ")
        }
    };
    let (kind, services) = match &quiet.covers {
        Covers::Services(services) => ("maintenance", services.iter().cloned().collect()),
        Covers::Alerts(_) => ("silence", Vec::new()),
    };
    QuietView {
        number: quiet.number,
        kind: kind.to_owned(),
        covers,
        services,
        from: time(quiet.from),
        until: time(quiet.until),
        by: quiet.by.clone(),
        reason: quiet.reason.clone(),
    }
}

pub(super) fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| "?".to_owned(), |time| format!("{time:.0}"))
}

#[cfg(test)]
mod tests {
    use mana_watch::alert::Selector;

    use super::*;

    #[test]
    fn a_silenced_alert_says_until_when_by_whom_and_why() {
        let conditions = vec!["service=shop".parse().expect("a condition")];
        let covers = Covers::Alerts(Selector::new(conditions).expect("a selector"));
        let quiet = Quiet { number: 3, covers, from: 0, until: 3_600_000, by: "ana".into(), reason: "new disk".into() };
        let of = |number: u64| (number == 3).then_some(&quiet);
        let silenced = Muted::Silenced { number: 3 };
        assert_eq!(muted(&silenced, of), "silenced until 1970-01-01T01:00:00Z by ana (silence 3): new disk");
        assert_eq!(muted(&Muted::Maintained { number: 4 }, of), "maintenance 4", "it has just ended");
    }
}
