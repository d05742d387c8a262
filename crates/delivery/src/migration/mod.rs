//! What a migration may do while the version before it still serves. Pure: text goes in, verdicts and steps come out.
//!
//! ```text
//! files ── Set::new ── review(set, applied, blue, size) ── approve(overrides) ── steps() ──> runner
//!             │                   │                         │
//!          SetError         HistoryError               NotApproved
//! ```
//!
//! Blue and green share one database, so that whatever a migration does is done to blue as well. [`review`] reads exactly
//! the statements that will run (`text`) and allows what blue neither trips over nor waits for (`judge`); what it does
//! not know it refuses. A refusal says what the statement does, why that hurts and what to do instead ([`Rule`]). Most can be
//! overridden by name and with a reason, at the price of a snapshot and a line in the audit log (`approval`).
//!
//! Invariants
//! 1. What runs is what was read: each step's statements are slices of the file's text, nothing between them but blanks,
//!    comments and semicolons.
//! 2. Deny by default: unknown statements, options and functions are refused, never skipped.
//! 3. A table counts as new only if blue cannot know it (`known`), and on new tables nearly everything is allowed; so an
//!    app's first migrations pass whatever they build.
//! 4. A file is one transaction, or one statement outside of any (`placement`); what has run is a beginning of the set.
//! 5. No input makes it panic; sizes, nesting and counts are bounded before the parser sees a text.
//!
//! How to allow another statement is told in `judge`, how to add a reason for refusing in `rule`.

mod approval;
mod digest;
mod engine;
mod file;
mod history;
mod judge;
mod known;
mod leftover;
mod lock;
mod placement;
mod review;
mod rule;
mod set;
mod steps;
#[cfg(test)]
mod tests;
mod text;
mod verdict;

pub use approval::{Approved, MAX_REASON_BYTES, Mistaken, NotApproved, Overridden, Override, Refused, Snapshot};
pub use digest::{Checksum, Fingerprint, NotAChecksum, SHORT_DIGITS};
pub use engine::Engine;
pub use file::{File, FileError, MAX_FILE_BYTES, Version};
pub use history::{Applied, HistoryError};
pub use leftover::{Leftover, Next};
pub use lock::{TRY_LOCK, UNLOCK, lock_key};
pub use review::{Blue, Review, Reviewed, SMALL_BYTES, Size, review};
pub use rule::{Advice, Rule};
pub use set::{MAX_FILES, Set, SetError};
pub use steps::{
    ATTEMPTS, BRIEF_STEP, BRIEF_TIMEOUT, IDLE_TIMEOUT, LOCK_NOT_AVAILABLE, LOCK_TIMEOUT, LONG_STEP, LONG_TIMEOUT,
    PATIENT_LOCK_TIMEOUT, PAUSE, Step,
};
pub use text::{MAX_DEPTH, MAX_RUN, MAX_STATEMENTS, Position, Unreadable, UnreadableFile};
pub use verdict::{Allowance, Refusal, Verdict};
