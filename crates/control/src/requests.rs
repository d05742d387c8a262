//! One request: the edge's lines of it, every service's lines of it, and its spans.
//!
//! It is known by its request id or by its trace id. Whoever logs only one of the two is found by the other, since the edge logs both.
//! Works on the files alone, so it needs no running control plane.

use std::collections::BTreeSet;
use std::path::Path;

use mana_watch::trace::Span;

use crate::logs::{self, CONTROL, Line, SPANS, Search};
use crate::traces;

/// Longest id that is looked for: as long as the edge takes from outside, and a traceparent.
const MOST_CHARACTERS: usize = 128;
/// Ids that lines of one request may have besides.
const MOST_IDS: usize = 8;
/// Lines of a request that are shown.
pub const MOST_LINES: usize = 500;

/// What was found of it.
#[derive(Debug, Default)]
pub struct Request {
    /// What else it is known by.
    pub others: Vec<String>,
    /// Oldest first.
    pub lines: Vec<Line>,
    /// In no order; [`mana_watch::trace::tree::rows`] gives them one.
    pub spans: Vec<Span>,
    /// Older lines were not looked at.
    pub goes_on: bool,
}

/// Whether it could be an id at all.
pub fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MOST_CHARACTERS && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Looks for it in the files. What cannot be read is left out, and logged.
pub fn find(data: &Path, id: &str) -> Request {
    let mut services = logs::written(data).unwrap_or_else(|error| {
        tracing::warn!(%error, "the folder of logs cannot be read");
        Vec::new()
    });
    services.retain(|service| service != CONTROL && service != SPANS);
    let mut ids = BTreeSet::from([id.to_owned()]);
    let mut found = logs::find(data, &services, &Search::of_requests(&[id.to_owned()]), MOST_LINES);
    let named: BTreeSet<&String> = found.lines.iter().flat_map(|line| line.request.iter().chain(&line.trace)).collect();
    ids.extend(named.into_iter().take(MOST_IDS).cloned());
    if ids.len() > 1 {
        let all: Vec<String> = ids.iter().cloned().collect();
        found = logs::find(data, &services, &Search::of_requests(&all), MOST_LINES);
    }
    let spans = traces::find(data, &ids);
    ids.remove(id);
    Request { others: ids.into_iter().collect(), lines: found.lines, spans, goes_on: found.goes_on }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::paths;

    #[test]
    fn a_request_is_its_lines_and_spans_under_either_of_its_ids() {
        let data = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(paths::logs(data.path())).expect("made");
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let access = format!(
            r#"{{"timestamp":"2026-01-02T03:04:06Z","method":"GET","path":"/a","status":200,"request_id":"7f","traceparent":"00-{trace}-00f067aa0ba902b7-01"}}"#
        );
        let other = r#"{"timestamp":"2026-01-02T03:04:06Z","method":"GET","path":"/b","status":200,"request_id":"80"}"#;
        fs::write(paths::access_log(data.path()), format!("{access}\n{other}\n")).expect("written");
        let own = r#"{"timestamp":"2026-01-02T03:04:05Z","message":"asked","request_id":"7f"}"#;
        fs::write(paths::instance_log(data.path(), "chat", "", 1), format!("{own}\n")).expect("written");
        let span = |trace: &str, id: &str| {
            format!(
                r#"{{"timestamp":"2026-01-02T03:04:05Z","took_us":5,"service":"chat","message":"GET /a","kind":"server","trace_id":"{trace}","span_id":"{id}"}}"#
            )
        };
        let spans =
            [span(trace, "00f067aa0ba902b7"), "torn".to_owned(), span("0".repeat(32).as_str(), "0000000000000001")];
        fs::write(paths::spans(data.path()), spans.join("\n") + "\n").expect("written");
        for id in ["7f", trace] {
            let found = find(data.path(), id);
            let said: Vec<&str> = found.lines.iter().map(|line| line.message.as_str()).collect();
            assert_eq!(said, ["asked", "GET /a 200"], "{id}");
            let ids: Vec<&str> = found.spans.iter().map(|span| span.span_id.as_str()).collect();
            assert_eq!(ids, ["00f067aa0ba902b7"], "{id}");
            assert_eq!(found.others, [if id == "7f" { trace } else { "7f" }]);
        }
        let nothing = find(data.path(), "nobody");
        assert!(nothing.lines.is_empty() && nothing.spans.is_empty() && nothing.others.is_empty());
    }
}
