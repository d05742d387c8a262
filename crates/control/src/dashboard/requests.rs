//! One request: the edge's lines of it, every service's lines of it, in order, and how long each hop took.
//!
//! It is known by its request id or by its trace id. Whoever logs only one of the two is found by the other, since the edge logs both.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use jiff::Timestamp;

use super::logs::{self, Line};
use super::pages::{Frame, NoPage, page};
use super::{Dashboard, units};
use crate::server::{Refused, problem};

/// Longest id that is looked for: as long as the edge takes from outside, and a traceparent.
const MOST_CHARACTERS: usize = 128;
/// Ids that lines of one request may have besides.
const MOST_IDS: usize = 8;
/// Lines of a request on its page.
const MOST_LINES: usize = 500;
/// The picture's width, in its own units.
const WIDTH: f64 = 1_000.0;

/// One way through the edge: from outside to a service, or from one service to another.
#[derive(Debug, Clone, PartialEq)]
struct Hop {
    what: String,
    route: String,
    status: String,
    begins: Timestamp,
    took_ms: f64,
    /// Of that until the answer's head was there.
    head_ms: Option<f64>,
    /// Place and width in the picture.
    x: f64,
    width: f64,
}

#[derive(Template)]
#[template(path = "dashboard/request.html")]
struct Page {
    frame: Frame,
    id: String,
    others: Vec<String>,
    hops: Vec<Hop>,
    whole_ms: f64,
    lines: Vec<Line>,
    goes_on: bool,
}

impl Page {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand on references")]
    fn ms(value: &f64) -> String {
        units::seconds(value / 1e3)
    }

    fn clock(at: &Timestamp) -> String {
        at.strftime("%H:%M:%S%.3f").to_string()
    }
}

/// `GET /requests/{id}`
pub(crate) async fn show(
    State(dashboard): State<Dashboard>,
    Path(id): Path<String>,
    frame: Frame,
) -> Result<Response, NoPage> {
    let is_id = |text: &str| {
        !text.is_empty() && text.len() <= MOST_CHARACTERS && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !is_id(&id) {
        return Err(Refused(problem(404, "there is no such request", "this is no id of one".to_owned())).into());
    }
    let mut found = logs::of_request(&dashboard, std::slice::from_ref(&id), MOST_LINES).await?;
    let ids: BTreeSet<&String> = found.lines.iter().flat_map(|line| line.request.iter().chain(&line.trace)).collect();
    let others: Vec<String> = ids.into_iter().filter(|other| **other != id).take(MOST_IDS).cloned().collect();
    if !others.is_empty() {
        let all: Vec<String> = std::iter::once(id.clone()).chain(others.iter().cloned()).collect();
        found = logs::of_request(&dashboard, &all, MOST_LINES).await?;
    }
    let (hops, whole_ms) = hops(&found.lines);
    Ok(page(&Page { frame, id, others, hops, whole_ms, lines: found.lines, goes_on: found.goes_on }))
}

/// The edge's lines as hops, the first one first, and the time from the first one's begin to the last one's end.
fn hops(lines: &[Line]) -> (Vec<Hop>, f64) {
    let mut hops: Vec<Hop> = lines.iter().filter_map(hop).collect();
    hops.sort_by_key(|hop| (hop.begins, std::cmp::Reverse(micros(hop.took_ms))));
    let Some(first) = hops.iter().map(|hop| hop.begins).min() else { return (hops, 0.0) };
    let offset = |hop: &Hop| hop.begins.duration_since(first).as_secs_f64() * 1e3;
    let whole = hops.iter().map(|hop| offset(hop) + hop.took_ms).fold(0.001, f64::max);
    for hop in &mut hops {
        hop.x = offset(hop) / whole * WIDTH;
        hop.width = (hop.took_ms / whole * WIDTH).max(2.0);
    }
    (hops, whole)
}

#[expect(clippy::cast_possible_truncation, reason = "of a request's time, for its place among others")]
fn micros(ms: f64) -> i64 {
    (ms * 1e3) as i64
}

/// A line of the edge's access log: it is written when the request ends.
fn hop(line: &Line) -> Option<Hop> {
    let field = |name: &str| line.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let ms = |name: &str| field(name)?.parse::<f64>().ok().map(|micros| micros / 1e3);
    let took_ms = ms("total_us").filter(|_| line.service == logs::ACCESS)?;
    let took = jiff::SignedDuration::try_from_secs_f64(took_ms / 1e3).ok()?;
    Some(Hop {
        what: format!("{} {}", field("method")?, field("path").unwrap_or("/")),
        route: field("route").unwrap_or("–").to_owned(),
        status: field("status").unwrap_or("–").to_owned(),
        begins: line.at?.checked_sub(took).ok()?,
        took_ms,
        head_ms: ms("head_us"),
        x: 0.0,
        width: 0.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(second: &str, path: &str, total_us: u64) -> Line {
        let text = format!(
            r#"{{"timestamp":"2026-01-02T03:04:{second}Z","level":"INFO","target":"access","method":"GET","path":"{path}","status":200,"route":"a","head_us":10,"total_us":{total_us},"request_id":"7f"}}"#
        );
        Line::read(logs::ACCESS, 1, &text)
    }

    #[test]
    fn hops_begin_before_their_lines_and_lie_within_the_first() {
        // The inner one ended first, so its line is the first.
        let lines = [access("05.900", "/inner", 500_000), access("06.000", "/outer", 1_000_000)];
        let (hops, whole) = hops(&lines);
        let said: Vec<(&str, f64, f64)> =
            hops.iter().map(|hop| (hop.what.as_str(), hop.x.round(), hop.width.round())).collect();
        assert_eq!(said, [("GET /outer", 0.0, 1_000.0), ("GET /inner", 400.0, 500.0)]);
        assert_eq!((whole.round(), hops[1].head_ms), (1_000.0, Some(0.01)));
        let own = Line::read("a", 1, r#"{"timestamp":"2026-01-02T03:04:05Z","message":"x","total_us":5}"#);
        assert_eq!(super::hops(&[own]).0, [], "what a service says of times is no hop");
    }
}
