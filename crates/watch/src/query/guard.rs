//! Looks at the text before the parser does: the parser's work and the depth of what it builds grow with the text without a bound, it panics on
//! a duration such as `[1e300]`, and it takes a part of a duration that overflows as nothing.

use super::error::QueryError;

/// Bytes of an expression: machines write long ones, people do not.
pub(super) const MAX_BYTES: usize = 16 * 1024;
/// Words and signs of an expression. A chain of operators becomes a tree half as deep, which has to fit a thread's stack.
pub(super) const MAX_WORDS: usize = 2_000;
/// Brackets within brackets.
pub(super) const MAX_NESTING: usize = 64;
/// A hundred years of 365 days in milliseconds: what a duration may be, so that times stay far from overflowing.
pub(super) const MAX_DURATION_MS: i64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// Whether the parser may see it.
pub(super) fn check(text: &str) -> Result<(), QueryError> {
    if text.len() > MAX_BYTES {
        return Err(QueryError::TooLong { what: "bytes", limit: MAX_BYTES });
    }
    let mut rest = text;
    let (mut words, mut depth, mut in_brackets, mut after_offset) = (0, 0_usize, false, false);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => rest.find(['\n', '\r']).unwrap_or(rest.len()),
            '"' | '\'' | '`' => quoted(rest, first),
            _ if is_word(first) => {
                rest.find(|c| !is_word(c) || (c == ':' && in_brackets)).unwrap_or(rest.len()).max(first.len_utf8())
            }
            _ => first.len_utf8(),
        };
        let word = &rest[..length];
        rest = &rest[length..];
        if first.is_whitespace() || first == '#' {
            continue;
        }
        words += 1;
        match first {
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if words > MAX_WORDS {
            return Err(QueryError::TooLong { what: "words and signs", limit: MAX_WORDS });
        }
        if depth > MAX_NESTING {
            return Err(QueryError::TooLong { what: "brackets within brackets", limit: MAX_NESTING });
        }
        match first {
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            _ => {}
        }
        let numeric = first.is_ascii_digit()
            || first == '.'
            || word.eq_ignore_ascii_case("inf")
            || word.eq_ignore_ascii_case("nan");
        if numeric {
            let length = duration(word).transpose()?;
            if length.is_none() && (in_brackets || after_offset) {
                return Err(QueryError::Syntax(format!("`{word}` is no duration: one is written as 30s or 1h30m")));
            }
        }
        after_offset = word.eq_ignore_ascii_case("offset") || (after_offset && matches!(first, '+' | '-'));
    }
    Ok(())
}

/// Length of the text in quotes at the start.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':')
}

/// Milliseconds of `1h30m` and its like; `None` if it is none.
pub(super) fn duration(word: &str) -> Option<Result<i64, QueryError>> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 365 * 24 * 3_600_000),
        ("w", 7 * 24 * 3_600_000),
        ("d", 24 * 3_600_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let (mut rest, mut total, mut larger_than) = (word, Some(0_i64), i64::MAX);
    while !rest.is_empty() {
        let (digits, more) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (name, more) = more.split_at(more.find(|c: char| c.is_ascii_digit()).unwrap_or(more.len()));
        let (_, unit) = UNITS.into_iter().find(|(unit, _)| *unit == name)?;
        if digits.is_empty() || unit >= larger_than {
            return None;
        }
        larger_than = unit;
        rest = more;
        // The parser reads each count as 32 bits, and one that does not fit as none.
        let part = digits.parse::<u32>().ok().and_then(|count| i64::from(count).checked_mul(unit));
        total = total.zip(part).and_then(|(total, part)| total.checked_add(part));
    }
    if word.is_empty() {
        return None;
    }
    Some(total.filter(|total| *total <= MAX_DURATION_MS).ok_or_else(|| {
        QueryError::Syntax(format!("the duration `{word}` is longer than the hundred years that are supported"))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_prometheus_reads_them() {
        for (word, expected) in [
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("1y2w3d4h5m6s7ms", Some(33_019_506_007)),
            ("5", None),
            ("1.5h", None),
            ("5m1h", None),
            ("5m5m", None),
            ("", None),
            ("h", None),
            ("1e3", None),
        ] {
            assert_eq!(duration(word).map(Result::unwrap), expected, "{word}");
        }
        assert!(duration("1d5000000000ms").unwrap().is_err());
        assert!(duration("101y").unwrap().is_err());
    }

    #[test]
    fn what_the_parser_would_panic_on_or_misread_does_not_reach_it() {
        for text in [
            "foo[1e300]",
            "foo[5]",
            "foo[5m:1e300]",
            "foo offset Inf",
            "foo offset -NaN",
            "foo offset 1e300",
            "foo[1d5000000000ms]",
            "1d5000000000ms",
        ] {
            assert!(matches!(check(text), Err(QueryError::Syntax(_))), "{text}");
        }
        for text in ["sum by (offset) (x)", "offset offset 5m", "x{a=\"[5]\"}", "foo[5m:] # [5]", "foo @ 1e3", "1e5"] {
            assert!(check(text).is_ok(), "{text}");
        }
        assert!(check(&"(".repeat(100)).is_err());
        assert!(check(&"a+".repeat(2_000)).is_err());
        assert!(check(&"a".repeat(20_000)).is_err());
    }
}
