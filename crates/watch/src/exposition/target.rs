//! One target's memory: what it gave last time is known by its text, so that only what is new has its labels built.

use std::borrow::Cow;

use super::comment::{self, Comment};
use super::error::{At, BadLine, Fault, Nonsense};
use super::lines::{RawLines, Sort, name_of, sort};
use super::{Format, Kind, MAX_BAD_LINES, MAX_BODY_BYTES, MAX_SAMPLES, Pairs, labels, sample, skip_blanks};
use crate::remember::{Finished, Known, Remembered, Round};
use crate::series::{Labels, NAME, Sample};

/// Before a label of the target's program that has the name of one of ours.
const THEIRS: &str = "exported_";
/// Rounds after which series that were refused are offered again: ten minutes at ten seconds.
const ROUNDS_BETWEEN_OFFERS: u32 = 60;

/// What one target gave, with the ids that its series have where they are kept.
#[derive(Debug, Clone)]
pub struct Target<I> {
    /// Labels that say which target it is.
    own: Vec<(String, String)>,
    clash: Clash,
    remembered: Remembered<I>,
    /// Its series are said to have ended.
    lost: bool,
    rounds: u32,
}

/// Whose label counts when the target's program gives one that says which target it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clash {
    /// Ours; theirs is called `exported_…`.
    #[default]
    Ours,
    /// Theirs: for a federation, which speaks of others.
    Theirs,
}

/// A sample and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Point<I> {
    /// The series, as whoever keeps it calls it.
    pub id: I,
    /// The sample.
    pub sample: Sample,
}

/// A series that was not there before.
#[derive(Debug)]
pub struct First<'a> {
    /// Its labels, those of its target among them.
    pub labels: Labels,
    /// What is said of its metric.
    pub family: Family<'a>,
}

/// What is said of a metric.
#[derive(Debug, Clone, Default)]
pub struct Family<'a> {
    /// Its kind.
    pub kind: Kind,
    /// For people.
    pub help: Cow<'a, str>,
    /// What it is counted in, where OpenMetrics says it.
    pub unit: &'a str,
}

/// What came of a body, besides its samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<I> {
    /// Samples in it.
    pub scraped: usize,
    /// Series that had not been there the last time.
    pub added: usize,
    /// Samples of series that were refused.
    pub refused: usize,
    /// Samples of a series that had one before in the same body, and no time of their own. The first one counts.
    pub doubled: usize,
    /// Lines that were left out.
    pub bad: usize,
    /// The first of them.
    pub first_bad: Option<BadLine>,
    /// Series that were there the last time and are not now: they end here.
    pub gone: Vec<I>,
}

/// The metric that the comments before a line are about.
#[derive(Default)]
struct About<'a> {
    name: &'a str,
    kind: Kind,
    /// With its escapes.
    help: &'a str,
    unit: &'a str,
}

/// A body as it is read.
struct Body<'m, 'b, 'o, I> {
    target: &'m Target<I>,
    round: Round<'m, I>,
    format: Format,
    about: About<'b>,
    at: i64,
    out: &'o mut Vec<Point<I>>,
    reading: Reading<I>,
    offer_again: bool,
}

impl<I: Copy> Target<I> {
    /// One of which nothing is known, with the labels that say which one it is.
    pub fn new<L: Into<String>, V: Into<String>>(own: impl IntoIterator<Item = (L, V)>, clash: Clash) -> Self {
        let own = own.into_iter().map(|(label, value)| (label.into(), value.into())).collect();
        Self { own, clash, remembered: Remembered::default(), lost: false, rounds: 0 }
    }

