//! Databases: connections, times, hits of the cache, waits; of files of SQLite how large they are and whether they are whole. What nothing
//! measures is said to be that.

mod pools;
mod statements;

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use mana_watch::series::Labels;
use serde_json::{Value, json};

use super::super::measured::{Unmeasured, Values};
use super::super::state::{Mark, State};
use super::super::{Dashboard, units};
use super::{Table, Tabular};
use pools::Pool;
use statements::Slow;

/// Below this share of hits a database reads from disk.
const HITS_LEAST: f64 = 0.9;
/// Somebody who waits longer for a lock waits for a transaction that is forgotten, or too large.
const LOCK_WAIT_MOST_S: f64 = 10.0;
/// An older transaction keeps its server from clearing up what is deleted.
const TRANSACTION_MOST_S: f64 = 3_600.0;

/// By server and `datname`, but for databases that belong to the server itself.
const CONNECTIONS: &str = "sum by (server, datname) (pg_stat_database_numbackends{datname!~\"template.*|postgres|\"})";
const MOST: &str = "max by (server) (pg_settings_max_connections)";
const MEAN: &str = "sum by (server, datname) (rate(pg_stat_statements_seconds_total[15m])) \
    / (sum by (server, datname) (rate(pg_stat_statements_calls_total[15m])) > 0)";
const HITS: &str = "sum by (server, datname) (rate(pg_stat_database_blks_hit{datname!~\"template.*|postgres|\"}[15m])) \
    / (sum by (server, datname) (rate(pg_stat_database_blks_hit[15m]) + rate(pg_stat_database_blks_read[15m])) > 0)";
const SIZE: &str = "sum by (server, datname) (pg_database_size_bytes{datname!~\"template.*|postgres|\"}) \
    or label_replace(max by (database) (mana_sqlite_size_bytes + mana_sqlite_wal_bytes), \"datname\", \"$1\", \"database\", \"(.+)\")";
const LOCK_WAIT: &str = "max by (server, datname) (pg_locks_max_wait_seconds)";
/// Of what is idle no transaction is open.
const OLDEST: &str = "max by (server, datname) (pg_stat_activity_max_tx_duration)";
/// Of files of SQLite, which have no server that could be asked: the last time they were read through they were whole.
const WHOLE: &str = "label_replace(min by (database) (mana_sqlite_whole), \"datname\", \"$1\", \"database\", \"(.+)\")";
/// By server and database; a file of SQLite has no server.
type ByPlace = BTreeMap<(String, String), f64>;

#[derive(Template)]
#[template(path = "dashboard/panels/databases.html")]
pub(super) struct Databases {
    rows: Vec<Row>,
    slow: Vec<Slow>,
    /// Why there may be slow queries that nobody sees.
    unseen: Vec<String>,
    pools: Vec<Pool>,
    unmeasured: Option<String>,
}

struct Row {
    server: String,
    name: String,
    connections: Option<f64>,
    most: Option<f64>,
    mean: Option<f64>,
    slow: Option<f64>,
    hits: Option<f64>,
    /// Seconds for which somebody waits for a lock.
    lock_wait: Option<f64>,
    /// Seconds of the oldest transaction.
    oldest: Option<f64>,
    size: Option<f64>,
    whole: Option<f64>,
    mark: Mark,
}

impl Databases {
    /// Where a database is has to be said where there are several servers.
    fn are_several(&self) -> bool {
        let servers: BTreeSet<&str> =
            self.rows.iter().map(|row| row.server.as_str()).filter(|name| !name.is_empty()).collect();
        servers.len() > 1
    }
}

impl Row {
    fn connections_text(&self) -> Option<String> {
        let most = self.most.map(|most| format!(" / {most:.0}")).unwrap_or_default();
        self.connections.map(|connections| format!("{connections:.0}{most}"))
    }

    fn mean_text(&self) -> Option<String> {
        self.mean.map(units::seconds)
    }

    fn slow_text(&self) -> Option<String> {
        self.slow.map(|count| format!("{count:.0}"))
    }

    fn hits_text(&self) -> Option<String> {
        self.hits.map(units::percent)
    }

    fn lock_wait_text(&self) -> Option<String> {
        self.lock_wait.map(units::seconds)
    }

    fn oldest_text(&self) -> Option<String> {
        self.oldest.map(units::seconds)
    }

