//! How services were on each of the last days: kept by day, since stored series get coarser with time. Pure.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// Days that are shown and kept, today among them.
pub(crate) const DAYS: usize = 90;
const DAY_S: u32 = 86_400;

/// A day of a service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Day {
    /// Seconds in which it answered.
    pub(crate) good_s: u32,
    /// Seconds of which it is known whether it did.
    pub(crate) measured_s: u32,
}

/// How a day was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    /// Nothing is known: that is not well.
    NoData,
    /// As good as always.
    Well,
    /// For some minutes it did not answer.
    Short,
    /// For longer.
    Long,
}

/// All that is known, by service and day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Days(BTreeMap<String, BTreeMap<Date, Day>>);

impl Day {
    /// Of probes, each of which stands for so many seconds.
    pub(crate) fn of(good: f64, all: f64, each_s: f64) -> Self {
        let seconds = |probes: f64| whole((probes * each_s).min(f64::from(DAY_S)));
        let measured_s = seconds(all);
        // A share of what is measured, so that a full day with every probe good is good as a whole.
        let share = if all > 0.0 { (good / all).clamp(0.0, 1.0) } else { 0.0 };
        Self { good_s: whole(f64::from(measured_s) * share), measured_s }
    }

    /// Share of the time that is known.
    pub(crate) fn uptime(self) -> Option<f64> {
        (self.measured_s > 0).then(|| f64::from(self.good_s) / f64::from(self.measured_s))
    }

    pub(crate) fn measured_share(self) -> f64 {
        f64::from(self.measured_s) / f64::from(DAY_S)
    }

    pub(crate) fn level(self) -> Level {
        /// Less is noise of single probes.
        const WELL: f64 = 0.999_5;
        const SHORT: f64 = 0.99;
        match self.uptime() {
            None => Level::NoData,
            Some(share) if share >= WELL => Level::Well,
            Some(share) if share >= SHORT => Level::Short,
            Some(_) => Level::Long,
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by a day, and not below 0")]
fn whole(seconds: f64) -> u32 {
    seconds.round().max(0.0) as u32
}

impl Days {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was found of a day. Series get coarser, and never know more than before.
    pub(crate) fn put(&mut self, service: &str, date: Date, day: Day) {
        if day.measured_s == 0 {
            return;
        }
        let known = self.0.entry(service.to_owned()).or_default().entry(date).or_default();
        if day.measured_s >= known.measured_s {
            *known = day;
        }
    }

    /// Forgets what is not shown any more, services that are gone among it.
    pub(crate) fn keep_since(&mut self, first: Date) {
        for days in self.0.values_mut() {
            days.retain(|date, _| *date >= first);
        }
        self.0.retain(|_, days| !days.is_empty());
    }

    /// The last days of a service, the oldest first.
    pub(crate) fn of(&self, service: &str, today: Date) -> Vec<(Date, Day)> {
        let days = self.0.get(service);
        let known = |date: &Date| days.and_then(|days| days.get(date)).copied().unwrap_or_default();
        dates(today).into_iter().map(|date| (date, known(&date))).collect()
    }
}

/// The days that are shown, the oldest first.
pub(crate) fn dates(today: Date) -> Vec<Date> {
    let mut dates: Vec<Date> = std::iter::successors(Some(today), |date| date.yesterday().ok()).take(DAYS).collect();
    dates.reverse();
    dates
}

/// The days whose probes are to be counted, the newest first: all since they were counted last, which may have gone on since; of one who has
/// just begun, the last two, and all that are shown where nothing is known.
pub(crate) fn to_count(counted: Option<Date>, is_nothing_known: bool, today: Date) -> Vec<Date> {
    let oldest = match counted {
        Some(day) => day.min(today),
        None if is_nothing_known => Date::MIN,
        None => today.yesterday().unwrap_or(today),
    };
    dates(today).into_iter().rev().take_while(|date| *date >= oldest).collect()
}

/// Share of all the time that is known.
pub(crate) fn uptime(days: &[(Date, Day)]) -> Option<f64> {
    let sum = |of: fn(&Day) -> u32| days.iter().map(|(_, day)| u64::from(of(day))).sum::<u64>();
    let (good, measured) = (sum(|day| day.good_s), sum(|day| day.measured_s));
    #[expect(clippy::cast_precision_loss, reason = "at most 90 days of seconds")]
    (measured > 0).then(|| good as f64 / measured as f64)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_day_without_data_is_no_good_day_and_counts_for_nothing() {
        let mut days = Days::default();
        let today = date(2026, 3, 1);
        days.put("a", date(2026, 2, 28), Day::of(8_640.0, 8_640.0, 10.0));
        days.put("a", today, Day::of(300.0, 360.0, 10.0));
        days.put("a", date(2026, 2, 27), Day::of(0.0, 0.0, 10.0));
        let shown = days.of("a", today);
        assert_eq!((shown.len(), shown[0].0), (DAYS, date(2025, 12, 2)));
        let levels: Vec<Level> = shown.iter().rev().take(3).map(|(_, day)| day.level()).collect();
        assert_eq!(levels, [Level::Long, Level::Well, Level::NoData]);
        assert_eq!(shown[89].1.uptime(), Some(3_000.0 / 3_600.0));
        assert_eq!(uptime(&shown), Some(89_400.0 / 90_000.0));
        assert_eq!(uptime(&days.of("b", today)), None);
    }

    #[test]
    fn what_is_known_of_a_day_only_grows() {
        let mut days = Days::default();
        let today = date(2026, 3, 1);
        days.put("a", today, Day::of(10.0, 20.0, 10.0));
        days.put("a", today, Day::of(1.0, 1.0, 10.0));
        assert_eq!(days.of("a", today)[89].1, Day { good_s: 100, measured_s: 200 });
        days.put("a", today, Day::of(30.0, 40.0, 10.0));
        assert_eq!(days.of("a", today)[89].1, Day { good_s: 300, measured_s: 400 });
        days.keep_since(date(2026, 3, 2));
        assert!(days.is_empty());
    }

    #[test]
    fn at_midnight_the_day_that_has_ended_is_counted_to_its_end_and_the_new_one_begins() {
        let today = date(2026, 3, 1);
        let yesterday = date(2026, 2, 28);
        assert_eq!(to_count(Some(today), false, today), [today]);
        assert_eq!(to_count(Some(yesterday), false, today), [today, yesterday]);
        assert_eq!(to_count(Some(date(2026, 2, 26)), false, today).len(), 4, "the machine slept");
        assert_eq!(to_count(Some(date(2026, 3, 4)), false, today), [today], "the clock was set back");
        assert_eq!(to_count(None, false, today), [today, yesterday]);
        assert_eq!(to_count(None, true, today).len(), DAYS);
        // What is shown moves on with the days.
        assert_eq!(dates(today).last(), Some(&today));
        assert_eq!(dates(date(2026, 3, 2)).first(), Some(&date(2025, 12, 3)));
    }

    #[test]
    fn one_probe_that_fails_out_of_a_day_is_no_outage() {
        for (good, level) in
            [(8_640.0, Level::Well), (8_639.0, Level::Well), (8_600.0, Level::Short), (8_000.0, Level::Long)]
        {
            assert_eq!(Day::of(good, 8_640.0, 10.0).level(), level, "{good}");
        }
    }
}
