//! The host: processor, memory, disk, and who uses most of each.

use askama::Template;
use serde_json::{Value, json};

use super::super::figures::{FULL_CRITICAL, FULL_WARNING};
use super::super::measured::{Unmeasured, Values};
use super::super::state::{Mark, State};
use super::super::{Dashboard, units};
use super::{Table, Tabular};

/// So many consumers of each.
const TOP: &str = "3";

const CPU: &str = "1 - avg(rate(node_cpu_seconds_total{mode=\"idle\"}[1m]))";
const CPU_OF: &str = "sum by (service) (rate(mana_instance_cpu_seconds_total[1m]))";
const MEMORY: &str = "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes";
const MEMORY_OF: &str = "sum by (service) (mana_instance_memory_bytes)";
const MEMORY_TOTAL: &str = "max(node_memory_MemTotal_bytes)";
/// Stacked devices (a partition and its disk) count once: the busiest stands for the host.
const DISK_RATE: &str = "max(rate(node_disk_read_bytes_total[1m]) + rate(node_disk_written_bytes_total[1m]))";
const DISK_BUSY: &str = "max(rate(node_disk_io_time_seconds_total[1m]))";
const DISK_OF: &str =
    "sum by (service) (rate(process_disk_read_bytes_total[1m]) + rate(process_disk_written_bytes_total[1m]))";
const SPACE: &str = "1 - min by (mountpoint) (node_filesystem_avail_bytes / node_filesystem_size_bytes)";
const CORES: &str = "count(count by (cpu) (node_cpu_seconds_total))";

#[derive(Template)]
#[template(path = "dashboard/panels/resources.html")]
pub(super) struct Resources {
    gauges: Vec<Gauge>,
    space: Vec<Space>,
    unmeasured: Option<String>,
}

struct Gauge {
    name: &'static str,
    key: &'static str,
    /// What the bar is long by.
    share: Option<f64>,
    text: Option<String>,
    about: &'static str,
    mark: Mark,
    top: Vec<Consumer>,
}

struct Consumer {
    service: String,
    value: f64,
    text: String,
}

struct Space {
    mountpoint: String,
    share: f64,
    text: String,
    mark: Mark,
}

impl Gauge {
    /// In percent, for the picture.
    fn width(&self) -> String {
        width(self.share.unwrap_or_default())
    }
}

impl Space {
    fn width(&self) -> String {
        width(self.share)
    }
}

fn width(share: f64) -> String {
    format!("{:.1}", share.clamp(0.0, 1.0) * 100.0)
}

pub(super) async fn look(dashboard: &Dashboard) -> Resources {
    let measured = &dashboard.measured;
    let top = |of: &str| format!("topk({TOP}, {of} > 0)");
    let (cpu_of, memory_of, disk_of) = (top(CPU_OF), top(MEMORY_OF), top(DISK_OF));
    let (cpu, memory, rate, busy, space) = tokio::join!(
        measured.one(CPU),
        measured.one(MEMORY),
        measured.one(DISK_RATE),
        measured.one(DISK_BUSY),
        measured.now(SPACE)
    );
    let (cpu_of, memory_of, disk_of, cores, total) = tokio::join!(
        measured.now(&cpu_of),
        measured.now(&memory_of),
        measured.now(&disk_of),
        measured.one(CORES),
        measured.one(MEMORY_TOTAL)
    );
    let unmeasured = cpu.as_ref().err().map(Unmeasured::to_string);
    let (cpu, memory) = (cpu.ok().flatten(), memory.ok().flatten());
    let (rate, busy) = (rate.ok().flatten(), busy.ok().flatten());
    let cores = cores.ok().flatten().unwrap_or(1.0).max(1.0);
    let total = total.ok().flatten().filter(|total| *total > 0.0);
    let gauges = vec![
        Gauge {
            name: "CPU usage",
            key: "cpu",
            share: cpu,
            text: cpu.map(units::percent),
            about: "of all cores",
            mark: fullness(cpu),
            top: consumers(cpu_of, |value| units::percent(value / cores)),
        },
        Gauge {
            name: "Memory usage",
            key: "memory",
            share: memory,
            text: memory.map(units::percent),
            about: "of what is there",
            mark: fullness(memory),
            top: consumers(memory_of, |value| {
                let share = total.map(|total| format!(" · {}", units::percent(value / total))).unwrap_or_default();
                format!("{}{share}", units::bytes(value))
            }),
        },
        Gauge {
            name: "Disk I/O",
            key: "disk",
            share: busy,
            text: rate.map(|rate| format!("{}/s", units::bytes(rate))),
            about: "the bar: share of the time that it is busy",
            mark: fullness(busy),
            top: consumers(disk_of, |value| format!("{}/s", units::bytes(value))),
        },
    ];
    Resources { gauges, space: spaces(space), unmeasured }
}

fn fullness(share: Option<f64>) -> Mark {
    share.map_or_else(
        || State::Unknown.mark("Not measured"),
        |share| match State::at(share, FULL_WARNING, FULL_CRITICAL) {
            State::Healthy => State::Healthy.mark("Normal"),
            State::Critical => State::Critical.mark("Nearly full"),
            state => state.mark("High"),
        },
    )
}

fn consumers(values: Result<Values, Unmeasured>, text: impl Fn(f64) -> String) -> Vec<Consumer> {
    let Ok(values) = values else { return Vec::new() };
    let consumer = |(labels, value): &(mana_watch::series::Labels, f64)| Consumer {
        service: labels.get("service").to_owned(),
        value: *value,
        text: text(*value),
    };
    values.iter().map(consumer).collect()
}

fn spaces(values: Result<Values, Unmeasured>) -> Vec<Space> {
    let Ok(values) = values else { return Vec::new() };
    let mut spaces: Vec<Space> = values
        .iter()
        .map(|(labels, share)| Space {
            mountpoint: labels.get("mountpoint").to_owned(),
            share: *share,
            text: units::percent(*share),
            mark: fullness(Some(*share)),
        })
        .collect();
    spaces.sort_by(|a, b| b.share.total_cmp(&a.share));
    spaces.truncate(4);
    spaces
}

impl Tabular for Resources {
    fn table(&self) -> Table {
        let mut table = Table::new(&["resource", "consumer", "value", "share", "state"]);
        let known = |value: Option<f64>| value.map_or(Value::Null, |value| json!(value));
        for gauge in &self.gauges {
            let state = json!(gauge.mark.state.name());
            table.row([json!(gauge.key), Value::Null, json!(gauge.text), known(gauge.share), state]);
            for consumer in &gauge.top {
                let name = json!(consumer.service);
                table.row([json!(gauge.key), name, json!(consumer.value), Value::Null, Value::Null]);
            }
        }
        for space in &self.space {
            let state = json!(space.mark.state.name());
            table.row([json!("disk_space"), json!(space.mountpoint), Value::Null, json!(space.share), state]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_well_until_four_fifths_and_nothing_measured_is_unknown() {
        let states = [None, Some(0.5), Some(0.85), Some(0.97)].map(|share| fullness(share).state);
        assert_eq!(states, [State::Unknown, State::Healthy, State::Warning, State::Critical]);
        assert_eq!((width(0.456).as_str(), width(1.7).as_str(), width(-1.0).as_str()), ("45.6", "100.0", "0.0"));
    }
}
