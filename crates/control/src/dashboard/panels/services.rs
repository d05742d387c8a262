//! Services by project and kind: how each is, how reachable it was, when it was deployed last.

use std::collections::BTreeMap;

use askama::Template;
use serde_json::{Value, json};

use super::super::figures::Figures;
use super::super::state::{Mark, State};
use super::super::{Dashboard, units};
use super::{Table, Tabular, status};
use crate::api::{RolloutView, ServiceState, ServiceStatus};
use crate::desired::EDGE;
use crate::server::ask;
use crate::supervisor::Call;

/// Share of the day's probes that were answered, from outside where it is reached from there.
const REACHABLE: &str = "min by (service) (avg_over_time(probe_success{via=\"public\"}[24h])) \
    or min by (service) (avg_over_time(probe_success{via=\"direct\"}[24h]))";

#[derive(Template)]
#[template(path = "dashboard/panels/services.html")]
pub(super) struct Services {
    projects: Vec<Project>,
    trouble: Option<String>,
}

struct Project {
    name: String,
    /// By kind: backend (and auth), web, landing (and status).
    cells: [Vec<Cell>; 3],
    uptime: Option<f64>,
    deployed: Option<Deployed>,
}

struct Cell {
    service: String,
    mark: Mark,
    reasons: String,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Deployed {
    at: String,
    what: String,
    number: u64,
}

impl Project {
    fn uptime_text(&self) -> Option<String> {
        self.uptime.map(units::percent)
    }
}

impl Deployed {
    fn minute(&self) -> String {
        units::minute(&self.at)
    }
}

pub(super) async fn look(dashboard: &Dashboard) -> Services {
    let (status, rollouts, figures, reachable) = tokio::join!(
        status(dashboard),
        ask(&dashboard.app, |reply| Call::Rollouts { service: None, reply }),
        Figures::look(&dashboard.measured),
        dashboard.measured.day_by("service", REACHABLE)
    );
    let trouble = status.as_ref().err().cloned();
    let services = status.map(|status| status.services).unwrap_or_default();
    let projects = projects(
        &services,
        &rollouts.unwrap_or_default(),
        &figures.unwrap_or_default(),
        &reachable.unwrap_or_default(),
    );
    Services { projects, trouble }
}

fn projects(
    services: &[ServiceStatus],
    rollouts: &[RolloutView],
    figures: &Figures,
    reachable: &BTreeMap<String, f64>,
) -> Vec<Project> {
    let mut projects: Vec<Project> = Vec::new();
    for service in services.iter().filter(|service| service.name != EDGE) {
        let at = projects.iter().position(|project| project.name == service.project).unwrap_or_else(|| {
            let (name, cells) = (service.project.clone(), [Vec::new(), Vec::new(), Vec::new()]);
            projects.push(Project { name, cells, uptime: None, deployed: None });
            projects.len() - 1
        });
        let project = &mut projects[at];
        let column = match service.kind.as_str() {
            "web" => 1,
            "landing" | "status" => 2,
            _ => 0,
        };
        let (state, reasons) = figures.judge(service);
        let mark = state.mark(word(service.state, state));
        project.cells[column].push(Cell { service: service.name.clone(), mark, reasons: reasons.join(", ") });
        // A project was up as long as the least of its services was.
        if let Some(share) = reachable.get(&service.name) {
            project.uptime = Some(project.uptime.map_or(*share, |least| least.min(*share)));
        }
        project.deployed = project.deployed.take().max(deployed(&service.name, rollouts));
    }
    projects
}

fn word(service: ServiceState, judged: State) -> &'static str {
    match (service, judged) {
        (ServiceState::Up, State::Healthy) => "Up",
        (ServiceState::Up, State::Critical) => "Failing",
        (ServiceState::Up, _) => "Warn",
        (ServiceState::Starting, _) => "Starting",
        (ServiceState::Degraded, _) => "Degraded",
        (ServiceState::Down, _) => "Down",
        (ServiceState::Blocked, _) => "Blocked",
        (ServiceState::Stopped, _) => "Stopped",
    }
}

/// The last one that got so far that it serves. Rollouts come newest first.
fn deployed(service: &str, rollouts: &[RolloutView]) -> Option<Deployed> {
    let serves = |rollout: &&RolloutView| matches!(rollout.stage.as_str(), "done" | "window" | "decommissioning");
    let last = rollouts.iter().filter(|rollout| rollout.service == service).find(serves)?;
    Some(Deployed {
        at: last.begun_at.clone(),
        what: format!("{} {}", last.service, last.version),
        number: last.number,
    })
}

impl Tabular for Services {
    fn table(&self) -> Table {
        let mut table =
            Table::new(&["project", "service", "state", "about", "project_reachable_24h", "project_deployed_at"]);
        for project in &self.projects {
            let uptime = project.uptime.map_or(Value::Null, |share| json!(share));
            let deployed = project.deployed.as_ref().map_or(Value::Null, |deployed| json!(deployed.at));
            for cell in project.cells.iter().flatten() {
                let state = json!(cell.mark.state.name());
                table.row([
                    json!(project.name),
                    json!(cell.service),
                    state,
                    json!(cell.reasons),
                    uptime.clone(),
                    deployed.clone(),
                ]);
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, project: &str, kind: &str) -> ServiceStatus {
        ServiceStatus {
            name: name.into(),
            project: project.into(),
            kind: kind.into(),
            state: ServiceState::Up,
            public_url: None,
            internal_url: None,
            desired: 1,
            ready: 1,
            instances: Vec::new(),
        }
    }

    #[test]
    fn a_project_has_its_services_by_kind_and_the_least_of_their_uptimes() {
        let services = [
            service(EDGE, "", EDGE),
            service("auth", "core", "auth"),
            service("chat-backend", "chat", "backend"),
            service("chat-web", "chat", "web"),
            service("chat", "chat", "landing"),
        ];
        let reachable = BTreeMap::from([("chat-web".to_owned(), 0.5), ("chat".to_owned(), 1.0)]);
        let projects = projects(&services, &[], &Figures::default(), &reachable);
        let told: Vec<_> = projects
            .iter()
            .map(|project| (project.name.as_str(), project.cells.each_ref().map(Vec::len), project.uptime))
            .collect();
        assert_eq!(told, [("core", [1, 0, 0], None), ("chat", [1, 1, 1], Some(0.5))]);
    }
}