    fn size_text(&self) -> Option<String> {
        self.size.map(units::bytes)
    }
}

/// What is measured of databases.
#[derive(Debug, Default)]
struct Figures {
    connections: ByPlace,
    /// By server.
    most: BTreeMap<String, f64>,
    mean: ByPlace,
    slow: ByPlace,
    hits: ByPlace,
    lock_wait: ByPlace,
    oldest: ByPlace,
    size: ByPlace,
    whole: ByPlace,
}

pub(super) async fn look(dashboard: &Dashboard) -> Databases {
    let measured = &dashboard.measured;
    let slow_count = statements::slow_count();
    let (connections, mean, hits, size, count, most) = tokio::join!(
        measured.now(CONNECTIONS),
        measured.now(MEAN),
        measured.now(HITS),
        measured.now(SIZE),
        measured.now(&slow_count),
        measured.by("server", MOST)
    );
    let (lock_wait, oldest, whole) = tokio::join!(measured.now(LOCK_WAIT), measured.now(OLDEST), measured.now(WHOLE));
    let ((slow, unseen), pools) = tokio::join!(statements::look(measured), pools::look(measured));
    let unmeasured = connections.as_ref().err().map(Unmeasured::to_string);
    let figures = Figures {
        connections: by_place(connections),
        most: most.unwrap_or_default(),
        mean: by_place(mean),
        slow: by_place(count),
        hits: by_place(hits),
        lock_wait: by_place(lock_wait),
        oldest: by_place(oldest),
        size: by_place(size),
        whole: by_place(whole),
    };
    Databases { rows: rows(&figures), slow, unseen, pools, unmeasured }
}

fn by_place(values: Result<Values, Unmeasured>) -> ByPlace {
    let values = values.unwrap_or_default();
    let place = |labels: &Labels| (labels.get("server").to_owned(), labels.get("datname").to_owned());
    values.iter().map(|(labels, value)| (place(labels), *value)).collect()
}

fn rows(figures: &Figures) -> Vec<Row> {
    let Figures { connections, most, mean, slow, hits, lock_wait, oldest, size, whole } = figures;
    // The limit is a server's, and all of its databases share it.
    let mut used: BTreeMap<&str, f64> = BTreeMap::new();
    for ((server, _), count) in connections {
        *used.entry(server).or_default() += count;
    }
    let places: BTreeSet<&(String, String)> = connections.keys().chain(size.keys()).collect();
    let row = |place: &(String, String)| {
        let (server, name) = place;
        let of = |values: &ByPlace| values.get(place).copied();
        let (connections, mean, hits, whole) = (of(connections), of(mean), of(hits), of(whole));
        let (lock_wait, oldest) = (of(lock_wait), of(oldest));
        // Statements are counted where the server has the extension for it: then none above the limit is 0.
        let slow = of(slow).or_else(|| mean.map(|_| 0.0));
        // A file has no connections that could be counted, and none that could run out.
        let most = most.get(server).copied().filter(|_| connections.is_some());
        let used = connections.and_then(|_| used.get(server.as_str()).copied());
        let mark = match whole {
            Some(whole) if whole < 1.0 => State::Critical.mark("Damaged"),
            Some(_) if connections.is_none() => State::Healthy.mark("Whole"),
            _ => match judge(used, most, slow, hits) {
                mark if mark.state != State::Healthy => mark,
                _ if lock_wait > Some(LOCK_WAIT_MOST_S) => State::Warning.mark("Waits for a lock"),
                _ if oldest > Some(TRANSACTION_MOST_S) => State::Warning.mark("Old transaction"),
                healthy => healthy,
            },
        };
        let (server, name) = (server.clone(), name.clone());
        Row { server, name, connections, most, mean, slow, hits, lock_wait, oldest, size: of(size), whole, mark }
    };
    let mut rows: Vec<Row> = places.into_iter().map(row).collect();
    rows.sort_by(|a, b| (&a.name, &a.server).cmp(&(&b.name, &b.server)));
    rows
}

