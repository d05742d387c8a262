//! Sizes and durations as people write them. A number without a unit is refused: units are never guessed.

use std::time::Duration;

/// What a size looks like, for messages.
pub(crate) const SIZE: &str = "a size such as \"256MB\" (B, kB, MB, GB, KiB, MiB, GiB)";

/// What a duration looks like, for messages.
pub(crate) const DURATION: &str = "a duration such as \"30s\" (ms, s, m, h, d)";

/// Bytes of `256MB`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// The duration of `30s`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.strip_prefix(' ').unwrap_or(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        for (text, bytes) in [
            ("256MB", Some(256_000_000)),
            ("1 GiB", Some(1 << 30)),
            ("0B", Some(0)),
            ("256", None),
            ("MB", None),
            ("-1MB", None),
            ("1.5GB", None),
            ("1mb", None),
            ("99999999999GB", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, seconds) in
            [("30s", Some(30.0)), ("500ms", Some(0.5)), ("1h", Some(3600.0)), ("30", None), ("s", None), ("1w", None)]
        {
            assert_eq!(duration(text).map(|duration| duration.as_secs_f64()), seconds, "{text}");
        }
    }
}
