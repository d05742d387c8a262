//! A line of a log as pages show it: parsed where it is JSON, as it is where not. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::harmless;

/// Names under which loggers write things, in the order they are looked for.
const TIME_KEYS: [&str; 4] = ["timestamp", "time", "ts", "@timestamp"];
const LEVEL_KEYS: [&str; 3] = ["level", "severity", "lvl"];
const MESSAGE_KEYS: [&str; 3] = ["message", "msg", "event"];
const TRACE_KEYS: [&str; 3] = ["trace_id", "traceId", "traceparent"];
const REQUEST_KEYS: [&str; 5] = ["request_id", "requestId", "req_id", "x_request_id", "request-id"];
/// Characters of a line that are shown; all of it is in the file.
const MOST_CHARACTERS: usize = 4_000;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For whoever looks for a mistake.
    Debug,
    /// What happens.
    Info,
    /// Somebody should look at it.
    Warn,
    /// Something failed.
    Error,
}

impl Level {
    /// All of them, the least one first.
    pub const ALL: [Self; 5] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// By one of the names that loggers have for it.
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "trace" => Some(Self::Trace),
            "debug" => Some(Self::Debug),
            "info" | "notice" => Some(Self::Info),
            "warn" | "warning" => Some(Self::Warn),
            "error" | "err" | "fatal" | "critical" | "panic" => Some(Self::Error),
            _ => None,
        }
    }
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Who wrote it.
    pub service: String,
    /// Which of its instances, from 1.
    pub instance: u16,
    /// When, if it says so.
    pub at: Option<Timestamp>,
    /// How much it matters, if it says so.
    pub level: Option<Level>,
    /// What it says.
    pub message: String,
    /// What it says besides.
    pub fields: Vec<(String, String)>,
    /// The id of the request that it belongs to.
    pub request: Option<String>,
    /// The id of the trace that it belongs to.
    pub trace: Option<String>,
    /// All of it as it was written, as far as it is shown.
    pub text: String,
}

impl Line {
    /// Takes it apart.
    pub fn read(service: &str, instance: u16, text: &str) -> Self {
        let (service, text) = (service.to_owned(), bounded(text));
        let Ok(mut record) = serde_json::from_str::<Map<String, Value>>(&text) else {
            let at = text.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
            let (level, message) = (plain_level(&text), harmless(&text));
            return Self {
                service,
                instance,
                at,
                level,
                message,
                fields: Vec::new(),
                request: None,
                trace: None,
                text,
            };
        };
        // `tracing` puts what an event says below `fields`; what stands beside it says where it came from.
        if let Some(Value::Object(fields)) = record.remove("fields") {
            record.extend(fields);
        }
        // And what it belongs to below `span`: the request, in services of `kit`.
        if let Some(Value::Object(span)) = record.remove("span") {
            span.into_iter().filter(|(name, _)| name != "name").for_each(|(name, value)| {
                record.entry(name).or_insert(value);
            });
        }
        let at = take(&mut record, &TIME_KEYS).and_then(|value| value.as_str()?.parse().ok());
        let level = take(&mut record, &LEVEL_KEYS).and_then(|value| Level::named(value.as_str()?));
        let message = take(&mut record, &MESSAGE_KEYS).map(|value| said(&value));
        let message = message.or_else(|| of_access(&record)).unwrap_or_default();
        let request = REQUEST_KEYS.iter().find_map(|key| record.get(*key)).map(said);
        let trace = TRACE_KEYS.iter().find_map(|key| record.get(*key)).map(|value| trace_id(&said(value)));
        let fields = record.iter().map(|(key, value)| (harmless(key), said(value))).collect();
        Self { service, instance, at, level, message, fields, request, trace, text }
    }

    /// Whether it has a page of its own: the edge's log of requests and the control plane have none.
    pub(crate) fn is_of_service(&self) -> bool {
        ![super::ACCESS, super::CONTROL].contains(&self.service.as_str())
    }

    /// The trace's id, where this is the field that says it.
    pub(crate) fn trace_of(&self, value: &str) -> Option<&str> {
        self.trace.as_deref().filter(|trace| value.contains(trace))
    }

