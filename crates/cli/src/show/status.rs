//! Desired against actual.

use jiff::Timestamp;
use mana_control::api::{InstanceStatus, ServiceState, ServiceStatus, Status};

use super::progress::{tone, word};
use super::style::{Style, Tone};
use super::table::{self, Cell, Column};
use super::units;

const COLUMNS: [Column; 11] = [
    Column::text("SERVICE", 0),
    Column::text("STATE", 0),
    Column::number("READY", 0),
    Column::number("PID", 3),
    Column::number("PORT", 4),
    Column::number("RESTARTS", 5),
    Column::number("UP", 2),
    Column::number("CPU", 7),
    Column::number("MEMORY", 6),
    Column::text("RUNS", 8),
    Column::text("NOTE", 0),
];

/// Everything, differences last.
pub(crate) fn lines(status: &Status, now: Timestamp, style: Style, width: Option<usize>) -> Vec<String> {
    let mut lines = vec![header(status, now, style, width), String::new()];
    if !status.services.is_empty() {
        let rows: Vec<Vec<Cell>> = status.services.iter().flat_map(|service| rows(service, now)).collect();
        lines.extend(table::lines(&COLUMNS, &rows, style, width));
        lines.push(String::new());
    }
    if status.differences.is_empty() {
        lines.push(
            style.paint(Tone::Good, &format!("✓ all {} as desired", units::count(status.services.len(), "service"))),
        );
    } else {
        lines.push(style.paint(Tone::Bad, &format!("✗ {}:", units::count(status.differences.len(), "difference"))));
        lines.extend(status.differences.iter().map(|difference| format!("  - {difference}")));
    }
    lines
}

fn header(status: &Status, now: Timestamp, style: Style, width: Option<usize>) -> String {
    let up = units::since(&status.started_at, now).map_or_else(|| "?".to_owned(), units::duration);
    let name = if status.ecosystem.is_empty() {
        "nothing was applied yet".to_owned()
    } else {
        format!("{} in {}", status.ecosystem, status.environment)
    };
    let plane = format!("   control plane {} (pid {}) since {up}", status.version, status.control_pid);
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(name.chars().count()));
    format!("{}{}", style.paint(Tone::Strong, &name), style.paint(Tone::Faint, &table::cut(&plane, room)))
}

/// One row for each instance, one for a service without any. The first row names the service.
fn rows(service: &ServiceStatus, now: Timestamp) -> Vec<Vec<Cell>> {
    let state = Cell::toned(tone(service.state), word(service.state));
    let ready = if service.desired == 0 { String::new() } else { format!("{}/{}", service.ready, service.desired) };
    if service.instances.is_empty() {
        let mut row: Vec<Cell> = vec![service.name.as_str().into(), state, ready.into()];
        row.resize(COLUMNS.len() - 1, Cell::default());
        row.push(Cell::toned(Tone::Faint, if service.desired == 0 { "served by the edge" } else { "" }));
        return vec![row];
    }
    let first = [service.name.as_str().into(), state, ready.into()];
    let mut rows = Vec::new();
    for (index, instance) in service.instances.iter().enumerate() {
        let mut row: Vec<Cell> = if index == 0 { first.to_vec() } else { vec![Cell::default(); first.len()] };
        row.extend(instance_cells(instance, service.state, now));
        rows.push(row);
    }
    rows
}

fn instance_cells(instance: &InstanceStatus, state: ServiceState, now: Timestamp) -> [Cell; 8] {
    let up = instance.started_at.as_deref().filter(|_| instance.pid.is_some());
    let restarts = instance.restarts.to_string();
    [
        instance.pid.map(|pid| pid.to_string()).unwrap_or_default().into(),
        instance.port.map(|port| port.to_string()).unwrap_or_default().into(),
        if instance.restarts > 0 { Cell::toned(Tone::Care, restarts) } else { restarts.into() },
        up.and_then(|at| units::since(at, now)).map(units::duration).unwrap_or_default().into(),
        instance.cpu.map(units::cpu).unwrap_or_default().into(),
        instance.memory_bytes.map(units::bytes).unwrap_or_default().into(),
        Cell::toned(Tone::Faint, format!("{} {}", instance.slot, instance.release)),
        note(instance, state),
    ]
}

