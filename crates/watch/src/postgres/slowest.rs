//! What is slow at this moment: from the statements of two rounds, and from those that run.

use std::collections::BTreeMap;

use super::activity::{Running, SLOW_SECONDS};
use super::row::{Row, number, text};
use super::statements::Statement;
use crate::gather::Sink;

/// Most running statements that have a series of their own, the longest.
const MAX_RUNNING: usize = 10;

/// Puts for each database how long its slowest statement takes: the longest mean time of those that ran since `before`, or what runs for
/// longer. A database in which nothing ran has 0. `databases` are those that are looked at.
pub fn put_slowest(
    databases: &[&str],
    before: Option<&[Statement]>,
    now: &[Statement],
    running: &[Running],
    sink: &mut dyn Sink,
) {
    let mut slowest: BTreeMap<&str, f64> = databases.iter().map(|database| (*database, 0.0)).collect();
    let mut least = |database: &str, seconds: f64| {
        if let Some(known) = slowest.get_mut(database) {
            *known = known.max(seconds);
        }
    };
    for statement in before.map_or(&[][..], |_| now) {
        let same = |other: &&Statement| other.id == statement.id && other.database == statement.database;
        // One that was not among those of before: what it took is not only this interval's, but no more than all of it.
        let (calls, seconds) = before.into_iter().flatten().find(same).map_or((0.0, 0.0), |other| {
            // Counters that were set back begin anew.
            if other.calls > statement.calls { (0.0, 0.0) } else { (other.calls, other.total_seconds) }
        });
        let calls = statement.calls - calls;
        if calls > 0.0 {
            least(&statement.database, (statement.total_seconds - seconds).max(0.0) / calls);
        }
    }
    for statement in running {
        least(&statement.database, statement.seconds);
    }
    for (database, seconds) in slowest {
        sink.put("mana_database_slowest_query_seconds", &[("database", database)], seconds);
    }
}

/// Puts the statements that have run for longer than [`SLOW_SECONDS`], each text once.
pub fn put_running(running: &[Running], sink: &mut dyn Sink) {
    let mut longest: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for statement in running.iter().filter(|statement| statement.seconds > SLOW_SECONDS).take(MAX_RUNNING) {
        let seconds = longest.entry((&statement.database, &statement.text)).or_default();
        *seconds = seconds.max(statement.seconds);
    }
    for ((database, text), seconds) in longest {
        sink.put("mana_database_running_seconds", &[("datname", database), ("query", text)], seconds);
    }
}

/// How many connections each program has to each database, busy and all, from the rows of the query on connections: what a pool is that says
/// nothing of itself, as far as its program says its name when it connects.
pub fn by_application(rows: &[Row]) -> BTreeMap<(String, String), (f64, f64)> {
    let mut found: BTreeMap<(String, String), (f64, f64)> = BTreeMap::new();
    for row in rows.iter().filter(|row| !text(row, 2).is_empty()) {
        let count = number(row, 4).ok().flatten().unwrap_or_default();
        let (busy, all) = found.entry((text(row, 2).to_owned(), text(row, 0).to_owned())).or_default();
        *all += count;
        *busy += if text(row, 3) == "idle" { 0.0 } else { count };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::row::row;
    use super::*;
    use crate::gather::Found;

    fn statement(id: &str, calls: f64, total_seconds: f64) -> Statement {
        Statement {
            database: "shop".into(),
            id: id.into(),
            calls,
            total_seconds,
            max_seconds: 0.0,
            rows: 0.0,
            blocks_hit: 0.0,
            blocks_read: 0.0,
            text: String::new(),
        }
    }

    fn running(database: &str, seconds: f64, text: &str) -> Running {
        Running {
            database: database.into(),
            pid: 1,
            user: String::new(),
            application: String::new(),
            seconds,
            waits_for_lock: false,
            text: text.into(),
        }
    }

    fn slowest(before: Option<&[Statement]>, now: &[Statement], running: &[Running]) -> Option<f64> {
        let found = Found::by(|sink| put_slowest(&["shop"], before, now, running, sink));
        found.get("mana_database_slowest_query_seconds", &[("database", "shop")])
    }

    #[test]
    fn the_slowest_is_of_the_last_interval_or_runs_now() {
        let before = [statement("a", 100.0, 900.0), statement("b", 10.0, 1.0)];
        let after = [statement("a", 100.0, 900.0), statement("b", 12.0, 2.0), statement("c", 1.0, 0.25)];
        assert_eq!(slowest(Some(&before), &after, &[]), Some(0.5), "what was slow long ago is not slow now");
        assert_eq!(slowest(None, &after, &[]), Some(0.0), "nothing is known of an interval yet");
        assert_eq!(slowest(Some(&before), &after, &[running("shop", 3.0, "x")]), Some(3.0));
        assert_eq!(slowest(Some(&before), &after, &[running("other", 3.0, "x")]), Some(0.5));
        let reset = [statement("a", 2.0, 0.5)];
        assert_eq!(slowest(Some(&before), &reset, &[]), Some(0.25));
    }

    #[test]
    fn slow_statements_that_run_have_a_series_each() {
        let all = [running("shop", 2.0, "a"), running("shop", 5.0, "a"), running("shop", 0.1, "b")];
        let found = Found::by(|sink| put_running(&all, sink));
        let labels = [("datname", "shop"), ("query", "a")];
        assert_eq!((found.values.len(), found.get("mana_database_running_seconds", &labels)), (1, Some(5.0)));
        let many: Vec<Running> = (0..50).map(|number| running("shop", 1.0, &number.to_string())).collect();
        assert_eq!(Found::by(|sink| put_running(&many, sink)).values.len(), MAX_RUNNING);
    }

    #[test]
    fn connections_are_counted_by_program() {
        let rows = [
            row(&["shop", "", "", "active", "3", "12.5"]),
            row(&["shop", "u", "shop-backend", "active", "2", "null"]),
            row(&["shop", "u", "shop-backend", "idle", "5", "null"]),
        ];
        let found = by_application(&rows);
        assert_eq!(found, [(("shop-backend".to_owned(), "shop".to_owned()), (2.0, 7.0))].into());
    }
}
