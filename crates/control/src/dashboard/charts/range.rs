//! Which time a chart shows, as links carry it: `last=24h`, or `from=…&to=…`. Pure.

use jiff::Timestamp;
use serde::Deserialize;

use super::super::measured::Span;

/// Points of a series at most: one for each two or three pixels of a wide screen.
pub(crate) const MOST_POINTS: i64 = 400;
/// The interval of scraping: nothing is finer.
const FINEST_MS: i64 = 10_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Nothing is kept for longer.
const LONGEST_MS: i64 = 2 * 366 * DAY_MS;
/// Raw samples are kept for two days, those by the minute for thirty: beyond, a step has to hold two of what is left.
const STEPS_BY_AGE: [(i64, i64); 2] = [(30 * DAY_MS, 3 * HOUR_MS), (2 * DAY_MS, 5 * MINUTE_MS)];
const STEPS_MS: [i64; 15] = [
    FINEST_MS,
    30_000,
    MINUTE_MS,
    2 * MINUTE_MS,
    5 * MINUTE_MS,
    10 * MINUTE_MS,
    15 * MINUTE_MS,
    30 * MINUTE_MS,
    HOUR_MS,
    2 * HOUR_MS,
    3 * HOUR_MS,
    6 * HOUR_MS,
    12 * HOUR_MS,
    DAY_MS,
    2 * DAY_MS,
];

/// What can be chosen without dragging.
pub(crate) const CHOICES: [(&str, &str); 7] = [
    ("15m", "15 minutes"),
    ("1h", "1 hour"),
    ("6h", "6 hours"),
    ("24h", "24 hours"),
    ("7d", "7 days"),
    ("30d", "30 days"),
    ("365d", "1 year"),
];

/// As it stands in an address.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Asked {
    /// `15m`, `24h`, `7d`: up to now.
    pub(crate) last: Option<String>,
    /// RFC 3339, or seconds since 1970.
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
}

impl Asked {
    /// The span, or why it is none.
    pub(crate) fn span(&self, default: &str, now_ms: i64) -> Result<Span, String> {
        let (from, to) = match (&self.from, &self.to) {
            (Some(from), to) => (instant(from)?, to.as_deref().map_or(Ok(now_ms), instant)?),
            (None, _) => (now_ms - length(self.last.as_deref().unwrap_or(default))?, now_ms),
        };
        if from >= to {
            return Err("`from` has to be before `to`".to_owned());
        }
        if to - from > LONGEST_MS {
            return Err("nothing is kept for longer than two years".to_owned());
        }
        Ok(stepped(from, to, now_ms))
    }
}

/// On whole steps, so that who asks a little later is given what is kept already.
fn stepped(from: i64, to: i64, now_ms: i64) -> Span {
    let by_age = STEPS_BY_AGE.iter().find(|(age, _)| now_ms - from > *age).map_or(FINEST_MS, |(_, step)| *step);
    let wanted = ((to - from) / MOST_POINTS).max(by_age);
    let step = STEPS_MS.into_iter().find(|step| *step >= wanted).unwrap_or(2 * DAY_MS);
    let from = from.div_euclid(step) * step;
    Span { from, to: from.max(to.div_euclid(step) * step), step }
}

/// The same length right before it.
pub(crate) fn before(span: Span) -> Span {
    let length = span.to - span.from;
    Span { from: span.from - length, to: span.to - length, step: span.step }
}

/// Over which time a counter's rate is taken: at least over a step, and over several samples.
pub(crate) fn window(span: Span) -> String {
    format!("{}s", (span.step.max(MINUTE_MS)) / 1_000)
}

/// The same where many series are looked at: over some days what stands for an hour is enough, and a thousandth to read.
pub(crate) fn wide_window(span: Span) -> String {
    if span.to - span.from > 2 * DAY_MS { format!("{}s", span.step.max(4 * HOUR_MS) / 1_000) } else { window(span) }
}

fn length(text: &str) -> Result<i64, String> {
    let bad = || format!("`{text}` is no time such as 15m, 24h or 7d");
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(bad)?;
    let unit = match unit {
        "m" => MINUTE_MS,
        "h" => HOUR_MS,
        "d" => DAY_MS,
        _ => return Err(bad()),
    };
    let number: i64 = digits.parse().map_err(|_| bad())?;
    number.checked_mul(unit).filter(|length| *length > 0).ok_or_else(bad)
}

fn instant(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1_000).ok_or_else(|| format!("`{text}` is too far away"));
    }
    let at: Result<Timestamp, _> = text.parse();
    at.map(Timestamp::as_millisecond).map_err(|_| format!("`{text}` is no instant: seconds since 1970, or RFC 3339"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_005_000;

    fn asked(last: Option<&str>, from: Option<&str>, to: Option<&str>) -> Asked {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Asked { last: own(last), from: own(from), to: own(to) }
    }

    #[test]
    fn no_chart_has_more_points_than_it_can_show_and_none_is_finer_than_what_is_kept() {
        for (last, step) in [
            ("15m", 10_000),
            ("1h", 10_000),
            ("6h", 60_000),
            ("24h", 300_000),
            ("7d", 1_800_000),
            ("365d", DAY_MS),
            ("731d", 2 * DAY_MS),
        ] {
            let span = asked(Some(last), None, None).span("1h", NOW).expect("a span");
            assert_eq!(span.step, step, "{last}");
            assert!((span.to - span.from) / span.step <= MOST_POINTS + 1, "{last}");
            assert_eq!((span.from % step, span.to % step), (0, 0), "{last}");
        }
        let old = asked(None, Some("1696000000"), Some("1696003600")).span("1h", NOW).expect("a span");
        assert_eq!(old.step, 3 * HOUR_MS, "an hour of some weeks ago");
    }

    #[test]
    fn a_time_is_read_as_links_carry_it() {
        let span = |asked: Asked| asked.span("1h", NOW);
        let by_seconds = span(asked(None, Some("1699990000"), Some("1699993600")));
        let by_text = span(asked(None, Some("2023-11-14T19:26:40Z"), Some("2023-11-14T20:26:40Z")));
        assert_eq!(by_seconds, by_text);
        for bad in [
            asked(Some("24"), None, None),
            asked(Some("-1h"), None, None),
            asked(Some("ä"), None, None),
            asked(Some("99999999999999999d"), None, None),
            asked(Some("1000d"), None, None),
            asked(None, Some("yesterday"), None),
            asked(None, Some("9223372036854775807"), None),
            asked(None, Some("20"), Some("10")),
        ] {
            assert!(span(bad.clone()).is_err(), "{bad:?}");
        }
        assert_eq!(span(Asked::default()), span(asked(Some("1h"), None, None)));
    }

    #[test]
    fn the_period_before_ends_where_this_one_begins() {
        let span = Span { from: 1_000, to: 3_000, step: 10 };
        assert_eq!(before(span), Span { from: -1_000, to: 1_000, step: 10 });
    }
}
