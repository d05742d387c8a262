//! What people were told of together, and who looks after it.

use askama::Template;
use serde_json::json;

use super::super::{Dashboard, units};
use super::{Buttons, Table, Tabular};
use crate::api::{Alerting, GroupView};

#[derive(Template)]
#[template(path = "dashboard/panels/groups.html")]
pub(super) struct Groups {
    groups: Vec<GroupView>,
    buttons: Buttons,
}

impl Groups {
    fn minute(group: &GroupView) -> String {
        units::minute(&group.began_at)
    }
}

pub(super) fn look(dashboard: &Dashboard, buttons: Buttons) -> Groups {
    of(&dashboard.app.watching.alerts.seen().alerting, buttons)
}

/// Those that are not over.
fn of(alerting: &Alerting, buttons: Buttons) -> Groups {
    Groups { groups: alerting.groups.iter().filter(|group| group.firing > 0).cloned().collect(), buttons }
}

impl Tabular for Groups {
    fn table(&self) -> Table {
        let mut table = Table::new(&["group", "firing", "since", "told", "acknowledged_by", "undelivered"]);
        for GroupView { number, began_at, firing, audience, acknowledged_by, undelivered } in &self.groups {
            let told = json!(audience.join(" "));
            let row = [json!(number), json!(firing), json!(began_at), told, json!(acknowledged_by), json!(undelivered)];
            table.row(row);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let alerting = Alerting { groups, ..Alerting::default() };
        let html = |buttons| of(&alerting, buttons).render().expect("written");
        let (with, without) = (html(Buttons::With), html(Buttons::Without));
        assert!(with.contains("formaction=\"/alerts/acknowledge\" name=\"group\" value=\"2\""), "{with}");
        assert_eq!((with.matches("formaction").count(), without.matches("formaction").count()), (1, 0));
        for html in [with, without] {
            assert!(!html.contains("Group 1") && html.contains("Group 2") && html.contains("ana looks after it"));
            assert_eq!(html.matches("about it came to nobody: the mail server is away").count(), 1, "{html}");
        }
    }
}
