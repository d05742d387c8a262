//! Cutting at the semicolons that end statements.

use std::ops::Range;

use super::lexer::{Failure, Kind, MAX_DEPTH, Piece, Unreadable};
use crate::migration::Engine;

/// Most statements of a file: one that needs more is several migrations.
pub const MAX_STATEMENTS: usize = 1_000;

/// Most operators and words of a statement, literals not counted: each may be a level of the parsed tree, and a tree this
/// deep still fits several times into the stack of a thread (2 MiB).
pub const MAX_OPERATORS: usize = 3_000;

/// The pieces of each statement, its semicolon left out.
pub(super) fn split(engine: Engine, text: &str, pieces: &[Piece]) -> Result<Vec<Range<usize>>, Failure> {
    let mut statements = Vec::new();
    let mut start = 0;
    for end in 0..=pieces.len() {
        let ends = pieces.get(end).is_none_or(|piece| piece.kind == Kind::Semicolon);
        let statement = pieces.get(start..end).unwrap_or_default();
        if !ends || (end < pieces.len() && engine == Engine::Sqlite && is_open_trigger(text, statement)) {
            continue;
        }
        if let Some(first) = statement.first() {
            if statements.len() == MAX_STATEMENTS {
                return Err((first.span.start, Unreadable::TooManyStatements));
            }
            check_shape(text, statement)?;
            statements.push(start..end);
        }
        start = end + 1;
    }
    Ok(statements)
}

/// As SQLite's own shell tells it: a trigger ends with `; END ;`, and the semicolons before that belong to its body.
fn is_open_trigger(text: &str, statement: &[Piece]) -> bool {
    let is = |index: usize, words: &[&str]| statement.get(index).is_some_and(|piece| is_word(text, piece, words));
    let trigger = is(0, &["create"]) && (is(1, &["trigger"]) || (is(1, &["temp", "temporary"]) && is(2, &["trigger"])));
    let closed =
        matches!(statement, [.., before, last] if before.kind == Kind::Semicolon && is_word(text, last, &["end"]));
    trigger && !closed
}

pub(super) fn is_word(text: &str, piece: &Piece, words: &[&str]) -> bool {
    let written = text.get(piece.span.clone()).unwrap_or_default();
    piece.kind == Kind::Word && words.iter().any(|word| written.eq_ignore_ascii_case(word))
}

fn check_shape(text: &str, statement: &[Piece]) -> Result<(), Failure> {
    let mut depth = 0_usize;
    let mut operators = 0_usize;
    for piece in statement {
        let at = piece.span.start;
        match text.get(piece.span.clone()) {
            Some("(" | "[") => depth += 1,
            Some(")" | "]") => depth = depth.checked_sub(1).ok_or((at, Unreadable::Unbalanced))?,
            Some(",") => {}
            _ if is_word(text, piece, &["null", "true", "false", "default"]) => {}
            _ if matches!(piece.kind, Kind::Word | Kind::Symbol) => operators += 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err((at, Unreadable::TooDeep));
        }
        if operators > MAX_OPERATORS {
            return Err((at, Unreadable::TooComplex));
        }
    }
    match statement.first() {
        Some(first) if depth > 0 => Err((first.span.start, Unreadable::Unbalanced)),
        _ => Ok(()),
    }
}
