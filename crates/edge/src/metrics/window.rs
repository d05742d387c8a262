//! What happened since a moment: the difference of two readings of all cells.
//!
//! Whoever judges a release asks "since it gets traffic", so a reading is kept for each snapshot that was put into effect, and
//! beside them one every few seconds for people and alerts. Counts are exact: they are differences of the counters themselves,
//! not averages of averages.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::cells::CLASSES;
use super::histogram::Sum;
use super::registry::Key;
use super::render::Total;
use crate::admin::{SlotWindow, Window};
use crate::cache::Use;

/// How often a reading is kept.
pub(crate) const EVERY: Duration = Duration::from_secs(5);

/// Readings kept: of ten minutes, and of the last snapshots.
const TIMED: usize = 120;
const GENERATIONS: usize = 64;

/// All cells at one moment.
#[derive(Clone)]
struct Reading {
    at_ms: u64,
    generation: u64,
    totals: Arc<BTreeMap<Key, Kept>>,
}

/// One slot's numbers, with the histograms' empty buckets left out: most are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Kept {
    started: u64,
    moved: u64,
    classes: [u64; CLASSES.len()],
    received_bytes: u64,
    sent_bytes: u64,
    connect_failures: u64,
    retries: u64,
    broken_off: u64,
    cache: [u64; Use::NAMES.len()],
    to_head: Buckets,
    upstream: Buckets,
    total: Buckets,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Buckets {
    nanos: u64,
    counts: Vec<(u16, u64)>,
}

/// Since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// So long ago.
    Ago(Duration),
    /// Since the snapshot of this generation is in effect.
    Generation(u64),
}

/// What is wanted of a window.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct About<'a> {
    /// Of this route alone.
    pub(crate) route: Option<&'a str>,
    /// Answers whose head took longer are counted.
    pub(crate) slow: Option<Duration>,
}

#[derive(Default)]
pub(crate) struct Readings {
    timed: VecDeque<Reading>,
    generations: VecDeque<Reading>,
}

impl Readings {
    /// Keeps a reading, because it is time.
    pub(crate) fn tick(&mut self, at_ms: u64, generation: u64, totals: &BTreeMap<Key, Total>) {
        let reading = self.read(at_ms, generation, totals);
        push(&mut self.timed, reading, TIMED);
    }

    /// Keeps a reading, because a snapshot is put into effect.
    pub(crate) fn applied(&mut self, at_ms: u64, generation: u64, totals: &BTreeMap<Key, Total>) {
        let reading = self.read(at_ms, generation, totals);
        push(&mut self.generations, reading, GENERATIONS);
    }

    fn read(&self, at_ms: u64, generation: u64, totals: &BTreeMap<Key, Total>) -> Reading {
        let kept: BTreeMap<_, _> = totals
            .iter()
            .filter(|(_, total)| total.started > 0 || total.connect_failures > 0)
            .map(|(key, total)| (key.clone(), Kept::of(total)))
            .collect();
        // An edge without traffic keeps one reading, however often it is looked at.
        let last = self.timed.back().filter(|last| *last.totals == kept);
        let totals = last.map_or_else(|| Arc::new(kept), |last| Arc::clone(&last.totals));
        Reading { at_ms, generation, totals }
    }

    /// What happened since; `None` for a generation that is not remembered.
    pub(crate) fn since(
        &self,
        since: Since,
        now_ms: u64,
        generation: u64,
        totals: &BTreeMap<Key, Total>,
        about: &About<'_>,
    ) -> Option<Window> {
        let from = match since {
            Since::Generation(generation) => {
                self.generations.iter().rev().find(|reading| reading.generation == generation)?.clone()
            }
            Since::Ago(ago) => {
                self.before(now_ms.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)))?
            }
        };
        let now = self.read(now_ms, generation, totals);
        let nothing = Kept::default();
        let slots = now
            .totals
            .iter()
            .filter(|(key, _)| about.route.is_none_or(|route| &*key.route == route))
            .map(|(key, kept)| kept.since(from.totals.get(key).unwrap_or(&nothing), key, about.slow))
            .collect();
        Some(Window { from_ms: from.at_ms, to_ms: now_ms, generation, slots })
    }

    /// The last reading before a moment, or the oldest there is.
    fn before(&self, at_ms: u64) -> Option<Reading> {
        let all = self.timed.iter().chain(&self.generations);
        let earlier = all.clone().filter(|reading| reading.at_ms <= at_ms).max_by_key(|reading| reading.at_ms);
        earlier.or_else(|| all.min_by_key(|reading| reading.at_ms)).cloned()
    }
}

fn push(readings: &mut VecDeque<Reading>, reading: Reading, max: usize) {
    if readings.len() == max {
        readings.pop_front();
    }
    readings.push_back(reading);
}

impl Kept {
    fn of(total: &Total) -> Self {
        Self {
            started: total.started,
            moved: total.moved,
            classes: total.classes,
            received_bytes: total.received_bytes,
            sent_bytes: total.sent_bytes,
            connect_failures: total.connect_failures,
            retries: total.retries,
            broken_off: total.broken_off,
            cache: total.cache,
            to_head: Buckets::of(&total.seconds),
            upstream: Buckets::of(&total.upstream_seconds),
            total: Buckets::of(&total.end_seconds),
        }
    }

