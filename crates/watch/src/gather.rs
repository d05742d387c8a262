//! What is measured here rather than told by others: put by name and labels, known again the next time, so that nothing is built anew.
//!
//! To measure something new, write a pure function from its text or rows to a [`Sink`], and say [`Unknown`] of what cannot be told: a
//! value that is not known is never a zero.

use std::fmt;

use crate::exposition::Point;
use crate::remember::{Finished, Known, Remembered, Round};
use crate::series::{Labels, NAME, Sample};

/// Longest piece of something strange that is told.
const MAX_TOLD: usize = 80;
/// Between the parts of a key: neither the kernel nor a database can have it in a name.
const BETWEEN: u8 = 0;

/// Takes what is measured.
pub trait Sink {
    /// A value of the metric `name` with these labels, each label once.
    fn put(&mut self, name: &str, labels: &[(&str, &str)], value: f64);
    /// Something could not be measured.
    fn unknown(&mut self, unknown: Unknown);
}

/// What is not known, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is unknown: {place} {why}")]
pub struct Unknown {
    /// `memory`, `disk space of /srv`.
    pub what: String,
    /// Where it was looked for: a file, a query.
    pub place: String,
    /// Why it is not known.
    pub why: Why,
}

/// Why something is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Its place is not there: this system does not tell it.
    Missing,
    /// Its place could not be read.
    Unreadable(String),
    /// Something else stands there.
    Strange(Strange),
}

/// What stood where something else was expected, cut to a readable length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strange(String);

/// One subject's memory, the host's or a process's: which series it has, and their ids.
#[derive(Debug, Clone)]
pub struct Gathering<I> {
    own: Vec<(String, String)>,
    remembered: Remembered<I>,
    key: Vec<u8>,
    lost: bool,
}

/// What came of a round, besides its samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered<I> {
    /// Samples.
    pub taken: usize,
    /// Samples of series that were refused.
    pub refused: usize,
    /// What could not be measured.
    pub unknown: Vec<Unknown>,
    /// Series that were there the last time and are not now: they end here.
    pub gone: Vec<I>,
}

struct Taking<'m, 'o, I, F> {
    own: &'m [(String, String)],
    round: Round<'m, I>,
    key: &'o mut Vec<u8>,
    at: i64,
    out: &'o mut Vec<Point<I>>,
    id_of: F,
    gathered: Gathered<I>,
}

impl Unknown {
    /// That `what` is not known.
    pub fn new(what: impl Into<String>, place: impl Into<String>, why: Why) -> Self {
        Self { what: what.into(), place: place.into(), why }
    }
}

impl Strange {
    /// This stood there.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut cut: String = text.chars().take(MAX_TOLD).collect();
        if cut.len() < text.len() {
            cut.push('…');
        }
        Self(cut)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => out.write_str("is not there"),
            Self::Unreadable(why) => write!(out, "cannot be read ({why})"),
            Self::Strange(Strange(text)) => write!(out, "has an unknown form: {text:?}"),
        }
    }
}

impl From<&std::io::Error> for Why {
    fn from(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::NotFound { Self::Missing } else { Self::Unreadable(error.to_string()) }
    }
}

impl<I: Copy> Gathering<I> {
    /// One of which nothing is known, with the labels that all of its series have.
    pub fn new<L: Into<String>, V: Into<String>>(own: impl IntoIterator<Item = (L, V)>) -> Self {
        let own = own.into_iter().map(|(label, value)| (label.into(), value.into())).collect();
        Self { own, remembered: Remembered::default(), key: Vec::new(), lost: false }
    }

    /// Takes what `measure` puts, as of `at` (milliseconds since 1970), behind the samples in `out`. `id_of` is asked for the id of each series
    /// that was not there before, and gives none where it is to be refused.
    pub fn gather(
        &mut self,
        at: i64,
        out: &mut Vec<Point<I>>,
        id_of: impl FnMut(Labels) -> Option<I>,
        measure: impl FnOnce(&mut dyn Sink),
    ) -> Gathered<I> {
        let gathered = Gathered { taken: 0, refused: 0, unknown: Vec::new(), gone: Vec::new() };
        let round = self.remembered.round();
        let mut taking = Taking { own: &self.own, round, key: &mut self.key, at, out, id_of, gathered };
        measure(&mut taking);
        let mut gathered = taking.gathered;
        let Finished { change, gone, .. } = taking.round.finish();
        gathered.gone = if self.lost { Vec::new() } else { gone };
        self.remembered.keep(change);
        self.lost = false;
        gathered
    }

    /// Its subject is gone: all of its series end. Gives each once, until there is something to gather again.
    pub fn lose(&mut self) -> Vec<I> {
        if std::mem::replace(&mut self.lost, true) { Vec::new() } else { self.remembered.ids().collect() }
    }

    /// Forgets all ids, for when whoever gave them knows them no more. Nothing ends by it.
    pub fn forget(&mut self) {
        self.remembered = Remembered::default();
    }
}

