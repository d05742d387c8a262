//! Databases: connections, times, slow queries, hits of the cache; of files of SQLite how large they are and whether they are whole. What nothing
//! measures is said to be that.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use mana_watch::series::Labels;
use serde_json::{Value, json};

use super::super::measured::{Unmeasured, Values};
use super::super::state::{Mark, State};
use super::super::{Dashboard, units};
use super::{Table, Tabular};

/// A query that takes longer is slow.
const SLOW_S: f64 = 0.2;
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
/// What statements took that ran within the last interval: on average of it, or of all their runs where they are new.
const TOOK: &str = "max by (server, datname, queryid) (\
    rate(pg_stat_statements_seconds_total[15m]) / (rate(pg_stat_statements_calls_total[15m]) > 0) \
    or (pg_stat_statements_mean_seconds unless pg_stat_statements_calls_total offset 15m))";
const TEXTS: &str = "max by (server, datname, queryid, query) (pg_stat_statements_query_info)";
/// Whether servers count statements and tell of all of them.
const COUNTING: &str = "max by (server, datname, state) (mana_statements_counted)";
/// What runs now and is slow already, where nobody counts statements.
const RUNNING: &str = "topk(10, max by (server, datname, query) (mana_database_running_seconds) > 0.2)";
const POOLS: &str = "sum by (service, database) (mana_pool_connections_free)";
const POOLS_MOST: &str = "sum by (service, database) (mana_pool_connections_max)";
/// Of services that do not say how their pool is, as their server sees it.
const POOLS_SEEN: &str = "sum by (service, database) (mana_pool_connections_open{server!=\"\"}) \
    unless on (service, database) sum by (service, database) (mana_pool_connections_free)";

/// By server and database; a file of SQLite has no server.
type ByPlace = BTreeMap<(String, String), f64>;

/// Those that are slow.
fn slow_now() -> String {
    format!("topk(10, {TOOK} > {SLOW_S})")
}

fn slow_count() -> String {
    format!("count by (server, datname) ({TOOK} > {SLOW_S})")
}

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

struct Slow {
    server: String,
    database: String,
    text: String,
    mean: String,
}

