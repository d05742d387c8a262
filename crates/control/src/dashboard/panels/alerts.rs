//! What is wrong according to the rules.

use std::sync::Arc;

use askama::Template;
use serde_json::json;

use super::super::alerts::{Alert, Alerts};
use super::super::state::{Mark, State};
use super::super::{Dashboard, units};
use super::{Table, Tabular};

#[derive(Template)]
#[template(path = "dashboard/panels/alerts.html")]
pub(super) struct Panel {
    /// `None`: nobody evaluates rules.
    alerts: Option<Arc<Alerts>>,
}

impl Panel {
    fn mark(alert: &Alert) -> Mark {
        let word = match alert.state() {
            State::Critical => "Critical",
            _ => "Warning",
        };
        let muted = alert.muted.as_ref().map(|muted| format!(", {}", muted.word)).unwrap_or_default();
        alert.state().mark(format!("{} {word}{muted}", alert.severity))
    }

    fn minute(alert: &Alert) -> String {
        units::minute(&alert.since)
    }
}

pub(super) fn look(dashboard: &Dashboard) -> Panel {
    Panel { alerts: Alerts::of(&dashboard.app.watching.alerts.seen().alerting).map(Arc::new) }
}

impl Tabular for Panel {
    fn table(&self) -> Table {
        let mut table = Table::new(&["severity", "rule", "subject", "summary", "since", "acknowledged_by", "muted"]);
        for alert in self.alerts.iter().flat_map(|alerts| alerts.active.iter().chain(&alerts.muted)) {
            let Alert { severity, rule, subject, summary, since, acknowledged_by, muted } = alert;
            table.row([
                json!(severity),
                json!(rule),
                json!(subject),
                json!(summary),
                json!(since),
                json!(acknowledged_by),
                json!(muted.as_ref().map(|muted| &muted.why)),
            ]);
        }
        table
    }
}
