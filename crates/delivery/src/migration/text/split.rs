//! Cutting at the semicolons that end statements.

use std::ops::Range;

use super::lexer::{Failure, Kind, MAX_DEPTH, Piece, Unreadable};
use crate::migration::Engine;

/// Most statements of a file, and of the body of a trigger: what needs more is several migrations.
pub const MAX_STATEMENTS: usize = 1_000;

/// Most words and operators without a comma between them, those around the brackets that they are in included: each may be
/// a level of the parsed tree (`1 + 1 + 1 …`), and a tree this deep fits into half the stack of a usual thread (2 MiB).
pub const MAX_RUN: usize = 500;

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
    // The runs that are open, the innermost last, and their sum.
    let mut runs = vec![0_usize];
    let mut total = 0_usize;
    let mut semicolons = 0_usize;
    for piece in statement {
        let at = piece.span.start;
        semicolons += usize::from(piece.kind == Kind::Semicolon);
        match text.get(piece.span.clone()) {
            Some("(" | "[") => runs.push(0),
            Some(")" | "]") => total -= runs.pop().unwrap_or(0),
            Some("," | ";") => total -= runs.last_mut().map_or(0, std::mem::take),
            _ if matches!(piece.kind, Kind::Word | Kind::Symbol) => {
                if let Some(run) = runs.last_mut() {
                    *run += 1;
                }
                total += 1;
            }
            _ => {}
        }
        match runs.len() {
            0 => return Err((at, Unreadable::Unbalanced)),
            levels if levels > MAX_DEPTH + 1 => return Err((at, Unreadable::TooDeep)),
            _ if semicolons > MAX_STATEMENTS => return Err((at, Unreadable::TooManyStatements)),
            _ if total > MAX_RUN => return Err((at, Unreadable::TooComplex)),
            _ => {}
        }
    }
    match statement.first() {
        Some(first) if runs.len() > 1 => Err((first.span.start, Unreadable::Unbalanced)),
        _ => Ok(()),
    }
}
