//! Whatever is asked, over whatever data: an answer or an error that says why, within the limits, and the same one for a time alone as within a range.

use std::cell::Cell;
use std::collections::BTreeMap;

use mana_watch::query::{Answer, Limits, QueryError, metrics_of, query, query_range};
use mana_watch::series::STALE_BITS;
use mana_watch::{Labels, Memory};
use proptest::prelude::*;

const WORDS: &[&str] = &[
    "a",
    "b",
    "sum",
    "rate",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
    "bool",
    "and",
    "or",
    "unless",
    "topk",
    "quantile_over_time",
    "histogram_quantile",
    "label_replace",
    "absent",
    "time",
    "start",
    "end",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "==",
    "!=",
    "=~",
    "!~",
    "=",
    "<",
    ">",
    "@",
    ":",
    "5m",
    "1h30m",
    "1e300",
    "1e-300",
    "NaN",
    "Inf",
    "0x",
    "017",
    "5",
    ".",
    "\"x\"",
    "'(\\d+)'",
    "`y`",
    "\"\\xé\"",
    "\"\\u12\"",
    "#",
    "\n",
    "é",
    "\u{0}",
    "99999999999999999999",
    "5000000000ms",
    "{a=\"b\"}",
    "[5m]",
];

fn data() -> impl Strategy<Value = Memory> {
    let value = prop_oneof![
        8 => (0_u32..50).prop_map(f64::from),
        2 => -1e3..1e3_f64,
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e308, f64::from_bits(STALE_BITS)]),
    ];
    let samples = prop::collection::vec((1_i64..200_000, value), 0..30);
    let labels = (
        prop::sample::select(vec!["a", "b", "h"]),
        prop::sample::select(vec!["", "x", "y"]),
        prop::sample::select(vec!["", "1", "2", "+Inf", "odd"]),
    );
    prop::collection::btree_map(labels, samples, 0..12).prop_map(|series| {
        let mut memory = Memory::default();
        for ((name, kind, bound), samples) in series {
            let mut at = 0;
            let samples = samples.into_iter().map(|(gap, value)| {
                at += gap;
                (at, value)
            });
            let samples: Vec<_> = samples.collect();
            memory.push(&[("__name__", name), ("kind", kind), ("le", bound)], samples);
        }
        memory
    })
}

fn expression() -> impl Strategy<Value = String> {
    let pick = |of: &'static [&'static str]| prop::sample::select(of);
    let selector = (
        pick(&["a", "b", "h", "{__name__=~\"a|b\"}", "a{kind!=\"x\"}", "none"]),
        pick(&["", "", "", " offset 3m", " offset -1m", " @ 1000"]),
    );
    let leaf =
        prop_oneof![selector.prop_map(|(name, when)| format!("{name}{when}")), Just("vector(time())".to_owned())];
    leaf.prop_recursive(4, 24, 3, move |inner| {
        let inner = inner.boxed();
        prop_oneof![
            (
                pick(&[
                    "rate",
                    "increase",
                    "delta",
                    "irate",
                    "deriv",
                    "changes",
                    "resets",
                    "avg_over_time",
                    "min_over_time",
                    "sum_over_time",
                    "last_over_time",
                    "stddev_over_time",
                    "count_over_time",
                    "absent_over_time"
                ]),
                pick(&["a", "b", "h"]),
                pick(&["[1s]", "[5m]", "[20m]", "[5m] offset 2m"]),
            )
                .prop_map(|(function, name, range)| format!("{function}({name}{range})")),
            (pick(&["max_over_time", "rate", "deriv"]), inner.clone(), pick(&["[10m:1m]", "[5m:7s]", "[3m:]"]))
                .prop_map(|(function, of, range)| format!("{function}(({of}){range})")),
            (
                pick(&["sum", "avg", "min", "max", "count", "group", "stddev"]),
                pick(&["", "by (kind)", "without (le)"]),
                inner.clone()
            )
                .prop_map(|(operator, grouping, of)| format!("{operator} {grouping} ({of})")),
            (pick(&["topk", "bottomk", "quantile"]), pick(&["0", "1", "2", "0.5", "NaN", "-1"]), inner.clone())
                .prop_map(|(operator, parameter, of)| format!("{operator}({parameter}, {of})")),
            (pick(&["abs", "round", "exp", "ln", "sgn", "absent", "sort", "hour", "timestamp", "-"]), inner.clone())
                .prop_map(|(function, of)| format!("{function}({of})")),
            (inner.clone(), pick(&["+", "-", "/", "%", "^", ">", "== bool"]), pick(&["2", "0", "time()", "scalar(a)"]))
                .prop_map(|(left, operator, right)| format!("({left}) {operator} {right}")),
            (
                inner.clone(),
                pick(&[
                    "+",
                    "*",
                    "<",
                    "!= bool",
                    "and",
                    "or",
                    "unless",
                    "* on (kind)",
                    "/ ignoring (le)",
                    "+ on (kind) group_left ()",
                    "> on (kind) group_right (le)",
                    "and on ()"
                ]),
                inner.clone(),
            )
                .prop_map(|(left, operator, right)| format!("({left}) {operator} ({right})")),
            (pick(&["0.5", "1.5", "NaN"]), inner.clone()).prop_map(|(q, of)| format!("histogram_quantile({q}, {of})")),
            inner.prop_map(|of| format!("label_replace({of}, \"kind\", \"$1\", \"le\", \"(.)\")")),
        ]
    })
}

