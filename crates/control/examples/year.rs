//! Fills a store of series with a year of 50 services, as the edge and the watch measure them, so that the dashboard can be looked
//! at and timed with as much as it will ever have: `year DATA_FOLDER`, with no control plane running on it.
//!
//! A sample an hour for the year, one a minute for the last thirty days, one each ten seconds for the last two: what a store that was
//! filled all along has left of it. It is kept up all along, too: windows become blocks, and blocks coarser ones, when their time has come.

use std::path::PathBuf;

use mana_control::paths;
use mana_watch::series::{Labels, NAME};
use mana_watch::store::{Kind, Limits, SeriesId, Store};

const SERVICES: usize = 50;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Between two times of upkeep: less than what the store takes for a clock that jumped.
const UPKEEP_EVERY_MS: i64 = 20 * 60_000;

struct Filled {
    id: SeriesId,
    group: String,
    labels: Labels,
    /// What a second adds to a counter; what a gauge is about.
    weight: f64,
    counts: bool,
    value: f64,
}

impl Filled {
    fn kind(&self) -> Kind {
        kind(self.counts)
    }
}

fn kind(counts: bool) -> Kind {
    if counts { Kind::Counter } else { Kind::Gauge }
}

#[expect(clippy::disallowed_methods, reason = "the rim of a program of its own")]
fn main() {
    let data = std::env::args().nth(1).map(PathBuf::from).expect("the data folder, as the only argument");
    let now =
        jiff::Timestamp::try_from(std::time::SystemTime::now()).expect("a time").as_millisecond() / 10_000 * 10_000;
    let begin = now - 365 * DAY_MS;
    let mut store = Store::open(&paths::series(&data), Limits::default(), begin).expect("a store");
    let mut all = series(&mut store);
    println!("{} series", all.len());
    let spans = [(begin, HOUR_MS), (now - 30 * DAY_MS, 60_000), (now - 2 * DAY_MS, 10_000), (now, 10_000)];
    let (mut chance, mut kept_up, mut samples) = (1_u64, begin, 0_usize);
    for pair in spans.windows(2) {
        let ((from, step), (to, _)) = (pair[0], pair[1]);
        let mut at = from;
        while at < to {
            while kept_up + UPKEEP_EVERY_MS <= at {
                kept_up += UPKEEP_EVERY_MS;
                while store.maintain(kept_up).expect("upkeep") {}
            }
            let values: Vec<f64> = all.iter_mut().map(|one| next(one, step, &mut chance)).collect();
            let mut taken = append(&mut store, &all, &values, at);
            if taken < all.len() {
                // A series that the store has forgotten, since nothing of it is in memory, has another id.
                for one in &mut all {
                    one.id = store.identify(&one.group, &one.labels, one.kind()).expect("room for it");
                }
                taken += append(&mut store, &all, &values, at);
            }
            assert_eq!(taken, all.len(), "all are taken");
            samples += taken;
            at += step;
        }
        println!("{samples} samples");
    }
    while store.maintain(now).expect("upkeep") {}
    let stats = store.stats();
    println!("{stats:?}");
    assert_eq!(stats.counts.given_up, 0, "all of the year is there");
}

/// How many were taken.
fn append(store: &mut Store, all: &[Filled], values: &[f64], at: i64) -> usize {
    let round: Vec<(SeriesId, f64)> = all.iter().zip(values).map(|(one, value)| (one.id, *value)).collect();
    let appended = store.append(&round, at);
    assert!(appended.unwritten.is_none(), "{:?}", appended.unwritten);
    appended.taken
}

fn next(one: &mut Filled, step: i64, chance: &mut u64) -> f64 {
    *chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    #[expect(clippy::cast_precision_loss, reason = "chance")]
    let share = (*chance >> 40) as f64 / (1_u64 << 24) as f64;
    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    let seconds = step as f64 / 1_000.0;
    one.value = if one.counts {
        (one.value + one.weight * seconds * (0.5 + share)).floor()
    } else {
        one.weight * (0.9 + 0.2 * share)
    };
    one.value
}

