//! Where in a file something is, as editors count.

use std::fmt;

/// Line and column, both from one; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character within it.
    pub column: usize,
}

impl Position {
    /// Of a byte; of the end of the text if there are fewer.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let end = (0..=offset.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        Self { line: 1, column: 1 }.after(text.get(..end.unwrap_or(0)).unwrap_or_default())
    }

    /// Of what comes after `text`, which begins here.
    pub(crate) fn after(self, text: &str) -> Self {
        text.chars().fold(self, |position, character| match character {
            '\n' => Self { line: position.line + 1, column: 1 },
            _ => Self { column: position.column + 1, ..position },
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_characters_are_counted_from_one() {
        let check = |offset, line, column| assert_eq!(Position::of("ab\nü x", offset), Position { line, column });
        check(0, 1, 1);
        check(2, 1, 3);
        check(3, 2, 1);
        check(5, 2, 2);
        check(4, 2, 1);
        check(99, 2, 4);
    }
}
