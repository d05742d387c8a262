//! Where a page of the list begins: opaque to callers, `MILLISECONDS.UUID` to us. A list ordered by the time of the last
//! change needs both, since two conversations may change in one millisecond.

use std::fmt;

use uuid::Uuid;

/// The last entry of the page before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) updated_at: i64,
    pub(super) id: Uuid,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.updated_at, self.id)
    }
}

impl Cursor {
    /// Reads what [`Cursor`]'s `Display` wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (updated_at, id) = text.split_once('.')?;
        Some(Self { updated_at: updated_at.parse().ok()?, id: id.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let cursor = Cursor { updated_at: 1_764_000_000_123, id: Uuid::from_u128(7) };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        for text in ["", ".", "1", "1.", "x.00000000-0000-0000-0000-000000000007", "1.7; DROP TABLE messages"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
