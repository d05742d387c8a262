//! Comments, strings, names and code, told apart by the engine's own rules.
//!
//! Strict on purpose: what the two engines, their settings or their versions read in different ways is refused, since
//! there always is a plain way to write the same. To allow another form, first show how each engine's scanner reads it.

use std::ops::Range;

use crate::migration::Engine;

/// Deepest nesting of brackets: beyond what people write, and far below what would exhaust a thread's stack.
pub const MAX_DEPTH: usize = 16;

/// A piece of text that is no blank and no comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::migration) struct Piece {
    pub(in crate::migration) kind: Kind,
    pub(in crate::migration) span: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::migration) enum Kind {
    /// Keyword or unquoted name.
    Word,
    Number,
    /// With its prefix, if it has one.
    Text,
    /// A name in quotes.
    Name,
    Semicolon,
    /// One character of an operator or a bracket.
    Symbol,
}

/// Why a text cannot be cut into statements with certainty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A character that is invisible or means different things to different readers.
    #[error("the character U+{:04X} is not allowed in a migration: it is invisible, or ends a line for one reader only", u32::from(*.0))]
    Character(char),
    /// A letter beyond ASCII outside of quotes.
    #[error("{0:?} outside of quotes: put the name in double quotes, as engines fold such letters in different ways")]
    BeyondAscii(char),
    /// A comment, a string or a name in quotes that does not end.
    #[error("what begins here does not end: {0}")]
    Unterminated(&'static str),
    /// `U&'…'` or `U&"…"`.
    #[error("strings and names with U& hide what they spell: write the characters themselves")]
    UnicodeEscapes,
    /// Strings side by side.
    #[error("a string right after another one: write one string, as the second one's escapes depend on the first")]
    AdjacentStrings,
    /// A quote without a blank before it.
    #[error("a quote right after a word, a number or another quote: put a blank between them")]
    Glued,
    /// A parameter.
    #[error("{0:?} begins a parameter, and a migration is run without any")]
    Parameter(char),
    /// `\` outside of a string.
    #[error("a backslash outside of a string is no SQL: commands of psql cannot be run")]
    Backslash,
    /// Brackets.
    #[error("brackets are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// Brackets.
    #[error("a bracket is closed that was not opened, or not closed at all")]
    Unbalanced,
    /// Too many statements.
    #[error("more than {} statements: split the file, or the trigger", super::MAX_STATEMENTS)]
    TooManyStatements,
    /// Too complex a statement.
    #[error("more than {} words and operators without a comma between them: split it", super::MAX_RUN)]
    TooComplex,
    /// Both readers see different things.
    #[error("the guard's two readers disagree on what is text and what is code here: write it more plainly")]
    Ambiguous,
}

/// Where, and why.
pub(super) type Failure = (usize, Unreadable);

pub(super) fn lex(engine: Engine, text: &str) -> Result<Vec<Piece>, Failure> {
    refuse_invisible(text)?;
    let mut lexer = Lexer { engine, text, at: 0, pieces: Vec::new() };
    while let Some(next) = lexer.peek(0) {
        lexer.step(next)?;
    }
    Ok(lexer.pieces)
}

/// Anywhere, comments and strings included: what a reviewer sees must be what the engine reads.
fn refuse_invisible(text: &str) -> Result<(), Failure> {
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let allowed = match character {
            '\n' | '\t' => true,
            // PostgreSQL ends a `--` comment at it, SQLite and most editors do not.
            '\r' => characters.peek().is_some_and(|(_, next)| *next == '\n'),
            // Marks that turn the direction of writing, or have no width.
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
                false
            }
            other => !other.is_control(),
        };
        if !allowed {
            return Err((at, Unreadable::Character(character)));
        }
    }
    Ok(())
}

