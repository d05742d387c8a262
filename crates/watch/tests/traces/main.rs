//! Spans as exporters that are not ours send them.
//!
//! `opentelemetry_python.bin` is what `opentelemetry-exporter-otlp-proto-http` 1.45.2 posts: a request that is answered within the edge's
//! span, and a query within it that fails, with fixed times.

use mana_watch::trace::otlp::{self, Form};
use mana_watch::trace::{Kind, tree};

const PYTHON: &[u8] = include_bytes!("opentelemetry_python.bin");

#[test]
fn the_python_sdk_is_understood() {
    let taken = otlp::read("pictures", Form::Protobuf, PYTHON).expect("understood");
    assert_eq!((taken.spans.len(), taken.refused), (2, 0));
    let (rows, whole_us) = tree::rows(&taken.spans);
    let shape: Vec<(&str, Kind, usize, u64, u64)> = rows
        .iter()
        .map(|row| (row.span.name.as_str(), row.span.kind, row.depth, row.after_us, row.span.took_us))
        .collect();
    assert_eq!(
        shape,
        [("GET /pictures/{id}", Kind::Server, 0, 0, 9_000), ("SELECT pictures", Kind::Client, 1, 2_000, 5_500)]
    );
    assert_eq!(whole_us, 9_000);
    let (asked, query) = (rows[0].span, rows[1].span);
    assert_eq!(asked.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((asked.parent_span_id.as_deref(), asked.service.as_str()), (Some("00f067aa0ba902b7"), "pictures"));
    assert_eq!(asked.began.to_string(), "2026-01-02T03:04:05Z");
    let said: Vec<String> = asked.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let expected = [
        "http.request.method=GET",
        "http.response.status_code=502",
        "ok=false",
        "share=0.25",
        "sizes=[1,2,3]",
        "url.path=/pictures/7",
    ];
    assert_eq!(said, expected, "all but the query string");
    assert_eq!((asked.failed.as_deref(), query.failed.as_deref()), (None, Some("the database is away")));
    assert_eq!(query.attributes["db.query.text"], "SELECT * FROM pictures WHERE owner = ?");
}

#[test]
fn a_body_that_is_cut_anywhere_is_refused_or_read_as_far_as_it_is_whole() {
    for end in 0..PYTHON.len() {
        if let Ok(taken) = otlp::read("pictures", Form::Protobuf, &PYTHON[..end]) {
            assert!(taken.spans.is_empty(), "cut at {end}");
        }
    }
}