fn judge(connections: Option<f64>, most: Option<f64>, slow: Option<f64>, hits: Option<f64>) -> Mark {
    let share = connections.zip(most).map(|(connections, most)| connections / most.max(1.0));
    if share > Some(0.95) {
        return State::Critical.mark("No connections left");
    }
    if share > Some(0.8) {
        return State::Warning.mark("Few connections left");
    }
    if slow > Some(0.0) {
        return State::Warning.mark("Slow queries");
    }
    if hits.is_some_and(|hits| hits < HITS_LEAST) {
        return State::Warning.mark("Reads from disk");
    }
    if connections.is_none() { State::Unknown.mark("Not measured") } else { State::Healthy.mark("Healthy") }
}

impl Tabular for Databases {
    fn table(&self) -> Table {
        let mut table = Table::new(&[
            "database",
            "server",
            "connections",
            "connections_max",
            "query_mean_seconds",
            "slow_queries",
            "cache_hit_share",
            "lock_wait_seconds",
            "oldest_transaction_seconds",
            "size_bytes",
            "whole",
            "state",
        ]);
        let known = |value: Option<f64>| value.map_or(Value::Null, |value| json!(value));
        for row in &self.rows {
            table.row([
                json!(row.name),
                json!(row.server),
                known(row.connections),
                known(row.most),
                known(row.mean),
                known(row.slow),
                known(row.hits),
                known(row.lock_wait),
                known(row.oldest),
                known(row.size),
                known(row.whole),
                json!(row.mark.state.name()),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use mana_watch::Memory;
    use mana_watch::query::{self, Limits};

    use super::*;

    #[test]
    fn databases_of_one_name_on_two_servers_are_two_and_a_limit_is_its_servers() {
        let place = |server: &str, name: &str| (server.to_owned(), name.to_owned());
        let figures = Figures {
            connections: [
                (place("a", "shop"), 60.0),
                (place("a", "chat"), 30.0),
                (place("b", "shop"), 60.0),
                (place("c", "shop"), 1.0),
                (place("d", "shop"), 1.0),
            ]
            .into(),
            most: [("a".to_owned(), 100.0), ("b".to_owned(), 1_000.0)].into(),
            size: [(place("", "file.db"), 4_096.0)].into(),
            whole: [(place("", "file.db"), 1.0)].into(),
            lock_wait: [(place("b", "shop"), 0.5), (place("c", "shop"), 12.0)].into(),
            oldest: [(place("d", "shop"), 7_200.0)].into(),
            ..Figures::default()
        };
        let rows = rows(&figures);
        let told: Vec<_> = rows
            .iter()
            .map(|row| (row.name.as_str(), row.server.as_str(), row.connections_text(), row.mark.word.as_str()))
            .collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            told,
            [
                ("chat", "a", text("30 / 100"), "Few connections left"),
                ("file.db", "", None, "Whole"),
                ("shop", "a", text("60 / 100"), "Few connections left"),
                ("shop", "b", text("60 / 1000"), "Healthy"),
                ("shop", "c", text("1"), "Waits for a lock"),
                ("shop", "d", text("1"), "Old transaction"),
            ]
        );
        let panel = |rows: Vec<Row>| Databases { rows, slow: vec![], unseen: vec![], pools: vec![], unmeasured: None };
        assert!(panel(rows).are_several());
        assert!(!panel(Vec::new()).are_several());
    }

    #[test]
    fn every_question_is_one_that_the_store_understands() {
        for text in [CONNECTIONS, MOST, MEAN, HITS, SIZE, WHOLE, LOCK_WAIT, OLDEST] {
            let answer = query::query(&Memory::default(), text, 0, &Limits::default());
            assert!(answer.is_ok(), "{text}: {answer:?}");
        }
    }

    #[test]
    fn a_database_is_judged_by_what_is_measured_of_it() {
        for (connections, most, slow, hits, state) in [
            (Some(8.0), Some(100.0), Some(0.0), Some(0.99), State::Healthy),
            (Some(8.0), None, None, None, State::Healthy),
            (Some(85.0), Some(100.0), None, None, State::Warning),
            (Some(99.0), Some(100.0), Some(3.0), None, State::Critical),
            (Some(8.0), Some(100.0), Some(3.0), Some(0.99), State::Warning),
            (Some(8.0), Some(100.0), Some(0.0), Some(0.5), State::Warning),
            (None, None, None, None, State::Unknown),
        ] {
            assert_eq!(judge(connections, most, slow, hits).state, state, "{connections:?} {slow:?} {hits:?}");
        }
    }
}
