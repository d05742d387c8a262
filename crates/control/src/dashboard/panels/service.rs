//! Parts of a service's page.

use askama::Template;
use serde_json::{Value, json};

use super::super::figures::{self, FULL_CRITICAL, FULL_WARNING};
use super::super::state::{Mark, State};
use super::super::{Dashboard, units};
use super::{Table, Tabular, status};
use crate::api::{InstanceStatus, RolloutView, ServiceStatus, SlotView};
use crate::clock;
use crate::server::ask;
use crate::supervisor::Call;

/// The service, where there is one of this name.
async fn service(dashboard: &Dashboard, name: &str) -> Option<ServiceStatus> {
    status(dashboard).await.ok()?.services.into_iter().find(|service| service.name == name)
}

#[derive(Template)]
#[template(path = "dashboard/panels/slots.html")]
pub(super) struct Slots {
    slots: Vec<Slot>,
    rollout: Option<u64>,
}

struct Slot {
    name: String,
    version: Option<String>,
    digest: Option<String>,
    percent: u8,
    ready: usize,
    instances: usize,
}

pub(super) async fn slots(dashboard: &Dashboard, name: &str) -> Slots {
    let (service, rollouts) = tokio::join!(
        service(dashboard, name),
        ask(&dashboard.app, |reply| Call::Rollouts { service: Some(name.to_owned()), reply })
    );
    let instances = service.map(|service| service.instances).unwrap_or_default();
    let last = rollouts.unwrap_or_default().into_iter().next();
    Slots { rollout: last.as_ref().map(|last| last.number), slots: in_slots(last.as_ref(), &instances) }
}

/// As the last rollout says; where there was none, the one that instances are in serves all.
fn in_slots(last: Option<&RolloutView>, instances: &[InstanceStatus]) -> Vec<Slot> {
    let in_slot = |slot: &str| instances.iter().filter(move |instance| instance.slot == slot).count();
    let ready =
        |slot: &str| instances.iter().filter(|instance| instance.slot == slot && instance.phase == "ready").count();
    if let Some(last) = last {
        let slot = |view: &SlotView| Slot {
            name: view.slot.clone(),
            version: view.version.clone(),
            digest: view.digest.as_ref().map(|digest| digest.chars().take(12).collect()),
            percent: view.percent,
            ready: ready(&view.slot),
            instances: in_slot(&view.slot),
        };
        let mut slots = vec![slot(&last.old), slot(&last.new)];
        slots.sort_by(|a, b| a.name.cmp(&b.name));
        return slots;
    }
    let mut names: Vec<&str> = instances.iter().map(|instance| instance.slot.as_str()).collect();
    names.dedup();
    let slot = |name: &str| Slot {
        name: name.to_owned(),
        version: instances.iter().find(|instance| instance.slot == name).map(|instance| instance.release.clone()),
        digest: None,
        percent: 100,
        ready: ready(name),
        instances: in_slot(name),
    };
    names.into_iter().take(1).map(slot).collect()
}

impl Tabular for Slots {
    fn table(&self) -> Table {
        let mut table = Table::new(&["slot", "version", "digest", "percent", "ready", "instances"]);
        for slot in &self.slots {
            table.row([
                json!(slot.name),
                json!(slot.version),
                json!(slot.digest),
                json!(slot.percent),
                json!(slot.ready),
                json!(slot.instances),
            ]);
        }
        table
    }
}

#[derive(Template)]
#[template(path = "dashboard/panels/signals.html")]
pub(super) struct Signals {
    tiles: Vec<Signal>,
}

struct Signal {
    name: &'static str,
    key: &'static str,
    value: Option<f64>,
    text: Option<String>,
    mark: Mark,
}