    /// RFC 3339, to the millisecond.
    pub(crate) fn time(&self) -> Option<String> {
        self.at.map(|at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
    }

    /// Of the day, in UTC.
    pub(crate) fn clock(&self) -> Option<String> {
        self.at.map(|at| at.strftime("%H:%M:%S%.3f").to_string())
    }
}

fn bounded(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn take(record: &mut Map<String, Value>, keys: &[&str]) -> Option<Value> {
    let key = keys.iter().find(|key| record.contains_key(**key))?;
    record.remove(*key)
}

/// Logs written for people have their level among the first words.
fn plain_level(text: &str) -> Option<Level> {
    let words = text.split_ascii_whitespace().take(3);
    words.map(|word| word.trim_matches(|c: char| !c.is_ascii_alphabetic())).find_map(Level::named)
}

/// What a line of an access log is about.
fn of_access(record: &Map<String, Value>) -> Option<String> {
    let text = |key: &str| record.get(key).map(said);
    Some(format!("{} {} {}", text("method")?, text("path")?, text("status")?))
}

/// Of a `traceparent` its second part.
fn trace_id(text: &str) -> String {
    let mut parts = text.split('-');
    match (parts.next(), parts.next()) {
        (Some(version), Some(trace)) if version.len() == 2 && trace.len() == 32 => trace.to_owned(),
        _ => text.to_owned(),
    }
}

fn said(value: &Value) -> String {
    match value {
        Value::String(text) => harmless(text),
        other => harmless(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structured_lines_are_taken_apart() {
        let line = Line::read(
            "a",
            1,
            r#"{"timestamp":"2026-01-02T03:04:05.678901Z","level":"WARN","fields":{"message":"slow","request_id":"7f","took_ms":812},"target":"kit"}"#,
        );
        assert_eq!(
            (line.level, line.message.as_str(), line.request.as_deref()),
            (Some(Level::Warn), "slow", Some("7f"))
        );
        assert_eq!(line.clock().as_deref(), Some("03:04:05.678"));
        let fields: Vec<String> = line.fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            fields,
            ["request_id=7f", "took_ms=812", "target=kit"]
                .map(str::to_owned)
                .iter()
                .cloned()
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_line_of_a_service_belongs_to_the_request_that_its_span_names() {
        let line = Line::read("a", 1, r#"{"message":"answered","span":{"request_id":"7f","name":"request"}}"#);
        assert_eq!((line.message.as_str(), line.request.as_deref()), ("answered", Some("7f")));
    }

    #[test]
    fn a_line_of_the_edge_says_what_was_asked_for_and_of_which_trace_it_is() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let text = format!(
            r#"{{"timestamp":"2026-01-02T03:04:05Z","method":"GET","path":"/a","status":200,"request_id":"7f","traceparent":"00-{trace}-00f067aa0ba902b7-01"}}"#
        );
        let line = Line::read("access", 1, &text);
        assert_eq!(
            (line.message.as_str(), line.request.as_deref(), line.trace.as_deref()),
            ("GET /a 200", Some("7f"), Some(trace))
        );
        let own = Line::read("a", 1, &format!(r#"{{"message":"x","trace_id":"{trace}"}}"#));
        assert_eq!(own.trace.as_deref(), Some(trace));
    }

    #[test]
    fn other_lines_stay_as_they_are() {
        for (text, level) in [
            ("plain words", None),
            ("[1, 2]", None),
            ("{broken", None),
            ("2026-01-02T03:04:05Z ERROR no", Some(Level::Error)),
            ("[warn] careful", Some(Level::Warn)),
            ("this has an error in the fifth place", None),
        ] {
            let line = Line::read("a", 1, text);
            assert_eq!((line.message.as_str(), line.level, line.fields.len()), (text, level, 0), "{text}");
        }
    }

    #[test]
    fn nothing_in_a_line_is_a_control_sequence_or_endless() {
        assert_eq!(Line::read("a", 1, "a\u{1b}[2Jb").message, r"a\u{1b}[2Jb");
        assert_eq!(Line::read("a", 1, &"x".repeat(100_000)).message.chars().count(), MOST_CHARACTERS + 1);
    }
}
