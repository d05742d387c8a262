//! Traces for whoever collects them (OpenTelemetry's OTLP): one span for each request that is traced.
//!
//! A thread writes spans as JSON into a buffer of its own; full buffers, and once a tick begun ones, go over a bounded queue to
//! [`export`], which posts them. If that is behind, or the collector does not take them, they are dropped and counted: tracing
//! never slows an answer. What a span says is what an access log says; query strings are left out, since they carry tokens.

pub(crate) mod export;

use std::time::Duration;

use http::HeaderMap;
use tokio::sync::mpsc;

use crate::access_log::{number, text};
use crate::metrics::ThreadCells;
use crate::record::{Asked, Record};
use crate::table::Traces;
use crate::trace::{self, Context};
use crate::{clock, table};

/// A buffer is handed over when it holds this much: about a hundred spans.
const BUFFER_BYTES: usize = 64 * 1024;

/// Buffers that may wait for the exporter: 4 MiB in all.
pub(crate) const QUEUE: usize = 64;

/// Spans, separated by commas.
pub(crate) struct Batch {
    pub(crate) spans: Vec<u8>,
    pub(crate) count: u64,
}

/// What is known of a request's span when it begins.
pub(crate) struct Span {
    context: Context,
    began_nanos: u64,
}

impl Span {
    /// Begins a span, and tells the next hop of it. `None`: this request is not traced.
    ///
    /// Whoever may choose the request's id decides whether it is traced; for all others chance does, and whether there is `room`.
    pub(crate) fn begin(
        traces: &Traces,
        headers: &mut HeaderMap,
        trusted: bool,
        room: impl FnOnce() -> bool,
    ) -> Option<Box<Self>> {
        let sampled =
            |said: Option<bool>| said.filter(|_| trusted).unwrap_or_else(|| clock::chance() < traces.ratio && room());
        let context = trace::enter(headers, sampled)?;
        Some(Box::new(Self { context, began_nanos: clock::unix_nanos() }))
    }
}

/// A thread's spans that are not handed over yet.
pub(crate) struct SpanBuffer {
    batch: Vec<u8>,
    count: u64,
    queue: mpsc::Sender<Batch>,
}

impl SpanBuffer {
    pub(crate) fn new(queue: mpsc::Sender<Batch>) -> Self {
        Self { batch: Vec::new(), count: 0, queue }
    }

    pub(crate) fn write(&mut self, record: &Record, counts: &ThreadCells) {
        let (Some(span), Some(asked)) = (&record.span, &record.asked) else { return };
        if self.batch.capacity() == 0 {
            self.batch.reserve_exact(BUFFER_BYTES + 2_048);
        } else {
            self.batch.push(b',');
        }
        encode(&mut self.batch, span, record, asked);
        self.count += 1;
        if self.batch.len() >= BUFFER_BYTES {
            self.flush(counts);
        }
    }

    /// Hands over what there is, or drops it if the exporter is behind.
    pub(crate) fn flush(&mut self, counts: &ThreadCells) {
        if self.batch.is_empty() {
            return;
        }
        let (spans, count) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.count));
        match self.queue.try_send(Batch { spans, count }) {
            Ok(()) => counts.spans.add(count),
            Err(_behind) => counts.spans_dropped.add(count),
        }
    }
}

fn encode(into: &mut Vec<u8>, span: &Span, record: &Record, asked: &Asked) {
    let route = record.route.map(|route| &record.view.table.routes[route]);
    let method = asked.method.as_str();
    text(into, "{\"traceId\":\"", &span.context.trace);
    text(into, ",\"spanId\":\"", &span.context.span);
    if let Some(parent) = &span.context.parent {
        text(into, ",\"parentSpanId\":\"", parent);
    }
    // Named by the route, never by the path: there are as many of these as clients like.
    text(into, ",\"name\":\"", method.as_bytes());
    if let Some(route) = route {
        into.pop();
        text(into, " ", route.name.as_bytes());
    }
    number(into, ",\"kind\":2,\"startTimeUnixNano\":\"", span.began_nanos);
    number(into, "\",\"endTimeUnixNano\":\"", span.began_nanos + nanos(record.started.elapsed()));
    into.extend_from_slice(b"\",\"attributes\":[");
    string(into, "http.request.method", method.as_bytes());
    let mut more = |key, value: &[u8]| {
        into.push(b',');
        string(into, key, value);
    };
    more("url.path", asked.uri.path().as_bytes());
    more("url.scheme", if record.busy.state.secure { b"https" } else { b"http" });
    more("client.address", record.busy.state.peer_text.as_bytes());
    more("mana.request_id", record.request_id.as_bytes());
    if let Some(host) = &asked.host {
        more("server.address", host.as_bytes());
    }
    if let Some(route) = route {
        more("mana.route", route.name.as_bytes());
        if let (table::Target::Slots(slots), Some(slot)) = (&route.target, record.slot)
            && let Some(slot) = slots.slots.get(slot)
        {
            more("mana.slot", slot.name.as_bytes());
            more("mana.release", slot.release.as_bytes());
        }
    }
    if let Some(upstream) = &record.upstream {
        more("mana.instance", upstream.id.as_bytes());
    }
    if let Some(cached) = record.cached {
        more("mana.cache", cached.name().as_bytes());
    }
    // A request without an answer: the client went away first.
    let status = record.status.map_or(499, |status| status.as_u16());
    integer(into, "http.response.status_code", status.into());
    if let Some(took) = record.upstream_took {
        integer(into, "mana.upstream_us", u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
    if record.retries > 0 {
        integer(into, "http.request.resend_count", record.retries.into());
    }
    into.extend_from_slice(if status >= 500 { b"],\"status\":{\"code\":2}}" } else { b"],\"status\":{}}" });
}

fn string(into: &mut Vec<u8>, key: &str, value: &[u8]) {
    text(into, "{\"key\":\"", key.as_bytes());
    text(into, ",\"value\":{\"stringValue\":\"", value);
    into.extend_from_slice(b"}}");
}

fn integer(into: &mut Vec<u8>, key: &str, value: u64) {
    text(into, ",{\"key\":\"", key.as_bytes());
    number(into, ",\"value\":{\"intValue\":\"", value);
    into.extend_from_slice(b"\"}}");
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
