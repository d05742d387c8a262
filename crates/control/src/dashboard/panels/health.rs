//! The ecosystem in four numbers, and what is not well by name.

use askama::Template;
use serde_json::{Value, json};

use super::super::figures::{self, Figures};
use super::super::measured::Unmeasured;
use super::super::state::{Mark, State};
use super::super::{Dashboard, units};
use super::Tabular;
use crate::api::{ServiceState, ServiceStatus};
use crate::desired::EDGE;
use crate::server::ask;
use crate::supervisor::Call;

#[derive(Template)]
#[template(path = "dashboard/panels/health.html")]
pub(super) struct Health {
    tiles: Vec<Tile>,
    warnings: Vec<Warning>,
    unmeasured: Option<String>,
}

struct Tile {
    name: &'static str,
    key: &'static str,
    /// `None`: it is not measured.
    text: Option<String>,
    value: Option<f64>,
    mark: Mark,
}

struct Warning {
    service: String,
    mark: Mark,
    reasons: String,
}

pub(super) async fn look(dashboard: &Dashboard) -> Health {
    let measured = &dashboard.measured;
    let (requests, errors, latency) =
        (figures::all_requests("1m"), figures::all_errors("5m"), figures::all_latency("5m"));
    let (status, figures, requests, errors, latency) = tokio::join!(
        ask(&dashboard.app, Call::Status),
        Figures::look(measured),
        measured.one(&requests),
        measured.one(&errors),
        measured.one(&latency)
    );
    let unmeasured = figures.as_ref().err().map(Unmeasured::to_string);
    let services = status.map(|status| status.services).unwrap_or_default();
    let figures = figures.unwrap_or_default();
    let of = |value: Result<Option<f64>, Unmeasured>| value.ok().flatten();
    let mut tiles =
        vec![services_tile(&services), requests_tile(of(requests)), errors_tile(of(errors)), latency_tile(of(latency))];
    if unmeasured.is_some() {
        // That nothing answers is another thing than that nobody asks.
        for tile in tiles.iter_mut().skip(1) {
            tile.mark = State::Unknown.mark("Not measured yet");
        }
    }
    Health { tiles, warnings: warnings(&services, &figures), unmeasured }
}

fn services_tile(services: &[ServiceStatus]) -> Tile {
    let expected: Vec<&ServiceStatus> =
        services.iter().filter(|service| service.name != EDGE && service.state != ServiceState::Stopped).collect();
    let up = expected.iter().filter(|service| service.state == ServiceState::Up).count();
    let down = expected.iter().any(|service| matches!(service.state, ServiceState::Down | ServiceState::Blocked));
    let mark = match (expected.len(), up) {
        (0, _) => State::Unknown.mark("Nothing should run"),
        (expected, up) if expected == up => State::Healthy.mark("Healthy"),
        _ if down => State::Critical.mark("Services are down"),
        _ => State::Warning.mark("Not all are up"),
    };
    let text = Some(format!("{up} / {}", expected.len()));
    #[expect(clippy::cast_precision_loss, reason = "some dozens")]
    Tile { name: "Services", key: "services_up", text, value: Some(up as f64), mark }
}

fn requests_tile(value: Option<f64>) -> Tile {
    let mark = match value {
        None => State::Unknown.mark("Not measured yet"),
        Some(rate) if rate > 0.0 => State::Healthy.mark("Normal"),
        Some(_) => State::Unknown.mark("No requests"),
    };
    Tile { name: "Request rate", key: "requests_per_second", text: value.map(units::rate), value, mark }
}

fn errors_tile(value: Option<f64>) -> Tile {
    let mark = value.map_or_else(
        || State::Unknown.mark("No requests"),
        |share| match figures::errors_state(share) {
            State::Healthy => State::Healthy.mark("Good"),
            State::Critical => State::Critical.mark("Too many"),
            state => state.mark("Raised"),
        },
    );
    Tile { name: "Error rate", key: "error_share", text: value.map(units::percent), value, mark }
}

fn latency_tile(value: Option<f64>) -> Tile {
    let mark = value.map_or_else(
        || State::Unknown.mark("No requests"),
        |seconds| match figures::latency_state(seconds, figures::P95_TARGET_S) {
            State::Healthy => State::Healthy.mark("Fast"),
            State::Critical => State::Critical.mark("Too slow"),
            state => state.mark("Slow"),
        },
    );
    Tile { name: "Average latency", key: "average_latency_seconds", text: value.map(units::seconds), value, mark }
}

/// Worst first.
fn warnings(services: &[ServiceStatus], figures: &Figures) -> Vec<Warning> {
    let mut judged: Vec<(State, Warning)> = services
        .iter()
        .filter_map(|service| {
            let (state, reasons) = figures.judge(service);
            let word = match state {
                State::Critical => "Critical",
                State::Warning => "Warning",
                State::Healthy | State::Unknown => return None,
            };
            let warning =
                Warning { service: service.name.clone(), mark: state.mark(word), reasons: reasons.join(", ") };
            Some((state, warning))
        })
        .collect();
    judged.sort_by(|(a, _), (b, _)| b.cmp(a));
    judged.into_iter().map(|(_, warning)| warning).collect()
}

impl Tabular for Health {
    fn table(&self) -> super::Table {
        let mut table = super::Table::new(&["figure", "value", "state", "about"]);
        for tile in &self.tiles {
            let value = tile.value.map_or(Value::Null, |value| json!(value));
            table.row([json!(tile.key), value, json!(tile.mark.state.name()), json!(tile.mark.word)]);
        }
        for warning in &self.warnings {
            table.row([json!(warning.service), Value::Null, json!(warning.mark.state.name()), json!(warning.reasons)]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_measured_is_no_zero_and_unknown() {
        for tile in [requests_tile(None), errors_tile(None), latency_tile(None)] {
            assert_eq!((tile.text, tile.value, tile.mark.state), (None, None, State::Unknown), "{}", tile.name);
        }
        assert_eq!(services_tile(&[]).mark.state, State::Unknown);
    }

    #[test]
    fn numbers_are_judged_by_their_limits() {
        let states = |make: fn(Option<f64>) -> Tile, values: [f64; 3]| values.map(|value| make(Some(value)).mark.state);
        let all = [State::Healthy, State::Warning, State::Critical];
        assert_eq!(states(errors_tile, [0.002, 0.02, 0.2]), all);
        assert_eq!(states(latency_tile, [0.45, 0.6, 3.0]), all);
    }
}
