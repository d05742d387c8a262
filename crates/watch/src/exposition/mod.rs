//! What programs say of themselves: the Prometheus text format 0.0.4 and OpenMetrics 1.0, read fast and in bounds, and written.
//!
//! - [`Lines`] reads one body without copying: names and labels are borrowed from it.
//! - [`Target`] remembers what one target gave, so that an unchanged `name{labels}` costs a comparison and no labels are built.
//! - [`write`](write()) gives series out, for whoever federates.
//!
//! What is strict and what is not follows Prometheus, with one difference. Prometheus gives up the whole body at its first bad line;
//! here a bad line is counted, named, and left out, so that one wrong label does not blind a team to all else that an instance says.
//! What is no exposition at all ([`Nonsense`]) is refused as a whole, and so is a body of which more than [`MAX_BAD_LINES`] are bad.
//!
//! Names in quotes (`{"a.b"}`, Prometheus 3) come only to who asks for them, which [`ACCEPT`] does not: there they are bad lines.

mod comment;
mod error;
mod labels;
mod lines;
mod number;
mod sample;
mod target;
mod write;

pub use comment::Kind;
pub use error::{BadLine, Fault, Nonsense};
pub use labels::Pairs;
pub use lines::{Entry, Lines, SampleLine};
pub use target::{Clash, Family, First, Point, Reading, Target};
pub use write::write;

/// What a request for an exposition says that it takes.
pub const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
/// Largest body: a hundred times what a busy exporter gives. Whoever fetches stops reading here, too.
pub const MAX_BODY_BYTES: usize = 16 << 20;
/// Longest line: a query's text as a label still fits.
pub const MAX_LINE_BYTES: usize = 16 << 10;
/// Most labels of one sample, its name not counted.
pub const MAX_LABELS: usize = 64;
/// Most samples of one body; a service has some hundreds.
pub const MAX_SAMPLES: usize = 50_000;
/// Most bad lines of one body: a program that gets more of them wrong is not to be trusted with the others.
pub const MAX_BAD_LINES: usize = 10;

/// How a body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0: times in seconds, exemplars, and an end that is said.
    OpenMetrics,
}

impl Format {
    /// By the answer's `content-type`. What is not known is read as text, as Prometheus 2 does, since many programs say `text/html` or
    /// nothing; what cannot be text (its binary format) is none.
    #[must_use]
    pub fn of(content_type: &str) -> Option<Self> {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/openmetrics-text") {
            Some(Self::OpenMetrics)
        } else if kind.eq_ignore_ascii_case("application/vnd.google.protobuf") {
            None
        } else {
            Some(Self::Text)
        }
    }
}

/// What may stand between the parts of a line.
const fn blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Where the blanks from here on end.
fn skip_blanks(line: &[u8], from: usize) -> usize {
    from + line[from..].iter().take_while(|byte| blank(**byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_follows_the_content_type() {
        assert_eq!(Format::of("application/openmetrics-text; version=1.0.0; charset=utf-8"), Some(Format::OpenMetrics));
        assert_eq!(Format::of("text/plain; version=0.0.4"), Some(Format::Text));
        assert_eq!(Format::of(""), Some(Format::Text));
        assert_eq!(Format::of("application/vnd.google.protobuf; encoding=delimited"), None);
    }
}
