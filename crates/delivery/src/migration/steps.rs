//! What the runner does, file by file; it decides nothing itself.
//!
//! One file is one step, committed together with its row in the history: locks are short, and an interrupted run goes on
//! with the next file. That a set may be half-run is harmless, as each statement is forward-compatible by itself.
//!
//! For each step: run `before`; run `begin`, if there is one; run `within`, then each of `statements` by a call that takes
//! one statement only; write the history's row; commit, if it was begun. Run `after` in any case, or give up the connection.
//! On SQLSTATE [`LOCK_NOT_AVAILABLE`] (SQLite: busy) roll back, wait [`PAUSE`], and repeat the step, [`ATTEMPTS`] times in all.

use std::time::Duration;

use super::approval::Approved;
use super::engine::Engine;
use super::file::File;
use super::leftover::Leftover;
use super::placement::Placement;
use super::review::Reviewed;
use super::verdict::Verdict;

/// Longest wait for another one's lock: while a statement waits for the strongest lock, every later query of the table
/// queues behind it, and a request that takes a second more counts as failed.
pub const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// Longest brief statement: it only changes the catalogue, in milliseconds, but does so under locks.
pub const BRIEF_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait of a long statement for locks: `CREATE INDEX CONCURRENTLY` waits for all older transactions to end, and keeps
/// nobody waiting meanwhile.
pub const PATIENT_LOCK_TIMEOUT: Duration = Duration::from_mins(10);
/// Longest long statement: an index or a check over a table as large as one server holds.
pub const LONG_TIMEOUT: Duration = Duration::from_hours(1);
/// Longest brief step, all its statements and the commit together. Locks of existing tables are held up to its end, so a file
/// that changes such a table should do little else.
pub const BRIEF_STEP: Duration = Duration::from_secs(5);
/// Longest step with a long statement.
pub const LONG_STEP: Duration = Duration::from_hours(1);
/// Longest pause of the runner within a transaction: a runner that died must not keep its locks.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a step is tried for its locks: with the pauses a minute in all, longer than the requests of an app take.
pub const ATTEMPTS: u32 = 20;
/// Between two tries, so that what has queued behind the first one gets through.
pub const PAUSE: Duration = Duration::from_millis(2_500);
/// PostgreSQL's code of a lock that was not got in time.
pub const LOCK_NOT_AVAILABLE: &str = "55P03";

/// One file, as it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<'a> {
    /// Whose row is written to the history.
    pub file: &'a File,
    /// On the connection, outside of a transaction.
    pub before: Vec<String>,
    /// What opens the transaction; none if the statement cannot run within one.
    pub begin: Option<&'static str>,
    /// At the transaction's beginning.
    pub within: Vec<String>,
    /// Slices of the file's text.
    pub statements: Vec<&'a str>,
    /// Takes `before` back.
    pub after: Vec<String>,
    /// After this the runner cancels and rolls back: the engine's own limits are per statement.
    pub limit: Duration,
    /// What to look for before the statement is run.
    pub leftover: Option<Leftover>,
}

impl<'a> Approved<'a> {
    /// All that is to run, in order.
    pub fn steps(&self) -> Vec<Step<'a>> {
        let pending = self.review.set.files().iter().skip(self.review.pending);
        let of = |file: &File| -> Vec<&Reviewed<'a>> {
            self.review.statements.iter().filter(|statement| statement.file == file.name()).collect()
        };
        pending.map(|file| self.step(file, &of(file))).collect()
    }

    fn step(&self, file: &'a File, statements: &[&Reviewed<'a>]) -> Step<'a> {
        let outside = statements.iter().find_map(|statement| match &statement.placement {
            Placement::Outside(leftover) => Some(leftover.clone()),
            _ => None,
        });
        // What a person lets run against the guard's advice may take long, and a snapshot has been taken for it.
        let long = statements
            .iter()
            .any(|statement| statement.placement.needs_own_file() || matches!(statement.verdict, Verdict::Refused(_)));
        let patient = statements.iter().any(|statement| statement.placement.needs_own_file());
        let mut step = Step {
            file,
            before: Vec::new(),
            begin: None,
            within: Vec::new(),
            statements: statements.iter().map(|statement| statement.text).collect(),
            after: Vec::new(),
            limit: if long { LONG_STEP } else { BRIEF_STEP },
            leftover: outside.clone().flatten(),
        };
        match (self.review.set.engine(), outside) {
            (Engine::Sqlite, _) => {
                step.before = vec![format!("PRAGMA busy_timeout = {}", BRIEF_TIMEOUT.as_millis())];
                // At once, rather than on the first write: otherwise another writer in between makes it fail.
                step.begin = Some("BEGIN IMMEDIATE");
            }
            (Engine::Postgres, None) => {
                step.begin = Some("BEGIN");
                step.within =
                    settings(long, patient).map(|(name, value)| format!("SET LOCAL {name} = {value}")).collect();
            }
            (Engine::Postgres, Some(_)) => {
                step.before = settings(long, patient).map(|(name, value)| format!("SET {name} = {value}")).collect();
                step.after = settings(long, patient).map(|(name, _)| format!("RESET {name}")).collect();
            }
        }
        step
    }
}

fn settings(long: bool, patient: bool) -> impl Iterator<Item = (&'static str, String)> {
    let milliseconds = |duration: Duration| duration.as_millis().to_string();
    [
        ("lock_timeout", milliseconds(if patient { PATIENT_LOCK_TIMEOUT } else { LOCK_TIMEOUT })),
        ("statement_timeout", milliseconds(if long { LONG_TIMEOUT } else { BRIEF_TIMEOUT })),
        ("idle_in_transaction_session_timeout", milliseconds(IDLE_TIMEOUT)),
        // The guard reads strings without escapes as the standard has them.
        ("standard_conforming_strings", "on".to_owned()),
    ]
    .into_iter()
}
