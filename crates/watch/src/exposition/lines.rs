//! A body as its lines, without copying.

use std::borrow::Cow;

use super::comment::{self, Comment};
use super::error::{At, BadLine, Fault};
use super::{Format, Kind, MAX_LINE_BYTES, Pairs, blank, labels, sample};

/// What one line says. Lines that say nothing are left out.
#[derive(Debug)]
pub enum Entry<'a> {
    /// What a metric means.
    Help {
        /// The metric's name.
        name: &'a str,
        /// For people.
        text: Cow<'a, str>,
    },
    /// What kind of metric it is.
    Type {
        /// The metric's name.
        name: &'a str,
        /// The kind.
        kind: Kind,
    },
    /// What it is counted in.
    Unit {
        /// The metric's name.
        name: &'a str,
        /// The unit, `seconds` or `bytes`.
        unit: &'a str,
    },
    /// A value.
    Sample(SampleLine<'a>),
    /// `# EOF`: it is complete.
    End,
}

/// A value and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct SampleLine<'a> {
    /// `name{labels}` as it stands there.
    head: &'a [u8],
    /// The value.
    pub value: f64,
    /// In milliseconds since 1970, where its program gives it.
    pub at: Option<i64>,
}

/// The lines of a body. After a bad one it goes on with the next.
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    raw: RawLines<'a>,
    format: Format,
    ended: bool,
}

/// Lines as they are, counted.
#[derive(Debug, Clone)]
pub(super) struct RawLines<'a> {
    rest: Option<&'a [u8]>,
    pub(super) number: usize,
}

impl<'a> SampleLine<'a> {
    /// The metric's name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        name_of(self.head)
    }

    /// Its labels, in their order.
    #[must_use]
    pub fn labels(&self) -> Pairs<'a> {
        Pairs::of(self.head)
    }
}

/// The name at the begin of a checked head.
pub(super) fn name_of(head: &[u8]) -> &str {
    let end = labels::name(head, 0, true).unwrap_or(0);
    std::str::from_utf8(&head[..end]).unwrap_or_default()
}

impl<'a> RawLines<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { rest: Some(body), number: 0 }
    }

    /// The next line without its end; a missing end of the last one is forgiven, as Prometheus does.
    pub(super) fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.filter(|rest| !rest.is_empty())?;
        let line = if let Some(end) = memchr::memchr(b'\n', rest) {
            self.rest = Some(&rest[end + 1..]);
            &rest[..end]
        } else {
            self.rest = None;
            rest
        };
        self.number += 1;
        Some(line)
    }

    pub(super) fn bad(&self, (column, fault): (usize, Fault)) -> BadLine {
        BadLine { line: self.number, column: column + 1, fault }
    }
}

/// What a line is, before it is read.
pub(super) enum Sort<'a> {
    Empty,
    Comment(&'a [u8]),
    /// Without the blanks before it, and how many they are.
    Sample(&'a [u8], usize),
}

pub(super) fn sort(line: &[u8], format: Format) -> At<Sort<'_>> {
    if line.len() > MAX_LINE_BYTES {
        return Err((MAX_LINE_BYTES, Fault::TooLong));
    }
    match line.first() {
        Some(b'#') => return Ok(Sort::Comment(line)),
        Some(byte) if !blank(*byte) => return Ok(Sort::Sample(line, 0)),
        _ => {}
    }
    if format == Format::OpenMetrics {
        return Err((0, if line.is_empty() { Fault::Empty } else { Fault::Name }));
    }
    let indent = super::skip_blanks(line, 0);
    Ok(match line.get(indent) {
        None => Sort::Empty,
        Some(b'#') => Sort::Comment(&line[indent..]),
        Some(_) => Sort::Sample(&line[indent..], indent),
    })
}

impl<'a> Lines<'a> {
    /// The lines of this body.
    #[must_use]
    pub fn new(body: &'a [u8], format: Format) -> Self {
        Self { raw: RawLines::new(body), format, ended: false }
    }

    fn entry(&mut self, line: &'a [u8]) -> At<Option<Entry<'a>>> {
        if self.ended {
            return Err((0, Fault::AfterEnd));
        }
        match sort(line, self.format)? {
            Sort::Empty => Ok(None),
            Sort::Comment(line) => Ok(match comment::read(line, self.format)? {
                Comment::Help(name, text) => Some(Entry::Help { name, text: labels::unescaped(text) }),
                Comment::Type(name, kind) => Some(Entry::Type { name, kind }),
                Comment::Unit(name, unit) => Some(Entry::Unit { name, unit }),
                Comment::End => {
                    self.ended = true;
                    Some(Entry::End)
                }
                Comment::Other => None,
            }),
            Sort::Sample(line, indent) => {
                let shifted = |(column, fault)| (column + indent, fault);
                let end = labels::head(line).map_err(shifted)?;
                let (value, at) = sample::tail(line, end, self.format).map_err(shifted)?;
                Ok(Some(Entry::Sample(SampleLine { head: &line[..end], value, at })))
            }
        }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Entry<'a>, BadLine>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.raw.next()?;
            match self.entry(line) {
                Ok(None) => {}
                Ok(Some(entry)) => return Some(Ok(entry)),
                Err(fault) => return Some(Err(self.raw.bad(fault))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_is_named_and_the_others_are_read() {
        let body = b"# TYPE up gauge\nup{a=\"1\"} 1\n  up{b=2} 2\n\nup 3";
        let entries: Vec<_> = Lines::new(body, Format::Text).collect();
        assert!(matches!(&entries[0], Ok(Entry::Type { name: "up", kind: Kind::Gauge })));
        assert!(matches!(&entries[1], Ok(Entry::Sample(line)) if line.name() == "up" && line.labels().count() == 1));
        assert_eq!(
            entries[2].as_ref().unwrap_err().to_string(),
            "line 3, column 8: a label's value in double quotes was expected"
        );
        assert!(matches!(&entries[3], Ok(Entry::Sample(line)) if line.value.to_bits() == 3_f64.to_bits()));
        assert_eq!(entries.len(), 4);
    }

    #[test]
    fn openmetrics_forbids_what_it_says_it_forbids() {
        let body = b"up 1\n\n up 2\n# EOF\nup 3\n";
        let faults: Vec<_> = Lines::new(body, Format::OpenMetrics).filter_map(Result::err).collect();
        let faults: Vec<_> = faults.iter().map(|bad| (bad.line, bad.fault)).collect();
        assert_eq!(faults, [(2, Fault::Empty), (3, Fault::Name), (5, Fault::AfterEnd)]);
    }

    #[test]
    fn a_line_that_is_too_long_is_one_bad_line() {
        let mut body = b"a{b=\"".to_vec();
        body.extend(vec![b'x'; MAX_LINE_BYTES]);
        body.extend(b"\"} 1\nup 1\n");
        let entries: Vec<_> = Lines::new(&body, Format::Text).collect();
        assert_eq!(entries[0].as_ref().unwrap_err().fault, Fault::TooLong);
        assert!(entries[1].is_ok() && entries.len() == 2);
    }
}
