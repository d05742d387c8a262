//! Charts: what each shows, and its data as browsers draw it.
//!
//! `GET /data/NAME?service=…&last=24h` gives columns: times (seconds since 1970), and for each series its values, `null` where
//! nothing was measured. `&previous=1` adds the period before, `&format=csv` makes a table of it.

mod columns;
pub(crate) mod range;

use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use mana_watch::series::Labels;
use serde::Deserialize;
use serde_json::{Value, json};

use super::figures::Targets;
use super::measured::{Span, Unmeasured, now_ms};
use super::{Dashboard, figures, panels};
use crate::api::{IncidentView, RolloutView};
use crate::desired::EDGE;
use crate::server::{Refused, ask, problem};
use crate::supervisor::Call;
use columns::{Column, Columns};

/// Series of a chart at most: more than eyes tell apart. Those left out are counted.
const MOST_SERIES: usize = 12;
/// Services in one question of a chart of many.
const GROUP: usize = 4;
/// Deploys that are marked on one chart.
const MOST_MARKS: usize = 100;

/// A chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chart {
    /// p95 of each service.
    P95,
    /// Requests a second, of one service or of each.
    Requests,
    /// Share of errors.
    Errors,
    /// p50, p95 and p99 of a service.
    Latency,
    /// Cores in use, by instance or by service.
    Cpu,
    /// Resident memory.
    Memory,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    service: Option<String>,
    #[serde(flatten)]
    range: range::Asked,
    #[serde(default)]
    previous: Option<String>,
    #[serde(default)]
    format: Option<String>,
}

impl Chart {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "p95" => Self::P95,
            "requests" => Self::Requests,
            "errors" => Self::Errors,
            "latency" => Self::Latency,
            "cpu" => Self::Cpu,
            "memory" => Self::Memory,
            _ => return None,
        })
    }

    fn unit(self) -> &'static str {
        match self {
            Self::P95 | Self::Latency => "seconds",
            Self::Requests => "requests",
            Self::Errors => "share",
            Self::Cpu => "cores",
            Self::Memory => "bytes",
        }
    }

    /// Whether it is counted at the edge.
    fn is_by_route(self) -> bool {
        matches!(self, Self::P95 | Self::Requests | Self::Errors)
    }

    /// What is drawn across: the service's target, or that of all where it is one.
    fn target(self, service: Option<&str>, targets: &Targets) -> Option<f64> {
        let of_p95 = matches!(self, Self::P95 | Self::Latency);
        of_p95.then(|| service.map_or_else(|| targets.common(), |name| Some(targets.p95(name)))).flatten()
    }

    /// What is asked, each with the name of its series where it gives only one.
    fn questions(self, service: Option<&str>, window: &str) -> Vec<(Option<&'static str>, String)> {
        let routes = service.map(figures::routes_of).unwrap_or_default();
        let (only, by) =
            service.map_or_else(|| (String::new(), "service"), |name| (format!("{{service=\"{name}\"}}"), "instance"));
        let one = |text: String| vec![(None, text)];
        match self {
            Self::P95 => one(figures::quantile(0.95, &routes, window)),
            Self::Requests => one(figures::requests(&routes, window)),
            Self::Errors => one(figures::errors(&routes, window)),
            Self::Latency => [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)]
                .map(|(name, quantile)| (Some(name), figures::quantile(quantile, &routes, window)))
                .into(),
            Self::Cpu => one(format!("sum by ({by}) (rate(mana_instance_cpu_seconds_total{only}[{window}]))")),
            Self::Memory => one(format!("sum by ({by}) (mana_instance_memory_bytes{only})")),
        }
    }
}

