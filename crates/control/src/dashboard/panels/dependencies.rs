//! What the services need and nobody here runs: model providers, databases, caches; and who takes webhooks and other messages for people.

use askama::Template;
use mana_watch::series::Labels;
use serde_json::{Value, json};

use super::super::measured::{Unmeasured, Values};
use super::super::state::{Mark, State};
use super::super::{Dashboard, units};
use super::{Table, Tabular};

/// Servers that are asked for their own figures are dependencies too, by what they are called there, and so are channels.
const UP: &str = "min by (dependency) (mana_dependency_up) \
    or label_replace(min by (server) (pg_up or redis_up), \"dependency\", \"$1\", \"server\", \"(.+)\") \
    or label_replace(max by (channel) (mana_channel_up), \"dependency\", \"channel $1\", \"channel\", \"(.+)\")";
const LATENCY: &str = "max by (dependency) (mana_dependency_seconds) \
    or label_replace(max by (server) (mana_server_answer_seconds), \"dependency\", \"$1\", \"server\", \"(.+)\") \
    or label_replace(max by (channel) (mana_channel_seconds), \"dependency\", \"channel $1\", \"channel\", \"(.+)\")";
const SUCCESS: &str = "min by (dependency) (avg_over_time(mana_dependency_up[24h])) \
    or label_replace(min by (server) (avg_over_time(pg_up[24h]) or avg_over_time(redis_up[24h])), \
    \"dependency\", \"$1\", \"server\", \"(.+)\") or label_replace(min by (channel) (avg_over_time(mana_channel_up[24h])), \
    \"dependency\", \"channel $1\", \"channel\", \"(.+)\")";
const CHECKED: &str = "max by (dependency) (timestamp(mana_dependency_up)) \
    or label_replace(max by (server) (timestamp(pg_up) or timestamp(redis_up)), \"dependency\", \"$1\", \"server\", \"(.+)\") \
    or label_replace(max by (channel) (timestamp(mana_channel_up)), \"dependency\", \"channel $1\", \"channel\", \"(.+)\")";

/// A dependency that succeeds less often is a matter.
const SUCCESS_LEAST: f64 = 0.99;

#[derive(Template)]
#[template(path = "dashboard/panels/dependencies.html")]
pub(super) struct Dependencies {
    rows: Vec<Row>,
    unmeasured: Option<String>,
}

struct Row {
    name: String,
    mark: Mark,
    latency: Option<f64>,
    success: Option<f64>,
    /// RFC 3339.
    checked: Option<String>,
}

impl Row {
    fn latency_text(&self) -> Option<String> {
        self.latency.map(units::seconds)
    }

    fn success_text(&self) -> Option<String> {
        self.success.map(units::percent)
    }

    fn checked_text(&self) -> Option<String> {
        self.checked.as_deref().map(units::minute)
    }
}

pub(super) async fn look(dashboard: &Dashboard) -> Dependencies {
    let measured = &dashboard.measured;
    let by = |text| measured.by("dependency", text);
    let (up, latency, success, checked) = tokio::join!(measured.now(UP), by(LATENCY), by(SUCCESS), by(CHECKED));
    let unmeasured = up.as_ref().err().map(Unmeasured::to_string);
    let (latency, success) = (latency.unwrap_or_default(), success.unwrap_or_default());
    let checked = checked.unwrap_or_default();
    let name = |labels: &Labels| labels.get("dependency").to_owned();
    let row = |(labels, up): &(Labels, f64)| {
        let name = name(labels);
        let success = success.get(&name).copied();
        let checked = checked.get(&name).and_then(|at| instant(*at));
        Row { mark: judge(*up, success), latency: latency.get(&name).copied(), success, checked, name }
    };
    let up: Values = up.unwrap_or_default();
    let rows = up.iter().filter(|(labels, _)| !name(labels).is_empty()).map(row).collect();
    Dependencies { rows, unmeasured }
}

fn judge(up: f64, success: Option<f64>) -> Mark {
    if up < 1.0 {
        State::Critical.mark("Down")
    } else if success.is_some_and(|share| share < SUCCESS_LEAST) {
        State::Warning.mark("Unsteady")
    } else {
        State::Healthy.mark("Up")
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
fn instant(seconds: f64) -> Option<String> {
    jiff::Timestamp::from_second(seconds as i64).ok().map(|at| at.to_string())
}

impl Tabular for Dependencies {
    fn table(&self) -> Table {
        let mut table = Table::new(&["dependency", "state", "latency_seconds", "success_share_24h", "checked_at"]);
        let known = |value: Option<f64>| value.map_or(Value::Null, |value| json!(value));
        for row in &self.rows {
            let (latency, success) = (known(row.latency), known(row.success));
            table.row([json!(row.name), json!(row.mark.state.name()), latency, success, json!(row.checked)]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn down_now_is_worse_than_unsteady_over_the_day() {
        for (up, success, state) in [
            (1.0, Some(1.0), State::Healthy),
            (1.0, None, State::Healthy),
            (1.0, Some(0.9), State::Warning),
            (0.0, Some(0.999), State::Critical),
        ] {
            assert_eq!(judge(up, success).state, state, "{up} {success:?}");
        }
    }
}
