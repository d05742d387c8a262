//! What the keeper makes of a healthy ecosystem, and what the rules that everybody has make of that.

use mana_watch::alert::{Event, Kind as Of, State, What};
use mana_watch::query::{self, Answer};

use super::super::alerts::{Ready, book, judged};
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
    let (name, project) = ("chat".to_owned(), "chat".to_owned());
    let service = Service { name, project, kind: "backend", wanted: 1, ready: 1, ..Service::default() };
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

/// A disk that is half full.
fn room() -> Found {
    Found::by(|sink| {
        let labels = [("device", "/dev/vda"), ("fstype", "ext4"), ("mountpoint", "/")];
        sink.put("node_filesystem_size_bytes", &labels, 2e9);
        sink.put("node_filesystem_avail_bytes", &labels, 1e9);
    })
}

/// A scrape that was answered.
fn scraped(target: &str, service: &str, at: i64, text: &str) -> Told {
    let labels =
        [("service", service), ("instance", target)].map(|(label, value)| (label.to_owned(), value.to_owned()));
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
    let rules: Vec<Ready> = book.rules.iter().map(Ready::of).collect();
    let mut step = |at: i64, what: What| state.step(&Event { at, what });
    step(begin, What::RulesChanged(Box::new(book)));
    for at in (begin..=end).step_by(ROUND_MS) {
        keeper.take(Told::Space(room()));
        keeper.take(Told::Subjects { at, subjects: subjects.clone() });
        keeper.take(scraped("chat/blue-1", "chat", at, ""));
        if with_edge {
            keeper.take(scraped("edge", "edge", at, QUIET_EDGE));
        }
        for rule in &rules {
            let outcome = judged(&reader, rule, at, Instant::now() + Duration::from_mins(1));
            step(at, What::Evaluated { rule: rule.rule.clone(), outcome });
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

#[test]
fn room_on_disks_that_was_told_long_ago_is_not_known_any_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let now = now_ms();
    let mut keeper = Keeper::new(Store::open(folder.path(), Limits::default(), now).expect("a store"), Arc::default());
    let reader = keeper.store.reader();
    let value = |at: i64| {
        let answer =
            query::query(&reader, "node_filesystem_avail_bytes{device=\"/dev/vda\"}", at, &query::Limits::default());
        let Ok(Answer::Vector { elements, .. }) = answer else { return None };
        elements.first().map(|(_, value)| *value)
    };
    keeper.take(Told::Space(room()));
    keeper.take(Told::Subjects { at: now, subjects: healthy() });
    assert_eq!(value(now), Some(1e9));
    let told = Instant::now().checked_sub(SPACE_FOR).expect("the machine runs for longer");
    keeper.space = keeper.space.take().map(|(_, found)| (told, found));
    keeper.take(Told::Subjects { at: now + 10_000, subjects: healthy() });
    assert_eq!(value(now + 10_000), None);
}
