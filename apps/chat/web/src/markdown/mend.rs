//! The end of a text that is still being written, as what it will most likely become: without this, marks of Markdown stand there for
//! a moment and go, and a line of dashes makes a heading of the line above it. What it guesses is read by the same parser and written
//! by the same writer as everything else, so a wrong guess looks wrong for a moment and does nothing.

use std::borrow::Cow;

/// A line of nothing but these may become anything.
const MARKS: &str = "-=*_#>|+~`:!.()[]\\0123456789 \t";

/// The marks of emphasis that are closed where they are open; the longer ones first.
const PAIRS: [&str; 3] = ["**", "~~", "*"];

/// The text with its last line mended.
pub(super) fn mended(text: &str) -> Cow<'_, str> {
    let (above, line) = text.split_at(text.rfind('\n').map_or(0, |at| at + 1));
    if is_code(above) {
        // Only its end is in question.
        let ends = !line.trim().is_empty() && line.trim().chars().all(|c| matches!(c, '`' | '~'));
        return Cow::Borrowed(if ends { above } else { text });
    }
    let is_row = |line: &str| line.trim_start().starts_with('|');
    let rows = above.split_inclusive('\n').rev().take_while(|line| is_row(line));
    if !rows.clone().any(is_below_head) {
        // What may become the head of a table is none until there is a line below it.
        let from = above.len() - rows.map(str::len).sum::<usize>();
        let is_head = from < above.len() && line.is_empty();
        if is_head || is_row(line) {
            return Cow::Borrowed(&above[..from]);
        }
    }
    if line.chars().all(|c| MARKS.contains(c)) {
        return Cow::Borrowed(above);
    }
    if ["```", "~~~"].iter().any(|fence| line.trim_start().starts_with(fence)) {
        return Cow::Borrowed(text);
    }
    let line = without_half_a_link(line);
    let (line, ends) = closed(&line);
    Cow::Owned(format!("{above}{line}{ends}"))
}

/// Whether it is the line between a table's head and its body.
fn is_below_head(row: &str) -> bool {
    row.contains('-') && row.trim_end().chars().all(|c| "|-: \t".contains(c))
}

/// Whether a block of code is open behind these lines.
fn is_code(lines: &str) -> bool {
    let mut open: Option<(char, usize)> = None;
    for line in lines.lines() {
        let line = line.trim_start_matches([' ', '\t', '>', '-', '*', '+']);
        let Some(mark) = line.chars().next().filter(|c| matches!(c, '`' | '~')) else { continue };
        let count = line.chars().take_while(|c| *c == mark).count();
        let rest = &line[count..];
        open = match open {
            None if count >= 3 && !(mark == '`' && rest.contains('`')) => Some((mark, count)),
            Some((by, least)) if mark == by && count >= least && rest.trim().is_empty() => None,
            before => before,
        };
    }
    open.is_some()
}

/// `see [the docs](https://…` becomes `see the docs`.
fn without_half_a_link(line: &str) -> Cow<'_, str> {
    let Some(at) = line.rfind('[') else { return Cow::Borrowed(line) };
    let (before, within) = (&line[..at], &line[at + 1..]);
    let before = before.strip_suffix('!').unwrap_or(before);
    let is_begun = before.is_empty() || before.ends_with(|c: char| c.is_whitespace() || "(*_~".contains(c));
    let label = match within.split_once("](") {
        Some((label, address)) if !address.contains(')') => label,
        None if is_begun && !within.trim_end_matches(']').contains(']') => within.trim_end_matches(']'),
        _ => return Cow::Borrowed(line),
    };
    Cow::Owned(format!("{before}{label}"))
}