    fn since(&self, from: &Self, key: &Key, slow: Option<Duration>) -> SlotWindow {
        let classes = differences(&CLASSES, &self.classes, &from.classes);
        SlotWindow {
            route: key.route.to_string(),
            slot: key.slot.to_string(),
            release: key.release.to_string(),
            requests: classes.values().sum(),
            in_flight: self.started.saturating_sub(self.moved + self.classes.iter().sum::<u64>()),
            classes,
            received_bytes: self.received_bytes.saturating_sub(from.received_bytes),
            sent_bytes: self.sent_bytes.saturating_sub(from.sent_bytes),
            connect_failures: self.connect_failures.saturating_sub(from.connect_failures),
            retries: self.retries.saturating_sub(from.retries),
            broken_off: self.broken_off.saturating_sub(from.broken_off),
            cache: differences(&Use::NAMES, &self.cache, &from.cache),
            to_head: self.to_head.since(&from.to_head).latency(),
            upstream: self.upstream.since(&from.upstream).latency(),
            slow: slow.map(|limit| self.to_head.since(&from.to_head).over(limit)),
            total: self.total.since(&from.total).latency(),
        }
    }
}

fn differences(names: &[&str], now: &[u64], then: &[u64]) -> BTreeMap<String, u64> {
    let counts = now.iter().zip(then).map(|(now, then)| now.saturating_sub(*then));
    names.iter().map(|name| (*name).to_owned()).zip(counts).collect()
}

impl Buckets {
    fn of(sum: &Sum) -> Self {
        Self { nanos: sum.nanos(), counts: sum.filled().collect() }
    }

    fn since(&self, from: &Self) -> Sum {
        let then: BTreeMap<u16, u64> = from.counts.iter().copied().collect();
        let counts =
            self.counts.iter().map(|(bucket, count)| (*bucket, count.saturating_sub(*then.get(bucket).unwrap_or(&0))));
        Sum::of(counts, self.nanos.wrapping_sub(from.nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::super::cells::{Cells, Class};
    use super::*;

    const CHAT: About<'static> = About { route: Some("chat"), slow: Some(Duration::from_millis(250)) };

    fn totals(cells: &Cells) -> BTreeMap<Key, Total> {
        let key = Key { route: "chat".into(), slot: "green".into(), release: "v2".into() };
        let mut total = Total::default();
        total.add(cells);
        BTreeMap::from([(key, total)])
    }

    fn ask(cells: &Cells, status: u16, millis: u64) {
        cells.started.add(1);
        let took = Duration::from_millis(millis);
        cells.finish(Class::Status(status), Some(took), Some(took), took, 10, 100);
    }

    #[test]
    fn a_window_holds_what_happened_in_it_and_nothing_else() {
        let (cells, mut readings) = (Cells::default(), Readings::default());
        for _ in 0..50 {
            ask(&cells, 500, 2_000);
        }
        readings.tick(1_000, 6, &totals(&cells));
        readings.applied(2_000, 7, &totals(&cells));
        for _ in 0..99 {
            ask(&cells, 200, 10);
        }
        ask(&cells, 503, 400);
        cells.cache[Use::Hit as usize].add(5);
        cells.started.add(1);
        let window = readings.since(Since::Generation(7), 9_000, 8, &totals(&cells), &CHAT).unwrap();
        assert_eq!((window.from_ms, window.to_ms, window.generation), (2_000, 9_000, 8));
        let slot = &window.slots[0];
        assert_eq!((slot.requests, slot.classes["2xx"], slot.classes["5xx"], slot.in_flight), (100, 99, 1, 1));
        assert_eq!((slot.received_bytes, slot.sent_bytes), (1_000, 10_000));
        assert_eq!((slot.cache["hit"], slot.cache["miss"]), (5, 0));
        assert!((0.009..0.011).contains(&slot.to_head.p50) && (0.009..0.011).contains(&slot.to_head.p99), "{slot:?}");
        assert!((0.38..0.42).contains(&slot.to_head.max), "{slot:?}");
        assert_eq!(slot.slow, Some(1));
        assert!(
            readings
                .since(Since::Generation(7), 9_000, 8, &totals(&cells), &About { route: Some("other"), slow: None })
                .unwrap()
                .slots
                .is_empty()
        );
        assert!(readings.since(Since::Generation(5), 9_000, 8, &totals(&cells), &About::default()).is_none());
        // Asked for more than is remembered, it says from when it is.
        let longer =
            readings.since(Since::Ago(Duration::from_mins(5)), 9_000, 8, &totals(&cells), &About::default()).unwrap();
        assert_eq!((longer.from_ms, longer.slots[0].requests), (1_000, 100));
    }

    #[test]
    fn counters_that_begin_anew_make_no_number_of_nothing() {
        let (before, after, mut readings) = (Cells::default(), Cells::default(), Readings::default());
        for _ in 0..50 {
            ask(&before, 200, 400);
        }
        readings.applied(1_000, 7, &totals(&before));
        // The slot was out of the table for so long that its cells were forgotten.
        ask(&after, 200, 400);
        let window = readings.since(Since::Generation(7), 2_000, 8, &totals(&after), &CHAT).unwrap();
        assert_eq!((window.slots[0].requests, window.slots[0].slow, window.slots[0].to_head.count), (0, Some(0), 0));
    }

    #[test]
    fn what_is_kept_is_bounded_and_an_idle_edge_keeps_one_reading() {
        let (cells, mut readings) = (Cells::default(), Readings::default());
        ask(&cells, 200, 1);
        for tick in 0..1_000 {
            readings.tick(tick, 1, &totals(&cells));
            readings.applied(tick, tick, &totals(&cells));
        }
        assert_eq!((readings.timed.len(), readings.generations.len()), (TIMED, GENERATIONS));
        assert!(readings.timed.iter().all(|reading| Arc::ptr_eq(&reading.totals, &readings.timed[0].totals)));
    }
}
