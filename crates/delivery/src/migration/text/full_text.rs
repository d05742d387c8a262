//! `CREATE VIRTUAL TABLE … USING fts5 (…)`: SQLite's search for words. Its arguments are no SQL, so they are read from the lexer's pieces.
//!
//! FTS5 gets each argument as it is written, comments included; so there must be nothing but blanks between the pieces.

use sqlparser::ast::{Ident, ObjectName};

use super::lexer::{Kind, Piece};

/// A table of FTS5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::migration) struct FullText {
    pub(in crate::migration) name: ObjectName,
    pub(in crate::migration) columns: Vec<Ident>,
    /// Names in lower case, values without their quotes.
    pub(in crate::migration) options: Vec<(String, String)>,
}

/// None for any other statement, and for one that is written in another way.
pub(super) fn read(text: &str, pieces: &[Piece]) -> Option<FullText> {
    let blank = |pair: &[Piece]| match pair {
        [a, b] => text.get(a.span.end..b.span.start).is_some_and(|between| between.trim().is_empty()),
        _ => true,
    };
    if !pieces.windows(2).all(blank) {
        return None;
    }
    let mut reader = Reader { text, pieces };
    for word in ["create", "virtual", "table"] {
        reader.word(word)?;
    }
    let mut name = vec![reader.name()?];
    if reader.symbol(".").is_some() {
        name.push(reader.name()?);
    }
    for word in ["using", "fts5"] {
        reader.word(word)?;
    }
    reader.symbol("(")?;
    let mut read = FullText { name: ObjectName::from(name), columns: Vec::new(), options: Vec::new() };
    loop {
        let name = reader.name()?;
        if reader.symbol("=").is_some() {
            read.options.push((name.value.to_ascii_lowercase(), reader.quoted()?));
        } else {
            // Kept beside the words, and not searched.
            let _ = reader.word("unindexed");
            read.columns.push(name);
        }
        if reader.symbol(",").is_none() {
            break;
        }
    }
    reader.symbol(")")?;
    reader.pieces.is_empty().then_some(read)
}

struct Reader<'a> {
    text: &'a str,
    pieces: &'a [Piece],
}

impl<'a> Reader<'a> {
    fn next_if(&mut self, fits: impl FnOnce(Kind, &str) -> bool) -> Option<(Kind, &'a str)> {
        let (first, rest) = self.pieces.split_first()?;
        let text = self.text.get(first.span.clone())?;
        fits(first.kind, text).then(|| {
            self.pieces = rest;
            (first.kind, text)
        })
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.next_if(|kind, text| kind == Kind::Word && text.eq_ignore_ascii_case(word)).map(drop)
    }

    fn symbol(&mut self, symbol: &str) -> Option<()> {
        self.next_if(|kind, text| kind == Kind::Symbol && text == symbol).map(drop)
    }

    fn name(&mut self) -> Option<Ident> {
        let (kind, text) = self.next_if(|kind, _| matches!(kind, Kind::Word | Kind::Name))?;
        if kind == Kind::Word {
            return Some(Ident::new(text));
        }
        let quote = text.chars().next()?;
        Some(Ident::with_quote(quote, unquoted(text)?))
    }

    fn quoted(&mut self) -> Option<String> {
        let (_, text) = self.next_if(|kind, text| kind == Kind::Text && text.starts_with('\''))?;
        unquoted(text)
    }
}

/// Without the quotes around it; one within that is written twice is one.
fn unquoted(text: &str) -> Option<String> {
    let quote = text.chars().next()?;
    let inner = text.get(1..text.len().checked_sub(1)?)?;
    Some(if quote == '[' { inner.to_owned() } else { inner.replace(&format!("{quote}{quote}"), &quote.to_string()) })
}

#[cfg(test)]
mod tests {
    use super::super::lexer::lex;
    use super::*;
    use crate::migration::Engine;

    fn check(text: &str, expected: Option<&str>) {
        let pieces = lex(Engine::Sqlite, text).expect("pieces");
        let read = read(text, &pieces).map(|read| {
            let columns: Vec<String> = read.columns.iter().map(ToString::to_string).collect();
            let options: Vec<String> = read.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} {} {}", read.name, columns.join(","), options.join(","))
        });
        assert_eq!(read.as_deref(), expected, "{text}");
    }

    #[test]
    fn columns_are_told_from_options() {
        check("CREATE VIRTUAL TABLE t USING fts5 (a)", Some("t a "));
        check("create virtual table main.\"t\"\"u\" using FTS5(a, b UNINDEXED)", Some("main.\"t\"\"u\" a,b "));
        check(
            "CREATE VIRTUAL TABLE t USING fts5 (a, [b c], Tokenize = 'porter unicode61', content='it''s')",
            Some("t a,[b c] tokenize=porter unicode61,content=it's"),
        );
        for other in [
            "CREATE VIRTUAL TABLE IF NOT EXISTS t USING fts5 (a)",
            "CREATE VIRTUAL TABLE t USING rtree (a)",
            "CREATE VIRTUAL TABLE t USING fts5 ()",
            "CREATE VIRTUAL TABLE t USING fts5 (a",
            "CREATE VIRTUAL TABLE t USING fts5 (a) x",
            "CREATE VIRTUAL TABLE t USING fts5 (a INTEGER)",
            "CREATE VIRTUAL TABLE t USING fts5 (a, content = b)",
            "CREATE VIRTUAL TABLE t USING fts5 (a, content = x'00')",
            // To FTS5 it is a part of the argument.
            "CREATE VIRTUAL TABLE t USING fts5 (a /* b */)",
            "CREATE TABLE t (a)",
            "",
        ] {
            check(other, None);
        }
    }
}
