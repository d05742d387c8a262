//! The server and its databases: what it allows, what each database did, and how large it is.

use super::MAX_DATABASES;
use super::row::{Query, Row, put_numbers, strange, text};
use crate::gather::{Sink, Strange};

const SETTINGS: [&str; 4] = [
    "pg_settings_max_connections",
    "pg_settings_superuser_reserved_connections",
    "pg_postmaster_start_time_seconds",
    "pg_replication_is_replica",
];

/// That it is up, and what it allows.
pub(super) const SERVER: Query = Query {
    what: "limits of PostgreSQL",
    view: "its settings",
    sql: "select current_setting('server_version'),
       current_setting('max_connections'),
       current_setting('superuser_reserved_connections'),
       extract(epoch from pg_postmaster_start_time())::text,
       pg_is_in_recovery()::int::text",
    columns: 1 + SETTINGS.len(),
    put: server,
};

const COUNTED: [&str; 16] = [
    "pg_stat_database_numbackends",
    "pg_stat_database_xact_commit",
    "pg_stat_database_xact_rollback",
    "pg_stat_database_blks_hit",
    "pg_stat_database_blks_read",
    "pg_stat_database_blk_read_time",
    "pg_stat_database_blk_write_time",
    "pg_stat_database_tup_returned",
    "pg_stat_database_tup_fetched",
    "pg_stat_database_tup_inserted",
    "pg_stat_database_tup_updated",
    "pg_stat_database_tup_deleted",
    "pg_stat_database_conflicts",
    "pg_stat_database_temp_files",
    "pg_stat_database_temp_bytes",
    "pg_stat_database_deadlocks",
];

/// What each database did. The share of reads that its cache answered is `blks_hit / (blks_hit + blks_read)`.
pub(super) const COUNTERS: Query = Query {
    what: "what databases did",
    view: "pg_stat_database",
    sql: "select s.datname::text, s.numbackends::text, s.xact_commit::text, s.xact_rollback::text,
       s.blks_hit::text, s.blks_read::text, s.blk_read_time::text, s.blk_write_time::text,
       s.tup_returned::text, s.tup_fetched::text, s.tup_inserted::text, s.tup_updated::text, s.tup_deleted::text,
       s.conflicts::text, s.temp_files::text, s.temp_bytes::text, s.deadlocks::text
from pg_stat_database s join pg_database d on d.oid = s.datid
where not d.datistemplate
order by s.datname",
    columns: 1 + COUNTED.len(),
    put: counters,
};

/// How large each database is.
pub(super) const SIZES: Query = Query {
    what: "sizes of databases",
    view: "pg_database_size",
    sql: "select datname::text, pg_database_size(oid)::text
from pg_database
where not datistemplate and datallowconn
order by datname",
    columns: 2,
    put: sizes,
};

fn server(rows: &[Row], sink: &mut dyn Sink) -> Result<(), Strange> {
    let [row] = rows else { return Err(Strange::new(&format!("{} rows", rows.len()))) };
    sink.put("pg_up", &[], 1.0);
    sink.put("pg_static", &[("short_version", text(row, 0).split(' ').next().unwrap_or_default())], 1.0);
    put_numbers(row, 1, &SETTINGS, &[], sink)
}

fn counters(rows: &[Row], sink: &mut dyn Sink) -> Result<(), Strange> {
    each_database(rows, &COUNTED, sink)
}

fn sizes(rows: &[Row], sink: &mut dyn Sink) -> Result<(), Strange> {
    each_database(rows, &["pg_database_size_bytes"], sink)
}

/// Rows of a database's name and numbers.
pub(super) fn each_database(rows: &[Row], names: &[&str], sink: &mut dyn Sink) -> Result<(), Strange> {
    for row in rows.iter().take(MAX_DATABASES) {
        if text(row, 0).is_empty() {
            return Err(strange(row));
        }
        put_numbers(row, 1, names, &[("datname", text(row, 0))], sink)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::row::row;
    use super::*;
    use crate::gather::Found;

    #[test]
    fn a_null_is_no_value_and_a_word_is_strange() {
        let rows = [row(&["shop", "8192"]), row(&["chat", "null"])];
        let found = Found::by(|sink| SIZES.put(&rows, sink));
        assert_eq!(found.get("pg_database_size_bytes", &[("datname", "shop")]), Some(8192.0));
        assert_eq!((found.values.len(), found.unknown.len()), (1, 0));
        for rows in [[row(&["shop", "large"])], [row(&["shop"])], [row(&["null", "1"])]] {
            let found = Found::by(|sink| SIZES.put(&rows, sink));
            assert_eq!(found.values, []);
            assert!(found.unknown[0].to_string().starts_with("sizes of databases is unknown: pg_database_size has"));
        }
    }

    #[test]
    fn names_are_postgres_exporters() {
        let theirs = include_str!("../../tests/expositions/postgres-exporter-0.11.1.txt");
        // It tells these only of servers that replicate, or not at all.
        let alone = ["pg_postmaster_start_time_seconds", "pg_replication_is_replica"];
        for name in COUNTED.iter().chain(&SETTINGS).chain(&["pg_database_size_bytes"]) {
            assert!(alone.contains(name) || theirs.contains(&format!("# TYPE {name} ")), "{name}");
        }
    }

    #[test]
    fn a_query_that_failed_is_unknown_with_its_reason() {
        let found = Found::by(|sink| SERVER.failed("connection refused", sink));
        assert_eq!(
            found.unknown[0].to_string(),
            "limits of PostgreSQL is unknown: its settings cannot be read (connection refused)"
        );
    }
}
