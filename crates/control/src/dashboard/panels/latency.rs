//! The p95 of each service over the day, beside its target. The chart is the browser's; this is the table behind it.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::super::figures::{self, Targets};
use super::super::measured::Unmeasured;
use super::super::state::{Mark, State};
use super::super::{Dashboard, units};
use super::{Table, Tabular, status};
use crate::desired::EDGE;

/// Services in one question about a day: all of them at once would hold their samples in memory at once.
const GROUP: usize = 5;

#[derive(Template)]
#[template(path = "dashboard/panels/latency.html")]
pub(super) struct Latency {
    rows: Vec<Row>,
    unmeasured: Option<String>,
}

struct Row {
    service: String,
    now: Option<f64>,
    day: Option<f64>,
    /// In seconds.
    target: f64,
    mark: Mark,
}

impl Row {
    fn now_text(&self) -> Option<String> {
        self.now.map(units::seconds)
    }

    fn day_text(&self) -> Option<String> {
        self.day.map(units::seconds)
    }

    fn target_text(&self) -> String {
        units::seconds(self.target)
    }
}

pub(super) async fn look(dashboard: &Dashboard) -> Latency {
    let measured = &dashboard.measured;
    let now = figures::quantile(0.95, "", "5m");
    let (now, status) = tokio::join!(measured.by("service", &now), status(dashboard));
    let mut names: Vec<String> =
        status.map(|status| status.services).unwrap_or_default().into_iter().map(|service| service.name).collect();
    names.retain(|name| name != EDGE);
    let asked = names.chunks(GROUP).map(async |group| {
        let routes = figures::routes_of(&group.join("|"));
        measured.day_by("service", &figures::quantile(0.95, &routes, "24h")).await
    });
    let answers = join_all(asked).await;
    let unmeasured =
        now.as_ref().err().or(answers.iter().find_map(|day| day.as_ref().err())).map(Unmeasured::to_string);
    let day = answers.into_iter().flatten().flatten().collect();
    let rows = rows(&now.unwrap_or_default(), &day, &measured.targets());
    Latency { rows, unmeasured }
}

/// Slowest first.
fn rows(now: &BTreeMap<String, f64>, day: &BTreeMap<String, f64>, targets: &Targets) -> Vec<Row> {
    let names: BTreeSet<&String> = now.keys().chain(day.keys()).collect();
    let mut rows: Vec<Row> = names
        .into_iter()
        .map(|name| {
            let (now, day) = (now.get(name).copied(), day.get(name).copied());
            let target = targets.p95(name);
            let mark = day.or(now).map_or_else(
                || State::Unknown.mark("Not measured"),
                |seconds| match figures::latency_state(seconds, target) {
                    State::Healthy => State::Healthy.mark("Within"),
                    state => state.mark("Over"),
                },
            );
            Row { service: name.clone(), now, day, target, mark }
        })
        .collect();
    rows.sort_by(|a, b| b.day.unwrap_or_default().total_cmp(&a.day.unwrap_or_default()));
    rows
}

impl Tabular for Latency {
    fn table(&self) -> Table {
        let mut table = Table::new(&["service", "p95_5m_seconds", "p95_24h_seconds", "target_seconds", "state"]);
        let known = |value: Option<f64>| value.map_or(Value::Null, |value| json!(value));
        for row in &self.rows {
            let (now, day) = (known(row.now), known(row.day));
            table.row([json!(row.service), now, day, json!(row.target), json!(row.mark.state.name())]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_of_the_day_comes_first_and_is_held_against_the_target() {
        let of = |pairs: &[(&str, f64)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let rows = rows(&of(&[("a", 0.1)]), &of(&[("a", 0.2), ("b", 0.7)]), &Targets::default());
        let told: Vec<_> = rows.iter().map(|row| (row.service.as_str(), row.now, row.mark.state)).collect();
        assert_eq!(told, [("b", None, State::Warning), ("a", Some(0.1), State::Healthy)]);
    }
}
