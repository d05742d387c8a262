//! The guard's look at a whole set: what is to run, against what the running version knows.

use std::ops::Range;

use super::digest::Fingerprint;
use super::file::Version;
use super::history::{Applied, HistoryError};
use super::judge::{Context, judge};
use super::known::{Known, Runs};
use super::placement::Placement;
use super::rule::Rule;
use super::set::Set;
use super::text::{Position, Source, UnreadableFile, read};
use super::verdict::{Refusal, Verdict};

/// A statement that is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewed<'a> {
    /// Its file.
    pub file: &'a str,
    /// Its bytes within the file's text.
    pub span: Range<usize>,
    /// The slice that is sent to the engine.
    pub text: &'a str,
    /// Where it begins.
    pub position: Position,
    /// What an override names it by.
    pub fingerprint: Fingerprint,
    /// May it run?
    pub verdict: Verdict,
    pub(super) placement: Placement,
}

/// All that is to run, and what the guard says of it.
#[derive(Debug, Clone)]
pub struct Review<'a> {
    pub(super) set: &'a Set,
    /// The first file that has not run.
    pub(super) pending: usize,
    /// The statements of the files that have not run, in order.
    pub statements: Vec<Reviewed<'a>>,
    /// Files that have not run and cannot be cut into statements.
    pub unreadable: Vec<UnreadableFile>,
}

/// What the version that serves now knows of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blue {
    /// No version serves, or the one that does has no migrations.
    Nothing,
    /// The highest version among the serving release's own migrations.
    Knows(Version),
}

/// A database up to this many bytes is gone through in less than a second, which is what a request may be late. Measured on one core with
/// chat's 28,000 messages in 16 MiB: 0.1 s for their parents, 1.3 s for FTS5's index of their words.
pub const SMALL_BYTES: u64 = 8 * 1024 * 1024;

/// How much there is to go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Up to [`SMALL_BYTES`].
    Small,
    /// More, or nobody knows.
    Large,
}

impl Size {
    /// Of what the database holds; none: nobody could say.
    pub fn of(bytes: Option<u64>) -> Self {
        if bytes.is_some_and(|bytes| bytes <= SMALL_BYTES) { Self::Small } else { Self::Large }
    }
}

/// Judges what has not run yet.
///
/// `blue` matters beside `applied`: after a rollout that was rolled back, tables have been made that blue still knows nothing
/// of. Nobody waits for those, but they may hold what the canary wrote. `size` is that of the whole database.
///
/// # Errors
/// When the set does not continue what has run.
pub fn review<'a>(set: &'a Set, applied: &[Applied], blue: Blue, size: Size) -> Result<Review<'a>, HistoryError> {
    let pending = set.applied(applied)?;
    // What blue knows but has not run would be a broken blue; then what is to run counts as known to nobody.
    let unknown_to_blue = match blue {
        Blue::Nothing => 0,
        Blue::Knows(version) => set.up_to(version).min(pending),
    };
    let mut known = Known::default();
    let mut review = Review { set, pending, statements: Vec::new(), unreadable: Vec::new() };
    for (index, file) in set.files().iter().enumerate() {
        let sources = match read(set.engine(), file) {
            Ok(sources) => sources,
            // What has run has run; it teaches nothing, so that less counts as new.
            Err(_) if index < pending => {
                known.doubt_all();
                continue;
            }
            Err(unreadable) => {
                review.unreadable.push(unreadable);
                continue;
            }
        };
        for source in &sources {
            if index < unknown_to_blue {
                known.learn_known(set.engine(), source);
                continue;
            }
            let runs = if index < pending { Runs::Before } else { Runs::Now };
            let reviewed = review_one(set, &known, size, file.name(), source, sources.len());
            let understood = match &reviewed.verdict {
                Verdict::Allowed(_) => true,
                // It is only too much at once.
                Verdict::Refused(refusal) => refusal.rule == Rule::FillsAtOnce,
            };
            known.learn(set.engine(), source, understood, runs);
            if index >= pending {
                review.statements.push(reviewed);
            }
        }
    }
    Ok(review)
}

fn review_one<'a>(
    set: &Set,
    known: &Known,
    size: Size,
    file: &'a str,
    source: &Source<'a>,
    beside: usize,
) -> Reviewed<'a> {
    let context = Context { engine: set.engine(), known, small: size == Size::Small };
    let placement = Placement::of(context, source);
    let verdict = match judge(context, source) {
        _ if placement.needs_own_file() && beside > 1 => {
            Verdict::Refused(Refusal::new(Rule::OwnFile, format!("is one of {beside} statements of its file")))
        }
        Ok(allowance) => Verdict::Allowed(allowance),
        Err(refusal) => Verdict::Refused(refusal),
    };
    Reviewed {
        file,
        span: source.span.clone(),
        text: source.text,
        position: source.position,
        fingerprint: Fingerprint::of(source.text),
        verdict,
        placement,
    }
}