/// The line as far as it is sure, and what closes the marks that are open in it.
fn closed(line: &str) -> (&str, String) {
    let mut open: Vec<&str> = Vec::new();
    let mut before = ' ';
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        let rest = &line[at..];
        let mark =
            PAIRS.into_iter().find(|mark| rest.starts_with(mark)).or_else(|| rest.starts_with('`').then_some("`"));
        let Some(mark) = mark.filter(|mark| open.last() != Some(&"`") || *mark == "`") else {
            // What is escaped is no mark.
            let escaped = if c == '\\' { rest.chars().nth(1).map_or(0, char::len_utf8) } else { 0 };
            at += c.len_utf8() + escaped;
            before = c;
            continue;
        };
        let after = rest[mark.len()..].chars().next();
        if let Some(place) = open.iter().rposition(|known| *known == mark) {
            open.truncate(place);
        } else if after.is_none() {
            // It has only just begun.
            return (line[..at].trim_end(), closing(&open));
        } else if mark == "`" || (after.is_some_and(|c| !c.is_whitespace()) && !before.is_alphanumeric()) {
            open.push(mark);
        }
        at += mark.len();
        before = '*';
    }
    let end = if open.is_empty() { line } else { line.trim_end() };
    // Half of a mark that begins or ends there.
    let end = if end.ends_with('~') && !end.ends_with("~~") { &end[..end.len() - 1] } else { end };
    (end, closing(&open))
}

fn closing(open: &[&str]) -> String {
    open.iter().rev().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_under_way_reads_as_what_it_will_most_likely_become() {
        for (text, want) in [
            ("plain", "plain"),
            ("a **bo", "a **bo**"),
            ("a **", "a"),
            ("a *", "a"),
            ("a **bold*", "a **bold**"),
            ("a **bold**", "a **bold**"),
            ("a **bold ", "a **bold**"),
            ("a **bold *both", "a **bold *both***"),
            ("`co", "`co`"),
            ("`a*b", "`a*b`"),
            ("2 * 3 is", "2 * 3 is"),
            ("2*3 is", "2*3 is"),
            ("a ~", "a "),
            ("~~ol", "~~ol~~"),
            ("~~ol~", "~~ol~~"),
            ("\\*no", "\\*no"),
            ("* item", "* item"),
            ("see [", "see "),
            ("see [the do", "see the do"),
            ("see [the docs]", "see the docs"),
            ("see [1] there", "see [1] there"),
            ("see [the docs](https://a.exa", "see the docs"),
            ("see [the docs](https://a.example)", "see [the docs](https://a.example)"),
            ("![cat](http", "cat"),
            ("a[0", "a[0"),
            ("text\n-", "text\n"),
            ("text\n- ", "text\n"),
            ("text\n1.", "text\n"),
            ("text\n==", "text\n"),
            ("##", ""),
            ("``", ""),
            ("```", ""),
            ("```ru", "```ru"),
            ("```\nlet a = \"**\";\n", "```\nlet a = \"**\";\n"),
            ("```\nlet *a", "```\nlet *a"),
            ("```\na\n``", "```\na\n"),
            ("```\na\n-", "```\na\n-"),
            ("```\na\n```\n**b", "```\na\n```\n**b**"),
            ("a\n\n| b | c", "a\n\n"),
            ("a\n\n| b | c |\n", "a\n\n"),
            ("a\n\n| b | c |\n|--", "a\n\n"),
            ("a\n\n| b | c |\n|--|--|\n", "a\n\n| b | c |\n|--|--|\n"),
            ("| b |\n|--|\n| **x", "| b |\n|--|\n| **x**"),
            ("", ""),
        ] {
            assert_eq!(mended(text), want, "{text:?}");
        }
    }

    #[test]
    fn no_marks_are_seen_while_an_ordinary_answer_is_written() {
        let text = "## Plan\n\nSome **bold**, *leaning* and ~~struck~~ words with `code`.\n\n1. **one**: [more](https://example.org/a_b)\n2. two\n   - deeper\n\n\
            ```rust\nlet a = 1;\n```\n\n---\n\nThe end.";
        for (at, _) in text.char_indices() {
            let html = super::super::write(&mended(&text[..at]), super::super::LEVEL_ABOVE).0;
            let bare = html.contains(['*', '`', '[', '#', '~']) || html.contains("https") && !html.contains("href");
            assert!(!bare, "{:?} reads {html}", &text[..at]);
        }
    }
}
