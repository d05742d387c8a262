//! Databases: connections, times, slow queries, hits of the cache; of files of SQLite how large they are and whether they are whole. What nothing
//! measures is said to be that.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use serde_json::{Value, json};

use super::super::measured::{Unmeasured, Values};
use super::super::state::{Mark, State};
use super::super::{Dashboard, units};
use super::{Table, Tabular};

/// A query that takes longer is slow.
const SLOW_S: f64 = 0.2;
/// Below this share of hits a database reads from disk.
const HITS_LEAST: f64 = 0.9;

/// By `datname`, but for databases that belong to the server itself.
const CONNECTIONS: &str = "sum by (datname) (pg_stat_database_numbackends{datname!~\"template.*|postgres|\"})";
const MOST: &str = "max(pg_settings_max_connections)";
const MEAN: &str = "sum by (datname) (rate(pg_stat_statements_seconds_total[15m])) \
    / (sum by (datname) (rate(pg_stat_statements_calls_total[15m])) > 0)";
const HITS: &str = "sum by (datname) (rate(pg_stat_database_blks_hit{datname!~\"template.*|postgres|\"}[15m])) \
    / (sum by (datname) (rate(pg_stat_database_blks_hit[15m]) + rate(pg_stat_database_blks_read[15m])) > 0)";
const SIZE: &str = "sum by (datname) (pg_database_size_bytes{datname!~\"template.*|postgres|\"}) \
    or label_replace(max by (database) (mana_sqlite_size_bytes + mana_sqlite_wal_bytes), \"datname\", \"$1\", \"database\", \"(.+)\")";
/// Of files of SQLite, which have no server that could be asked: the last time they were read through they were whole.
const WHOLE: &str = "label_replace(min by (database) (mana_sqlite_whole), \"datname\", \"$1\", \"database\", \"(.+)\")";
const SLOW: &str = "topk(10, max by (datname, queryid) (pg_stat_statements_mean_seconds) > 0.2)";
const TEXTS: &str = "max by (datname, queryid, query) (pg_stat_statements_query_info)";
const SLOW_COUNT: &str = "count by (datname) (max by (datname, queryid) (pg_stat_statements_mean_seconds) > 0.2)";
/// Whether servers count statements and tell of all of them.
const COUNTING: &str = "max by (server, datname, state) (mana_statements_counted)";
/// What runs now and is slow already, where nobody counts statements.
const RUNNING: &str = "topk(10, max by (datname, query) (mana_database_running_seconds) > 0.2)";
const POOLS: &str = "sum by (service, database) (mana_pool_connections_free)";
const POOLS_MOST: &str = "sum by (service, database) (mana_pool_connections_max)";
/// Of services that do not say how their pool is, as their server sees it.
const POOLS_SEEN: &str = "sum by (service, database) (mana_pool_connections_open{server!=\"\"}) \
    unless on (service, database) sum by (service, database) (mana_pool_connections_free)";

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
    name: String,
    connections: Option<f64>,
    most: Option<f64>,
    mean: Option<f64>,
    slow: Option<f64>,
    hits: Option<f64>,
    size: Option<f64>,
    whole: Option<f64>,
    mark: Mark,
}

struct Slow {
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

    fn size_text(&self) -> Option<String> {
        self.size.map(units::bytes)
    }
}

pub(super) async fn look(dashboard: &Dashboard) -> Databases {
    let measured = &dashboard.measured;
    let by = |text| measured.by("datname", text);
    let (connections, mean, hits, size, count, most) =
        tokio::join!(by(CONNECTIONS), by(MEAN), by(HITS), by(SIZE), by(SLOW_COUNT), measured.one(MOST));
    let (slow, texts, running, counting, whole) =
        tokio::join!(measured.now(SLOW), measured.now(TEXTS), measured.now(RUNNING), measured.now(COUNTING), by(WHOLE));
    let (pools, pools_most, pools_seen) =
        tokio::join!(measured.now(POOLS), measured.now(POOLS_MOST), measured.now(POOLS_SEEN));
    let whole = whole.unwrap_or_default();
    let unmeasured = connections.as_ref().err().map(Unmeasured::to_string);
    let (connections, mean, hits) =
        (connections.unwrap_or_default(), mean.unwrap_or_default(), hits.unwrap_or_default());
    let (size, count, most) = (size.unwrap_or_default(), count.unwrap_or_default(), most.ok().flatten());
    let names: BTreeSet<&String> = connections.keys().chain(size.keys()).collect();
    let of = |values: &BTreeMap<String, f64>, name: &str| values.get(name).copied();
    let rows = names.into_iter().map(|name| {
        let (connections, mean, hits) = (of(&connections, name), of(&mean, name), of(&hits, name));
        // Statements are counted where the server has the extension for it: then none above the limit is 0.
        let slow = of(&count, name).or_else(|| mean.map(|_| 0.0));
        let whole = of(&whole, name);
        // A file has no connections that could be counted, and none that could run out.
        let mark = match whole {
            Some(whole) if whole < 1.0 => State::Critical.mark("Damaged"),
            Some(_) if connections.is_none() => State::Healthy.mark("Whole"),
            _ => judge(connections, most, slow, hits),
        };
        // The limit is the servers'.
        let most = most.filter(|_| connections.is_some());
        Row { name: name.clone(), connections, most, mean, slow, hits, size: of(&size, name), whole, mark }
    });
    let slow = slow_ones(slow, texts).into_iter().chain(running_ones(running)).collect();
    let pools = all_pools(pools, pools_most).into_iter().chain(seen_pools(pools_seen)).collect();
    let counting = counting.unwrap_or_default();
    let unseen = counting.iter().filter_map(|(labels, _)| unseen(labels)).collect();
    Databases { rows: rows.collect(), slow, unseen, pools, unmeasured }
}

/// What a server does not tell of its statements, and what to do about it.
fn unseen(counting: &mana_watch::series::Labels) -> Option<String> {
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
    let text = |database: &str, id: &str| {
        let known = texts.iter().find(|(labels, _)| labels.get("datname") == database && labels.get("queryid") == id);
        known.map_or_else(|| format!("query {id}"), |(labels, _)| labels.get("query").to_owned())
    };
    let one = |(labels, mean): &(mana_watch::series::Labels, f64)| Slow {
        database: labels.get("datname").to_owned(),
        text: text(labels.get("datname"), labels.get("queryid")),
        mean: units::seconds(*mean),
    };
    slow.iter().filter(|(_, mean)| *mean > SLOW_S).map(one).collect()
}

fn running_ones(running: Result<Values, Unmeasured>) -> Vec<Slow> {
    let one = |(labels, seconds): &(mana_watch::series::Labels, f64)| Slow {
        database: labels.get("datname").to_owned(),
        text: labels.get("query").to_owned(),
        mean: format!("runs for {}", units::seconds(*seconds)),
    };
    running.unwrap_or_default().iter().map(one).collect()
}

fn seen_pools(open: Result<Values, Unmeasured>) -> Vec<Pool> {
    let one = |(labels, open): &(mana_watch::series::Labels, f64)| Pool {
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
    let one = |(labels, free): &(mana_watch::series::Labels, f64)| {
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
            "connections",
            "connections_max",
            "query_mean_seconds",
            "slow_queries",
            "cache_hit_share",
            "size_bytes",
            "whole",
            "state",
        ]);
        let known = |value: Option<f64>| value.map_or(Value::Null, |value| json!(value));
        for row in &self.rows {
            table.row([
                json!(row.name),
                known(row.connections),
                known(row.most),
                known(row.mean),
                known(row.slow),
                known(row.hits),
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
    use super::*;

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
