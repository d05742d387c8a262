//! Whether the parser's scanner sees the same text, names and code as ours, byte for byte.

use std::ops::Range;

use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::lexer::{Kind, Piece};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Blank,
    Quoted,
    Code,
}

/// The first byte within `statement`, counted from its start, that both take for different things.
pub(super) fn first_difference(
    statement: &str,
    start: usize,
    pieces: &[Piece],
    tokens: &[TokenWithSpan],
) -> Option<usize> {
    let ours = ours(statement, start, pieces);
    let theirs = theirs(statement, tokens);
    ours.iter().zip(&theirs).position(|(a, b)| a != b)
}

fn ours(statement: &str, start: usize, pieces: &[Piece]) -> Vec<Class> {
    let mut classes = vec![Class::Blank; statement.len()];
    for piece in pieces {
        let class = if matches!(piece.kind, Kind::Text | Kind::Name) { Class::Quoted } else { Class::Code };
        fill(&mut classes, piece.span.start.saturating_sub(start)..piece.span.end.saturating_sub(start), class);
    }
    classes
}

/// Of a token only its start is used: it ends where the next one begins, blanks being tokens as well.
fn theirs(statement: &str, tokens: &[TokenWithSpan]) -> Vec<Class> {
    let mut classes = vec![Class::Blank; statement.len()];
    let starts = offsets(statement, tokens.iter().map(|token| token.span.start));
    for (index, token) in tokens.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(statement.len());
        fill(&mut classes, starts.get(index).copied().unwrap_or(end)..end, class_of(&token.token));
    }
    classes
}

fn fill(classes: &mut [Class], range: Range<usize>, class: Class) {
    classes.get_mut(range).unwrap_or_default().fill(class);
}

/// Lines and columns, ascending, as bytes.
fn offsets(statement: &str, locations: impl Iterator<Item = Location>) -> Vec<usize> {
    let mut characters = statement.char_indices().peekable();
    let (mut line, mut column) = (1, 1);
    let mut offsets = Vec::new();
    for location in locations {
        while (line, column) < (location.line, location.column) {
            match characters.next() {
                Some((_, '\n')) => (line, column) = (line + 1, 1),
                Some(_) => column += 1,
                None => break,
            }
        }
        offsets.push(characters.peek().map_or(statement.len(), |(at, _)| *at));
    }
    offsets
}

fn class_of(token: &Token) -> Class {
    match token {
        Token::Whitespace(_) | Token::EOF => Class::Blank,
        Token::Word(word) if word.quote_style.is_some() => Class::Quoted,
        Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::SingleQuotedByteStringLiteral(_)
        | Token::HexStringLiteral(_) => Class::Quoted,
        _ => Class::Code,
    }
}