type Bits = BTreeMap<Labels, u64>;

/// The values at one time; what is no number is the same whatever its bits.
fn at_time(answer: &Answer, time: i64) -> Bits {
    let bits = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
    match answer {
        Answer::Vector { elements, .. } => {
            elements.iter().map(|(labels, value)| (labels.clone(), bits(*value))).collect()
        }
        Answer::Matrix(series) => series
            .iter()
            .filter_map(|one| {
                let sample = one.samples.iter().find(|sample| sample.at == time)?;
                Some((one.labels.clone(), bits(sample.value)))
            })
            .collect(),
        Answer::Scalar { .. } | Answer::Text { .. } => Bits::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(words in prop::collection::vec(prop::sample::select(WORDS), 0..25), spaced: bool) {
        let text = words.join(if spaced { " " } else { "" });
        let _ = metrics_of(&text);
        let _ = query(&Memory::default(), &text, 1_000_000, &Limits::default());
    }

    #[test]
    fn no_string_makes_it_panic(text in "\\PC{0,60}") {
        let _ = metrics_of(&text);
        let _ = metrics_of(&format!("a{{b=\"{text}\"}}"));
        let _ = metrics_of(&format!("a[{text}]"));
        let _ = metrics_of(&format!("a offset {text}"));
    }

    #[test]
    fn a_step_of_a_range_is_what_the_time_alone_gives(
        memory in data(), text in expression(), from in 0_i64..2_000_000, step in 1_i64..400_000, steps in 0_i64..20,
    ) {
        let limits = Limits::default();
        let to = from + step * steps;
        match query_range(&memory, &text, from, to, step, &limits) {
            Ok(answer) => {
                let Answer::Matrix(series) = &answer else { panic!("a range gives a matrix") };
                prop_assert!(series.windows(2).all(|pair| pair[0].labels < pair[1].labels), "sorted, each once: {text}");
                for time in (0..=steps).map(|n| from + n * step) {
                    let alone = query(&memory, &text, time, &limits).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
                    prop_assert_eq!(at_time(&alone, time), at_time(&answer, time), "{} at {}", text, time);
                }
            }
            Err(error) => {
                // Series that share their labels at different times are refused in a range only.
                let fits = matches!(
                    error,
                    QueryError::SameLabels { .. } | QueryError::ManyToMany { .. } | QueryError::ManyToOne { .. } | QueryError::Value { .. }
                );
                prop_assert!(fits, "{text}: {error}");
            }
        }
    }

    #[test]
    fn small_limits_end_a_query_with_an_error(memory in data(), text in expression(), work in 0_u64..3_000) {
        let limits = Limits { work, cells: work / 2, samples: work / 3, series: work / 100, ..Limits::default() };
        if let Err(error) = query_range(&memory, &text, 0, 2_000_000, 60_000, &limits) {
            prop_assert!(error.kind() == "execution", "{text}: {error}");
        }
    }
}

#[test]
fn a_query_ends_when_its_time_is_up() {
    let mut memory = Memory::default();
    memory.push(&[("__name__", "a")], (0..100_000).map(|n| (n * 1_000, 1.0)));
    let looks = Cell::new(0);
    let stop = || {
        looks.set(looks.get() + 1);
        looks.get() > 3
    };
    let limits = Limits { stop: Some(&stop), ..Limits::default() };
    let ended = query_range(&memory, "avg_over_time(a[1h])", 3_600_000, 100_000_000, 60_000, &limits);
    assert!(matches!(ended, Err(QueryError::OutOfTime)));
    assert_eq!(looks.get(), 4);
    assert_eq!(ended.unwrap_err().to_json().split('"').nth(7), Some("timeout"));
}

#[test]
fn an_answer_has_at_most_as_many_points_as_in_prometheus() {
    let limits = Limits::default();
    let ask = |to| query_range(&Memory::default(), "vector(1)", 0, to, 1_000, &limits);
    assert!(ask(11_000_000).is_ok());
    assert!(matches!(ask(11_001_000), Err(QueryError::TooManyPoints { limit: 11_000 })));
}

#[test]
fn a_deep_or_long_expression_is_refused_before_it_costs_anything() {
    let limits = Limits::default();
    let ask = |text: String| query(&Memory::default(), &text, 0, &limits);
    for text in [
        "(".repeat(10_000),
        "-".repeat(10_000) + "a",
        vec!["a"; 5_000].join(" or "),
        vec!["a"; 900].join(" + "),
        "sum(".repeat(60) + "a" + &")".repeat(60) + &" > 1".repeat(60),
        format!("a[{}]", "9".repeat(10_000)),
    ] {
        let refused = ask(text.clone()).map(|answer| answer.to_json());
        assert!(matches!(refused, Err(QueryError::TooLong { .. } | QueryError::Syntax(_))), "{}", &text[..40]);
    }
    assert!(ask(vec!["a"; 90].join(" + ")).is_ok());
}

#[test]
fn what_is_not_supported_is_named_with_the_place_of_the_list() {
    let limits = Limits::default();
    for (text, named) in [
        ("count_values(\"x\", a)", "`count_values`"),
        ("limitk(1, a)", "`limitk`"),
        ("holt_winters(a[5m], 0.5, 0.5)", "holt_winters"),
        ("sin(a)", "`sin`"),
        ("histogram_count(a)", "`histogram_count`"),
        ("a + fill (0) b", "`fill`"),
        ("{a=\"b\" or c=\"d\"}", "`or`"),
        ("pi()", "`pi`"),
    ] {
        let error = query(&Memory::default(), text, 0, &limits).map(|answer| answer.to_json()).unwrap_err();
        assert_eq!((error.kind(), error.status()), ("bad_data", 400), "{text}");
        assert!(error.to_string().contains(named), "{text}: {error}");
    }
}

#[test]
fn every_example_of_the_documentation_is_supported() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/QUERY.md"))
        .expect("the page is there");
    let (supported, _) = page.split_once("## Where it differs").expect("the page says where it differs");
    let rows = supported.lines().filter(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.trim_end_matches('|').rsplit(" | ").next());
    let examples: Vec<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(examples.len() > 40, "the page has examples");
    for example in examples {
        let answer = query(&Memory::default(), example, 0, &Limits::default());
        assert!(answer.is_ok(), "{example}: {:?}", answer.err());
    }
}
