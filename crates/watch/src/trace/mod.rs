//! Traces: what services say that they did for one request, as spans of time within one another.
//!
//! | module | what it is |
//! |---|---|
//! | [`otlp`] | what exporters of OpenTelemetry post: protocol buffers (`protobuf`) or JSON (`json`) |
//! | [`tree`] | the spans of a trace as people look at them: what happened within what, and when |
//!
//! A [`Span`] is kept as one line of JSON, in the shape of a line of a log, so that whatever reads logs reads it.

mod json;
pub mod otlp;
mod protobuf;
pub mod tree;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Characters of a span's name, and of what it says about its failure.
const MOST_NAME: usize = 200;
/// Attributes of a span that are kept.
const MOST_ATTRIBUTES: usize = 32;
/// Characters of an attribute's key and value.
const MOST_KEY: usize = 64;
const MOST_VALUE: usize = 256;

/// Which side of a call a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Work within a process.
    #[default]
    Internal,
    /// A request that is answered.
    Server,
    /// A call of something else.
    Client,
    /// A message that is sent.
    Producer,
    /// A message that is taken.
    Consumer,
}

impl Kind {
    fn of(number: u64) -> Self {
        match number {
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Internal,
        }
    }
}

/// Something that took time in a service, for one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// When it began.
    #[serde(rename = "timestamp")]
    pub began: Timestamp,
    /// Microseconds that it took.
    pub took_us: u64,
    /// Who says so.
    pub service: String,
    /// What it is called.
    #[serde(rename = "message")]
    pub name: String,
    /// Which side of a call.
    pub kind: Kind,
    /// The trace that it belongs to: 32 hexadecimal digits.
    pub trace_id: String,
    /// Itself: 16 hexadecimal digits.
    pub span_id: String,
    /// The span that it is within.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// Whether it failed, and how as far as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// What else it says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

impl Span {
    /// When it ended.
    #[must_use]
    pub fn ended(&self) -> Timestamp {
        let took = SignedDuration::from_micros(i64::try_from(self.took_us).unwrap_or(i64::MAX));
        self.began.checked_add(took).unwrap_or(Timestamp::MAX)
    }

    /// As a line of a file, without its end.
    #[must_use]
    pub fn line(&self) -> String {
        // Strings, numbers and maps of strings: there is nothing that JSON could not hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Out of a line; `None` where it holds none.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

/// The text, or its beginning where it is longer.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
