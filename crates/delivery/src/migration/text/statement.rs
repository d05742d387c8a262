//! One statement: its bytes, and what the parser makes of them.

use std::ops::Range;

use sqlparser::ast::Statement;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::UnreadableFile;
use super::full_text::{self, FullText};
use super::lexer::{Failure, Kind, MAX_DEPTH, Piece, Unreadable, lex};
use super::position::Position;
use super::split::split;
use crate::migration::{Engine, File};

/// Levels that the parser may descend; each bracket takes up to two.
const MAX_RECURSION: usize = 2 * MAX_DEPTH;

/// A statement as it stands in its file.
#[derive(Debug)]
pub(in crate::migration) struct Source<'a> {
    pub(in crate::migration) text: &'a str,
    pub(in crate::migration) span: Range<usize>,
    pub(in crate::migration) position: Position,
    /// Its unquoted words in lower case, up to the first that matter for telling what it is.
    pub(in crate::migration) opening: Vec<String>,
    pub(in crate::migration) parsed: Result<Statement, Unparsed>,
    /// A table of FTS5, whatever the parser says of it.
    pub(in crate::migration) full_text: Option<FullText>,
}

/// The parser does not know the statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::migration) struct Unparsed {
    pub(in crate::migration) position: Position,
    pub(in crate::migration) message: String,
}

/// How many words of a statement are kept for telling what it is: `CREATE OR REPLACE …`, `DROP INDEX CONCURRENTLY`.
const OPENING_WORDS: usize = 5;

/// Longest part of the parser's message that is shown, in characters: it may quote a whole string.
const MAX_MESSAGE: usize = 200;

/// All statements of a file.
pub(in crate::migration) fn read(engine: Engine, file: &File) -> Result<Vec<Source<'_>>, UnreadableFile> {
    let text = file.text();
    let fail = |(offset, problem): Failure| UnreadableFile {
        file: file.name().to_owned(),
        position: Position::of(text, offset),
        problem,
    };
    let pieces = lex(engine, text).map_err(fail)?;
    let statements = split(engine, text, &pieces).map_err(fail)?;
    let (mut offset, mut position) = (0, Position { line: 1, column: 1 });
    let read = |range: Range<usize>| {
        let pieces = pieces.get(range).unwrap_or_default();
        let start = pieces.first().map_or(offset, |piece| piece.span.start);
        position = position.after(text.get(offset..start).unwrap_or_default());
        offset = start;
        read_one(engine, text, pieces, position).map_err(fail)
    };
    statements.into_iter().map(read).collect()
}

fn read_one<'a>(engine: Engine, text: &'a str, pieces: &[Piece], position: Position) -> Result<Source<'a>, Failure> {
    let start = pieces.first().map_or(0, |piece| piece.span.start);
    let end = pieces.last().map_or(start, |piece| piece.span.end);
    let statement = text.get(start..end).unwrap_or_default();
    let tokens = Tokenizer::new(engine.dialect(), statement).tokenize_with_location();
    let tokens = tokens.map_err(|_| (start, Unreadable::Ambiguous))?;
    if let Some(difference) = super::agreement::first_difference(statement, start, pieces, &tokens) {
        return Err((start + difference, Unreadable::Ambiguous));
    }
    let words = pieces.iter().take(OPENING_WORDS).take_while(|piece| piece.kind == Kind::Word);
    let opening = words.filter_map(|piece| text.get(piece.span.clone())).map(str::to_ascii_lowercase).collect();
    let parsed = parse(engine, tokens)
        .map_err(|(line, column, message)| Unparsed { position: offset_by(position, line, column), message });
    let full_text = if engine == Engine::Sqlite { full_text::read(text, pieces) } else { None };
    Ok(Source { text: statement, span: start..end, position, opening, parsed, full_text })
}

/// A place within the statement as one within the file.
fn offset_by(start: Position, line: usize, column: usize) -> Position {
    match line {
        0 => start,
        1 => Position { line: start.line, column: start.column + column.saturating_sub(1) },
        _ => Position { line: start.line + line - 1, column },
    }
}

fn parse(engine: Engine, tokens: Vec<TokenWithSpan>) -> Result<Statement, (usize, usize, String)> {
    let parser = Parser::new(engine.dialect()).with_recursion_limit(MAX_RECURSION);
    let mut parser = parser.with_tokens_with_locations(tokens);
    let result = parser.parse_statement();
    let next = parser.peek_token();
    let small = |number: u64| usize::try_from(number).unwrap_or(0);
    let (line, column) = (small(next.span.start.line), small(next.span.start.column));
    let message = match result {
        Ok(statement) if next.token == Token::EOF => return Ok(statement),
        Ok(_) => format!("{} was not expected", next.token),
        Err(ParserError::TokenizerError(message) | ParserError::ParserError(message)) => message,
        Err(ParserError::RecursionLimitExceeded) => "it is nested too deeply".to_owned(),
    };
    let (message, place) = without_place(&message);
    let (line, column) = place.unwrap_or((line, column));
    Err((line, column, message.chars().take(MAX_MESSAGE).collect()))
}

/// The parser puts into its message where it stopped, counted from the statement's start.
fn without_place(message: &str) -> (&str, Option<(usize, usize)>) {
    let Some((before, place)) = message.rsplit_once(" at Line: ") else { return (message, None) };
    let place =
        place.split_once(", Column: ").and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
    if place.is_some() { (before, place) } else { (message, None) }
}
