//! Answers as samples. What is not known has none.

use mana_watch::gather::Sink;
use mana_watch::postgres::{self, CONNECTIONS, by_application, put_running, put_slowest, put_statements};
use mana_watch::redis;

use super::postgres::Read;
use super::{Outside, Reading, What};

/// Puts what came of a round.
pub(in super::super) fn put(outside: &Outside, reading: &Reading, sink: &mut dyn Sink) {
    match (reading, &outside.what) {
        (Reading::Postgres(read), What::Postgres { databases, .. }) => {
            sink.put("mana_server_answer_seconds", &[], read.took.as_secs_f64());
            let databases: Vec<&str> = databases.iter().map(String::as_str).collect();
            put_postgres(read, &databases, outside, sink);
        }
        (Reading::Redis(read), _) => {
            sink.put("mana_server_answer_seconds", &[], read.took.as_secs_f64());
            redis::info(&read.info, read.took, sink);
        }
        (Reading::Well(took), What::Channel { .. }) => {
            sink.put("mana_channel_up", &[], 1.0);
            sink.put("mana_channel_seconds", &[], took.as_secs_f64());
        }
        (Reading::Down(_), What::Channel { .. }) => sink.put("mana_channel_up", &[], 0.0),
        (Reading::Well(took), _) => {
            sink.put("mana_dependency_up", &[], 1.0);
            sink.put("mana_dependency_seconds", &[], took.as_secs_f64());
        }
        (Reading::Sqlite(read), _) => {
            for service in &outside.users {
                let labels = [("service", service.as_str())];
                sink.put("mana_sqlite_size_bytes", &labels, read.bytes);
                sink.put("mana_sqlite_wal_bytes", &labels, read.wal_bytes);
                if let Some(check) = &read.check {
                    sink.put("mana_sqlite_whole", &labels, f64::from(u8::from(check.whole)));
                    sink.put("mana_sqlite_checked_timestamp_seconds", &labels, check.at);
                }
            }
        }
        (Reading::Down(_), What::Postgres { .. }) => postgres::down(sink),
        (Reading::Down(_), What::Redis { .. }) => redis::down(sink),
        (Reading::Down(_), What::Http { .. } | What::Tcp { .. }) => sink.put("mana_dependency_up", &[], 0.0),
        // A file that is not there yet is made by its service.
        (Reading::Down(_) | Reading::Postgres(_), _) => {}
    }
}

fn put_postgres(read: &Read, databases: &[&str], outside: &Outside, sink: &mut dyn Sink) {
    for (query, answer) in &read.answers {
        match answer {
            Ok(rows) => query.put(rows, sink),
            Err(why) => query.failed(why, sink),
        }
        if let Ok(rows) = answer
            && query.what == CONNECTIONS.what
        {
            // Of services that say their name when they connect.
            for ((application, database), (busy, open)) in by_application(rows) {
                if outside.users.contains(&application) {
                    let labels = [("service", application.as_str()), ("database", database.as_str())];
                    sink.put("mana_pool_connections_open", &labels, open);
                    sink.put("mana_pool_connections_busy", &labels, busy);
                }
            }
        }
    }
    if let Some(counting) = &read.counting {
        counting.put(sink);
    }
    let now = read.statements.as_deref().unwrap_or_default();
    put_statements(now, sink);
    put_running(&read.running, sink);
    put_slowest(databases, read.before.as_deref(), now, &read.running, sink);
}
