//! Numbers as expositions write them.

/// Digits of which every whole number is exact as a float, with room to spare.
const EXACT_DIGITS: usize = 15;

/// A value. Whole numbers, which most are, take the short way.
#[expect(clippy::cast_precision_loss, reason = "no more than EXACT_DIGITS digits")]
pub(super) fn value(text: &[u8]) -> Option<f64> {
    if (1..=EXACT_DIGITS).contains(&text.len()) && text.iter().all(u8::is_ascii_digit) {
        return Some(text.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0')) as f64);
    }
    // Knows `Inf`, `+Inf`, `NaN` in any case as Go does; none of Go's hexadecimal numbers, which nobody writes.
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A time in whole milliseconds.
pub(super) fn milliseconds(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A time in seconds with their fraction, as milliseconds.
pub(super) fn seconds(text: &[u8]) -> Option<i64> {
    let milliseconds = value(text)? * 1_000.0;
    #[expect(clippy::cast_possible_truncation, reason = "within the range just below")]
    (milliseconds.abs() < 9e18).then(|| milliseconds.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_go_reads_them() {
        let cases = [
            ("0", 0.0),
            ("007", 7.0),
            ("-1", -1.0),
            ("+3.0", 3.0),
            ("1e-07", 1e-7),
            ("1.7957063173689475e+09", 1_795_706_317.368_947_5),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("999999999999999", 999_999_999_999_999.0),
            ("+Inf", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
        ];
        for (text, number) in cases {
            assert_eq!(value(text.as_bytes()).map(f64::to_bits), Some(number.to_bits()), "{text}");
        }
        assert!(value(b"NaN").is_some_and(f64::is_nan));
        for text in ["", "-", "1_000", "0x10", "1,5", "ten", "1\u{a0}"] {
            assert_eq!(value(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn times_are_milliseconds_or_seconds() {
        assert_eq!(milliseconds(b"1795706325832"), Some(1_795_706_325_832));
        assert_eq!(milliseconds(b"1.5"), None);
        assert_eq!(seconds(b"1795706317.3689685"), Some(1_795_706_317_369));
        assert_eq!(seconds(b"-0.5"), Some(-500));
        assert_eq!((seconds(b"NaN"), seconds(b"1e300")), (None, None));
    }
}
