//! What the keeper makes of a healthy ecosystem, and what the rules that everybody has make of that.

use mana_watch::alert::{Event, Kind as Of, State, What};

use super::super::alerts::{book, judged};
use super::super::subjects::{Endings, Service};
use super::*;

const MINUTE: i64 = 60_000;
/// As seldom as rules may be evaluated and still believe that somebody watches.
const ROUND_MS: usize = 30_000;
/// The edge's own words, of routes that nobody has asked yet.
const QUIET_EDGE: &str = "# TYPE mana_edge_requests_total counter\n\
    mana_edge_requests_total{route=\"chat\",slot=\"\",release=\"\",class=\"2xx\"} 0\n\
    mana_edge_requests_total{route=\"chat\",slot=\"\",release=\"\",class=\"5xx\"} 0\n";

fn healthy() -> Subjects {
    let service = Service {
        name: "chat".to_owned(),
        project: "chat".to_owned(),
        kind: "backend",
        needs: Vec::new(),
        wanted: 1,
        ready: 1,
        memory_bytes: None,
        rollout_failed: false,
        direct: None,
        public: None,
    };
    let instance = Instance {
        service: "chat".to_owned(),
        name: "blue-1".to_owned(),
        slot: "blue".to_owned(),
        release: String::new(),
        process: None,
        port: Some(1),
        ready: true,
        restarts: 0,
        usage: None,
    };
    let endings = Endings {
        service: "chat".to_owned(),
        instance: "blue-1".to_owned(),
        by_reason: vec![("failed", 0), (MEMORY, 0)],
    };
    Subjects {
        services: vec![service],
        instances: vec![instance],
        endings: vec![endings],
        edge: true,
        ..Subjects::default()
    }
}

/// A scrape that was answered.
fn scraped(target: &str, service: &str, at: i64, text: &str) -> Told {
    let labels = [("service", service), ("instance", target)].map(|(label, value)| (label.to_owned(), value.to_owned()));
    let turn = Turned { at, took: Duration::from_millis(3), missed: 0 };
    let answer = Ok(Given::Exposition(Format::Text, text.as_bytes().to_vec()));
    Told::Scraped { target: target.to_owned(), labels: labels.to_vec(), turn, answer, ready: true }
}

/// The built-in rules of which people are told, after an hour, that they find nothing or cannot be judged.
fn blind_after_an_hour(with_edge: bool) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let end = now_ms();
    let begin = end - 60 * MINUTE;
    let store = Store::open(folder.path(), Limits::default(), begin).expect("a store");
    let (reader, mut keeper) = (store.reader(), Keeper::new(store, Arc::default()));
    let (subjects, mut state) = (healthy(), State::default());
    let book = book(&subjects, false);
    let rules = book.rules.clone();
    let mut step = |at: i64, what: What| state.step(&Event { at, what });
    step(begin, What::RulesChanged(Box::new(book)));
    for at in (begin..=end).step_by(ROUND_MS) {
        keeper.take(Told::Subjects { at, subjects: subjects.clone() });
        keeper.take(scraped("chat/blue-1", "chat", at, ""));
        if with_edge {
            keeper.take(scraped("edge", "edge", at, QUIET_EDGE));
        }
        for rule in &rules {
            let outcome = judged(&reader, rule, at, Instant::now() + Duration::from_mins(1));
            step(at, What::Evaluated { rule: rule.name.clone(), outcome });
        }
        step(at, What::Tick);
    }
    let blind = state.alerts().filter(|(id, _)| id.kind != Of::Breach);
    blind.map(|(id, _)| id.rule.clone()).collect()
}

#[test]
fn of_a_healthy_ecosystem_that_nobody_asks_no_built_in_rule_says_that_it_has_no_data() {
    assert_eq!(blind_after_an_hour(true), Vec::<String>::new());
    // What is not measured and should be is said all the same.
    assert_eq!(blind_after_an_hour(false), ["ErrorsHigh", "ErrorsMost"]);
}
