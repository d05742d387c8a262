//! Statements that take long, what they took lately, and why there may be some that nobody sees.

use mana_watch::series::Labels;

use super::super::super::measured::{Measured, Unmeasured, Values};
use super::super::super::units;

/// A query that takes longer is slow.
const SLOW_S: f64 = 0.2;

/// What statements took that ran within the last interval: on average of it, or of all their runs where they are new.
const TOOK: &str = "max by (server, datname, queryid) (\
    rate(pg_stat_statements_seconds_total[15m]) / (rate(pg_stat_statements_calls_total[15m]) > 0) \
    or (pg_stat_statements_mean_seconds unless pg_stat_statements_calls_total offset 15m))";
const TEXTS: &str = "max by (server, datname, queryid, query) (pg_stat_statements_query_info)";
/// Whether servers count statements and tell of all of them.
const COUNTING: &str = "max by (server, datname, state) (mana_statements_counted)";
/// What runs now and is slow already, where nobody counts statements.
const RUNNING: &str = "topk(10, max by (server, datname, query) (mana_database_running_seconds) > 0.2)";

/// Those that are slow.
fn slow_now() -> String {
    format!("topk(10, {TOOK} > {SLOW_S})")
}

/// How many are slow, by server and database.
pub(super) fn slow_count() -> String {
    format!("count by (server, datname) ({TOOK} > {SLOW_S})")
}

pub(super) struct Slow {
    pub(super) server: String,
    pub(super) database: String,
    pub(super) text: String,
    pub(super) mean: String,
}

/// Those that are slow, and why others may be that nobody sees.
pub(super) async fn look(measured: &Measured) -> (Vec<Slow>, Vec<String>) {
    let slow = slow_now();
    let (slow, texts, running, counting) =
        tokio::join!(measured.now(&slow), measured.now(TEXTS), measured.now(RUNNING), measured.now(COUNTING));
    let slow = slow_ones(slow, texts).into_iter().chain(running_ones(running)).collect();
    (slow, counting.unwrap_or_default().iter().filter_map(|(labels, _)| unseen(labels)).collect())
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
        let counts = super::super::by_place(Ok(asked(&slow_count()).into()));
        let of = |server: &str| counts.get(&(server.to_owned(), "shop".to_owned())).copied();
        assert_eq!((of("a"), of("b")), (Some(1.0), Some(1.0)));
    }

    #[test]
    fn every_question_is_one_that_the_store_understands() {
        for text in [TEXTS.to_owned(), COUNTING.to_owned(), RUNNING.to_owned(), slow_now(), slow_count()] {
            let answer = query::query(&Memory::default(), &text, 0, &Limits::default());
            assert!(answer.is_ok(), "{text}: {answer:?}");
        }
    }
}
