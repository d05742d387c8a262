//! What happened since a moment: the difference of two readings of all cells. Which readings there are is in [`super::readings`].
//!
//! Counts are exact: they are differences of the counters themselves, not averages of averages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::cells::CLASSES;
use super::histogram::Sum;
use super::registry::Key;
use super::render::Total;
use crate::admin::{SlotWindow, Window};
use crate::cache::Use;

/// All cells at one moment.
#[derive(Clone)]
pub(super) struct Reading {
    /// By the edge's own count, which no clock can set back.
    pub(super) at_ms: u64,
    pub(super) generation: u64,
    pub(super) totals: Arc<Slots>,
}

/// Numbers by slot. Two readings share what did not change between them: most slots, as a rule.
pub(super) type Slots = BTreeMap<Key, Arc<Kept>>;

/// One slot's numbers, with the histograms' empty buckets left out: most are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Kept {
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

impl Reading {
    /// Of these cells. `last`: an earlier one, of which everything that is the same is taken.
    pub(super) fn of(at_ms: u64, generation: u64, totals: &BTreeMap<Key, Total>, last: Option<&Self>) -> Self {
        let known = |key: &Key| last.and_then(|last| last.totals.get(key));
        let slots: Slots = totals
            .iter()
            .filter(|(_, total)| total.started > 0 || total.connect_failures > 0)
            .map(|(key, total)| {
                let kept = Kept::of(total);
                let same = known(key).filter(|known| ***known == kept).cloned();
                (key.clone(), same.unwrap_or_else(|| Arc::new(kept)))
            })
            .collect();
        // An edge without traffic keeps one, however often it is looked at.
        let same = last.filter(|last| *last.totals == slots).map(|last| Arc::clone(&last.totals));
        Self { at_ms, generation, totals: same.unwrap_or_else(|| Arc::new(slots)) }
    }

    /// What happened from an earlier one until this one.
    pub(super) fn since(&self, from: &Self, about: &About<'_>) -> Window {
        let nothing = Kept::default();
        let slots = self.totals.iter().filter(|(key, _)| about.route.is_none_or(|route| &*key.route == route));
        let slots =
            slots.map(|(key, kept)| kept.since(from.totals.get(key).map_or(&nothing, |then| &**then), key, about.slow));
        Window { from_ms: from.at_ms, to_ms: self.at_ms, generation: self.generation, slots: slots.collect() }
    }
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

    fn reading(at_ms: u64, generation: u64, cells: &Cells) -> Reading {
        Reading::of(at_ms, generation, &totals(cells), None)
    }

    #[test]
    fn a_window_holds_what_happened_in_it_and_nothing_else() {
        let cells = Cells::default();
        for _ in 0..50 {
            ask(&cells, 500, 2_000);
        }
        let from = reading(2_000, 7, &cells);
        for _ in 0..99 {
            ask(&cells, 200, 10);
        }
        ask(&cells, 503, 400);
        cells.cache[Use::Hit as usize].add(5);
        cells.started.add(1);
        let now = reading(9_000, 8, &cells);
        let window = now.since(&from, &CHAT);
        assert_eq!((window.from_ms, window.to_ms, window.generation), (2_000, 9_000, 8));
        let slot = &window.slots[0];
        assert_eq!((slot.requests, slot.classes["2xx"], slot.classes["5xx"], slot.in_flight), (100, 99, 1, 1));
        assert_eq!((slot.received_bytes, slot.sent_bytes), (1_000, 10_000));
        assert_eq!((slot.cache["hit"], slot.cache["miss"]), (5, 0));
        assert!((0.009..0.011).contains(&slot.to_head.p50) && (0.009..0.011).contains(&slot.to_head.p99), "{slot:?}");
        assert!((0.38..0.42).contains(&slot.to_head.max), "{slot:?}");
        assert_eq!(slot.slow, Some(1));
        assert!(now.since(&from, &About { route: Some("other"), slow: None }).slots.is_empty());
    }

    #[test]
    fn counters_that_begin_anew_make_no_number_of_nothing() {
        let (before, after) = (Cells::default(), Cells::default());
        for _ in 0..50 {
            ask(&before, 200, 400);
        }
        // The slot was out of the table for so long that its cells were forgotten.
        ask(&after, 200, 400);
        let window = reading(2_000, 8, &after).since(&reading(1_000, 7, &before), &CHAT);
        assert_eq!((window.slots[0].requests, window.slots[0].slow, window.slots[0].to_head.count), (0, Some(0), 0));
    }

    #[test]
    fn what_did_not_change_is_kept_once() {
        let cells = Cells::default();
        ask(&cells, 200, 1);
        let first = reading(1_000, 7, &cells);
        let idle = Reading::of(2_000, 7, &totals(&cells), Some(&first));
        assert!(Arc::ptr_eq(&first.totals, &idle.totals));
        let other = Key { route: "other".into(), slot: "blue".into(), release: "v1".into() };
        let (mut more, mut total) = (totals(&cells), Total::default());
        total.add(&cells);
        more.insert(other, total);
        let busy = Reading::of(3_000, 7, &more, Some(&first));
        let (key, kept) = first.totals.iter().next().unwrap();
        assert!(busy.totals.len() == 2 && Arc::ptr_eq(kept, &busy.totals[key]));
    }
}
