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
        alert.state().mark(format!("{} {word}", alert.severity))
    }

    fn minute(alert: &Alert) -> String {
        units::minute(&alert.since)
    }

    /// Said where nothing of that kind is.
    fn no_critical(&self) -> Option<Mark> {
        let alerts = self.alerts.as_ref()?;
        let critical = alerts.active.iter().any(|alert| alert.state() == State::Critical);
        (!critical).then(|| State::Healthy.mark("No critical alerts"))
    }
}

pub(super) fn look(dashboard: &Dashboard) -> Panel {
    Panel { alerts: Alerts::of(&dashboard.app.watching.alerts.seen().alerting).map(Arc::new) }
}

impl Tabular for Panel {
    fn table(&self) -> Table {
        let mut table = Table::new(&["severity", "rule", "subject", "summary", "since", "acknowledged_by"]);
        for alert in self.alerts.iter().flat_map(|alerts| &alerts.active) {
            let Alert { severity, rule, subject, summary, since, acknowledged_by } = alert;
            table.row([
                json!(severity),
                json!(rule),
                json!(subject),
                json!(summary),
                json!(since),
                json!(acknowledged_by),
            ]);
        }
        table
    }
}