    /// Reads what it gave at `at` (milliseconds since 1970). Its samples are put behind those in `out`; `id_of` is asked for the id of each
    /// series that was not there before, and gives none where it is to be refused.
    ///
    /// # Errors
    /// The body is refused as a whole. Then `out` is as before, nothing is forgotten, and [`Self::lose`] gives what ends.
    pub fn read(
        &mut self,
        body: &[u8],
        format: Format,
        at: i64,
        out: &mut Vec<Point<I>>,
        mut id_of: impl FnMut(First<'_>) -> Option<I>,
    ) -> Result<Reading<I>, Nonsense> {
        if body.len() > MAX_BODY_BYTES {
            return Err(Nonsense::TooLarge);
        }
        let before = out.len();
        self.rounds = self.rounds.wrapping_add(1);
        let offer_again = self.rounds.is_multiple_of(ROUNDS_BETWEEN_OFFERS) && self.remembered.any_refused();
        let mut reader = Body {
            target: self,
            round: self.remembered.round(),
            format,
            about: About::default(),
            at,
            out,
            reading: Reading::default(),
            offer_again,
        };
        let read = reader.all(body, &mut id_of);
        let (finished, mut reading) = (reader.round.finish(), reader.reading);
        if let Err(nonsense) = read {
            out.truncate(before);
            return Err(nonsense);
        }
        let Finished { change, gone, fresh } = finished;
        reading.added = fresh;
        // What was lost has ended already.
        reading.gone = if self.lost { Vec::new() } else { gone };
        self.remembered.keep(change);
        self.lost = false;
        Ok(reading)
    }

    /// The target is gone or gives nonsense: all of its series end. Gives each once, until it is back.
    pub fn lose(&mut self) -> Vec<I> {
        if std::mem::replace(&mut self.lost, true) { Vec::new() } else { self.remembered.ids().collect() }
    }

    /// Forgets all ids, for when whoever gave them knows them no more. Nothing ends by it.
    pub fn forget(&mut self) {
        self.remembered = Remembered::default();
    }

    /// How much memory it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.remembered.bytes()
    }

    fn labels(&self, head: &[u8]) -> Labels {
        let name = name_of(head);
        let own = |label: &str| self.own.iter().any(|(ours, _)| ours == label);
        let theirs: Vec<_> = Pairs::of(head).filter(|(_, value)| !value.is_empty()).collect();
        let given = |label: &str| theirs.iter().any(|(theirs, _)| *theirs == label);
        let mut pairs: Vec<(String, &str)> = vec![(NAME.to_owned(), name)];
        for (label, value) in &theirs {
            let mut label = (*label).to_owned();
            while self.clash == Clash::Ours && own(&label) {
                label.insert_str(0, THEIRS);
                // Somebody else may be called so, too.
                while given(&label) {
                    label.insert_str(0, THEIRS);
                }
            }
            pairs.push((label, value));
        }
        let ours = self.own.iter().filter(|(label, _)| self.clash == Clash::Ours || !given(label));
        pairs.extend(ours.map(|(label, value)| (label.clone(), value.as_str())));
        Labels::new(pairs)
    }
}

