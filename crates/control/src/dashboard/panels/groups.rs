//! What people were told of together, and who looks after it.

use askama::Template;
use serde_json::json;

use super::super::{Dashboard, units};
use super::{Buttons, Table, Tabular};
use crate::api::{Alerting, GroupView};

/// Alerts of a group that are named.
const NAMED: usize = 3;

#[derive(Template)]
#[template(path = "dashboard/panels/groups.html")]
pub(super) struct Groups {
    groups: Vec<Row>,
    buttons: Buttons,
}

struct Row {
    group: GroupView,
    /// Some of its alerts in words, the most urgent first.
    about: Vec<String>,
}

impl Row {
    fn minute(&self) -> String {
        units::minute(&self.group.began_at)
    }

    /// How many of its alerts are not named.
    fn further(&self) -> usize {
        self.group.firing.saturating_sub(self.about.len())
    }
}

pub(super) fn look(dashboard: &Dashboard, buttons: Buttons) -> Groups {
    of(&dashboard.app.watching.alerts.seen().alerting, buttons)
}

/// Those that are not over.
fn of(alerting: &Alerting, buttons: Buttons) -> Groups {
    let about = |number| {
        let of_group = alerting.alerts.iter().filter(move |alert| alert.group == Some(number));
        of_group.take(NAMED).map(|alert| format!("{}: {}", alert.rule, alert.summary)).collect()
    };
    let firing = alerting.groups.iter().filter(|group| group.firing > 0);
    let groups = firing.map(|group| Row { group: group.clone(), about: about(group.number) }).collect();
    Groups { groups, buttons }
}

impl Tabular for Groups {
    fn table(&self) -> Table {
        let mut table = Table::new(&["group", "firing", "about", "since", "told", "acknowledged_by", "undelivered"]);
        for Row { group, about } in &self.groups {
            let GroupView { number, began_at, firing, audience, acknowledged_by, undelivered } = group;
            let (about, told) = (json!(about.join("; ")), json!(audience.join(" ")));
            let (by, why) = (json!(acknowledged_by), json!(undelivered));
            table.row([json!(number), json!(firing), about, json!(began_at), told, by, why]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::AlertView;

    #[test]
    fn only_who_may_acknowledge_has_a_button_for_what_nobody_looks_after() {
        let group = |number: u64, firing: usize, by: Option<&str>| GroupView {
            number,
            began_at: "2026-01-02T03:04:05Z".into(),
            firing,
            audience: vec!["on-call".into()],
            acknowledged_by: by.map(str::to_owned),
            undelivered: (number == 2).then(|| "the mail server is away".to_owned()),
        };
        let groups = vec![group(1, 0, None), group(2, 3, None), group(3, 1, Some("ana"))];
        let alert = |summary: &str, group| AlertView {
            rule: "ServiceDown".to_owned(),
            summary: summary.to_owned(),
            group,
            ..AlertView::default()
        };
        let alerts =
            vec![alert("shop is down", Some(2)), alert("chat is down", Some(3)), alert("nobody is told", None)];
        let alerting = Alerting { alerts, groups, ..Alerting::default() };
        let html = |buttons| of(&alerting, buttons).render().expect("written");
        let (with, without) = (html(Buttons::With), html(Buttons::Without));
        assert!(with.contains("formaction=\"/alerts/acknowledge\" name=\"group\" value=\"2\""), "{with}");
        assert_eq!((with.matches("formaction").count(), without.matches("formaction").count()), (1, 0));
        for html in [with, without] {
            assert!(!html.contains("Group 1") && html.contains("Group 2") && html.contains("ana looks after it"));
            assert_eq!(html.matches("about it came to nobody: the mail server is away").count(), 1, "{html}");
            assert!(html.contains("ServiceDown: shop is down</p>\n<p class=\"soft\">and 2 more"), "{html}");
            assert!(html.contains("ServiceDown: chat is down") && !html.contains("nobody is told"), "{html}");
        }
    }
}
