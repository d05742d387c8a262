//! Which samples stand for a span of time once raw ones are gone. Pure.
//!
//! What is kept are samples that were really taken, at their own times: the last one of each span; of a counter also both sides of every
//! reset, so that `increase` over what is left finds each reset and gives what it gave over all of them; the first one of a block, and
//! the ones around a stale marker, so that nothing is lost where series or blocks begin. Of a gauge each kept sample carries the smallest
//! and the largest since the one kept before. Thinning what was thinned gives what thinning all of it at once gives.

use crate::series::STALE_BITS;

/// How much time one kept sample stands for. The order is from fine to coarse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Every sample.
    Raw,
    /// One a minute.
    Minute,
    /// One an hour.
    Hour,
}

/// A sample, and what it stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) at: i64,
    pub(super) last: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Level {
    /// All, from fine to coarse.
    pub const ALL: [Self; 3] = [Self::Raw, Self::Minute, Self::Hour];

    /// Milliseconds between samples; of raw ones not known, and less than those of all others.
    pub const fn span_ms(self) -> i64 {
        match self {
            Self::Raw => 0,
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
        }
    }

    /// Milliseconds that a finished block holds.
    pub const fn block_ms(self) -> i64 {
        match self {
            Self::Raw => 2 * 3_600_000,
            Self::Minute => 24 * 3_600_000,
            Self::Hour => 10 * 24 * 3_600_000,
        }
    }

    /// As files are named.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Minute => "minute",
            Self::Hour => "hour",
        }
    }

    /// See [`Level::name`].
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// The next coarser one.
    pub const fn coarser(self) -> Option<Self> {
        match self {
            Self::Raw => Some(Self::Minute),
            Self::Minute => Some(Self::Hour),
            Self::Hour => None,
        }
    }
}

impl Point {
    pub(super) fn new(at: i64, value: f64) -> Self {
        Self { at, last: value, min: value, max: value }
    }

    fn is_stale(&self) -> bool {
        self.last.to_bits() == STALE_BITS
    }

    /// This one, for all that the other one stands for as well. A `NaN` is neither smallest nor largest.
    fn with(mut self, other: &Self) -> Self {
        if self.is_stale() {
            return self;
        }
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self
    }
}

/// What is kept of points in the order of their time.
pub(super) fn thin(points: &[Point], counter: bool, level: Level) -> Vec<Point> {
    let mut kept = Vec::new();
    each_kept(points.iter().copied(), counter, level, |point| kept.push(point));
    kept
}

/// Gives what is kept to `keep`, one after the other.
pub(super) fn each_kept(
    points: impl IntoIterator<Item = Point>,
    counter: bool,
    level: Level,
    mut keep: impl FnMut(Point),
) {
    let span = level.span_ms();
    let mut points = points.into_iter();
    if span == 0 {
        return points.for_each(keep);
    }
    let span_end = |at: i64| at.div_euclid(span).saturating_add(1).saturating_mul(span);
    let Some(first) = points.next() else { return };
    keep(first);
    // Stands for all since the last that was kept; `true` if it was kept itself.
    let (mut before, mut before_kept) = (first, true);
    // Of the span that it lies in.
    let mut end = span_end(first.at);
    for point in points {
        let same_span = point.at < end;
        let begins = before.is_stale() && !point.is_stale();
        let ends = !before.is_stale() && point.is_stale();
        let reset = counter && !begins && !ends && point.last < before.last;
        if !before_kept && (!same_span || begins || ends || reset) {
            keep(before);
        }
        before_kept = begins || ends || reset;
        if before_kept {
            keep(point);
        }
        if !same_span {
            end = span_end(point.at);
        }
        // What a kept beginning says is said once more by the last of its span, so that the first of a block may go when blocks are joined.
        before = if same_span && !begins && !ends { point.with(&before) } else { point };
    }
    if !before_kept {
        keep(before);
    }
}

