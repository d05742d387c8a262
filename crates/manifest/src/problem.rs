//! What is wrong with a manifest, where, and what to write instead.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use serde::Serialize;

/// Longest piece of offending text that is shown.
const MAX_SHOWN_CHARS: usize = 80;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing starts with it.
    Error,
    /// It may be meant so.
    Warning,
}

/// One problem. Its place is filled in when it joins [`Problems`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Line, from 1; 0 where it has no place in the file (a flag).
    pub line: usize,
    /// Column in characters, from 1; 0 where it has no place in the file.
    pub column: usize,
    /// The offending text.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    #[serde(skip)]
    span: Option<Range<usize>>,
}

impl Problem {
    pub(crate) fn error(span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { severity: Severity::Error, line: 0, column: 0, text: String::new(), message, help: None, span }
    }

    pub(crate) fn warning(span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// "did you mean", where one of the known words is near.
    #[must_use]
    pub(crate) fn suggest<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>, otherwise: &str) -> Self {
        match nearest(word, known) {
            Some(near) => self.help(format!("did you mean \"{near}\"?")),
            None => self.help(otherwise),
        }
    }

    /// Whether it is about the same place as another one.
    pub(crate) fn same_place(&self, other: &Self) -> bool {
        self.span.is_some() && self.span == other.span
    }

    fn placed(mut self, source: &str) -> Self {
        if let Some(span) = &self.span {
            let start = floor(source, span.start);
            let end = floor(source, span.end).max(start);
            let before = &source[..start];
            self.line = before.matches('\n').count() + 1;
            self.column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
            let first_line = source[start..end].lines().next().unwrap_or_default();
            self.text = first_line.chars().take(MAX_SHOWN_CHARS).collect();
            self.span = Some(start..end);
        }
        self
    }
}

/// The nearest place at or before `index` where a character begins.
fn floor(source: &str, index: usize) -> usize {
    let mut index = index.min(source.len());
    while !source.is_char_boundary(index) {
        index -= 1;
    }
    index
}

fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words may differ in more letters before they are another word.
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    let distance = |known: &&str| strsim::damerau_levenshtein(&word.to_lowercase(), &known.to_lowercase());
    let best = known.into_iter().min_by_key(distance)?;
    (distance(&best) <= allowed).then_some(best)
}

/// All problems of one manifest, in the order of their places.
#[derive(Debug, Clone)]
pub struct Problems {
    path: PathBuf,
    list: Vec<Problem>,
    placed: Vec<Placed>,
}

/// A problem with its source, as miette draws it.
#[derive(Debug, Clone)]
struct Placed {
    problem: Problem,
    source: NamedSource<Arc<str>>,
}

impl Problems {
    pub(crate) fn new(path: &Path, source: &Arc<str>, list: Vec<Problem>) -> Self {
        let mut list: Vec<Problem> = list.into_iter().map(|problem| problem.placed(source)).collect();
        list.sort_by(|one, other| {
            let place = |problem: &Problem| (problem.line, problem.column, problem.severity, problem.message.clone());
            place(one).cmp(&place(other))
        });
        list.dedup();
        let named = NamedSource::new(path.display().to_string(), Arc::clone(source));
        let placed = list.iter().map(|problem| Placed { problem: problem.clone(), source: named.clone() }).collect();
        Self { path: path.to_owned(), list, placed }
    }

    /// Each of them.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// Whether one of them is an error.
    pub fn any_error(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// The manifest's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for Problems {
    /// One line each: `mana.toml:12:1: unknown key "comand" (did you mean "command"?)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            if problem.line > 0 {
                write!(f, "{}:{}:{}: ", self.path.display(), problem.line, problem.column)?;
            }
            if problem.severity == Severity::Warning {
                write!(f, "warning: ")?;
            }
            write!(f, "{}", problem.message)?;
            if let Some(help) = &problem.help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl Serialize for Problems {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.list.serialize(serializer)
    }
}

impl Problems {
    /// Each as a diagnostic of its own, with the piece of the file it is about.
    pub fn diagnostics(&self) -> impl Iterator<Item = &(dyn Diagnostic + Send + Sync)> {
        self.placed.iter().map(|placed| placed as &(dyn Diagnostic + Send + Sync))
    }
}

impl Diagnostic for Problems {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.placed.iter().map(|placed| placed as &dyn Diagnostic)))
    }
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Placed {}

impl Diagnostic for Placed {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.problem.span.as_ref().map(|_| &self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.problem.span.clone()?;
        Some(Box::new(std::iter::once(LabeledSpan::at(span, "here"))))
    }
}
