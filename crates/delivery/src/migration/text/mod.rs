//! From a file's text to statements: the very bytes that the runner sends, each read by the parser as exactly one statement.
//!
//! A guard that reads a text differently from the engine guards nothing, and no parser reads it just as the engine does.
//! So there are two readers, which must agree:
//! 1. [`lexer`] knows the engine's own rules of comments, strings and names, and refuses what engines or their settings
//!    read in two ways (strings with escapes that go on in a second piece, `\` outside of strings, `U&"…"`, a carriage
//!    return that ends a comment here and not there). [`split`] cuts at the semicolons that it finds.
//! 2. `sqlparser` reads each piece on its own. [`agreement`] compares byte by byte what both take for blank, quoted or code;
//!    the parser then has to consume the piece as one statement. Of SQLite's virtual tables it knows too little: [`full_text`]
//!    reads those of FTS5.
//!
//! Invariants: between two statements there is nothing but blanks, comments and semicolons; no statement holds a semicolon
//! outside of quotes, save the body of a SQLite trigger. The runner sends each slice by a call that takes one statement
//! (extended protocol; `sqlite3_prepare` with nothing left over), so that a slice which the engine read as two would fail.

mod agreement;
mod full_text;
mod lexer;
mod position;
mod split;
mod statement;

pub(super) use full_text::FullText;
pub use lexer::{MAX_DEPTH, Unreadable};
pub use position::Position;
pub use split::{MAX_RUN, MAX_STATEMENTS};
pub(super) use statement::{Source, read};

/// Why a file is refused as a whole: it cannot even be cut into statements.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{position}: {problem}")]
pub struct UnreadableFile {
    /// The file's name.
    pub file: String,
    /// Where.
    pub position: Position,
    /// What is wrong with it.
    pub problem: Unreadable,
}