/// Whether a metric's name is one of a counter, by the conventions of Prometheus.
pub fn is_counter_name(name: &str) -> bool {
    ["_total", "_count", "_sum", "_bucket"].iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(values: &[(i64, f64)]) -> Vec<Point> {
        values.iter().map(|(at, value)| Point::new(*at, *value)).collect()
    }

    fn kept(values: &[(i64, f64)], counter: bool) -> Vec<(i64, f64)> {
        thin(&points(values), counter, Level::Minute).iter().map(|point| (point.at, point.last)).collect()
    }

    /// As Prometheus counts it, before it extrapolates.
    fn increase(points: &[Point]) -> f64 {
        let mut sum = 0.0;
        for pair in points.windows(2) {
            if pair.iter().any(Point::is_stale) {
                continue;
            }
            sum += if pair[1].last < pair[0].last { pair[1].last } else { pair[1].last - pair[0].last };
        }
        sum
    }

    #[test]
    fn the_last_of_each_span_and_the_first_of_all_are_kept() {
        let all: Vec<(i64, f64)> = (0..18u8).map(|n| (i64::from(n) * 10_000, f64::from(n))).collect();
        assert_eq!(kept(&all, true), [(0, 0.0), (50_000, 5.0), (110_000, 11.0), (170_000, 17.0)]);
    }

    #[test]
    fn both_sides_of_a_reset_are_kept_even_where_the_counter_outgrew_what_it_was() {
        let all = [(0, 5.0), (10_000, 10.0), (20_000, 1.0), (30_000, 50.0), (40_000, 60.0), (50_000, 2.0)];
        assert_eq!(kept(&all, true), [(0, 5.0), (10_000, 10.0), (20_000, 1.0), (40_000, 60.0), (50_000, 2.0)]);
        assert_eq!(kept(&all, false), [(0, 5.0), (50_000, 2.0)]);
    }

    #[test]
    fn where_a_series_ends_and_begins_again_is_kept() {
        let stale = f64::from_bits(STALE_BITS);
        let all = [(0, 1.0), (10_000, 2.0), (20_000, stale), (40_000, 3.0), (50_000, 4.0)];
        let times: Vec<i64> = kept(&all, true).iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0, 10_000, 20_000, 40_000, 50_000]);
    }

    #[test]
    fn the_smallest_and_largest_of_a_span_go_with_its_last() {
        let thinned = thin(
            &points(&[(0, 5.0), (10_000, 9.0), (20_000, f64::NAN), (30_000, 1.0), (50_000, 4.0), (60_000, 7.0)]),
            false,
            Level::Minute,
        );
        assert_eq!((thinned[1].last, thinned[1].min, thinned[1].max), (4.0, 1.0, 9.0));
        assert_eq!((thinned[2].last, thinned[2].min, thinned[2].max), (7.0, 7.0, 7.0));
    }

    fn counter() -> impl Strategy<Value = Vec<Point>> {
        let step = (1i64..40_000, prop_oneof![6 => 0u8..20, 1 => 100u8..=101, 1 => Just(102u8)]);
        prop::collection::vec(step, 1..400).prop_map(|steps| {
            let (mut at, mut value) = (0, 0.0);
            steps
                .into_iter()
                .map(|(wait, step)| {
                    at += wait;
                    match step {
                        100 => value = 0.0,
                        101 => value /= 2.0,
                        102 => return Point::new(at, f64::from_bits(STALE_BITS)),
                        _ => value += f64::from(step),
                    }
                    Point::new(at, value)
                })
                .collect()
        })
    }

    fn bits(points: &[Point]) -> Vec<(i64, u64, u64, u64)> {
        points.iter().map(|point| (point.at, point.last.to_bits(), point.min.to_bits(), point.max.to_bits())).collect()
    }

    proptest! {
        #[test]
        fn the_increase_of_a_counter_is_the_same_over_what_is_kept(all in counter()) {
            for level in [Level::Minute, Level::Hour] {
                let thinned = thin(&all, true, level);
                prop_assert!((increase(&thinned) - increase(&all)).abs() < 1e-6);
            }
        }

        #[test]
        fn thinning_parts_and_joining_them_is_thinning_the_whole(all in counter(), counter in any::<bool>(), parts in 1i64..20) {
            let mut joined = Vec::new();
            for part in all.chunk_by(|a, b| a.at.div_euclid(60_000 * parts) == b.at.div_euclid(60_000 * parts)) {
                joined.extend(thin(part, counter, Level::Minute));
            }
            let whole = thin(&all, counter, Level::Minute);
            prop_assert_eq!(bits(&thin(&joined, counter, Level::Minute)), bits(&whole));
            prop_assert_eq!(bits(&thin(&joined, counter, Level::Hour)), bits(&thin(&all, counter, Level::Hour)));
        }

        #[test]
        fn the_extremes_of_a_gauge_over_whole_spans_are_the_same_over_what_is_kept(all in counter()) {
            let thinned = thin(&all, false, Level::Minute);
            let least = |points: &[Point]| points.iter().filter(|p| !p.is_stale()).map(|p| p.min).fold(f64::INFINITY, f64::min);
            let most = |points: &[Point]| points.iter().filter(|p| !p.is_stale()).map(|p| p.max).fold(f64::NEG_INFINITY, f64::max);
            prop_assert_eq!((least(&thinned).to_bits(), most(&thinned).to_bits()), (least(&all).to_bits(), most(&all).to_bits()));
        }
    }
}
