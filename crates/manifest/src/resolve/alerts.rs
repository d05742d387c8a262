//! What people are woken for.

use std::time::Duration;

use super::exists_in;
use crate::document::{AlertTable, Document, SloTable, Text};
use crate::plan::{Alert, Environment, Objective};
use crate::problem::Problem;

/// What an objective is about where it does not say.
const WITHIN: Duration = Duration::from_millis(500);
const WINDOW: Duration = Duration::from_hours(30 * 24);

/// Those of this environment.
pub(super) fn alerts(document: &Document, environment: Environment, problems: &mut Vec<Problem>) -> Vec<Alert> {
    let here = document.alerts.iter().filter(|(_, table)| exists_in(table.environments.as_deref(), environment));
    here.filter_map(|(name, table)| alert(name, table, problems)).collect()
}

fn alert(name: &Text, table: &AlertTable, problems: &mut Vec<Problem>) -> Option<Alert> {
    let mut needed = |key: &str, text: &Option<Text>, example: &str| {
        if text.is_none() {
            let problem = Problem::error(name.span.clone(), format!("{key} of the alert {} is missing", name.value));
            problems.push(problem.help(format!("write {example}")));
        }
        text.as_ref().map(|text| text.value.clone())
    };
    let expression = needed("expression", &table.expression, "expression = \"jobs_waiting > 1000\"");
    let severity = needed("severity", &table.severity, "severity = \"P1\" (wakes people) to \"P4\"");
    let summary = needed("summary", &table.summary, "summary = \"{{value}} jobs wait\"");
    let values = |list: &Option<Vec<Text>>| list.iter().flatten().map(|text| text.value.clone()).collect();
    Some(Alert {
        name: name.value.clone(),
        expression: expression?,
        hold: table.hold.as_ref().map_or(Duration::ZERO, |time| time.value),
        keep_firing_for: table.keep_firing_for.as_ref().map_or(Duration::ZERO, |time| time.value),
        severity: severity?,
        summary: summary?,
        runbook: table.runbook.as_ref().map(|link| link.value.clone()),
        group_by: values(&table.group_by),
        path: table.path.as_ref().map(|path| path.value.clone()),
        tell: values(&table.tell),
    })
}

/// What a service promises.
pub(super) fn objectives(table: Option<&SloTable>) -> Vec<Objective> {
    let Some(table) = table else { return Vec::new() };
    let window = table.window.as_ref().map_or(WINDOW, |window| window.value);
    let within = table.within.as_ref().map_or(WITHIN, |within| within.value);
    let availability = table.availability.as_ref().map(|share| Objective { share: share.value, within: None, window });
    let latency = table.latency.as_ref().map(|share| Objective { share: share.value, within: Some(within), window });
    availability.into_iter().chain(latency).collect()
}
