//! Redis, from its answer to `INFO`. Names are redis_exporter's. Who asks has the connection; this only reads the answer.

use std::time::Duration;

use crate::gather::{Sink, Strange, Unknown, Why};

/// What to ask: all sections, those on commands and their latency among them.
pub const COMMAND: [&str; 2] = ["INFO", "everything"];
/// Most commands that are measured on their own, those that took most time.
pub const MAX_COMMANDS: usize = 50;
/// Redis has 16 databases unless it is told otherwise.
pub const MAX_DATABASES: usize = 64;

const PLACE: &str = "INFO";
const MICROSECOND: f64 = 1e-6;

/// How a field becomes a value.
#[derive(Clone, Copy)]
enum Form {
    /// A number, as it is.
    Number,
    /// A word of which this one is 1 and all others are 0.
    Is(&'static str),
}
use Form::{Is, Number};

/// Fields that every version since 5 has: one that is missing is unknown.
const NEEDED: [(&str, &str, Form); 26] = [
    ("uptime_in_seconds", "redis_uptime_in_seconds", Number),
    ("connected_clients", "redis_connected_clients", Number),
    ("blocked_clients", "redis_blocked_clients", Number),
    ("used_memory", "redis_memory_used_bytes", Number),
    ("used_memory_rss", "redis_memory_used_rss_bytes", Number),
    ("used_memory_peak", "redis_memory_used_peak_bytes", Number),
    ("maxmemory", "redis_memory_max_bytes", Number),
    ("mem_fragmentation_ratio", "redis_mem_fragmentation_ratio", Number),
    ("loading", "redis_loading_dump_file", Number),
    ("rdb_changes_since_last_save", "redis_rdb_changes_since_last_save", Number),
    ("rdb_last_save_time", "redis_rdb_last_save_timestamp_seconds", Number),
    ("rdb_last_bgsave_status", "redis_rdb_last_bgsave_status", Is("ok")),
    ("aof_enabled", "redis_aof_enabled", Number),
    ("aof_last_bgrewrite_status", "redis_aof_last_bgrewrite_status", Is("ok")),
    ("aof_last_write_status", "redis_aof_last_write_status", Is("ok")),
    ("total_connections_received", "redis_connections_received_total", Number),
    ("rejected_connections", "redis_rejected_connections_total", Number),
    ("total_commands_processed", "redis_commands_processed_total", Number),
    ("instantaneous_ops_per_sec", "redis_instantaneous_ops_per_sec", Number),
    ("total_net_input_bytes", "redis_net_input_bytes_total", Number),
    ("total_net_output_bytes", "redis_net_output_bytes_total", Number),
    ("expired_keys", "redis_expired_keys_total", Number),
    ("evicted_keys", "redis_evicted_keys_total", Number),
    ("keyspace_hits", "redis_keyspace_hits_total", Number),
    ("keyspace_misses", "redis_keyspace_misses_total", Number),
    ("connected_slaves", "redis_connected_slaves", Number),
];
/// Fields of some versions or roles.
const SOMETIMES: [(&str, &str, Form); 4] = [
    ("maxclients", "redis_config_maxclients", Number),
    ("total_error_replies", "redis_total_error_replies", Number),
    ("master_link_status", "redis_master_link_up", Is("up")),
    ("master_last_io_seconds_ago", "redis_master_last_io_seconds_ago", Number),
];

/// Puts the values of the answer, which took `took` to come.
pub fn info(text: &str, took: Duration, sink: &mut dyn Sink) {
    let fields: Vec<(&str, &str)> =
        text.lines().filter_map(|line| line.trim_end_matches('\r').split_once(':')).collect();
    let field = |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let Some(version) = field("redis_version") else {
        let strange = Why::Strange(Strange::new(text.lines().next().unwrap_or_default()));
        sink.unknown(Unknown::new("Redis", PLACE, strange));
        return;
    };
    sink.put("redis_up", &[], 1.0);
    sink.put("redis_info_seconds", &[], took.as_secs_f64());
    let role = field("role").unwrap_or_default();
    let policy = field("maxmemory_policy").unwrap_or_default();
    sink.put("redis_instance_info", &[("redis_version", version), ("role", role), ("maxmemory_policy", policy)], 1.0);
    for (name, metric, form) in NEEDED {
        match field(name) {
            Some(value) => put(name, metric, form, value, sink),
            None => sink.unknown(Unknown::new(format!("{name} of Redis"), PLACE, Why::Missing)),
        }
    }
    for (name, metric, form) in SOMETIMES {
        if let Some(value) = field(name) {
            put(name, metric, form, value, sink);
        }
    }
    databases(&fields, sink);
    commands(&fields, sink);
}

/// Puts that Redis did not answer.
pub fn down(sink: &mut dyn Sink) {
    sink.put("redis_up", &[], 0.0);
}

fn put(name: &str, metric: &str, form: Form, value: &str, sink: &mut dyn Sink) {
    let number = match form {
        Number => value.parse().ok().filter(|number: &f64| number.is_finite()),
        Is(good) => Some(f64::from(u8::from(value == good))),
    };
    match number {
        Some(number) => sink.put(metric, &[], number),
        None => sink.unknown(Unknown::new(format!("{name} of Redis"), PLACE, Why::Strange(Strange::new(value)))),
    }
}

/// The value of `key` in `key=1,other=2`.
fn part(value: &str, key: &str) -> Option<f64> {
    value.split(',').find_map(|part| part.split_once('=').filter(|(known, _)| *known == key)?.1.parse().ok())
}

/// `db0:keys=2,expires=1,avg_ttl=99950`. One without keys is not there.
fn databases(fields: &[(&str, &str)], sink: &mut dyn Sink) {
    let number = |name: &str| name.strip_prefix("db")?.parse::<u32>().ok();
    for (name, value) in fields.iter().filter(|(name, _)| number(name).is_some()).take(MAX_DATABASES) {
        let labels = [("db", *name)];
        for (key, metric) in [("keys", "redis_db_keys"), ("expires", "redis_db_keys_expiring")] {
            match part(value, key) {
                Some(keys) => sink.put(metric, &labels, keys),
                None => {
                    sink.unknown(Unknown::new(format!("{key} of {name}"), PLACE, Why::Strange(Strange::new(value))));
                }
            }
        }
    }
}

/// `cmdstat_get:calls=1,usec=4,…` and, since Redis 7, `latency_percentiles_usec_get:p50=4.015,p99=…`.
fn commands(fields: &[(&str, &str)], sink: &mut dyn Sink) {
    let mut commands: Vec<(&str, f64, &str)> = fields
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("cmdstat_")?, part(value, "usec")?, *value)))
        .collect();
    commands.sort_by(|(_, one, _), (_, other, _)| other.total_cmp(one));
    commands.truncate(MAX_COMMANDS);
    // In an order that does not change with each call, so that the series are found again at once.
    commands.sort_unstable_by_key(|(command, ..)| *command);
    for (command, microseconds, value) in commands {
        let labels = [("cmd", command)];
        sink.put("redis_commands_duration_seconds_total", &labels, microseconds * MICROSECOND);
        let counts = [
            ("calls", "redis_commands_total"),
            ("rejected_calls", "redis_commands_rejected_calls_total"),
            ("failed_calls", "redis_commands_failed_calls_total"),
        ];
        for (key, metric) in counts {
            if let Some(count) = part(value, key) {
                sink.put(metric, &labels, count);
            }
        }
        let percentiles =
            fields.iter().find(|(name, _)| name.strip_prefix("latency_percentiles_usec_") == Some(command));
        for percentile in percentiles.map_or("", |(_, value)| value).split(',') {
            if let Some((quantile, value)) = percentile.split_once('=')
                && let (Some(quantile), Ok(value)) = (quantile.strip_prefix('p'), value.parse())
            {
                sink.put("redis_latency_percentiles_usec", &[("cmd", command), ("quantile", quantile)], value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gather::Found;

    type Pairs = &'static [(&'static str, &'static str)];

    const RECORDED: &str = include_str!("../tests/redis/info-7.0.15.txt");

    fn found(text: &str) -> Found {
        Found::by(|sink| info(text, Duration::from_millis(2), sink))
    }

    #[test]
    fn an_answer_is_read_with_databases_commands_and_latency() {
        for text in [RECORDED.to_owned(), RECORDED.replace('\n', "\r\n")] {
            let found = found(&text);
            assert_eq!(found.unknown, []);
            let values: [(&str, Pairs, f64); 14] = [
                ("redis_up", &[], 1.0),
                ("redis_info_seconds", &[], 0.002),
                ("redis_connected_clients", &[], 12.0),
                ("redis_memory_max_bytes", &[], 104_857_600.0),
                ("redis_mem_fragmentation_ratio", &[], 13.67),
                ("redis_keyspace_hits_total", &[], 900.0),
                ("redis_evicted_keys_total", &[], 7.0),
                ("redis_rdb_last_bgsave_status", &[], 0.0),
                ("redis_aof_last_write_status", &[], 1.0),
                ("redis_db_keys", &[("db", "db3")], 5.0),
                ("redis_db_keys_expiring", &[("db", "db0")], 1.0),
                ("redis_commands_total", &[("cmd", "set")], 2.0),
                ("redis_commands_failed_calls_total", &[("cmd", "lpush")], 1.0),
                ("redis_latency_percentiles_usec", &[("cmd", "get"), ("quantile", "99.9")], 4.015),
            ];
            for (name, labels, value) in values {
                assert_eq!(found.get(name, labels), Some(value), "{name}");
            }
            let labels = [("redis_version", "7.0.15"), ("role", "master"), ("maxmemory_policy", "allkeys-lru")];
            assert_eq!(found.get("redis_instance_info", &labels), Some(1.0));
            assert_eq!(found.get("redis_master_link_up", &[]), None, "it follows nobody");
        }
    }

    #[test]
    fn names_are_redis_exporters_but_for_what_it_does_not_measure() {
        let theirs = include_str!("../tests/expositions/redis-exporter-1.45.0.txt");
        let ours = found(RECORDED);
        let alone = ["redis_info_seconds", "redis_instantaneous_ops_per_sec"];
        for (labels, _) in ours.values.iter().filter(|(labels, _)| !alone.contains(&labels.name())) {
            assert!(theirs.contains(&format!("# TYPE {} ", labels.name())), "{}", labels.name());
        }
    }

    #[test]
    fn what_is_missing_or_strange_is_unknown() {
        let text = RECORDED.replace("evicted_keys:7\n", "").replace("blocked_clients:3", "blocked_clients:some");
        let found = found(&text);
        let unknown: Vec<String> = found.unknown.iter().map(ToString::to_string).collect();
        assert_eq!(
            unknown,
            [
                "blocked_clients of Redis is unknown: INFO has an unknown form: \"some\"",
                "evicted_keys of Redis is unknown: INFO is not there",
            ]
        );
        assert_eq!(found.get("redis_evicted_keys_total", &[]), None);
    }

    #[test]
    fn an_answer_that_is_none_is_unknown_and_not_up() {
        let found = found("-NOAUTH Authentication required.");
        assert_eq!((found.values.len(), found.unknown.len()), (0, 1));
    }

    #[test]
    fn only_the_commands_that_took_most_time_are_measured() {
        let many: Vec<String> = (0..200).map(|number| format!("cmdstat_c{number}:calls=1,usec={number}")).collect();
        let found = found(&format!("{RECORDED}{}\n", many.join("\n")));
        let count = found.values.iter().filter(|(labels, _)| labels.name() == "redis_commands_total").count();
        assert_eq!(count, MAX_COMMANDS);
        assert!(found.get("redis_commands_total", &[("cmd", "c199")]).is_some());
    }
}