/// `GET /data/{chart}`
pub(crate) async fn data(
    State(dashboard): State<Dashboard>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refused> {
    let chart = Chart::named(&name)
        .ok_or_else(|| Refused(problem(404, "there is no such chart", format!("`{name}` is none of the charts"))))?;
    let bad = |why: String| Refused(problem(422, "this time cannot be shown", why));
    let service = asked.service.as_deref().filter(|name| !name.is_empty());
    if service.is_some_and(|name| !is_name(name)) {
        return Err(bad("the service's name is none".to_owned()));
    }
    let span = asked.range.span("24h", now_ms()).map_err(bad)?;
    let wants_previous = asked.previous.as_deref() == Some("1");
    let (now, before, rollouts) = tokio::join!(
        columns(&dashboard, chart, service, span),
        async {
            if wants_previous { Some(columns(&dashboard, chart, service, range::before(span)).await) } else { None }
        },
        ask(&dashboard.app, |reply| Call::Rollouts { service: service.map(str::to_owned), reply })
    );
    let now = now?;
    if asked.format.as_deref() == Some("csv") {
        let saved = format!("attachment; filename=\"{name}.csv\"");
        let head = [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, saved)];
        return Ok((head, now.csv()).into_response());
    }
    let mut answer = now.json();
    answer["unit"] = json!(chart.unit());
    answer["target"] = json!(chart.target(service, &dashboard.measured.targets()));
    let Value::Array(mut all) = marks(&rollouts.unwrap_or_default(), span) else { return Err(bad(String::new())) };
    all.extend(incidents(&dashboard.app.watching.alerts.seen().incidents, service, span));
    answer["marks"] = Value::Array(all);
    if let Some(before) = before {
        answer["previous"] = before?.aligned_to(&now);
    }
    Ok(([(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response())
}

/// Names of services are parts of hosts: nothing of them means something else in a question.
fn is_name(name: &str) -> bool {
    name.len() <= 63 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

async fn columns(dashboard: &Dashboard, chart: Chart, service: Option<&str>, span: Span) -> Result<Columns, Refused> {
    let (questions, left_out) = match service {
        None if chart.is_by_route() => {
            let (groups, left_out) = groups(dashboard).await;
            let window = range::wide_window(span);
            (groups.iter().flat_map(|group| chart.questions(Some(group), &window)).collect(), left_out)
        }
        service => (chart.questions(service, &range::window(span)), 0),
    };
    let asked = questions.into_iter().map(async |(name, text)| {
        let series = dashboard.measured.range(&text, span).await?;
        Ok::<_, Unmeasured>((name, series))
    });
    let failed = |error: Unmeasured| Refused(problem(503, "the chart's data is not there", error.to_string()));
    let mut columns = Vec::new();
    for answer in futures_util::future::join_all(asked).await {
        let (name, series) = answer.map_err(failed)?;
        columns.extend(series.iter().map(|series| {
            let name = name.map_or_else(|| label(&series.labels, service), str::to_owned);
            Column::new(name, &series.samples, span)
        }));
    }
    Ok(Columns::new(span, columns, MOST_SERIES, left_out))
}

/// Which services a chart of all of them shows, a few in each question so that they are answered side by side: those that are
/// slowest now first. And how many are left out.
async fn groups(dashboard: &Dashboard) -> (Vec<String>, usize) {
    let p95 = figures::quantile(0.95, "", "5m");
    let (p95, status) = tokio::join!(dashboard.measured.by("service", &p95), panels::status(dashboard));
    let slowness = p95.unwrap_or_default();
    let mut names: Vec<String> = status
        .map(|status| status.services)
        .unwrap_or_default()
        .into_iter()
        .map(|service| service.name)
        .filter(|name| name != EDGE)
        .collect();
    let of = |name: &String| slowness.get(name).copied().unwrap_or(-1.0);
    names.sort_by(|a, b| of(b).total_cmp(&of(a)));
    let left_out = names.len().saturating_sub(MOST_SERIES);
    names.truncate(MOST_SERIES);
    (names.chunks(GROUP).map(|group| group.join("|")).collect(), left_out)
}

fn label(labels: &Labels, service: Option<&str>) -> String {
    let named = [labels.get("instance"), labels.get("service")].into_iter().find(|value| !value.is_empty());
    named.or(service).unwrap_or("all").to_owned()
}

/// Deploys in that time.
fn marks(rollouts: &[RolloutView], span: Span) -> Value {
    let marks = rollouts.iter().filter_map(|rollout| {
        let at = rollout.begun_at.parse::<jiff::Timestamp>().ok()?.as_millisecond();
        (span.from..=span.to).contains(&at).then(|| {
            json!({
                "at": at / 1_000,
                "text": format!("{} {} ({})", rollout.service, rollout.version, rollout.stage),
                "bad": matches!(rollout.stage.as_str(), "aborted" | "rolled-back" | "stuck"),
                "href": format!("/rollouts/{}", rollout.number),
            })
        })
    });
    Value::Array(marks.take(MOST_MARKS).collect())
}

/// Incidents in that time, as far as they are about this service; each with when it was over.
fn incidents(incidents: &[IncidentView], service: Option<&str>, span: Span) -> Vec<Value> {
    let at = |text: &str| text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond).ok();
    let mark = |incident: &IncidentView| {
        let began = at(&incident.began_at)?;
        let over = incident.resolved_at.as_deref().and_then(at);
        let is_about = service.is_none_or(|service| incident.subjects.iter().any(|subject| subject == service));
        // A chart ends at a whole step; what has just begun is at its edge.
        (is_about && began < span.to + span.step && over.is_none_or(|over| over >= span.from)).then(|| {
            json!({
                "at": began.clamp(span.from, span.to) / 1_000,
                "until": over.unwrap_or(span.to).clamp(began.clamp(span.from, span.to), span.to) / 1_000,
                "text": format!("incident {}: {} ({})", incident.number, incident.title, incident.status),
                "bad": true,
                "href": format!("/incidents/{}", incident.number),
            })
        })
    };
    incidents.iter().filter_map(mark).take(MOST_MARKS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_mean_something_else_in_a_question_is_none() {
        for (name, good) in
            [("chat-backend", true), ("a1", true), ("a\"}", false), ("a.*", false), ("A", false), ("a b", false)]
        {
            assert_eq!(is_name(name), good, "{name}");
        }
    }

    #[test]
    fn only_deploys_of_the_time_shown_are_marked() {
        let rollout = |number, begun_at: &str, stage: &str| {
            let slot = |slot: &str| crate::api::SlotView { slot: slot.into(), version: None, digest: None, percent: 0 };
            RolloutView {
                number,
                service: "a".into(),
                version: "v1".into(),
                stage: stage.into(),
                about: String::new(),
                attempt: 1,
                over: true,
                started_by: "ada".into(),
                begun_at: begun_at.into(),
                old: slot("blue"),
                new: slot("green"),
                waits_for: Vec::new(),
                why: None,
                look: None,
                steps: Vec::new(),
            }
        };
        let rollouts = [
            rollout(3, "2026-01-01T02:00:00Z", "done"),
            rollout(2, "2026-01-01T00:30:00Z", "rolled-back"),
            rollout(1, "2025-12-31T00:00:00Z", "done"),
        ];
        let from = "2026-01-01T00:00:00Z".parse::<jiff::Timestamp>().expect("a time").as_millisecond();
        let marks = marks(&rollouts, Span { from, to: from + 3_600_000, step: 10_000 });
        let expected = json!([{
            "at": from / 1_000 + 1_800, "text": "a v1 (rolled-back)", "bad": true, "href": "/rollouts/2"
        }]);
        assert_eq!(marks, expected);
    }
}