pub(super) async fn signals(dashboard: &Dashboard, name: &str) -> Signals {
    let measured = &dashboard.measured;
    let routes = figures::routes_of(name);
    let (requests, errors) = (figures::requests(&routes, "5m"), figures::errors(&routes, "5m"));
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|quantile| figures::quantile(quantile, &routes, "5m"));
    let cpu = format!("sum (rate(mana_instance_cpu_seconds_total{{service=\"{name}\"}}[1m]))");
    let memory = format!("sum (mana_instance_memory_bytes{{service=\"{name}\"}})");
    let full = format!(
        "max (mana_instance_memory_bytes{{service=\"{name}\"}} / mana_instance_memory_limit_bytes{{service=\"{name}\"}})"
    );
    let one = async |text: &str| measured.one(text).await.ok().flatten();
    let (requests, errors, p50, p95, p99, cpu, memory, full) = tokio::join!(
        one(&requests),
        one(&errors),
        one(&p50),
        one(&p95),
        one(&p99),
        one(&cpu),
        one(&memory),
        one(&full)
    );
    let target = measured.targets().p95(name);
    let nothing = || State::Unknown.mark("No requests");
    let time = |name, key, value: Option<f64>, counts: bool| Signal {
        name,
        key,
        value,
        text: value.map(units::seconds),
        mark: value.map_or_else(nothing, |seconds| match figures::latency_state(seconds, target) {
            _ if !counts => State::Healthy.mark("Measured"),
            State::Healthy => State::Healthy.mark("Within target"),
            state => state.mark("Over target"),
        }),
    };
    let tiles = vec![
        Signal {
            name: "Requests",
            key: "requests_per_second",
            value: requests,
            text: requests.map(units::rate),
            mark: requests.filter(|rate| *rate > 0.0).map_or_else(nothing, |_| State::Healthy.mark("Normal")),
        },
        Signal {
            name: "Errors",
            key: "error_share",
            value: errors,
            text: errors.map(units::percent),
            mark: errors.map_or_else(nothing, |share| match figures::errors_state(share) {
                State::Healthy => State::Healthy.mark("Good"),
                state => state.mark("Raised"),
            }),
        },
        time("p50", "p50_seconds", p50, false),
        time("p95", "p95_seconds", p95, true),
        time("p99", "p99_seconds", p99, false),
        Signal {
            name: "Processor",
            key: "cores",
            value: cpu,
            text: cpu.map(units::percent),
            mark: cpu.map_or_else(|| State::Unknown.mark("Not measured"), |_| State::Healthy.mark("Of one core")),
        },
        Signal {
            name: "Memory",
            key: "memory_bytes",
            value: memory,
            text: memory.map(units::bytes),
            mark: match (memory, full) {
                (None, _) => State::Unknown.mark("Not measured"),
                (_, None) => State::Healthy.mark("No limit"),
                (_, Some(share)) => State::at(share, FULL_WARNING, FULL_CRITICAL)
                    .mark(format!("{} of its limit", units::percent(share))),
            },
        },
    ];
    Signals { tiles }
}

impl Tabular for Signals {
    fn table(&self) -> Table {
        let mut table = Table::new(&["signal", "value", "state", "about"]);
        for tile in &self.tiles {
            let value = tile.value.map_or(Value::Null, |value| json!(value));
            table.row([json!(tile.key), value, json!(tile.mark.state.name()), json!(tile.mark.word)]);
        }
        table
    }
}

#[derive(Template)]
#[template(path = "dashboard/panels/instances.html")]
pub(super) struct Instances {
    rows: Vec<Row>,
}

struct Row {
    instance: InstanceStatus,
    mark: Mark,
    cpu: Option<String>,
    memory: Option<String>,
    up: Option<String>,
}

pub(super) async fn instances(dashboard: &Dashboard, name: &str) -> Instances {
    let instances = service(dashboard, name).await.map(|service| service.instances).unwrap_or_default();
    let now = clock::timestamp();
    let row = |instance: InstanceStatus| Row {
        mark: phase(&instance.phase),
        cpu: instance.cpu.map(units::percent),
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        memory: instance.memory_bytes.map(|bytes| units::bytes(bytes as f64)),
        up: instance.started_at.as_deref().and_then(|at| units::since(at, now)).map(units::duration),
        instance,
    };
    Instances { rows: instances.into_iter().map(row).collect() }
}

fn phase(phase: &str) -> Mark {
    let state = match phase {
        "ready" => State::Healthy,
        "waiting" | "migrating" | "starting" | "stopping" | "unready" => State::Warning,
        "backoff" | "blocked" => State::Critical,
        _ => State::Unknown,
    };
    state.mark(phase)
}

impl Tabular for Instances {
    fn table(&self) -> Table {
        let mut table = Table::new(&[
            "instance",
            "slot",
            "release",
            "phase",
            "reason",
            "pid",
            "cpu",
            "memory_bytes",
            "restarts",
            "last_exit",
        ]);
        for Row { instance, .. } in &self.rows {
            table.row([
                json!(instance.id),
                json!(instance.slot),
                json!(instance.release),
                json!(instance.phase),
                json!(instance.reason),
                json!(instance.pid),
                json!(instance.cpu),
                json!(instance.memory_bytes),
                json!(instance.restarts),
                json!(instance.last_exit),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(slot: &str, phase: &str) -> InstanceStatus {
        InstanceStatus {
            id: "a-1".into(),
            slot: slot.into(),
            release: "v1".into(),
            phase: phase.into(),
            reason: None,
            pid: None,
            port: None,
            started_at: None,
            adopted: false,
            restarts: 0,
            last_exit: None,
            cpu: None,
            memory_bytes: None,
            log_file: "/x".into(),
        }
    }

    #[test]
    fn what_nothing_was_rolled_out_for_serves_from_the_slot_of_its_instances() {
        let slots = in_slots(None, &[instance("blue", "ready"), instance("blue", "starting")]);
        let told: Vec<_> = slots
            .iter()
            .map(|slot| (slot.name.as_str(), slot.version.as_deref(), slot.percent, slot.ready, slot.instances))
            .collect();
        assert_eq!(told, [("blue", Some("v1"), 100, 1, 2)]);
        assert!(in_slots(None, &[]).is_empty());
    }

    #[test]
    fn every_phase_has_a_state() {
        let states = ["ready", "starting", "backoff", "stopped"].map(|name| phase(name).state);
        assert_eq!(states, [State::Healthy, State::Warning, State::Critical, State::Unknown]);
    }
}
