//! Sizes and durations as people write them. A number without a unit is refused: units are never guessed.

use std::time::Duration;

/// What a size looks like, for messages.
pub(crate) const SIZE: &str = "a size such as \"256MB\" (B, kB, MB, GB, KiB, MiB, GiB)";

/// What a duration looks like, for messages.
pub(crate) const DURATION: &str = "a duration such as \"30s\" (ms, s, m, h, d)";

/// What a rate looks like, for messages.
pub(crate) const RATE: &str = "a rate such as \"600/1m\" (requests, then a duration of at most a day)";

/// What a share looks like, for messages.
pub(crate) const SHARE: &str = "a share such as \"1%\" or \"0.5%\" (below 100%, at most two digits behind the point)";

/// What a step of a canary looks like, for messages.
pub(crate) const STEP: &str = "a share of traffic and how long it is watched, such as \"10% 10m\" (from 1% to 99%)";

/// What a date looks like, for messages.
pub(crate) const DATE: &str = "a date such as \"2026-12-31\"";

/// Whether it is a day of the calendar, as `2026-12-31`. Such texts sort as their days do.
pub(crate) fn is_date(text: &str) -> bool {
    let number = |part: &str, digits: usize| {
        let good = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        good.then(|| part.parse::<u32>().ok()).flatten()
    };
    let parts: Vec<&str> = text.split('-').collect();
    let &[year, month, day] = parts.as_slice() else { return false };
    let (Some(year), Some(month), Some(day)) = (number(year, 4), number(month, 2), number(day, 2)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// Requests and time of `600/1m`.
pub(crate) fn rate(text: &str) -> Option<(u32, Duration)> {
    const DAY: Duration = Duration::from_hours(24);
    let (requests, per) = text.split_once('/')?;
    let (requests, per) = (requests.parse().ok()?, duration(per)?);
    (requests > 0 && !per.is_zero() && per <= DAY).then_some((requests, per))
}

/// Hundredths of a percent of `0.5%`.
pub(crate) fn share(text: &str) -> Option<u16> {
    let number = text.strip_suffix('%')?.trim_end();
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return None;
    }
    let part = part.parse::<u16>().ok()? * if part.len() == 1 { 10 } else { 1 };
    Some(whole.parse::<u16>().ok()? * 100 + part)
}

/// Percent and time of `10% 10m`.
pub(crate) fn step(text: &str) -> Option<(u8, Duration)> {
    let (percent, window) = text.split_once('%')?;
    let (percent, window) = (percent.trim_end().parse().ok()?, duration(window.trim())?);
    ((1..=99).contains(&percent) && !window.is_zero()).then_some((percent, window))
}

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
    fn shares_are_exact_and_steps_have_a_time() {
        for (text, hundredths) in
            [("1%", 100), ("0.5%", 50), ("0.05 %", 5), ("12.34%", 1234), ("0%", 0), ("99.99%", 9_999)]
        {
            assert_eq!(share(text), Some(hundredths), "{text}");
        }
        for text in ["1", "%", "100%", "-1%", "1.234%", ".5%", "1.%", "1e1%"] {
            assert_eq!(share(text), None, "{text}");
        }
        assert_eq!(step("10% 10m"), Some((10, Duration::from_mins(10))));
        assert_eq!(step("50 % 5s"), Some((50, Duration::from_secs(5))));
        for text in ["10%", "0% 1m", "100% 1m", "10 10m", "10% 0s", "10% 10", "5.5% 1m"] {
            assert_eq!(step(text), None, "{text}");
        }
    }

    #[test]
    fn rates_are_requests_in_a_time() {
        assert_eq!(rate("600/1m"), Some((600, Duration::from_mins(1))));
        assert_eq!(rate("1/250ms"), Some((1, Duration::from_millis(250))));
        for text in ["600", "600/", "0/1s", "5/0s", "-1/1s", "1/2d", "600/m", "1.5/1s"] {
            assert_eq!(rate(text), None, "{text}");
        }
    }

    #[test]
    fn dates_are_days_of_the_calendar() {
        for (text, good) in [
            ("2026-12-31", true),
            ("2028-02-29", true),
            ("2026-02-29", false),
            ("2100-02-29", false),
            ("2026-13-01", false),
            ("2026-1-1", false),
            ("2026-00-10", false),
            ("31.12.2026", false),
            ("2026-12-+1", false),
            ("", false),
        ] {
            assert_eq!(is_date(text), good, "{text}");
        }
    }

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
