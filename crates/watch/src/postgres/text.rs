//! Statements' texts as people and labels get them: without values, which may be secrets or somebody's data, and short.

/// Longest text, in characters.
pub const MAX_TEXT: usize = 300;
const VALUE: &str = "?";

/// A statement with `?` for each value, several in a row as one, without comments, in one line, cut at [`MAX_TEXT`]. A value that has no
/// end, since the text was cut before, takes the rest with it. Names stay: who puts data into names tells it. Backslashes mean themselves in
/// plain quotes, as they do unless somebody switched `standard_conforming_strings` off.
#[must_use]
pub fn plain_text(statement: &str) -> String {
    let mut writer = Writer::default();
    let mut rest = statement;
    while let Some(first) = rest.chars().next() {
        // Each step takes at least one character, and no more is read than is told.
        if writer.characters > MAX_TEXT {
            break;
        }
        rest = step(first, rest, &mut writer);
    }
    writer.finish()
}

/// Takes what begins here, and gives what is left.
fn step<'a>(first: char, rest: &'a str, writer: &mut Writer) -> &'a str {
    let length = first.len_utf8();
    if first.is_whitespace() {
        writer.blank();
        &rest[length..]
    } else if rest.starts_with("--") {
        writer.blank();
        rest.find('\n').map_or("", |end| &rest[end..])
    } else if rest.starts_with("/*") {
        writer.blank();
        after_comment(rest)
    } else if first == '\'' {
        writer.value();
        after_quotes(&rest[1..], '\'', false)
    } else if let Some(value) = after_prefix(rest) {
        writer.value();
        value
    } else if first == '"' {
        let left = after_quotes(&rest[1..], '"', false);
        writer.name(&rest[..rest.len() - left.len()]);
        left
    } else if first == '$' {
        writer.value();
        after_dollar(rest)
    } else if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|next: char| next.is_ascii_digit())) {
        writer.value();
        after_number(rest)
    } else if in_name(first) {
        let left = rest.trim_start_matches(|next| in_name(next) || next == '$');
        writer.name(&rest[..rest.len() - left.len()]);
        left
    } else {
        writer.sign(first);
        &rest[length..]
    }
}

fn in_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || (!character.is_ascii() && !character.is_whitespace())
}

/// After the quotes that were opened before `rest`. Two of them in a row are one that is meant.
fn after_quotes(rest: &str, quote: char, backslashes: bool) -> &str {
    let mut characters = rest.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character == '\\' && backslashes {
            characters.next();
        } else if character == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
            } else {
                return &rest[at + 1..];
            }
        }
    }
    ""
}

/// After a value with a letter before its quotes, if one begins here: `E'…'`, `B'…'`, `X'…'`, `N'…'`, `U&'…'`.
fn after_prefix(rest: &str) -> Option<&str> {
    let (prefix, value) = rest.split_at_checked(rest.find('\'').filter(|at| *at <= 2)?)?;
    match prefix {
        "E" | "e" => Some(after_quotes(&value[1..], '\'', true)),
        "B" | "b" | "X" | "x" | "N" | "n" | "U&" | "u&" => Some(after_quotes(&value[1..], '\'', false)),
        _ => None,
    }
}

/// After `$1`, or after `$tag$…$tag$`.
fn after_dollar(rest: &str) -> &str {
    let inner = &rest[1..];
    let after_digits = inner.trim_start_matches(|next: char| next.is_ascii_digit());
    if after_digits.len() < inner.len() {
        return after_digits;
    }
    let after_tag = inner.trim_start_matches(in_name);
    if !after_tag.starts_with('$') {
        return inner;
    }
    let tag = &rest[..=rest.len() - after_tag.len()];
    after_tag[1..].split_once(tag).map_or("", |(_, left)| left)
}

/// After a number, with its point and its exponent, or any other that begins with a digit (`0xff`, `1_000`).
fn after_number(rest: &str) -> &str {
    let mut before = ' ';
    let end = rest.find(|next: char| {
        let goes_on = next.is_ascii_alphanumeric()
            || matches!(next, '.' | '_')
            || (matches!(next, '+' | '-') && matches!(before, 'e' | 'E'));
        before = next;
        !goes_on
    });
    end.map_or("", |end| &rest[end..])
}

/// After a comment, in which there may be others.
fn after_comment(rest: &str) -> &str {
    let (mut depth, mut at) = (0_usize, 0);
    let bytes = rest.as_bytes();
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return &rest[at..];
        }
    }
    ""
}

/// Writes a text with single blanks and with values in a row as one.
#[derive(Default)]
struct Writer {
    text: String,
    characters: usize,
    blank: bool,
    /// What was written last: a value, or a comma after one.
    list: List,
}

