//! What exporters of OpenTelemetry post to `/v1/traces` (OTLP over HTTP): `ExportTraceServiceRequest`, as a protocol buffer or in JSON.
//!
//! Of a span are taken: ids, name, kind, times, whether it failed, and attributes, within bounds. Who sent it is said by whoever
//! received it, and not by the resource, which may claim any name. Left out are events, links and states, and whatever carries what
//! nobody should read in a trace: query strings, headers, values in statements.

use jiff::Timestamp;

use super::{Kind, MOST_ATTRIBUTES, MOST_KEY, MOST_NAME, MOST_VALUE, Span, cut};
use super::{json, protobuf};
use crate::postgres::plain_text;

/// How the body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

impl Form {
    /// By the type that the request says.
    #[must_use]
    pub fn named(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/x-protobuf" | "application/protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Why a body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are no such protocol buffer.
    #[error("this is no protocol buffer of spans: {0}")]
    Protobuf(&'static str),
    /// The text is no such JSON.
    #[error("this is no JSON of spans: {0}")]
    Json(String),
}

/// What was in a body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    /// Spans that are whole.
    pub spans: Vec<Span>,
    /// Those that are none: without ids, or with times that are no times.
    pub refused: usize,
}

/// Reads a body that `service` has sent.
///
/// # Errors
/// When it is not of that form. What is wrong with one span is no error: it is counted.
pub fn read(service: &str, form: Form, body: &[u8]) -> Result<Taken, Error> {
    let raw = match form {
        Form::Protobuf => protobuf::spans(body).map_err(Error::Protobuf)?,
        Form::Json => json::spans(body).map_err(|error| Error::Json(error.to_string()))?,
    };
    let mut taken = Taken::default();
    for raw in raw {
        match raw.span(service) {
            Some(span) => taken.spans.push(span),
            None => taken.refused += 1,
        }
    }
    Ok(taken)
}

/// What is answered where so many spans were refused (`ExportTraceServiceResponse`).
#[must_use]
pub fn answer(form: Form, refused: usize) -> Vec<u8> {
    const WHY: &str = "they have no ids, or no times";
    match (form, refused) {
        (Form::Json, 0) => b"{}".to_vec(),
        (Form::Json, refused) => {
            format!(r#"{{"partialSuccess":{{"rejectedSpans":"{refused}","errorMessage":"{WHY}"}}}}"#).into_bytes()
        }
        (Form::Protobuf, 0) => Vec::new(),
        (Form::Protobuf, refused) => protobuf::partial_success(refused, WHY),
    }
}

/// A span as it was sent.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Raw {
    pub(super) trace: Vec<u8>,
    pub(super) id: Vec<u8>,
    pub(super) parent: Vec<u8>,
    pub(super) name: String,
    pub(super) kind: u64,
    pub(super) began_nanos: u64,
    pub(super) ended_nanos: u64,
    pub(super) attributes: Vec<(String, String)>,
    /// 2 is a failure.
    pub(super) status: u64,
    pub(super) status_message: String,
}

impl Raw {
    fn span(self, service: &str) -> Option<Span> {
        let parent = id::<8>(&self.parent);
        if parent.is_none() && !self.parent.is_empty() && self.parent.iter().any(|byte| *byte != 0) {
            return None;
        }
        let began = Timestamp::from_nanosecond(i128::from(self.began_nanos)).ok().filter(|_| self.began_nanos > 0)?;
        let nanos = self.ended_nanos.checked_sub(self.began_nanos)?;
        let attributes = self.attributes.into_iter().filter_map(|(key, value)| attribute(&key, &value));
        Some(Span {
            began,
            took_us: nanos / 1_000,
            service: service.to_owned(),
            name: cut(&self.name, MOST_NAME),
            kind: Kind::of(self.kind),
            trace_id: id::<16>(&self.trace)?,
            span_id: id::<8>(&self.id)?,
            parent_span_id: parent,
            failed: (self.status == 2).then(|| cut(&self.status_message, MOST_NAME)),
            attributes: attributes.take(MOST_ATTRIBUTES).collect(),
        })
    }
}

/// In hexadecimal; `None` where it has another length, or is all zero.
fn id<const BYTES: usize>(bytes: &[u8]) -> Option<String> {
    use std::fmt::Write as _;
    if bytes.len() != BYTES || bytes.iter().all(|byte| *byte == 0) {
        return None;
    }
    Some(bytes.iter().fold(String::with_capacity(BYTES * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// As far as it may be read by whoever reads traces.
fn attribute(key: &str, value: &str) -> Option<(String, String)> {
    let secret =
        key == "url.query" || key.starts_with("http.request.header") || key.starts_with("http.response.header");
    if secret || key.is_empty() {
        return None;
    }
    let value = match key {
        "url.full" | "http.url" | "http.target" => without_secrets(value),
        "db.statement" | "db.query.text" => plain_text(value),
        _ => value.to_owned(),
    };
    Some((cut(key, MOST_KEY), cut(&value, MOST_VALUE)))
}

/// An address without user, password, query and fragment.
fn without_secrets(address: &str) -> String {
    let end = address.find(['?', '#']).unwrap_or(address.len());
    let address = &address[..end];
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let host_end = rest.find('/').unwrap_or(rest.len());
    let host = rest[..host_end].rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{}", &rest[host_end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn json(span: &str) -> String {
        format!(r#"{{"resourceSpans":[{{"resource":{{"attributes":[]}},"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#)
    }

    fn read_json(span: &str) -> Taken {
        read("chat", Form::Json, json(span).as_bytes()).expect("JSON")
    }

    fn whole() -> String {
        format!(
            r#"{{"traceId":"{TRACE}","spanId":"00f067aa0ba902b7","parentSpanId":"53995c3f42cd8ad8","name":"GET /a","kind":2,
            "startTimeUnixNano":"1767323045000001000","endTimeUnixNano":1767323045500002000,"flags":257,"unknown":{{"a":[1]}},
            "attributes":[{{"key":"a","value":{{"stringValue":"b"}}}},{{"key":"n","value":{{"intValue":"7"}}}},
            {{"key":"ok","value":{{"boolValue":true}}}},{{"key":"list","value":{{"arrayValue":{{"values":[{{"intValue":1}},{{"doubleValue":0.5}}]}}}}}},
            {{"key":"url.query","value":{{"stringValue":"token=secret"}}}},
            {{"key":"http.request.header.cookie","value":{{"stringValue":"secret"}}}},
            {{"key":"url.full","value":{{"stringValue":"https://me:secret@a.b/c?token=secret#secret"}}}},
            {{"key":"db.query.text","value":{{"stringValue":"SELECT 1 FROM t WHERE a = 'secret'"}}}}],
            "events":[{{"name":"x"}}],"status":{{"code":2,"message":"it broke"}}}}"#
        )
    }

    #[test]
    fn a_span_in_json_is_taken_over_without_what_nobody_should_read() {
        let taken = read_json(&whole());
        assert_eq!((taken.spans.len(), taken.refused), (1, 0));
        let span = &taken.spans[0];
        assert_eq!(span.began.to_string(), "2026-01-02T03:04:05.000001Z");
        assert_eq!((span.took_us, span.kind, span.service.as_str()), (500_001, Kind::Server, "chat"));
        assert_eq!((span.trace_id.as_str(), span.span_id.as_str()), (TRACE, "00f067aa0ba902b7"));
        assert_eq!(span.parent_span_id.as_deref(), Some("53995c3f42cd8ad8"));
        assert_eq!(span.failed.as_deref(), Some("it broke"));
        let said: Vec<String> = span.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let statement = format!("db.query.text={}", plain_text("SELECT 1 FROM t WHERE a = 'secret'"));
        assert_eq!(said, ["a=b", &statement, "list=[1,0.5]", "n=7", "ok=true", "url.full=https://a.b/c"]);
        let line = span.line();
        assert!(!line.contains("secret") && !line.contains('\n'), "{line}");
        assert_eq!(Span::read(&line).as_ref(), Some(span));
    }

    #[test]
    fn what_is_no_span_is_counted_and_what_is_no_body_refused() {
        for (from, to) in [
            (TRACE, "00000000000000000000000000000000"),
            (TRACE, "4bf9"),
            ("00f067aa0ba902b7", "xyz"),
            ("53995c3f42cd8ad8", "5399"),
            ("1767323045000001000", "1767323046000000000"),
            ("1767323045000001000", "0"),
        ] {
            let taken = read_json(&whole().replace(from, to));
            assert_eq!((taken.spans.len(), taken.refused), (0, 1), "{from} -> {to}");
        }
        let root = read_json(&whole().replace("53995c3f42cd8ad8", ""));
        assert_eq!(root.spans[0].parent_span_id, None);
        assert!(matches!(read("a", Form::Json, b"[]"), Err(Error::Json(_))));
        assert!(matches!(read("a", Form::Protobuf, b"{}"), Err(Error::Protobuf(_))));
        assert_eq!(read("a", Form::Json, b"{}").expect("nothing in it"), Taken::default());
        assert_eq!(read("a", Form::Protobuf, b"").expect("nothing in it"), Taken::default());
    }

    #[test]
    fn names_and_attributes_are_bounded() {
        let long = "x".repeat(10_000);
        let attributes: Vec<String> =
            (0..100).map(|n| format!(r#"{{"key":"{n}{long}","value":{{"stringValue":"{long}"}}}}"#)).collect();
        let span = format!(
            r#"{{"traceId":"{TRACE}","spanId":"00f067aa0ba902b7","name":"{long}","startTimeUnixNano":"1","endTimeUnixNano":"1","attributes":[{}]}}"#,
            attributes.join(",")
        );
        let taken = read_json(&span);
        assert!(taken.spans[0].line().len() < 32 * (256 + 64 + 16) + 1_000);
        assert_eq!(taken.spans[0].attributes.len(), MOST_ATTRIBUTES);
    }

    #[test]
    fn bodies_are_told_by_their_type() {
        for (name, form) in [
            ("application/x-protobuf", Some(Form::Protobuf)),
            ("application/json; charset=utf-8", Some(Form::Json)),
            ("text/plain", None),
            ("", None),
        ] {
            assert_eq!(Form::named(name), form, "{name}");
        }
    }
}
