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
