//! Durations, sizes and shares as people read them.

pub(crate) use mana_control::units::{duration, since};

/// A size in binary units: `512 B`, `9.8 MiB`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown; an f64 holds sixteen")]
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A share of one core: `1.2 %`.
pub(crate) fn cpu(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `1 service`, `2 services`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;

    #[test]
    fn durations_show_their_two_largest_units() {
        let cases = [
            (0, "0.0 s"),
            (340, "0.3 s"),
            (9_990, "10.0 s"),
            (42_000, "42 s"),
            (125_000, "2 m 05 s"),
            (11_220_000, "3 h 07 m"),
            (1_051_200_000, "12 d 4 h"),
        ];
        for (millis, text) in cases {
            assert_eq!(duration(Duration::from_millis(millis)), text, "{millis} ms");
        }
    }

    #[test]
    fn sizes_show_one_decimal() {
        let cases =
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (10_276_045, "9.8 MiB"), (1024 * 1024 - 1, "1.0 MiB")];
        for (size, text) in cases {
            assert_eq!(bytes(size), text, "{size} bytes");
        }
        assert!(bytes(u64::MAX).ends_with("TiB"));
    }

    #[test]
    fn an_instant_in_the_future_counts_as_now() {
        let now: Timestamp = "2026-01-02T00:00:10Z".parse().expect("an instant");
        assert_eq!(since("2026-01-02T00:00:00Z", now), Some(Duration::from_secs(10)));
        assert_eq!(since("2026-01-02T01:00:00Z", now), Some(Duration::ZERO));
        assert_eq!(since("yesterday", now), None);
    }
}
