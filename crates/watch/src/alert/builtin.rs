//! The rules that everybody has, and the names that they read.

use std::sync::LazyLock;

use serde::Deserialize;

use super::rule::Rule;

/// See the file: it says why each is as it is.
const TEXT: &str = include_str!("builtin.toml");

/// Every metric that the rules read, with who gives it and by which labels. Whoever gives one has to call it so.
pub const METRICS: [(&str, &str); 30] = [
    // The watch, of what it scrapes and probes.
    ("up", "watch, each scrape: service, instance; 1 if the target answered"),
    ("probe_success", "watch, each probe: service, via=direct|public, host of the latter; 1 if it answered well"),
    ("node_memory_MemAvailable_bytes", "watch, the host, as node_exporter says it"),
    ("node_memory_MemTotal_bytes", "watch, the host, as node_exporter says it"),
    ("node_filesystem_avail_bytes", "watch, the host, as node_exporter says it: device, mountpoint, fstype"),
    ("node_filesystem_size_bytes", "watch, the host, as node_exporter says it: device, mountpoint, fstype"),
    ("pg_up", "watch, each PostgreSQL: server, the manifest's name of it or postgres@HOST:PORT"),
    ("redis_up", "watch, each Redis: server, likewise"),
    ("mana_pool_connections_free", "each service of the kit: database; connections that its pool may still use"),
    (
        "mana_database_slowest_query_seconds",
        "watch, each PostgreSQL: server, database; the longest mean time of a statement in the last interval, or what runs for longer",
    ),
    ("mana_dependency_up", "watch, each external dependency: dependency; 1 if it answered well"),
    (
        "mana_channel_up",
        "watch, each channel for messages: channel; 0 while it takes no connection, or none of what it is sent",
    ),
    ("mana_watch_series_refused_total", "watch: series for which the store had no room"),
    // The control plane, of what it runs.
    ("mana_instances_wanted", "control: service; instances that there should be, 0 where it is stopped on purpose"),
    ("mana_instances_ready", "control: service; instances that are ready"),
    ("mana_instance_restarts_total", "control: service, instance; from 0 on"),
    (
        "mana_instance_oom_kills_total",
        "control: service, instance; from 0 on; ended over its limit of memory, or by the kernel for want of it",
    ),
    ("mana_instance_memory_bytes", "control: service, instance, slot; of all its processes, as the limit is"),
    ("mana_instance_memory_limit_bytes", "control: service, instance, slot; absent without a limit"),
    ("mana_rollout_failed", "control: service; 1 from a rollout that failed or went back until one succeeds"),
    (
        "mana_backup_good_timestamp_seconds",
        "control, once it makes backups: database; when the last one was made that is good, 0 without any",
    ),
    ("mana_backup_bytes", "control, once it makes backups: database; size of the last one"),
    ("mana_backup_previous_bytes", "control, once it makes backups: database; size of the good one before it"),
    // The edge.
    ("mana_edge_requests_total", "edge: route, slot, release, class"),
    ("mana_edge_request_seconds_bucket", "edge: route, slot, release, le"),
    ("mana_edge_request_seconds_count", "edge: route, slot, release; objectives of latency read it"),
    ("mana_edge_certificate_expiry_seconds", "edge: host, source"),
    ("mana_edge_certificate_failures", "edge: host"),
    // Services.
    ("logins_failed_total", "accounts, from the first login that fails on"),
    ("http_requests_total", "each service of the kit: route, method, status; for rules of one's own"),
];

/// What is measured besides, of our own names.
const OTHERS: [&str; 27] = [
    "probe_duration_seconds",
    "probe_failure",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "mana_service_info",
    "mana_instance_exits_total",
    "mana_instance_cpu_seconds_total",
    "mana_instance_processes",
    "mana_dependency_seconds",
    "mana_channel_seconds",
    "mana_server_answer_seconds",
    "mana_database_running_seconds",
    "mana_pool_connections_max",
    "mana_pool_connections_open",
    "mana_pool_connections_busy",
    "mana_sqlite_size_bytes",
    "mana_sqlite_wal_bytes",
    "mana_sqlite_whole",
    "mana_sqlite_checked_timestamp_seconds",
    "mana_watch_series",
    "mana_watch_samples_total",
    "mana_watch_disk_bytes",
    "mana_watch_heartbeats_total",
    "mana_watch_remote_write_dropped_samples_total",
    "mana_watch_remote_write_behind_seconds",
];
/// Beginnings of names of which there are many, each from one source.
const FAMILIES: [&str; 7] = ["node_", "process_", "pg_", "redis_", "mana_edge_", "mana_watch_", "scrape_"];