fn series(store: &mut Store) -> Vec<Filled> {
    let mut all = Vec::new();
    let mut add = |group: &str, name: &str, labels: &[(&str, &str)], weight: f64, counts: bool| {
        let named = labels.iter().copied().chain([(NAME, name)]);
        let (labels, kind) = (Labels::new(named), kind(counts));
        let id = store.identify(group, &labels, kind).expect("room for it");
        all.push(Filled { id, group: group.to_owned(), labels, weight, counts, value: 0.0 });
    };
    let borders = borders();
    for service in 0..SERVICES {
        let name = format!("service-{service}");
        let edge = [("service", "edge"), ("instance", "edge"), ("route", &name), ("slot", "blue"), ("release", "v1")];
        for (class, rate) in [("2xx", 20.0), ("4xx", 0.5), ("5xx", 0.05)] {
            let labels: Vec<_> = edge.iter().copied().chain([("class", class)]).collect();
            add("edge", "mana_edge_requests_total", &labels, rate, true);
        }
        for (at, border) in borders.iter().enumerate() {
            // Cumulative, most of them between 20 and 300 ms.
            #[expect(clippy::cast_precision_loss, reason = "some dozens")]
            let share = 1.0 / (1.0 + (-(at as f64 - 32.0) / 3.0).exp());
            let labels: Vec<_> = edge.iter().copied().chain([("le", border.as_str())]).collect();
            add("edge", "mana_edge_request_seconds_bucket", &labels, 20.5 * share, true);
        }
        add("edge", "mana_edge_request_seconds_count", &edge, 20.5, true);
        add("edge", "mana_edge_request_seconds_sum", &edge, 2.0, true);
        let own = [("service", name.as_str()), ("instance", "blue-1"), ("slot", "blue")];
        let process = format!("{name}/blue-1/process");
        add("mana", "mana_instance_cpu_seconds_total", &own, 0.2, true);
        add("mana", "mana_instance_memory_bytes", &own, 60e6, false);
        add(&process, "process_disk_read_bytes_total", &own, 1e4, true);
        add(&process, "process_disk_written_bytes_total", &own, 1e5, true);
        for via in ["direct", "public"] {
            let host = format!("{name}.localhost");
            let host = (via == "public").then_some(("host", host.as_str()));
            let labels: Vec<_> = [("service", name.as_str()), ("via", via)].into_iter().chain(host).collect();
            let target = host.map_or(format!("{name}/probe-direct"), |(_, host)| format!("{name}/probe-public/{host}"));
            add(&target, "probe_success", &labels, 1.0 / 1.1, false);
        }
        let labels = &own[..1];
        add("mana", "mana_instances_wanted", labels, 1.0, false);
        add("mana", "mana_instances_ready", labels, 1.0, false);
        add("mana", "mana_rollout_failed", labels, 0.0, false);
        add("mana", "mana_instance_restarts_total", &own[..2], 0.0, true);
        add("mana", "mana_instance_memory_limit_bytes", &own, 100e6, false);
    }
    for cpu in ["0", "1", "2", "3"] {
        for mode in ["idle", "user", "system", "iowait"] {
            let labels = [("cpu", cpu), ("mode", mode)];
            add("host", "node_cpu_seconds_total", &labels, if mode == "idle" { 0.7 } else { 0.1 }, true);
        }
    }
    add("host", "node_memory_MemTotal_bytes", &[], 16e9, false);
    add("host", "node_memory_MemAvailable_bytes", &[], 9e9, false);
    add("host", "node_disk_read_bytes_total", &[("device", "vda")], 1e6, true);
    add("host", "node_disk_written_bytes_total", &[("device", "vda")], 4e6, true);
    add("host", "node_disk_io_time_seconds_total", &[("device", "vda")], 0.1, true);
    add("host", "node_filesystem_size_bytes", &[("mountpoint", "/")], 100e9, false);
    add("host", "node_filesystem_avail_bytes", &[("mountpoint", "/")], 40e9, false);
    all
}

/// Those of the edge: four an octave, from a quarter of a millisecond to a minute, and the last one.
fn borders() -> Vec<String> {
    let octaves = (0..72).map(|at| format!("{:.6}", 0.000_244 * 2_f64.powf(f64::from(at) / 4.0)));
    octaves.chain(["+Inf".to_owned()]).collect()
}
