//! Lines that begin with `#`: what a metric is.

use super::error::{At, Fault};
use super::{Format, labels, sample, skip_blanks};

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Nobody said.
    #[default]
    Unknown,
    /// It only rises, until its program starts anew.
    Counter,
    /// It rises and falls.
    Gauge,
    /// Counts by upper bounds.
    Histogram,
    /// Counts that rise and fall, by upper bounds.
    GaugeHistogram,
    /// Quantiles that its program calculated.
    Summary,
    /// A fact in its labels; the value is 1.
    Info,
    /// Which of some states holds.
    StateSet,
}

/// What a comment says.
#[derive(Debug, PartialEq)]
pub(super) enum Comment<'a> {
    /// The text as it stands there, with its escapes.
    Help(&'a str, &'a str),
    Type(&'a str, Kind),
    Unit(&'a str, &'a str),
    End,
    Other,
}

impl Kind {
    /// As the text format writes it, which knows fewer.
    #[must_use]
    pub fn in_text(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge | Self::Info | Self::StateSet => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Unknown | Self::GaugeHistogram => "untyped",
        }
    }

    fn read(word: &[u8], format: Format) -> Option<Self> {
        Some(match (word, format) {
            (b"counter", _) => Self::Counter,
            (b"gauge", _) => Self::Gauge,
            (b"histogram", _) => Self::Histogram,
            (b"summary", _) => Self::Summary,
            (b"untyped", Format::Text) | (b"unknown", _) => Self::Unknown,
            // Some programs write them into the text format, too, and Prometheus takes them.
            (b"gaugehistogram", _) => Self::GaugeHistogram,
            (b"info", _) => Self::Info,
            (b"stateset", _) => Self::StateSet,
            _ => return None,
        })
    }
}

/// Reads a line that begins with `#`.
pub(super) fn read(line: &[u8], format: Format) -> At<Comment<'_>> {
    let open = format == Format::OpenMetrics;
    if open && line == b"# EOF" {
        return Ok(Comment::End);
    }
    let (at, end) = sample::word(line, 1);
    let word = if at > 1 { &line[at..end] } else { &[] };
    if !matches!(word, b"HELP" | b"TYPE" | b"UNIT") || (word == b"UNIT" && !open) {
        return if open { Err((0, Fault::Comment)) } else { Ok(Comment::Other) };
    }
    let from = skip_blanks(line, end);
    let name_end = labels::name(line, from, true).ok_or((from, Fault::Name))?;
    if line.get(name_end).is_some_and(|byte| !super::blank(*byte)) {
        return Err((name_end, Fault::Name));
    }
    let name = text(line, from, name_end)?;
    let at = skip_blanks(line, name_end);
    match word {
        b"HELP" => Ok(Comment::Help(name, text(line, at, line.len())?)),
        b"UNIT" => Ok(Comment::Unit(name, text(line, at, line.len())?.trim_end())),
        _ => Ok(Comment::Type(name, Kind::read(line[at..].trim_ascii_end(), format).ok_or((at, Fault::Kind))?)),
    }
}

fn text(line: &[u8], from: usize, to: usize) -> At<&str> {
    std::str::from_utf8(&line[from..to]).map_err(|error| (from + error.valid_up_to(), Fault::Utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_say_what_a_metric_is() {
        let text = |line: &'static str| read(line.as_bytes(), Format::Text);
        let open = |line: &'static str| read(line.as_bytes(), Format::OpenMetrics);
        assert_eq!(text("# HELP a What\\nit \\\\ is"), Ok(Comment::Help("a", "What\\nit \\\\ is")));
        assert_eq!(text("#  TYPE\ta counter "), Ok(Comment::Type("a", Kind::Counter)));
        assert_eq!(text("# HELP a"), Ok(Comment::Help("a", "")));
        assert_eq!(text("# anything"), Ok(Comment::Other));
        assert_eq!(text("#"), Ok(Comment::Other));
        assert_eq!(text("#HELP"), Ok(Comment::Other));
        assert_eq!(text("# EOF"), Ok(Comment::Other));
        assert_eq!(open("# EOF"), Ok(Comment::End));
        assert_eq!(open("# UNIT a_seconds seconds"), Ok(Comment::Unit("a_seconds", "seconds")));
        assert_eq!(open("# TYPE a stateset"), Ok(Comment::Type("a", Kind::StateSet)));
    }

    #[test]
    fn what_they_get_wrong_has_its_place() {
        assert_eq!(read(b"# TYPE a countre", Format::Text), Err((9, Fault::Kind)));
        assert_eq!(read(b"# TYPE a-b counter", Format::Text), Err((8, Fault::Name)));
        assert_eq!(read(b"# HELP a b\xff", Format::Text), Err((10, Fault::Utf8)));
        assert_eq!(read(b"# anything", Format::OpenMetrics), Err((0, Fault::Comment)));
        assert_eq!(read(b"# TYPE a untyped", Format::OpenMetrics), Err((9, Fault::Kind)));
    }
}