/// Whether a built-in source gives a metric of this name, be it only where there is something to be measured.
#[must_use]
pub fn is_given(name: &str) -> bool {
    FAMILIES.iter().any(|family| name.starts_with(family)) || names().any(|known| known == name)
}

/// Whether only a built-in source can give it: a name of ours that none gives is misspelt.
#[must_use]
pub fn is_ours(name: &str) -> bool {
    name.starts_with("mana_") || name.starts_with("probe_")
}

/// All names that are known one by one.
pub fn names() -> impl Iterator<Item = &'static str> {
    METRICS.iter().map(|(name, _)| *name).chain(OTHERS)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rules: Vec<Rule>,
}

/// The rules.
pub fn rules() -> &'static [Rule] {
    static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
        let file: Result<File, _> = toml::from_str(TEXT);
        file.expect("the rules of this crate are read by its tests").rules
    });
    &RULES
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::alert::{Absence, Book, Event, Role, Severity, State, What};

    /// Names in an expression that can be metrics: what is no text, no label, no function and no word of the language.
    fn metrics(expression: &str) -> BTreeSet<String> {
        let rest = regex::Regex::new(r#""[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(by|on|without|ignoring)\s*\([^)]*\)"#).unwrap();
        let names = regex::Regex::new(r"[A-Za-z_:][A-Za-z0-9_:]*\s*\(?").unwrap();
        let bare = rest.replace_all(expression, " ");
        let known = ["and", "or", "unless", "offset", "sum", "min", "max", "avg", "h", "d"];
        let names = names.find_iter(&bare).map(|name| name.as_str().trim()).filter(|name| !name.ends_with('('));
        let number = |name: &&str| !known.contains(name);
        names.filter(number).map(str::to_owned).collect()
    }

    #[test]
    fn the_rules_are_taken_all_of_them() {
        let event = |rules| Event { at: 0, what: What::RulesChanged(Box::new(Book { rules, ..Book::default() })) };
        let mut state = State::default();
        assert_eq!(state.step(&event(rules().to_vec())).effects, []);
        assert_eq!(state.rules().count(), rules().len());
    }

    #[test]
    fn what_the_rules_read_is_listed_with_who_gives_it() {
        let listed: BTreeSet<String> = METRICS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(listed.len(), METRICS.len());
        let read: BTreeSet<String> = rules().iter().flat_map(|rule| metrics(&rule.expression)).collect();
        assert_eq!(read.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new());
        let unread: Vec<&String> = listed.difference(&read).collect();
        assert_eq!(unread, ["http_requests_total", "mana_edge_request_seconds_count"]);
    }

    #[test]
    fn what_is_said_to_come_from_the_edge_is_in_its_list() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/EDGE.md")).unwrap();
        let (_, list) = page.split_once("## Metrics").unwrap();
        for (name, _) in METRICS {
            let Some(name) = name.strip_prefix("mana_edge_") else { continue };
            let name = name.trim_end_matches("_bucket").trim_end_matches("_count");
            assert!(list.contains(name), "{name}");
        }
    }

    #[test]
    fn the_references_thresholds_are_there() {
        let rules = rules();
        let find = |name: &str| rules.iter().find(|rule| rule.name == name).unwrap();
        for (name, threshold) in [
            ("LatencyHigh", "> 0.5"),
            ("ErrorsHigh", "> 0.05"),
            ("MemoryHigh", "> 0.8"),
            ("HostMemoryHigh", "> 0.8"),
            ("PoolExhausted", "< 2"),
            ("SlowQuery", "> 0.2"),
            ("FailedLogins", "[1m])) > 100"),
            ("CertificateEndsSoon", "< 2592000"),
            ("CrashLoop", "> 2"),
            ("BackupShrunk", "< 0.5"),
        ] {
            assert!(find(name).expression.contains(threshold), "{name}");
        }
        let urgent = rules.iter().filter(|rule| rule.severity == Severity::P1).map(|rule| rule.name.as_str());
        let expected = [
            "ServiceDown",
            "PublicHostDown",
            "CrashLoop",
            "ErrorsMost",
            "DatabaseDown",
            "CertificateEnds",
            "DiskFull",
            "BackupShrunk",
        ];
        assert_eq!(urgent.collect::<Vec<_>>(), expected);
        assert!(
            rules.iter().all(|rule| rule.no_data == Absence::Shown || rule.role != Role::Fact || rule.path == "server")
        );
    }

    #[test]
    fn nobody_is_told_that_backups_are_not_measured_as_long_as_nothing_makes_them() {
        let of_backups = rules().iter().filter(|rule| rule.expression.contains("mana_backup_"));
        let absences: Vec<Absence> = of_backups.map(|rule| rule.no_data).collect();
        assert_eq!(absences, [Absence::Shown, Absence::Shown]);
    }
}
