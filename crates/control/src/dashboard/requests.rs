//! One request: the edge's lines of it, the spans of all services, their lines in order, and how long each took.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use jiff::Timestamp;
use mana_watch::trace::{Kind, Span, tree};

use super::pages::{Frame, NoPage, page};
use super::{Dashboard, units};
use crate::logs::{ACCESS, Line};
use crate::requests::{self, Request};
use crate::server::{Refused, problem};

/// The picture's width, in its own units.
const WIDTH: f64 = 1_000.0;
/// How deep spans are moved to the right: what is deeper stands below the last of these.
const MOST_DEPTH: usize = 12;

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

/// A span in its place.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    service: String,
    name: String,
    kind: &'static str,
    depth: usize,
    after_ms: f64,
    took_ms: f64,
    failed: Option<String>,
    details: Vec<(String, String)>,
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
    steps: Vec<Step>,
    steps_ms: f64,
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
    if !requests::is_id(&id) {
        return Err(Refused(problem(404, "there is no such request", "this is no id of one".to_owned())).into());
    }
    let turn = dashboard.searches.take("searching logs").await?;
    let (data, sought) = (dashboard.app.data.clone(), id.clone());
    let found = tokio::task::spawn_blocking(move || {
        let found = requests::find(&data, &sought);
        drop(turn);
        found
    });
    let found = found.await.map_err(|error| Refused(problem(500, "the logs cannot be read", error.to_string())))?;
    let Request { others, lines, spans, goes_on } = found;
    let (hops, whole_ms) = hops(&lines);
    let (steps, steps_ms) = steps(&spans);
    Ok(page(&Page { frame, id, others, hops, whole_ms, steps, steps_ms, lines, goes_on }))
}

/// Spans as they lie within one another, and the time from the first one's begin to the last one's end.
fn steps(spans: &[Span]) -> (Vec<Step>, f64) {
    let (rows, micros) = tree::rows(spans);
    let ms = |micros: u64| std::time::Duration::from_micros(micros).as_secs_f64() * 1e3;
    let whole_ms = ms(micros).max(0.001);
    let steps = rows.into_iter().map(|row| Step {
        service: row.span.service.clone(),
        name: row.span.name.clone(),
        kind: match row.span.kind {
            Kind::Internal => "",
            Kind::Server => "answered",
            Kind::Client => "asked",
            Kind::Producer => "sent",
            Kind::Consumer => "taken",
        },
        depth: row.depth.min(MOST_DEPTH),
        after_ms: ms(row.after_us),
        took_ms: ms(row.span.took_us),
        failed: row.span.failed.clone(),
        details: row.span.attributes.clone().into_iter().collect(),
        x: ms(row.after_us) / whole_ms * WIDTH,
        width: (ms(row.span.took_us) / whole_ms * WIDTH).max(2.0),
    });
    (steps.collect(), whole_ms)
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
    let took_ms = ms("total_us").filter(|_| line.service == ACCESS)?;
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
        Line::read(ACCESS, 1, &text)
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

    #[test]
    fn a_span_lies_in_the_picture_where_it_lay_in_time() {
        let span = |id: u64, parent: Option<u64>, after_ms: i64, took_us: u64| Span {
            began: Timestamp::from_millisecond(after_ms).expect("a time"),
            took_us,
            service: "chat".into(),
            name: format!("{id}"),
            kind: Kind::Server,
            trace_id: "7".repeat(32),
            span_id: format!("{id:016x}"),
            parent_span_id: parent.map(|id| format!("{id:016x}")),
            failed: (id == 2).then(|| "broke".to_owned()),
            attributes: [("a".to_owned(), "b".to_owned())].into(),
        };
        let (steps, whole) = steps(&[span(2, Some(1), 750, 250_000), span(1, None, 0, 1_000_000)]);
        let places: Vec<(&str, usize, f64, f64)> =
            steps.iter().map(|step| (step.name.as_str(), step.depth, step.x.round(), step.width.round())).collect();
        assert_eq!(places, [("1", 0, 0.0, 1_000.0), ("2", 1, 750.0, 250.0)]);
        assert_eq!((whole.round(), steps[1].failed.as_deref(), steps[0].kind), (1_000.0, Some("broke"), "answered"));
    }
}
