//! Parts of the date that a value stands for, as seconds since 1970 in UTC.

use jiff::Timestamp;
use jiff::tz::Offset;

/// Which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Minute,
    Hour,
    /// Sunday is 0.
    DayOfWeek,
    DayOfMonth,
    DayOfYear,
    DaysInMonth,
    Month,
    Year,
}

/// No number for what lies beyond the calendar's ten thousand years.
pub(super) fn part(part: Part, seconds: f64) -> f64 {
    if seconds.is_nan() {
        return f64::NAN;
    }
    // Fractions are cut off, towards 1970.
    #[expect(clippy::cast_possible_truncation, reason = "what saturates is beyond the calendar")]
    let Ok(time) = Timestamp::from_second(seconds as i64) else { return f64::NAN };
    let date = Offset::UTC.to_datetime(time);
    f64::from(match part {
        Part::Minute => i16::from(date.minute()),
        Part::Hour => i16::from(date.hour()),
        Part::DayOfWeek => i16::from(date.weekday().to_sunday_zero_offset()),
        Part::DayOfMonth => i16::from(date.day()),
        Part::DayOfYear => date.day_of_year(),
        Part::DaysInMonth => i16::from(date.days_in_month()),
        Part::Month => i16::from(date.month()),
        Part::Year => date.year(),
    })
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the values are exact")]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_leap_day() {
        // 2024-02-29T13:37:00Z, a Thursday.
        let parts = [
            (Part::Minute, 37.0),
            (Part::Hour, 13.0),
            (Part::DayOfWeek, 4.0),
            (Part::DayOfMonth, 29.0),
            (Part::DayOfYear, 60.0),
            (Part::DaysInMonth, 29.0),
            (Part::Month, 2.0),
            (Part::Year, 2024.0),
        ];
        for (which, expected) in parts {
            assert_eq!(part(which, 1_709_213_820.9), expected, "{which:?}");
        }
        assert!(part(Part::Hour, f64::NAN).is_nan() && part(Part::Hour, 1e300).is_nan());
    }
}
