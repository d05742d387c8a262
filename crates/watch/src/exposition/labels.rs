//! The head of a sample, `name{label="value",…}`: where it ends, and what stands in it.

use std::borrow::Cow;

use super::error::{At, Fault};
use super::{MAX_LABELS, skip_blanks};
use crate::series::NAME;

/// The labels of a head that was checked.
#[derive(Debug, Clone)]
pub struct Pairs<'a> {
    head: &'a [u8],
    at: usize,
}

/// Checks a head and gives where it ends.
pub(super) fn head(line: &[u8]) -> At<usize> {
    let name = name(line, 0, true).ok_or((0, Fault::Name))?;
    let brace = skip_blanks(line, name);
    if line.get(brace) == Some(&b'{') { block(line, brace) } else { Ok(name) }
}

/// Checks labels in braces, from `{` on, and gives where they end.
pub(super) fn block(line: &[u8], brace: usize) -> At<usize> {
    let mut at = brace + 1;
    let mut seen = [(0_u32, 0_u32); MAX_LABELS];
    let mut count = 0;
    loop {
        at = skip_blanks(line, at);
        if line.get(at) == Some(&b'}') {
            return Ok(at + 1);
        }
        let end = name(line, at, false).ok_or((at, Fault::Label))?;
        if count == MAX_LABELS {
            return Err((at, Fault::TooManyLabels));
        }
        let label = &line[at..end];
        // The name stands before the labels, and is one.
        if label == NAME.as_bytes()
            || seen[..count].iter().any(|(from, to)| &line[*from as usize..*to as usize] == label)
        {
            return Err((at, Fault::LabelTwice));
        }
        // Lines are far shorter than 4 GiB.
        seen[count] = (u32::try_from(at).unwrap_or(0), u32::try_from(end).unwrap_or(0));
        count += 1;
        at = skip_blanks(line, end);
        if line.get(at) != Some(&b'=') {
            return Err((at, Fault::Equals));
        }
        at = skip_blanks(line, at + 1);
        if line.get(at) != Some(&b'"') {
            return Err((at, Fault::Quote));
        }
        let close = closing_quote(line, at + 1).ok_or((at, Fault::OpenQuote))?;
        if let Err(error) = std::str::from_utf8(&line[at + 1..close]) {
            return Err((at + 1 + error.valid_up_to(), Fault::Utf8));
        }
        at = skip_blanks(line, close + 1);
        match line.get(at) {
            Some(b',') => at += 1,
            Some(b'}') => return Ok(at + 1),
            _ => return Err((at, Fault::CommaOrBrace)),
        }
    }
}

/// Where the name that begins here ends; nothing if none does. Colons are for metrics only.
pub(super) fn name(line: &[u8], from: usize, colons: bool) -> Option<usize> {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (colons && byte == b':');
    let first = *line.get(from)?;
    (part(first) && !first.is_ascii_digit()).then(|| from + line[from..].iter().take_while(|byte| part(**byte)).count())
}

fn closing_quote(line: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memchr2(b'"', b'\\', line.get(at..)?)?;
        if line[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

impl<'a> Pairs<'a> {
    /// Of a head that [`head`] accepted.
    pub(super) fn of(head: &'a [u8]) -> Self {
        let brace = memchr::memchr(b'{', head).unwrap_or(head.len());
        Self { head, at: (brace + 1).min(head.len()) }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, Cow<'a, str>);

    /// Skips what it does not understand to the next quote: heads were checked, so nothing is.
    fn next(&mut self) -> Option<Self::Item> {
        let separators = |byte: &&u8| matches!(**byte, b' ' | b'\t' | b',');
        let from = self.at + self.head.get(self.at..)?.iter().take_while(separators).count();
        let end = name(self.head, from, false)?;
        let open = end + memchr::memchr(b'"', &self.head[end..])? + 1;
        let close = closing_quote(self.head, open)?;
        self.at = close + 1;
        let label = std::str::from_utf8(&self.head[from..end]).ok()?;
        Some((label, unescaped(std::str::from_utf8(&self.head[open..close]).ok()?)))
    }
}

/// `\\`, `\"` and `\n` mean one character; other backslashes mean themselves, as in Prometheus.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let meant = match after.as_bytes().first() {
            Some(b'\\') => Some('\\'),
            Some(b'"') => Some('"'),
            Some(b'n') => Some('\n'),
            _ => None,
        };
        plain.push(meant.unwrap_or('\\'));
        rest = if meant.is_some() { &after[1..] } else { after };
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let end = head(text.as_bytes()).expect("a head");
        Pairs::of(&text.as_bytes()[..end]).map(|(label, value)| (label.to_owned(), value.into_owned())).collect()
    }

    #[test]
    fn labels_are_read_with_blanks_commas_and_escapes() {
        let pair = |label: &str, value: &str| (label.to_owned(), value.to_owned());
        assert_eq!(pairs("up 1"), []);
        assert_eq!(pairs("up{} 1"), []);
        assert_eq!(pairs("up { a = \"x, }\" ,\tb=\"\", } 1"), [pair("a", "x, }"), pair("b", "")]);
        assert_eq!(
            pairs(r#"up{path="C:\\d\n\"q\" \w",city="Zürich"} 1"#),
            [pair("path", "C:\\d\n\"q\" \\w"), pair("city", "Zürich")]
        );
    }

    #[test]
    fn each_fault_has_its_place() {
        let cases: [(&[u8], usize, Fault); 12] = [
            (b"up{__name__=\"b\"} 1", 3, Fault::LabelTwice),
            (b"1up 1", 0, Fault::Name),
            (b"{a=\"b\"} 1", 0, Fault::Name),
            (b"up{a:b=\"c\"} 1", 4, Fault::Equals),
            (b"up{=\"c\"} 1", 3, Fault::Label),
            (b"up{\"a.b\"} 1", 3, Fault::Label),
            (b"up{a} 1", 4, Fault::Equals),
            (b"up{a=b} 1", 5, Fault::Quote),
            (b"up{a=\"b\\\"} 1", 5, Fault::OpenQuote),
            (b"up{a=\"b\" c=\"d\"} 1", 9, Fault::CommaOrBrace),
            (b"up{a=\"b\",c=\"d\",a=\"e\"} 1", 15, Fault::LabelTwice),
            (b"up{a=\"b\xff\"} 1", 7, Fault::Utf8),
        ];
        for (line, column, fault) in cases {
            assert_eq!(head(line), Err((column, fault)), "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn as_many_labels_as_allowed_are_read_and_one_more_is_refused() {
        let line = |count: usize| {
            let labels: Vec<String> = (0..count).map(|number| format!("l{number}=\"\"")).collect();
            format!("up{{{}}} 1", labels.join(","))
        };
        assert_eq!(pairs(&line(MAX_LABELS)).len(), MAX_LABELS);
        assert!(matches!(head(line(MAX_LABELS + 1).as_bytes()), Err((_, Fault::TooManyLabels))));
    }
}
