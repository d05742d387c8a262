//! Times as people read them, in the terminal and on pages.

use std::time::Duration;

use jiff::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A long time in its two largest units: `42 s`, `2 m 05 s`, `3 h 07 m`, `12 d 4 h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} m {:02} s", seconds / MINUTE, seconds % MINUTE),
        HOUR..DAY => format!("{} h {:02} m", seconds / HOUR, seconds % HOUR / MINUTE),
        _ => format!("{} d {} h", seconds / DAY, seconds % DAY / HOUR),
    }
}

/// Time since an RFC 3339 instant; `None` where it is none. One in the future (a clock that was set back) counts as now.
pub fn since(instant: &str, now: Timestamp) -> Option<Duration> {
    let instant: Timestamp = instant.parse().ok()?;
    Some(Duration::try_from(now.duration_since(instant)).unwrap_or(Duration::ZERO))
}

/// A share of which hundredths of a percent matter, cut and not rounded up to what it is not: `99.9 %`, `99.996 %`, `-40 %`.
pub fn exact_percent(share: f64) -> String {
    // What is short of a digit by less than a float tells is not.
    let text = format!("{:.3}", (share * 1e5 + 1e-6).floor() / 1e3);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_that_was_missed_by_little_is_not_rounded_up_to_it() {
        for (share, text) in [
            (0.999, "99.9 %"),
            (0.998_999, "99.899 %"),
            (0.999_999_9, "99.999 %"),
            (1.0, "100 %"),
            (0.5, "50 %"),
            (0.0, "0 %"),
            (-0.4, "-40 %"),
        ] {
            assert_eq!(exact_percent(share), text, "{share}");
        }
    }
}
