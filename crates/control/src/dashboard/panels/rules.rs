//! Every rule that is watched, and how it is.

use std::sync::Arc;

use askama::Template;
use serde_json::json;

use super::super::Dashboard;
use super::super::state::{Mark, State};
use super::{Table, Tabular};
use crate::api::RuleView;
use crate::watching::alerts::Seen;

#[derive(Template)]
#[template(path = "dashboard/panels/rules.html")]
pub(super) struct Rules {
    seen: Arc<Seen>,
}

impl Rules {
    fn mark(rule: &RuleView) -> Mark {
        let state = match (rule.state.as_str(), rule.severity.as_str()) {
            ("firing", "P1" | "P2") | ("error", _) => State::Critical,
            ("firing" | "pending", _) => State::Warning,
            ("inactive", _) => State::Healthy,
            _ => State::Unknown,
        };
        state.mark(rule.state.replace('-', " "))
    }
}

pub(super) fn look(dashboard: &Dashboard) -> Rules {
    Rules { seen: dashboard.app.watching.alerts.seen() }
}

impl Tabular for Rules {
    fn table(&self) -> Table {
        let mut table =
            Table::new(&["rule", "severity", "state", "expression", "for", "keep_firing_for", "why", "runbook"]);
        for rule in &self.seen.alerting.rules {
            table.row([
                json!(rule.name),
                json!(rule.severity),
                json!(rule.state),
                json!(rule.expression),
                json!(rule.hold),
                json!(rule.keep_firing_for),
                json!(rule.why),
                json!(rule.runbook),
            ]);
        }
        table
    }
}