struct Lexer<'a> {
    engine: Engine,
    text: &'a str,
    at: usize,
    pieces: Vec<Piece>,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn push(&mut self, kind: Kind, end: usize) {
        self.pieces.push(Piece { kind, span: self.at..end });
        self.at = end;
    }

    fn step(&mut self, next: u8) -> Result<(), Failure> {
        match next {
            b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
            b'-' if self.peek(1) == Some(b'-') => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
            b'/' if self.peek(1) == Some(b'*') => self.comment()?,
            b'\'' => self.quoted(0, b'\'', false)?,
            b'"' => self.quoted(0, b'"', false)?,
            b'`' if self.engine == Engine::Sqlite => self.quoted(0, b'`', false)?,
            b'[' if self.engine == Engine::Sqlite => self.quoted(0, b']', false)?,
            b'$' if self.engine == Engine::Postgres => self.dollars()?,
            b'$' | b'@' | b':' | b'#' | b'?' if self.engine == Engine::Sqlite => {
                return Err((self.at, Unreadable::Parameter(char::from(next))));
            }
            b'\\' => return Err((self.at, Unreadable::Backslash)),
            b';' => self.push(Kind::Semicolon, self.at + 1),
            b'0'..=b'9' => self.number(),
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => self.word()?,
            0x80.. => {
                let character = self.rest().chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
                return Err((self.at, Unreadable::BeyondAscii(character)));
            }
            _ => self.push(Kind::Symbol, self.at + 1),
        }
        Ok(())
    }

    /// PostgreSQL's block comments nest, SQLite's end at the first `*/`.
    fn comment(&mut self) -> Result<(), Failure> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'/'), Some(b'*')) if depth == 0 || self.engine == Engine::Postgres => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (Some(_), _) => self.at += 1,
                (None, _) => return Err((start, Unreadable::Unterminated("a comment"))),
            }
        }
    }

    /// A string or a name; `prefix` bytes come before its opening quote.
    fn quoted(&mut self, prefix: usize, close: u8, escapes: bool) -> Result<(), Failure> {
        let kind = if close == b'\'' { Kind::Text } else { Kind::Name };
        self.refuse_neighbour(kind)?;
        let mut ahead = prefix + 1;
        loop {
            match self.peek(ahead) {
                None => return Err((self.at, Unreadable::Unterminated("a string or a name in quotes"))),
                Some(b'\\') if escapes => ahead += 2,
                // Twice is once within; brackets know no such thing.
                Some(byte) if byte == close && close != b']' && self.peek(ahead + 1) == Some(close) => ahead += 2,
                Some(byte) if byte == close => break,
                Some(_) => ahead += 1,
            }
        }
        self.push(kind, self.at + ahead + 1);
        Ok(())
    }

    fn refuse_neighbour(&self, kind: Kind) -> Result<(), Failure> {
        let Some(last) = self.pieces.last() else { return Ok(()) };
        let wordlike = matches!(last.kind, Kind::Word | Kind::Number | Kind::Text | Kind::Name);
        if wordlike && last.span.end == self.at {
            return Err((self.at, Unreadable::Glued));
        }
        // PostgreSQL joins strings with a line break between them, and goes on with the first one's escapes.
        if kind == Kind::Text && last.kind == Kind::Text {
            return Err((self.at, Unreadable::AdjacentStrings));
        }
        Ok(())
    }

    /// `$$…$$` and `$tag$…$tag$`.
    fn dollars(&mut self) -> Result<(), Failure> {
        self.refuse_neighbour(Kind::Text)?;
        let rest = self.rest();
        let tag_ends = rest.get(1..).and_then(|tail| tail.find('$')).map(|at| at + 2);
        let tag = tag_ends.and_then(|end| rest.get(..end)).unwrap_or_default();
        let name = tag.trim_matches('$').as_bytes();
        let plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if tag.is_empty() || !plain || name.first().is_some_and(u8::is_ascii_digit) {
            return Err((self.at, Unreadable::Parameter('$')));
        }
        let Some(length) = rest.get(tag.len()..).and_then(|body| body.find(tag)) else {
            return Err((self.at, Unreadable::Unterminated("a string in dollar quotes")));
        };
        self.push(Kind::Text, self.at + 2 * tag.len() + length);
        Ok(())
    }

    /// Letters included, so that `0xff`, `1e9` and whatever a version takes for a number stay in one piece.
    fn number(&mut self) {
        let length =
            self.rest().bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')).count();
        self.push(Kind::Number, self.at + length);
    }

    fn word(&mut self) -> Result<(), Failure> {
        let length =
            self.rest().bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$')).count();
        let word = self.rest().get(..length).unwrap_or_default().to_ascii_lowercase();
        let (next, after) = (self.peek(length), self.peek(length + 1));
        let postgres = self.engine == Engine::Postgres;
        if postgres && word == "u" && next == Some(b'&') && matches!(after, Some(b'\'' | b'"')) {
            return Err((self.at, Unreadable::UnicodeEscapes));
        }
        match (word.as_str(), next) {
            ("e", Some(b'\'')) if postgres => self.quoted(length, b'\'', true),
            ("b", Some(b'\'')) if postgres => self.quoted(length, b'\'', false),
            ("x", Some(b'\'')) => self.quoted(length, b'\'', false),
            _ => {
                self.push(Kind::Word, self.at + length);
                Ok(())
            }
        }
    }
}
