//! The text of a summary: words with labels and the value in them, checked when it is loaded.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Labels;

/// Longest template, in bytes: a summary is a line.
pub const MAX_TEMPLATE: usize = 1_000;
/// Longest text of one label in a summary, in characters.
const MAX_LABEL: usize = 120;
/// What stands for a label that an alert does not have.
const MISSING: &str = "?";

/// A summary such as `{{service}} answers in {{value|seconds}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Words(String),
    Label(String),
    Value(Form),
}

/// How the value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Number,
    Percent,
    Seconds,
    Bytes,
}

/// A text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTemplate {
    /// Braces that open and do not close.
    #[error("the summary has \"{{{{\" without \"}}}}\" after it: write {{{{service}}}}")]
    Open,
    /// Something that is neither a label nor the value.
    #[error(
        "the summary names {{{{{0}}}}}: what may stand there is a label, such as {{{{service}}}}, or {{{{value}}}}"
    )]
    Name(String),
    /// Not a way to write a value.
    #[error("the summary writes a value as \"{0}\": what there is are number, percent (of 0 to 1), seconds and bytes")]
    Form(String),
    /// It is longer than [`MAX_TEMPLATE`], or empty.
    #[error("a summary has 1 to {MAX_TEMPLATE} bytes, this one has {0}")]
    Size(usize),
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, NoTemplate> {
        if text.trim().is_empty() || text.len() > MAX_TEMPLATE {
            return Err(NoTemplate::Size(text.len()));
        }
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((words, after)) = rest.split_once("{{") {
            let (inner, after) = after.split_once("}}").ok_or(NoTemplate::Open)?;
            if !words.is_empty() {
                parts.push(Part::Words(words.to_owned()));
            }
            parts.push(part(inner.trim())?);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Words(rest.to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The labels that it names.
    pub fn labels(&self) -> BTreeSet<&str> {
        self.parts
            .iter()
            .filter_map(|part| if let Part::Label(name) = part { Some(name.as_str()) } else { None })
            .collect()
    }

    /// In words. On one line, whatever the labels hold.
    pub fn render(&self, labels: &Labels, value: f64) -> String {
        let part = |part: &Part| match part {
            Part::Words(words) => words.clone(),
            Part::Label(name) => match labels.get(name) {
                "" => MISSING.to_owned(),
                text => {
                    text.chars().take(MAX_LABEL).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
                }
            },
            Part::Value(form) => form.write(value),
        };
        self.parts.iter().map(part).collect()
    }
}

fn part(inner: &str) -> Result<Part, NoTemplate> {
    let (name, form) = inner.split_once('|').map_or((inner, None), |(name, form)| (name.trim_end(), Some(form.trim())));
    if name != "value" {
        return if form.is_none() && is_label(name) {
            Ok(Part::Label(name.to_owned()))
        } else {
            Err(NoTemplate::Name(inner.chars().take(MAX_LABEL).collect()))
        };
    }
    Ok(Part::Value(match form.unwrap_or("number") {
        "number" => Form::Number,
        "percent" => Form::Percent,
        "seconds" => Form::Seconds,
        "bytes" => Form::Bytes,
        other => return Err(NoTemplate::Form(other.chars().take(MAX_LABEL).collect())),
    }))
}

/// Whether a label can be called so.
pub(crate) fn is_label(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
}

impl Form {
    fn write(self, value: f64) -> String {
        if !value.is_finite() {
            return if value.is_nan() { "no number" } else { "without bound" }.to_owned();
        }
        match self {
            Self::Number => three(value),
            Self::Percent => format!("{}%", three(value * 100.0)),
            Self::Seconds => seconds(value),
            Self::Bytes => bytes(value),
        }
    }
}

fn seconds(value: f64) -> String {
    let size = value.abs();
    let (unit, factor) = match () {
        () if size < 1.0 => ("ms", 1_000.0),
        () if size < 120.0 => ("s", 1.0),
        () if size < 7_200.0 => ("min", 1.0 / 60.0),
        () if size < 172_800.0 => ("h", 1.0 / 3_600.0),
        () => ("d", 1.0 / 86_400.0),
    };
    format!("{} {unit}", three(value * factor))
}

fn bytes(value: f64) -> String {
    const UNITS: [(&str, f64); 4] = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let unit = UNITS.into_iter().find(|(_, unit)| value.abs() >= *unit);
    unit.map_or_else(|| format!("{} B", three(value)), |(name, unit)| format!("{} {name}", three(value / unit)))
}

/// About three digits that count, without zeros at the end.
fn three(value: f64) -> String {
    let places = match value.abs() {
        0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.places$}");
    let text = if places > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

impl TryFrom<String> for Template {
    type Error = NoTemplate;

    fn try_from(text: String) -> Result<Self, NoTemplate> {
        Self::parse(&text)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, value: f64, expected: &str) {
        let labels = Labels::new([("service", "chat-backend"), ("odd", "a\nb")]);
        assert_eq!(Template::parse(text).unwrap().render(&labels, value), expected);
    }

    #[test]
    fn labels_and_the_value_stand_where_they_are_named() {
        check("{{service}} at {{ value | percent }}", 0.8534, "chat-backend at 85.3%");
        check("{{value}} of {{none}}", 250.0, "250 of ?");
        check("{{odd}}", 0.0, "a b");
        check("no braces } {", 0.0, "no braces } {");
    }

    #[test]
    fn values_are_written_for_people() {
        for (form, value, expected) in [
            ("value", 2.0, "2"),
            ("value", 1_234.56, "1235"),
            ("value", 0.001, "0.001"),
            ("value", -0.0001, "0"),
            ("value", f64::NAN, "no number"),
            ("value", f64::INFINITY, "without bound"),
            ("value|percent", 0.05, "5%"),
            ("value|seconds", 0.5125, "512 ms"),
            ("value|seconds", 2.5, "2.5 s"),
            ("value|seconds", 2_505_600.0, "29 d"),
            ("value|bytes", 1_500_000.0, "1.5 MB"),
            ("value|bytes", 12.0, "12 B"),
        ] {
            check(&format!("{{{{{form}}}}}"), value, expected);
        }
    }

    #[test]
    fn what_is_no_template_is_refused_when_it_is_loaded() {
        for (text, problem) in [
            ("", "1 to 1000 bytes"),
            ("{{service", "without"),
            ("{{}}", "what may stand there"),
            ("{{ $labels.service }}", "what may stand there"),
            ("{{service|percent}}", "what may stand there"),
            ("{{value|furlongs}}", "furlongs"),
        ] {
            let error = Template::parse(text).unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
        assert!(Template::parse(&"x".repeat(MAX_TEMPLATE + 1)).is_err());
    }
}