struct Pool {
    service: String,
    database: String,
    /// Nobody says how many there are.
    free: Option<String>,
    most: Option<String>,
    open: Option<String>,
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
    let (slow, slow_count) = (slow_now(), slow_count());
    let (connections, mean, hits, size, count, most) = tokio::join!(
        measured.now(CONNECTIONS),
        measured.now(MEAN),
        measured.now(HITS),
        measured.now(SIZE),
        measured.now(&slow_count),
        measured.by("server", MOST)
    );
    let (slow, texts, running, counting, whole) = tokio::join!(
        measured.now(&slow),
        measured.now(TEXTS),
        measured.now(RUNNING),
        measured.now(COUNTING),
        measured.now(WHOLE)
    );
    let (pools, pools_most, pools_seen, lock_wait, oldest) = tokio::join!(
        measured.now(POOLS),
        measured.now(POOLS_MOST),
        measured.now(POOLS_SEEN),
        measured.now(LOCK_WAIT),
        measured.now(OLDEST)
    );
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
    let slow = slow_ones(slow, texts).into_iter().chain(running_ones(running)).collect();
    let pools = all_pools(pools, pools_most).into_iter().chain(seen_pools(pools_seen)).collect();
    let counting = counting.unwrap_or_default();
    let unseen = counting.iter().filter_map(|(labels, _)| unseen(labels)).collect();
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

/// What a server does not tell of its statements, and what to do about it.
fn unseen(counting: &Labels) -> Option<String> {
    let (server, database) = (counting.get("server"), counting.get("datname"));
    Some(match counting.get("state") {
        "not_made" => format!(
            "{server} tells of no statements: in {database}, which is asked, the extension is not made. It takes \
             shared_preload_libraries = 'pg_stat_statements', a start of the server, and CREATE EXTENSION pg_stat_statements there."
        ),
        "not_loaded" => format!(
            "{server} counts no statements: the extension pg_stat_statements is made in {database}, but not loaded. It belongs \
             into shared_preload_libraries, and the server has to be started anew."
        ),
        "own" => format!(
            "{server} tells only of statements of the role that is asked with, which is no member of pg_monitor. GRANT pg_monitor \
             to it shows those of others."
        ),
        "refused" => format!("{server} refuses to tell of statements in {database}; the control plane's log says why."),
        _ => return None,
    })
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

fn slow_ones(slow: Result<Values, Unmeasured>, texts: Result<Values, Unmeasured>) -> Vec<Slow> {
    let (Ok(slow), Ok(texts)) = (slow, texts) else { return Vec::new() };
    let text = |of: &Labels| {
        let same =
            |labels: &Labels| ["server", "datname", "queryid"].iter().all(|name| labels.get(name) == of.get(name));
        let known = texts.iter().find(|(labels, _)| same(labels));
        known.map_or_else(|| format!("query {}", of.get("queryid")), |(labels, _)| labels.get("query").to_owned())
    };
    let one = |(labels, mean): &(Labels, f64)| Slow {
        server: labels.get("server").to_owned(),
        database: labels.get("datname").to_owned(),
        text: text(labels),
        mean: units::seconds(*mean),
    };
    slow.iter().map(one).collect()
}

fn running_ones(running: Result<Values, Unmeasured>) -> Vec<Slow> {
    let one = |(labels, seconds): &(Labels, f64)| Slow {
        server: labels.get("server").to_owned(),
        database: labels.get("datname").to_owned(),
        text: labels.get("query").to_owned(),
        mean: format!("runs for {}", units::seconds(*seconds)),
    };
    running.unwrap_or_default().iter().map(one).collect()
}

fn seen_pools(open: Result<Values, Unmeasured>) -> Vec<Pool> {
    let one = |(labels, open): &(Labels, f64)| Pool {
        service: labels.get("service").to_owned(),
        database: labels.get("database").to_owned(),
        free: None,
        most: None,
        open: Some(format!("{open:.0}")),
        mark: State::Unknown.mark("Not measured"),
    };
    open.unwrap_or_default().iter().map(one).collect()
}

fn all_pools(free: Result<Values, Unmeasured>, most: Result<Values, Unmeasured>) -> Vec<Pool> {
    let Ok(free) = free else { return Vec::new() };
    let most = most.unwrap_or_default();
    let one = |(labels, free): &(Labels, f64)| {
        let mark = match *free {
            free if free < 1.0 => State::Critical.mark("Exhausted"),
            free if free < 2.0 => State::Warning.mark("Nearly exhausted"),
            _ => State::Healthy.mark("Healthy"),
        };
        let most = most.iter().find(|(other, _)| other == labels).map(|(_, most)| format!("{most:.0}"));
        let (service, database) = (labels.get("service").to_owned(), labels.get("database").to_owned());
        Pool { service, database, free: Some(format!("{free:.0}")), most, open: None, mark }
    };
    free.iter().map(one).collect()
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
    use mana_watch::query::{self, Answer, Limits};
    use mana_watch::series::NAME;

    use super::*;

    const HOUR_MS: i64 = 3_600_000;
    const STEP_MS: i64 = 10_000;

    /// Statements, each of which has its calls and seconds at each step.
    #[derive(Default)]
    struct Statements(Memory);

    impl Statements {
        fn of(mut self, server: &str, id: &str, from: i64, at: impl Fn(f64) -> (f64, f64)) -> Self {
            #[expect(clippy::cast_precision_loss, reason = "some hundred steps")]
            let steps = (from..=HOUR_MS).step_by(10_000).map(|ms| (ms, at((ms - from) as f64 / STEP_MS as f64)));
            let steps: Vec<_> = steps.collect();
            let mut push = |name: &str, value: fn((f64, f64)) -> f64| {
                let labels = [(NAME, name), ("server", server), ("datname", "shop"), ("queryid", id)];
                self.0.push(&labels, steps.iter().map(|(ms, counts)| (*ms, value(*counts))));
            };
            push("pg_stat_statements_calls_total", |(calls, _)| calls);
            push("pg_stat_statements_seconds_total", |(_, seconds)| seconds);
            push("pg_stat_statements_mean_seconds", |(calls, seconds)| seconds / calls);
            self
        }
    }

    #[test]
    fn a_statement_is_slow_by_what_it_took_lately_and_a_rare_one_by_what_it_took_at_all() {
        let statements = Statements::default()
            // Slow long ago: it has not run since.
            .of("a", "old", 0, |_| (1_000.0, 1_000.0))
            // Quick for long, and slow now.
            .of("a", "now", 0, |step| (10_000.0 + step, 10.0 + step * 0.5))
            .of("a", "quick", 0, |step| (step + 1.0, (step + 1.0) * 0.01))
            // It ran once, some minutes ago.
            .of("b", "rare", HOUR_MS - 300_000, |_| (1.0, 3.0));
        let asked = |text: &str| match query::query(&statements.0, text, HOUR_MS, &Limits::default()) {
            Ok(Answer::Vector { elements, .. }) => elements,
            other => panic!("{text}: {other:?}"),
        };
        let mut slow: Vec<_> = asked(&slow_now())
            .iter()
            .map(|(labels, took)| {
                (labels.get("server").to_owned(), labels.get("queryid").to_owned(), (took * 10.0).round())
            })
            .collect();
        slow.sort_by(|a, b| a.1.cmp(&b.1));
        let expected = [("a", "now", 5.0), ("b", "rare", 30.0)];
        assert_eq!(slow, expected.map(|(server, id, took)| (server.to_owned(), id.to_owned(), took)));
        let counts = by_place(Ok(asked(&slow_count()).into()));
        let of = |server: &str| counts.get(&(server.to_owned(), "shop".to_owned())).copied();
        assert_eq!((of("a"), of("b")), (Some(1.0), Some(1.0)));
    }

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
        let fixed =
            [CONNECTIONS, MOST, MEAN, HITS, SIZE, WHOLE, TEXTS, COUNTING, RUNNING, POOLS_SEEN, LOCK_WAIT, OLDEST]
                .map(str::to_owned);
        for text in fixed.into_iter().chain([slow_now(), slow_count()]) {
            let answer = query::query(&Memory::default(), &text, 0, &Limits::default());
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