impl<'b, I: Copy> Body<'_, 'b, '_, I> {
    fn all(&mut self, body: &'b [u8], id_of: &mut impl FnMut(First<'_>) -> Option<I>) -> Result<(), Nonsense> {
        let mut lines = RawLines::new(body);
        let mut ended = false;
        while let Some(line) = lines.next() {
            let read = if ended { Err((0, Fault::AfterEnd)) } else { self.line(line, id_of) };
            match read {
                Ok(end) => ended = end,
                Err(fault) => self.bad(lines.bad(fault))?,
            }
            if self.reading.scraped > MAX_SAMPLES {
                return Err(Nonsense::TooManySamples);
            }
        }
        if let (0, Some(first)) = (self.reading.scraped, &self.reading.first_bad) {
            return Err(Nonsense::NoExposition { first: first.clone() });
        }
        if self.format == Format::OpenMetrics && !ended { Err(Nonsense::CutOff) } else { Ok(()) }
    }

    fn bad(&mut self, line: BadLine) -> Result<(), Nonsense> {
        self.reading.bad += 1;
        let first = self.reading.first_bad.get_or_insert(line);
        if self.reading.bad <= MAX_BAD_LINES {
            return Ok(());
        }
        let first = first.clone();
        Err(if self.reading.scraped == 0 {
            Nonsense::NoExposition { first }
        } else {
            Nonsense::TooManyBadLines { first }
        })
    }

    /// Whether it was the last one.
    fn line(&mut self, line: &'b [u8], id_of: &mut impl FnMut(First<'_>) -> Option<I>) -> At<bool> {
        match sort(line, self.format)? {
            Sort::Empty => {}
            Sort::Comment(line) => return self.comment(line),
            Sort::Sample(line, indent) => {
                self.sample(line, id_of).map_err(|(column, fault)| (column + indent, fault))?;
            }
        }
        Ok(false)
    }

    fn comment(&mut self, line: &'b [u8]) -> At<bool> {
        let said = comment::read(line, self.format)?;
        let name = match said {
            Comment::End => return Ok(true),
            Comment::Other => return Ok(false),
            Comment::Help(name, _) | Comment::Type(name, _) | Comment::Unit(name, _) => name,
        };
        if name != self.about.name {
            self.about = About { name, ..About::default() };
        }
        match said {
            Comment::Help(_, text) => self.about.help = text,
            Comment::Type(_, kind) => self.about.kind = kind,
            Comment::Unit(_, unit) => self.about.unit = unit,
            Comment::End | Comment::Other => {}
        }
        Ok(false)
    }

    fn sample(&mut self, line: &[u8], id_of: &mut impl FnMut(First<'_>) -> Option<I>) -> At<()> {
        let expected = self.round.expected().filter(|expected| line.starts_with(expected)).map(<[u8]>::len);
        // What follows must not be more of the name, nor labels after blanks.
        let expected = expected.filter(|end| {
            let value = skip_blanks(line, *end);
            value > *end && line.get(value) != Some(&b'{')
        });
        let end = match expected {
            Some(end) => end,
            None => labels::head(line)?,
        };
        // The whole line is read before anything is remembered of it.
        let (value, time) = sample::tail(line, end, self.format)?;
        self.reading.scraped += 1;
        let known = if expected.is_some() { self.round.as_expected() } else { self.round.find(&line[..end]) };
        let id = match known {
            Some(Known { again: true, .. }) if time.is_none() => {
                self.reading.doubled += 1;
                return Ok(());
            }
            Some(Known { id: None, again: false }) if self.offer_again => {
                let id = self.offer(&line[..end], id_of);
                if let Some(id) = id {
                    self.round.settle(id);
                }
                id
            }
            Some(known) => known.id,
            None => {
                let id = self.offer(&line[..end], id_of);
                self.round.add(&line[..end], id);
                id
            }
        };
        match id {
            Some(id) => self.out.push(Point { id, sample: Sample { at: time.unwrap_or(self.at), value } }),
            None => self.reading.refused += 1,
        }
        Ok(())
    }

    fn offer(&self, head: &[u8], id_of: &mut impl FnMut(First<'_>) -> Option<I>) -> Option<I> {
        let about = &self.about;
        let family = if about.holds(name_of(head)) {
            Family { kind: about.kind, help: labels::unescaped(about.help), unit: about.unit }
        } else {
            Family::default()
        };
        id_of(First { labels: self.target.labels(head), family })
    }
}

impl About<'_> {
    /// Whether a sample of this name belongs to the metric: histograms and others have more than one name.
    fn holds(&self, name: &str) -> bool {
        const ENDINGS: [&str; 8] = ["", "_bucket", "_sum", "_count", "_total", "_created", "_info", "_gsum"];
        let ending = name.strip_prefix(self.name);
        !self.name.is_empty() && ending.is_some_and(|ending| ENDINGS.contains(&ending) || ending == "_gcount")
    }
}

impl<I> Default for Reading<I> {
    fn default() -> Self {
        Self { scraped: 0, added: 0, refused: 0, doubled: 0, bad: 0, first_bad: None, gone: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
