//! One line of a log as a person reads it.
//!
//! Structured lines (JSON, as `tracing` and most loggers write them) become `time LEVEL message key=value …`; other lines
//! stay as they are. Nothing in a log line reaches the terminal as a control sequence: logs carry what strangers sent.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mana_control::logs::harmless;
use serde_json::{Map, Value};

use super::style::{Style, Tone};

/// Names under which loggers write the time, the level and the message, in the order they are looked for.
const TIME_KEYS: [&str; 4] = ["timestamp", "time", "ts", "@timestamp"];
const LEVEL_KEYS: [&str; 3] = ["level", "severity", "lvl"];
const MESSAGE_KEYS: [&str; 3] = ["message", "msg", "event"];

/// The line for a person's eyes.
pub(crate) fn pretty(line: &str, style: Style, zone: &TimeZone) -> String {
    match serde_json::from_str::<Map<String, Value>>(line) {
        Ok(record) => structured(record, style, zone),
        Err(_) => harmless(line),
    }
}

/// When the line was written, if it says so: in a field, or as the first word of plain text.
pub(crate) fn written_at(line: &str) -> Option<Timestamp> {
    match serde_json::from_str::<Map<String, Value>>(line) {
        Ok(mut record) => take(&mut record, &TIME_KEYS)?.as_str()?.parse().ok(),
        Err(_) => line.split_ascii_whitespace().next()?.parse().ok(),
    }
}

fn structured(mut record: Map<String, Value>, style: Style, zone: &TimeZone) -> String {
    // `tracing` puts what an event says below `fields`; what stands beside it says where it came from.
    if let Some(Value::Object(fields)) = record.remove("fields") {
        record.extend(fields);
    }
    let time = take(&mut record, &TIME_KEYS).map(|time| time_text(&time, zone));
    let level = take(&mut record, &LEVEL_KEYS).map(|level| text(&level).to_uppercase());
    let message = take(&mut record, &MESSAGE_KEYS).map(|message| text(&message));
    let mut line = String::new();
    if let Some(time) = time {
        let _ = write!(line, "{} ", style.paint(Tone::Faint, &time));
    }
    if let Some(level) = level {
        let _ = write!(line, "{} ", style.paint(level_tone(&level), &format!("{level:<5}")));
    }
    line.push_str(&message.unwrap_or_default());
    for (key, value) in &record {
        let key = style.paint(Tone::Faint, &format!("{}=", harmless(key)));
        let _ = write!(line, " {key}{}", text(value));
    }
    line.truncate(line.trim_end().len());
    line
}

fn take(record: &mut Map<String, Value>, keys: &[&str]) -> Option<Value> {
    let key = keys.iter().find(|key| record.contains_key(**key))?;
    record.remove(*key)
}

/// The time of day where the person is; what is no instant stays as it is.
fn time_text(time: &Value, zone: &TimeZone) -> String {
    let parsed = time.as_str().and_then(|time| time.parse::<Timestamp>().ok());
    parsed.map_or_else(|| text(time), |time| time.to_zoned_datetime(zone.clone()).strftime("%H:%M:%S%.3f").to_string())
}

fn level_tone(level: &str) -> Tone {
    match level {
        "ERROR" | "FATAL" | "CRITICAL" => Tone::Bad,
        "WARN" | "WARNING" => Tone::Care,
        "INFO" => Tone::Good,
        _ => Tone::Faint,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => harmless(text),
        other => harmless(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        assert_eq!(pretty(line, Style::PLAIN, &TimeZone::UTC), expected, "{line}");
    }

    #[test]
    fn structured_lines_become_time_level_message_and_fields() {
        check(
            r#"{"timestamp":"2026-01-02T03:04:05.678901Z","level":"INFO","fields":{"message":"ready","port":20001},"target":"kit"}"#,
            "03:04:05.678 INFO  ready port=20001 target=kit",
        );
        check(
            r#"{"timestamp":"2026-01-02T03:04:05Z","level":"WARN","message":"slow","request_id":"7f","took_ms":812}"#,
            "03:04:05.000 WARN  slow request_id=7f took_ms=812",
        );
        check(r#"{"time":1736,"severity":"error","msg":"no"}"#, "1736 ERROR no");
        check(r#"{"a":{"b":[1,2]}}"#, r#" a={"b":[1,2]}"#);
    }

    #[test]
    fn other_lines_stay_as_they_are() {
        for line in ["plain words", "", "[1, 2]", "42", "{broken", "\ttabbed"] {
            check(line, line);
        }
    }

    #[test]
    fn nothing_in_a_line_reaches_the_terminal_as_a_control_sequence() {
        check("a\u{1b}]0;owned\u{7}b", r"a\u{1b}]0;owned\u{7}b");
        check(r#"{"message":"a\u001b[2Jb\nc","k\u001b":"\u009b"}"#, r"a\u{1b}[2Jb\nc k\u{1b}=\u{9b}");
    }

    #[test]
    fn the_time_is_shown_where_the_person_is() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let line = r#"{"timestamp":"2026-01-02T23:04:05Z","message":"x"}"#;
        assert_eq!(pretty(line, Style::PLAIN, &zone), "01:04:05.000 x");
    }
}
