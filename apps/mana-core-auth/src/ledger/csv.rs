//! A history as CSV (RFC 4180), safe to open in a spreadsheet.

use std::fmt::Write as _;

use kit::Credits;

use super::history::Line;
use crate::time;

/// The first line.
pub(super) const HEAD: &str = "time,kind,amount,balance,reason,reservation,id\r\n";

/// A posting as a line.
pub(super) fn line(line: &Line) -> String {
    let posting = &line.posting;
    let mut text = String::new();
    let reservation = posting.reservation_id.map(|id| id.to_string()).unwrap_or_default();
    // Writing to a String cannot fail. Numbers, times and ids are ours, and no formulas.
    let _ = write!(
        text,
        "{},{},{},{},{},{},{}\r\n",
        time::rfc3339(posting.created_at),
        cell(&posting.kind),
        line.change,
        Credits::from_units(posting.balance_after),
        cell(&posting.reason),
        reservation,
        posting.id
    );
    text
}

/// Text in quotes. What a spreadsheet would take for a formula gets an apostrophe before it, which makes it text there.
fn cell(text: &str) -> String {
    let formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        || text.starts_with(['\t', '\r', '\n']);
    format!("\"{}{}\"", if formula { "'" } else { "" }, text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_or_more_than_one_cell() {
        for (text, expected) in [
            ("an answer in chat", r#""an answer in chat""#),
            ("", r#""""#),
            (r#"say "hi", you"#, r#""say ""hi"", you""#),
            ("=HYPERLINK(\"http://evil.test\")", r#""'=HYPERLINK(""http://evil.test"")""#),
            (" =1+1", r#""' =1+1""#),
            ("+1", r#""'+1""#),
            ("-1", r#""'-1""#),
            ("@SUM(A1)", r#""'@SUM(A1)""#),
            ("\t=1", "\"'\t=1\""),
            ("＝1", r#""'＝1""#),
            ("two\r\nlines", "\"two\r\nlines\""),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
    }
}
