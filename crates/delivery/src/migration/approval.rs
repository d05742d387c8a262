//! From a review to what may run: overrides, and what they oblige to.

use std::fmt;

use super::digest::Fingerprint;
use super::review::{Review, Reviewed};
use super::rule::Rule;
use super::text::{Position, UnreadableFile};
use super::verdict::{Refusal, Verdict};

/// Longest reason, in bytes: it is kept in the audit log and shown in one place.
pub const MAX_REASON_BYTES: usize = 1_000;

/// A person's word that a refused statement may run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Override {
    /// The file's name.
    pub file: String,
    /// The beginning of the statement's fingerprint, as the refusal shows it, or all of it.
    pub fingerprint: String,
    /// Why it may run; goes to the audit log.
    pub reason: String,
}

/// A statement that runs by an override.
///
/// Before anything runs, a snapshot of the database must have been taken; and this must have been written to the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overridden<'a> {
    /// The statement, with its refusal.
    pub statement: Reviewed<'a>,
    /// Why it was refused.
    pub rule: Rule,
    /// Why it runs nevertheless.
    pub reason: String,
}

/// What may run.
#[derive(Debug, Clone)]
pub struct Approved<'a> {
    pub(super) review: Review<'a>,
    overridden: Vec<Overridden<'a>>,
}

/// Whether the database must be kept before anything runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Snapshot {
    /// Everything is forward-compatible.
    NotNeeded,
    /// Something runs by an override: take a snapshot first, and run nothing if that fails.
    First,
}

impl<'a> Approved<'a> {
    /// Whether a snapshot must be taken first.
    pub fn snapshot(&self) -> Snapshot {
        if self.overridden.is_empty() { Snapshot::NotNeeded } else { Snapshot::First }
    }

    /// What has to be in the audit log before anything runs.
    pub fn to_audit(&self) -> &[Overridden<'a>] {
        &self.overridden
    }
}

/// Why nothing may run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NotApproved {
    /// Files that cannot be cut into statements.
    pub unreadable: Vec<UnreadableFile>,
    /// Statements that no override lets run.
    pub refused: Vec<Refused>,
    /// Overrides that are wrong.
    pub mistaken: Vec<Mistaken>,
}

/// A refused statement, found again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{position}: {refusal}{}", self.how_to_override())]
pub struct Refused {
    /// The file's name.
    pub file: String,
    /// Where it begins.
    pub position: Position,
    /// What an override would name it by.
    pub fingerprint: Fingerprint,
    /// Why.
    pub refusal: Refusal,
}

impl Refused {
    fn how_to_override(&self) -> String {
        if self.refusal.rule.can_be_overridden() {
            format!(" (to run it all the same: override {})", self.fingerprint.short())
        } else {
            String::new()
        }
    }
}

/// What is wrong with an override.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistaken {
    /// It names nothing.
    #[error(
        "the override {fingerprint} of {file} names no statement that is to run (12 digits at least): it has changed, or has run; remove the override"
    )]
    NamesNothing {
        /// The file.
        file: String,
        /// The digits.
        fingerprint: String,
    },
    /// It names what needs none.
    #[error("the override {fingerprint} of {file} names a statement that is allowed anyway: remove it")]
    NotNeeded {
        /// The file.
        file: String,
        /// The digits.
        fingerprint: String,
    },
    /// It names what cannot run.
    #[error("the override {fingerprint} of {file} cannot help: the statement cannot run within a migration")]
    Impossible {
        /// The file.
        file: String,
        /// The digits.
        fingerprint: String,
    },
    /// It says nothing, or too much.
    #[error("the override {fingerprint} of {file} needs a reason of 1 to {MAX_REASON_BYTES} bytes")]
    Reason {
        /// The file.
        file: String,
        /// The digits.
        fingerprint: String,
    },
}

impl<'a> Review<'a> {
    /// Lets run what is allowed or overridden.
    ///
    /// # Errors
    /// When anything is refused and not overridden, or an override is wrong: then nothing may run.
    pub fn approve(self, overrides: &[Override]) -> Result<Approved<'a>, NotApproved> {
        let mistaken = overrides.iter().filter_map(|given| self.mistake(given)).collect();
        let mut problems = NotApproved { unreadable: self.unreadable.clone(), refused: Vec::new(), mistaken };
        let mut overridden = Vec::new();
        for statement in &self.statements {
            let Verdict::Refused(refusal) = &statement.verdict else { continue };
            let found = overrides.iter().find(|given| names(given, statement) && refusal.rule.can_be_overridden());
            match found {
                Some(given) => overridden.push(Overridden {
                    statement: statement.clone(),
                    rule: refusal.rule,
                    reason: given.reason.trim().to_owned(),
                }),
                None => problems.refused.push(Refused {
                    file: statement.file.to_owned(),
                    position: statement.position,
                    fingerprint: statement.fingerprint,
                    refusal: refusal.clone(),
                }),
            }
        }
        if problems == NotApproved::default() { Ok(Approved { review: self, overridden }) } else { Err(problems) }
    }

    fn mistake(&self, given: &Override) -> Option<Mistaken> {
        let (file, fingerprint) = (given.file.clone(), given.fingerprint.clone());
        let reason = given.reason.trim();
        if reason.is_empty() || reason.len() > MAX_REASON_BYTES {
            return Some(Mistaken::Reason { file, fingerprint });
        }
        let Some(statement) = self.statements.iter().find(|statement| names(given, statement)) else {
            return Some(Mistaken::NamesNothing { file, fingerprint });
        };
        match &statement.verdict {
            Verdict::Allowed(_) => Some(Mistaken::NotNeeded { file, fingerprint }),
            Verdict::Refused(refusal) if !refusal.rule.can_be_overridden() => {
                Some(Mistaken::Impossible { file, fingerprint })
            }
            Verdict::Refused(_) => None,
        }
    }
}

fn names(given: &Override, statement: &Reviewed<'_>) -> bool {
    given.file == statement.file && statement.fingerprint.is_named_by(&given.fingerprint)
}

impl fmt::Display for NotApproved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the migrations may not run:")?;
        let unreadable = self.unreadable.iter().map(ToString::to_string);
        let refused = self.refused.iter().map(ToString::to_string);
        let mistaken = self.mistaken.iter().map(ToString::to_string);
        for line in unreadable.chain(refused).chain(mistaken) {
            write!(formatter, "\n  {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NotApproved {}
