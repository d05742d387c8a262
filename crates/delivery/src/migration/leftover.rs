//! What an interrupted `CREATE INDEX CONCURRENTLY` leaves behind, and how the runner goes on.
//!
//! It commits in between, so that one which fails or is killed leaves an index that is invalid: it costs every write and
//! serves no query, and running the statement again fails on its name. `IF NOT EXISTS` would take it for done.
//!
//! The runner holds the advisory lock on the very connection that builds the index. A build whose runner has died goes on
//! in the server until that notices; as long as it does, the lock is still held, and nobody mistakes it for a leftover.

use super::known::Name;

/// How to find out, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// `$1` of [`Leftover::QUERY`]: the index, in quotes.
    pub index: String,
    /// `$2` of [`Leftover::QUERY`]: its table, in quotes.
    pub table: String,
}

/// What to do with what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing is there: run the statement.
    Run,
    /// Run [`Leftover::drop_statement`], also outside of a transaction, then the statement.
    DropFirst,
    /// The index is there and whole; only the note in the history is missing: write it.
    Record,
}

impl Leftover {
    /// Gives a row with one boolean if the table has such an index, and no row otherwise. Both parameters are text.
    pub const QUERY: &str = "SELECT indisvalid AND indisready AND indislive FROM pg_catalog.pg_index \
        WHERE indexrelid = pg_catalog.to_regclass($1) AND indrelid = pg_catalog.to_regclass($2)";

    pub(super) fn new(index: &Name, table: &Name) -> Self {
        // An index is in its table's schema; CREATE INDEX takes no other.
        Self { index: table.sibling(index.last()).quoted(), table: table.quoted() }
    }

    /// From the answer to [`Leftover::QUERY`].
    pub fn next(whole: Option<bool>) -> Next {
        match whole {
            None => Next::Run,
            Some(false) => Next::DropFirst,
            Some(true) => Next::Record,
        }
    }

    /// Removes an invalid index.
    pub fn drop_statement(&self) -> String {
        format!("DROP INDEX CONCURRENTLY {}", self.index)
    }
}
