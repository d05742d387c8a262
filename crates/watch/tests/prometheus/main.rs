//! The query language gives what Prometheus gives, over the same data, for every part that `docs/QUERY.md` lists.

mod compare;
mod data;
mod expressions;
mod generate;
mod server;

use mana_watch::Memory;
use mana_watch::query::{Limits, query, query_range};
use serde_json::Value;
use server::Prometheus;

/// Differences that are shown when there are many.
const SHOWN: usize = 20;

/// Where the generated expressions begin.
const SEED: u64 = 0x2545_f491_4f6c_dd1d;

/// How an expression is asked.
enum Ask {
    At(i64),
    Range(i64, i64, i64),
}

fn ours(memory: &Memory, text: &str, ask: &Ask) -> Value {
    let limits = Limits::default();
    let answer = match ask {
        Ask::At(at) => query(memory, text, *at, &limits),
        Ask::Range(from, to, step) => query_range(memory, text, *from, *to, *step, &limits),
    };
    let json = answer.map_or_else(|error| error.to_json(), |answer| answer.to_json());
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error} in {json}"))
}

fn theirs(prometheus: &Prometheus, text: &str, ask: &Ask) -> Value {
    let seconds = |at: i64| format!("{}.{:03}", at / 1000, at % 1000);
    match ask {
        Ask::At(at) => prometheus.ask("query", &[("query", text), ("time", &seconds(*at))]),
        Ask::Range(from, to, step) => prometheus.ask(
            "query_range",
            &[("query", text), ("start", &seconds(*from)), ("end", &seconds(*to)), ("step", &seconds(*step))],
        ),
    }
}

fn asks() -> [Ask; 5] {
    let start = data::START;
    [
        Ask::At(start + 95 * 60_000 + 777),
        Ask::At(start + 70 * 60_000),
        // From before the first sample to after the last.
        Ask::Range(start - 240_000, start + data::LENGTH + 600_000, 97_000),
        Ask::Range(start + 3_600_000 - 7_000, start + 7_800_000, 60_000),
        Ask::Range(start + 5_000_000, start + 6_000_000, 15_000),
    ]
}

fn compare(prometheus: &Prometheus, memory: &Memory, texts: impl IntoIterator<Item = String>) {
    let (mut asked, mut answered, mut wrong) = (0, 0, Vec::new());
    for text in texts {
        for ask in asks() {
            let (ours, theirs) = (ours(memory, &text, &ask), theirs(prometheus, &text, &ask));
            asked += 1;
            answered += usize::from(theirs["data"]["result"].as_array().is_some_and(|result| !result.is_empty()));
            let instant = matches!(ask, Ask::At(_));
            let ordered = instant && text.starts_with("sort");
            if let Some(difference) = compare::difference(&ours, &theirs, ordered) {
                let how = match ask {
                    Ask::At(at) => format!("at {at}"),
                    Ask::Range(from, to, step) => format!("from {from} to {to} every {step}"),
                };
                wrong.push(format!("{text}\n    {how}: {difference}"));
            }
        }
    }
    println!("{asked} asked, {answered} of them with a result, {} differ", wrong.len());
    assert!(
        wrong.is_empty(),
        "{} of {asked} answers differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(SHOWN)].join("\n")
    );
    assert!(answered * 3 > asked, "too few of the expressions have a result: {answered} of {asked}");
}

#[test]
fn results_equal_those_of_prometheus() {
    let (prometheus, memory) = (Prometheus::start(), data::all());
    prometheus.write(&memory.0);
    compare(&prometheus, &memory, expressions::TABLE.iter().map(|text| (*text).to_owned()));
    compare(&prometheus, &memory, generate::expressions(SEED));
    for text in expressions::REFUSED {
        let ask = Ask::At(data::START);
        assert_eq!(theirs(&prometheus, text, &ask)["status"], "error", "prometheus takes {text}");
        assert_eq!(ours(&memory, text, &ask)["errorType"], "bad_data", "{text}");
    }
}
