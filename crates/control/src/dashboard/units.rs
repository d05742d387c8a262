//! Numbers as people read them.

use std::time::Duration;

use jiff::Timestamp;

pub(crate) use crate::units::{duration, exact_percent, since};

/// Digits by what they are worth: `1,234`, `12.3`, `0.42`.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 {
        let digits = format!("{size:.0}");
        let mut text = String::from(if value < 0.0 { "-" } else { "" });
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        return text;
    }
    let text = if size >= 10.0 { format!("{value:.1}") } else { format!("{value:.2}") };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `1,234 req/s`
pub(crate) fn rate(value: f64) -> String {
    format!("{} req/s", number(value))
}

/// A share: `0.2 %`, `85 %`.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 99.95 || percent == 0.0 {
        format!("{percent:.0} %")
    } else if percent < 0.01 {
        "< 0.01 %".to_owned()
    } else if percent < 1.0 {
        format!("{percent:.2} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// A short time: `0.4 ms`, `450 ms`, `1.2 s`.
pub(crate) fn seconds(value: f64) -> String {
    match value {
        value if value >= 60.0 => duration(Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX)),
        value if value >= 1.0 => format!("{} s", number(value)),
        value if value >= 0.01 => format!("{:.0} ms", value * 1e3),
        value => format!("{} ms", number(value * 1e3)),
    }
}

/// A size in binary units: `512 B`, `9.8 MiB`.
pub(crate) fn bytes(value: f64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if value < 1024.0 {
        return format!("{value:.0} B");
    }
    let (mut value, mut unit) = (value / 1024.0, 0);
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// The minute that an RFC 3339 instant is in, of UTC: `2026-01-02 03:04`. Scripts put it into the time of whoever looks.
pub(crate) fn minute(instant: &str) -> String {
    let at = instant.parse::<Timestamp>();
    at.map_or_else(|_| instant.to_owned(), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_shown_by_what_they_are_worth() {
        for (value, text) in [
            (0.0, "0"),
            (0.004, "0"),
            (0.416, "0.42"),
            (3.5, "3.5"),
            (12.34, "12.3"),
            (120.0, "120"),
            (1_234.4, "1,234"),
            (1_234_567.0, "1,234,567"),
            (-1_234.0, "-1,234"),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
    }

    #[test]
    fn shares_never_round_to_nothing_or_to_all() {
        for (share, text) in [
            (0.0, "0 %"),
            (0.000_01, "< 0.01 %"),
            (0.002, "0.20 %"),
            (0.85, "85.0 %"),
            (0.999, "99.9 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(percent(share), text, "{share}");
        }
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        for (value, text) in [
            (0.000_42, "0.42 ms"),
            (0.004_5, "4.5 ms"),
            (0.45, "450 ms"),
            (1.25, "1.25 s"),
            (125.0, "2 m 05 s"),
            (11_220.0, "3 h 07 m"),
            (1_051_200.0, "12 d 4 h"),
        ] {
            assert_eq!(seconds(value), text, "{value}");
        }
    }
}