/// What is worth saying about an instance: nothing while all is well and always was.
fn note(instance: &InstanceStatus, state: ServiceState) -> Cell {
    let reason = instance.reason.as_deref().unwrap_or_default();
    let mut parts = Vec::new();
    // A reason that begins with the phase's word, or tells the last end, says it already.
    if (instance.phase != "ready" || state != ServiceState::Up) && !reason.starts_with(&instance.phase) {
        parts.push(instance.phase.clone());
    }
    parts.extend(instance.reason.clone());
    let last_exit = instance.last_exit.as_deref().filter(|exit| instance.restarts > 0 && !reason.contains(exit));
    if let Some(exit) = last_exit {
        parts.push(format!("last ended by {exit}"));
    }
    let tone = if instance.phase == "ready" { Tone::Faint } else { Tone::Care };
    Cell::toned(tone, parts.join("; "))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().expect("an instant")
    }

    fn instance(id: &str, phase: &str) -> InstanceStatus {
        InstanceStatus {
            id: id.into(),
            slot: "blue".into(),
            release: "dev".into(),
            phase: phase.into(),
            reason: None,
            pid: Some(4711),
            port: Some(20001),
            started_at: Some("2026-01-02T03:02:00Z".into()),
            adopted: false,
            restarts: 0,
            last_exit: None,
            cpu: Some(0.012),
            memory_bytes: Some(9_000_000),
            log_file: "/data/logs/1-x.log".into(),
        }
    }

    fn service(
        name: &str,
        project: &str,
        kind: &str,
        state: ServiceState,
        instances: Vec<InstanceStatus>,
    ) -> ServiceStatus {
        let ready = instances.iter().filter(|instance| instance.phase == "ready").count();
        ServiceStatus {
            name: name.into(),
            project: project.into(),
            kind: kind.into(),
            state,
            public_url: (kind != "edge" && name != "ai-echo").then(|| format!("http://{name}.localhost:8080")),
            internal_url: (!instances.is_empty()).then(|| "http://127.0.0.1:3001".into()),
            desired: u16::try_from(instances.len()).expect("few"),
            ready: u16::try_from(ready).expect("few"),
            instances,
        }
    }

    /// An ecosystem in which all is well.
    pub(crate) fn well() -> Status {
        Status {
            ecosystem: "manacore".into(),
            environment: "development".into(),
            version: "0.1.0".into(),
            control_pid: 99,
            started_at: "2026-01-02T01:02:05Z".into(),
            services: vec![
                service("edge", "manacore", "edge", ServiceState::Up, vec![instance("e", "ready")]),
                service("mana-core-auth", "mana-core-auth", "auth", ServiceState::Up, vec![instance("a", "ready")]),
                service("ai-echo", "ai", "backend", ServiceState::Up, vec![instance("b", "ready")]),
                service(
                    "chat-backend",
                    "chat",
                    "backend",
                    ServiceState::Up,
                    vec![instance("c1", "ready"), InstanceStatus { cpu: Some(0.5), ..instance("c2", "ready") }],
                ),
                service("chat-web", "chat", "web", ServiceState::Up, vec![instance("w", "ready")]),
                service("chat-landing", "chat", "landing", ServiceState::Up, Vec::new()),
            ],
            differences: Vec::new(),
        }
    }

    /// The same with a service in trouble.
    pub(crate) fn unwell() -> Status {
        let mut status = well();
        status.services[3].state = ServiceState::Degraded;
        status.services[3].ready = 1;
        status.services[3].instances[1] = InstanceStatus {
            pid: None,
            port: None,
            started_at: None,
            cpu: None,
            memory_bytes: None,
            restarts: 3,
            reason: Some("tried again in 4.0 s".into()),
            last_exit: Some("signal 9 (SIGKILL)".into()),
            ..instance("c2", "backoff")
        };
        status.differences = vec!["chat-backend: 1 of 2 instances ready".into()];
        status
    }

    #[test]
    fn all_well() {
        insta::assert_snapshot!(lines(&well(), now(), Style::PLAIN, None).join("\n"));
    }

    #[test]
    fn differences_are_named() {
        insta::assert_snapshot!(lines(&unwell(), now(), Style::PLAIN, None).join("\n"));
    }

    #[test]
    fn a_control_plane_without_an_ecosystem_says_so() {
        let status = Status {
            ecosystem: String::new(),
            environment: String::new(),
            services: Vec::new(),
            differences: vec!["nothing was applied yet; `mana up` does".into()],
            ..well()
        };
        insta::assert_snapshot!(lines(&status, now(), Style::PLAIN, None).join("\n"));
    }

    #[test]
    fn a_narrow_terminal_keeps_what_matters() {
        let lines = lines(&unwell(), now(), Style::PLAIN, Some(80));
        insta::assert_snapshot!(lines.join("\n"));
    }
}
