//! Metrics: Prometheus text of everything the `metrics` macros counted, and of the process itself.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::database::Database;

/// Upper bounds of latency buckets in seconds: from a cached read to the longest model call.
const LATENCY_BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// How often histograms are folded while nobody scrapes, so that they never grow.
const UPKEEP_EVERY: Duration = Duration::from_secs(30);

/// The process's one recorder.
pub(crate) fn handle() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets(&LATENCY_BUCKETS).expect("the buckets are not empty");
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("metrics were recorded elsewhere already; /metrics shows none");
        }
        handle
    })
}

/// Folds histograms for ever.
pub(crate) async fn keep_up() {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    loop {
        ticks.tick().await;
        handle().run_upkeep();
    }
}

/// The whole text.
pub(crate) fn render(database: Option<&Database>) -> String {
    let mut text = handle().render();
    for (name, value) in process() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} {value}");
    }
    if let Some(database) = database {
        let (open, idle) = database.pool();
        let most = crate::database::POOL_SIZE;
        let free = usize::try_from(most.saturating_sub(open)).unwrap_or(0) + idle;
        let name = database.name();
        // Under the names that mana's alerts and dashboard read.
        for (what, value) in
            [("open", u64::from(open)), ("idle", idle as u64), ("free", free as u64), ("max", most.into())]
        {
            let _ = writeln!(text, "mana_pool_connections_{what}{{database=\"{name}\"}} {value}");
        }
    }
    text
}

/// User and system time of all threads: fields 14 and 15 of `/proc/self/stat`, counted behind the name's last bracket.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u32>().ok().map(f64::from);
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some((ticks(11)? + ticks(12)?) / f64::from(per_second))
}

/// Memory, CPU time and file handles of this process, read from `/proc`; what cannot be read is left out.
fn process() -> Vec<(&'static str, f64)> {
    let mut facts = Vec::with_capacity(3);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    if let Some(kib) = resident.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()) {
        facts.push(("process_resident_memory_bytes", kib * 1024.0));
    }
    if let Some(seconds) = cpu_seconds() {
        facts.push(("process_cpu_seconds_total", seconds));
    }
    if let Ok(handles) = std::fs::read_dir("/proc/self/fd") {
        facts.push(("process_open_fds", f64::from(u32::try_from(handles.count()).unwrap_or(u32::MAX))));
    }
    facts
}
