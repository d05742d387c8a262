//! Spans of time, as people write them in rules and read them in messages.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Units, largest first, with their milliseconds.
const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// What nothing here waits longer than: a year and a day.
const LONGEST: u64 = 366 * 86_400_000;

/// A span of time in milliseconds; `1h30m` in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

/// A text is no span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no duration of at most a year: write it like \"30s\", \"5m\" or \"1h30m\" (ms, s, m, h, d, w)")]
pub struct NoSpan(String);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// Of milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Of seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1_000)
    }

    /// Of minutes.
    pub const fn from_mins(minutes: u64) -> Self {
        Self(minutes * 60_000)
    }

    /// Of hours.
    pub const fn from_hours(hours: u64) -> Self {
        Self(hours * 3_600_000)
    }

    /// Of days.
    pub const fn from_days(days: u64) -> Self {
        Self(days * 86_400_000)
    }

    /// From one moment to a later one, both in milliseconds since 1970; nothing if the later one is earlier.
    pub const fn between(from: i64, to: i64) -> Self {
        Self(if to > from { to.abs_diff(from) } else { 0 })
    }

    /// In milliseconds.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// As it is said to people: its two largest units, `2 h 5 min`.
    pub fn spoken(self) -> String {
        const WORDS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)];
        if self.0 == 0 {
            return "0 s".to_owned();
        }
        let first = WORDS.iter().position(|(_, unit)| self.0 >= *unit);
        let Some(first) = first else { return format!("{} ms", self.0) };
        let (word, unit) = WORDS[first];
        let whole = format!("{} {word}", self.0 / unit);
        let next = WORDS.get(first + 1).filter(|(_, next)| self.0 % unit >= *next);
        next.map_or(whole.clone(), |(word, next)| format!("{whole} {} {word}", self.0 % unit / next))
    }
}

impl FromStr for Span {
    type Err = NoSpan;

    fn from_str(text: &str) -> Result<Self, NoSpan> {
        parse(text).filter(|millis| *millis <= LONGEST).map(Self).ok_or_else(|| NoSpan(text.chars().take(40).collect()))
    }
}

/// Numbers with their units, largest first, each unit once; `0` needs none.
fn parse(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut units, mut sum) = (text, UNITS.as_slice(), 0_u64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let at = units.iter().position(|(name, _)| *name == unit)?;
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(units[at].1)?)?;
        (rest, units) = (after, &units[at + 1..]);
    }
    (!text.is_empty()).then_some(sum)
}

impl fmt::Display for Span {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return to.write_str("0s");
        }
        let mut rest = self.0;
        for (name, unit) in UNITS.iter().skip(1) {
            if rest >= *unit {
                write!(to, "{}{name}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Span {
    type Error = NoSpan;

    fn try_from(text: String) -> Result<Self, NoSpan> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_as_it_is_written() {
        for (text, millis, written) in [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("30s", 30_000, "30s"),
            ("90s", 90_000, "1m30s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("1w", 604_800_000, "7d"),
            ("1s500ms", 1_500, "1s500ms"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.millis(), span.to_string().as_str()), (millis, written), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_says_how_one_is_written() {
        for text in ["", "5", "m", "5x", "5m1h", "5m5m", "-5m", "1.5h", "5 m", "99999999999999999999s", "400d"] {
            let error = text.parse::<Span>().unwrap_err().to_string();
            assert!(error.contains("1h30m"), "{text}: {error}");
        }
    }

    #[test]
    fn people_are_told_two_units() {
        for (span, words) in [
            (Span::from_millis(250), "250 ms"),
            (Span::from_secs(40), "40 s"),
            (Span::from_secs(245), "4 min 5 s"),
            (Span::from_mins(240), "4 h"),
            (Span::from_mins(25 * 60 + 3), "1 d 1 h"),
        ] {
            assert_eq!(span.spoken(), words);
        }
    }
}
