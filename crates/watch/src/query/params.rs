//! The API's times and durations, as text.

use super::error::QueryError;
use super::guard;

/// The year 9999 in milliseconds since 1970, and as far before it: what a time may be, so that arithmetic on times stays far from overflowing.
pub(super) const MAX_TIME_MS: i64 = 253_402_300_799_999;

/// Milliseconds since 1970 of a time: seconds since 1970 with a fraction, or RFC 3339.
///
/// # Errors
/// It is neither, or beyond the year 9999.
pub fn time(parameter: &'static str, text: &str) -> Result<i64, QueryError> {
    let milliseconds = match text.parse::<f64>() {
        Ok(seconds) => whole(seconds * 1000.0),
        Err(_) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
    };
    milliseconds.filter(|at| (-MAX_TIME_MS..=MAX_TIME_MS).contains(at)).ok_or_else(|| QueryError::Parameter {
        parameter,
        why: format!("cannot parse {text:?} to a valid timestamp: give seconds since 1970, or 2026-01-31T12:00:00Z"),
    })
}

/// Milliseconds of a duration: seconds with a fraction, or `1h30m`.
///
/// # Errors
/// It is neither, or longer than a hundred years.
pub fn duration(parameter: &'static str, text: &str) -> Result<i64, QueryError> {
    let milliseconds = match text.parse::<f64>() {
        Ok(seconds) => whole(seconds * 1000.0),
        Err(_) => guard::duration(text).and_then(Result::ok),
    };
    let limits = -guard::MAX_DURATION_MS..=guard::MAX_DURATION_MS;
    milliseconds.filter(|duration| limits.contains(duration)).ok_or_else(|| QueryError::Parameter {
        parameter,
        why: format!("cannot parse {text:?} to a valid duration: give seconds, or 1h30m"),
    })
}

/// The step of a range query, which is a duration above zero.
///
/// # Errors
/// It is none.
pub fn step(text: &str) -> Result<i64, QueryError> {
    match duration("step", text)? {
        step if step > 0 => Ok(step),
        _ => Err(QueryError::Parameter {
            parameter: "step",
            why: "zero or negative query resolution step widths are not accepted. Try a positive integer".to_owned(),
        }),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "what saturates is out of bounds, which is checked next")]
fn whole(milliseconds: f64) -> Option<i64> {
    milliseconds.is_finite().then(|| milliseconds.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        for (text, expected) in [
            ("1700000000.123", Some(1_700_000_000_123)),
            ("1700000000", Some(1_700_000_000_000)),
            ("-1.5", Some(-1_500)),
            ("1e3", Some(1_000_000)),
            ("2023-11-14T22:13:20.123Z", Some(1_700_000_000_123)),
            ("2023-11-14T23:13:20+01:00", Some(1_700_000_000_000)),
            ("", None),
            ("now", None),
            ("NaN", None),
            ("1e300", None),
            ("-inf", None),
        ] {
            assert_eq!(time("time", text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn durations_are_seconds_or_units() {
        for (text, expected) in [
            ("15s", Some(15_000)),
            ("15", Some(15_000)),
            ("0.5", Some(500)),
            ("1h30m", Some(5_400_000)),
            ("x", None),
            ("1e99", None),
        ] {
            assert_eq!(duration("step", text).ok(), expected, "{text}");
        }
        assert!(step("0").is_err() && step("-5").is_err() && step("0.0001").is_err());
        assert_eq!(step("15s").unwrap(), 15_000);
    }
}