#[derive(Default, PartialEq)]
enum List {
    #[default]
    None,
    Value,
    Comma,
    /// Values that were put together, and a comma after them.
    Many,
    ManyComma,
}

impl Writer {
    fn blank(&mut self) {
        self.blank = true;
    }

    fn value(&mut self) {
        match self.list {
            List::Comma => {
                self.blank = true;
                self.put("…");
                self.list = List::Many;
            }
            List::ManyComma => {
                self.blank = false;
                self.list = List::Many;
            }
            _ => {
                self.put(VALUE);
                self.list = List::Value;
            }
        }
    }

    fn sign(&mut self, sign: char) {
        match (sign, &self.list) {
            (',', List::Value) => {
                self.blank = false;
                self.put(",");
                self.list = List::Comma;
            }
            (',', List::Many) => {
                self.blank = false;
                self.list = List::ManyComma;
            }
            _ => self.name(sign.encode_utf8(&mut [0; 4])),
        }
    }

    fn name(&mut self, name: &str) {
        if self.list == List::ManyComma {
            self.blank = false;
            self.put(",");
            self.blank = true;
        }
        self.list = List::None;
        self.put(name);
    }

    fn put(&mut self, text: &str) {
        if std::mem::take(&mut self.blank) && !self.text.is_empty() {
            self.text.push(' ');
            self.characters += 1;
        }
        // A name in quotes may hold line breaks.
        self.text.extend(text.chars().map(|character| if character.is_control() { ' ' } else { character }));
        self.characters += text.chars().count();
    }

    fn finish(mut self) -> String {
        if let Some((cut, _)) = self.text.char_indices().nth(MAX_TEXT) {
            self.text.truncate(cut);
            self.text.push('…');
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_comments_and_blanks_go_and_names_stay() {
        let cases = [
            (
                "select  1 ,\n\t'it''s' from \"My 1 table\" t1 -- why\n where a=-2.5e-3",
                "select ?, … from \"My 1 table\" t1 where a=-?",
            ),
            (
                "select * from cart where id in (1, 2,3 , 4) and b = $1",
                "select * from cart where id in (?, …) and b = ?",
            ),
            ("insert into t values ($1, $2, now(), 'x')", "insert into t values (?, …, now(), ?)"),
            ("select E'a\\'b', X'ff', u&'d\\0061', n'x'", "select ?, …"),
            ("do $body$ begin perform 'x'; end $body$ language plpgsql", "do ? language plpgsql"),
            ("select $$it's$$, a$b, .5, 0xff, 1_000", "select ?, a$b, ?, …"),
            ("alter role shop password 'secret'", "alter role shop password ?"),
            ("select /* a /* b */ 'c' */ d", "select d"),
            ("select 'cut of", "select ?"),
            ("select $a$ cut off $b$", "select ?"),
            ("select /* cut off", "select"),
            ("select naïve, 'größe' from straße", "select naïve, ? from straße"),
            ("select a::int, b ->> 'k' from t limit 10;", "select a::int, b ->> ? from t limit ?;"),
            ("select 1 from e where e.x'", "select ? from e where e.?"),
            ("", ""),
        ];
        for (statement, plain) in cases {
            assert_eq!(plain_text(statement), plain, "{statement}");
        }
    }

    #[test]
    fn a_long_statement_is_cut() {
        let text = plain_text(&format!("select {}", "straße, ".repeat(200)));
        assert_eq!(text.chars().count(), MAX_TEXT + 1);
        assert!(text.ends_with('…'));
    }

    proptest! {
        #[test]
        fn no_value_is_ever_told(
            before in "[a-z =,(]{0,8}",
            quoting in prop::sample::select(vec![
                ("'", "'"), ("E'", "'"), ("x'", "'"), ("u&'", "'"), ("$$", "$$"), ("$t$", "$t$"), ("E'\\'", "'"), ("'''", "'''"),
                ("-- ", "\n"), ("/* ", "*/"), ("/*/**/ ", "*/"), ("'", ""), ("$q$ $$ ", ""), ("7", "")
            ]),
            after in "[a-z0-9 ,')$]{0,8}"
        ) {
            let text = plain_text(&format!("{before} {}73cr37{}{after}", quoting.0, quoting.1));
            prop_assert!(!text.contains("73cr37"), "{}", text);
        }

        #[test]
        fn any_text_becomes_one_short_line(statement in "(\\PC|['\"$E/*\\-,?…0-9 \n\\\\]){0,400}") {
            let text = plain_text(&statement);
            prop_assert!(text.chars().count() <= MAX_TEXT + 1 && !text.contains(char::is_control), "{:?}", text);
        }
    }
}