impl<I: Copy, F: FnMut(Labels) -> Option<I>> Sink for Taking<'_, '_, I, F> {
    fn put(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.key.clear();
        self.key.extend_from_slice(name.as_bytes());
        for (label, value) in labels {
            for part in [label, value] {
                self.key.push(BETWEEN);
                self.key.extend_from_slice(part.as_bytes());
            }
        }
        let id = match self.round.find(self.key) {
            // The first one counts.
            Some(Known { again: true, .. }) => return,
            Some(Known { id: Some(id), .. }) => Some(id),
            known => {
                let own = self.own.iter().map(|(label, value)| (label.as_str(), value.as_str()));
                let all = [(NAME, name)].into_iter().chain(labels.iter().copied()).chain(own);
                let id = (self.id_of)(Labels::new(all));
                match (known, id) {
                    (None, id) => self.round.add(self.key, id),
                    (Some(_), Some(id)) => self.round.settle(id),
                    (Some(_), None) => {}
                }
                id
            }
        };
        if let Some(id) = id {
            self.gathered.taken += 1;
            self.out.push(Point { id, sample: Sample { at: self.at, value } });
        } else {
            self.gathered.refused += 1;
        }
    }

    fn unknown(&mut self, unknown: Unknown) {
        self.gathered.unknown.push(unknown);
    }
}

/// Keeps what it is given, for tests and for who wants to look rather than keep.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Each value with its labels, its name among them.
    pub values: Vec<(Labels, f64)>,
    /// What is not known.
    pub unknown: Vec<Unknown>,
}

impl Found {
    /// What `measure` puts.
    pub fn by(measure: impl FnOnce(&mut dyn Sink)) -> Self {
        let mut found = Self::default();
        measure(&mut found);
        found
    }

    /// Puts it where it is wanted as well.
    pub fn put_again(&self, sink: &mut dyn Sink) {
        for (labels, value) in &self.values {
            let others: Vec<(&str, &str)> = labels.iter().filter(|(label, _)| *label != NAME).collect();
            sink.put(labels.name(), &others, *value);
        }
        for unknown in &self.unknown {
            sink.unknown(unknown.clone());
        }
    }

    /// The value with this name and exactly these labels.
    #[must_use]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted = Labels::new([(NAME, name)].into_iter().chain(labels.iter().copied()));
        self.values.iter().find(|(known, _)| *known == wanted).map(|(_, value)| *value)
    }
}

impl Sink for Found {
    fn put(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.values.push((Labels::new([(NAME, name)].into_iter().chain(labels.iter().copied())), value));
    }

    fn unknown(&mut self, unknown: Unknown) {
        self.unknown.push(unknown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_made_once_and_ends_when_it_is_not_put() {
        let mut gathering = Gathering::new([("host", "a")]);
        let mut series: Vec<Labels> = Vec::new();
        let mut round = |modes: &[&str]| {
            let mut points = Vec::new();
            let gathered = gathering.gather(
                5,
                &mut points,
                |labels| {
                    series.push(labels);
                    Some(series.len())
                },
                |sink| modes.iter().for_each(|mode| sink.put("cpu", &[("mode", mode)], 1.0)),
            );
            (points.iter().map(|point| point.id).collect::<Vec<_>>(), gathered.gone)
        };
        assert_eq!(round(&["user", "idle"]), (vec![1, 2], vec![]));
        assert_eq!(round(&["user", "idle"]), (vec![1, 2], vec![]));
        assert_eq!(round(&["idle"]), (vec![2], vec![1]));
        assert_eq!(gathering.lose(), [2]);
        assert!(gathering.lose().is_empty());
        assert_eq!(
            series,
            [
                Labels::new([(NAME, "cpu"), ("mode", "user"), ("host", "a")]),
                Labels::new([(NAME, "cpu"), ("mode", "idle"), ("host", "a")])
            ]
        );
    }

    #[test]
    fn what_is_refused_is_counted_and_may_be_taken_later() {
        let mut gathering = Gathering::new([("", ""); 0]);
        let mut round = |allow: bool| {
            let taken = gathering.gather(0, &mut Vec::new(), |_| allow.then_some(1), |sink| sink.put("a", &[], 1.0));
            (taken.taken, taken.refused)
        };
        assert_eq!([round(false), round(false), round(true), round(false)], [(0, 1), (0, 1), (1, 0), (1, 0)]);
    }

    #[test]
    fn what_is_unknown_says_what_where_and_why() {
        let strange = Why::Strange(Strange::new(&"x".repeat(200)));
        let text = Unknown::new("load", "/proc/loadavg", strange).to_string();
        assert_eq!(text, format!("load is unknown: /proc/loadavg has an unknown form: \"{}…\"", "x".repeat(MAX_TOLD)));
        let missing = Unknown::new("pressure", "/proc/pressure/io", Why::Missing).to_string();
        assert_eq!(missing, "pressure is unknown: /proc/pressure/io is not there");
    }
}
