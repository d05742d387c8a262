//! What the guard says of one statement.

use std::fmt;

use super::rule::Rule;

/// May it run while the version before still serves?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allowed(Allowance),
    /// No.
    Refused(Refusal),
}

/// Why a statement is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Allowance {
    /// It makes something that the running version does not know.
    NewObject,
    /// It only touches a table that the running version does not know.
    NewTable,
    /// A trigger that only copies what the running version writes into tables which it does not know.
    Feeds,
    /// A trigger that refuses rows of the new version alone.
    Sleeps,
    /// Old rows are copied into what the running version does not know, in a moment.
    Fills,
    /// A column that the running version need not know.
    NewColumn,
    /// An index that is built while writing goes on (PostgreSQL), or briefly (SQLite).
    Index,
    /// A value that old rows do not have.
    EnumValue,
    /// A constraint that is checked for new rows only.
    NotValid,
    /// Reads old rows without keeping others from writing.
    Validates,
    /// Words for people.
    Comment,
    /// Access for a role.
    Grant,
    /// Nothing changes.
    Nothing,
}

impl Allowance {
    /// What the running version could still notice, to be told in a dry run and watched by its probes.
    pub fn caution(self) -> Option<&'static str> {
        match self {
            Self::NewColumn => Some(
                "statements without a list of columns (INSERT INTO t VALUES …, SELECT *) see one column more; on PostgreSQL a prepared SELECT * fails until it is prepared again",
            ),
            Self::Feeds => Some(
                "what the running version writes costs more; where a table of FTS5 is fed, its SQLite needs FTS5 as well",
            ),
            Self::Fills => Some("the running version's writes wait for it; what it writes later is not filled by this"),
            Self::EnumValue => Some("the running version may read the value as soon as the new one writes it"),
            Self::NotValid => Some("what the running version writes is checked from now on"),
            Self::Validates => Some("it reads the whole table"),
            Self::Index => {
                Some("writing gets slower; entries larger than a page's third (2,704 bytes in PostgreSQL) are refused")
            }
            _ => None,
        }
    }
}

/// Why a statement is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub rule: Rule,
    /// What the statement does, or what the parser says.
    pub what: String,
}

impl Refusal {
    pub(super) fn new(rule: Rule, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = self.rule.advice();
        write!(formatter, "{} [{}]: {}. Instead: {}", self.what, advice.code, advice.why, advice.instead)
    }
}
