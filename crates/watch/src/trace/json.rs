//! Spans in OTLP's JSON: names in camel case, ids in hexadecimal, 64-bit numbers as text or as numbers. What is not known is passed over.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::otlp::Raw;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Request {
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceSpans {
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScopeSpans {
    spans: Vec<Span>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names of OTLP")]
struct Span {
    trace_id: String,
    span_id: String,
    parent_span_id: String,
    name: String,
    kind: u64,
    #[serde(deserialize_with = "number")]
    start_time_unix_nano: u64,
    #[serde(deserialize_with = "number")]
    end_time_unix_nano: u64,
    attributes: Vec<Attribute>,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attribute {
    key: String,
    value: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u64,
    message: String,
}

pub(super) fn spans(body: &[u8]) -> Result<Vec<Raw>, serde_json::Error> {
    // A sequence would be read as a struct, too.
    let body: serde_json::Map<String, Value> = serde_json::from_slice(body)?;
    let request = Request::deserialize(Value::Object(body))?;
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    Ok(scopes.flat_map(|scope| scope.spans).map(raw).collect())
}

fn raw(span: Span) -> Raw {
    Raw {
        trace: bytes(&span.trace_id),
        id: bytes(&span.span_id),
        parent: bytes(&span.parent_span_id),
        name: span.name,
        kind: span.kind,
        began_nanos: span.start_time_unix_nano,
        ended_nanos: span.end_time_unix_nano,
        attributes: span.attributes.into_iter().map(|attribute| (attribute.key, said(&attribute.value))).collect(),
        status: span.status.code,
        status_message: span.status.message,
    }
}

/// Of hexadecimal digits. What is none becomes a byte that no id has the length for.
fn bytes(text: &str) -> Vec<u8> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|char| char.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect(),
        _ => vec![u8::MAX],
    }
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let read = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    read.ok_or_else(|| serde::de::Error::custom(format_args!("{value} is no number of nanoseconds")))
}

/// A value, which says its kind, as text.
fn said(value: &Value) -> String {
    let Some((kind, value)) = value.as_object().and_then(|value| value.iter().next()) else { return String::new() };
    let list = |name: &str| value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default().iter();
    match (kind.as_str(), value) {
        (_, Value::String(text)) => text.clone(),
        ("arrayValue", _) => format!("[{}]", list("values").map(said).collect::<Vec<_>>().join(",")),
        ("kvlistValue", _) => {
            let pairs = list("values").map(|pair| {
                let key = pair.get("key").and_then(Value::as_str).unwrap_or_default();
                format!("{key}={}", pair.get("value").map(said).unwrap_or_default())
            });
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
        (_, other) => other.to_string(),
    }
}
