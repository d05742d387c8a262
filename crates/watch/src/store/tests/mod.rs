//! The store as a whole.

mod clock;
mod damage;
mod full_disk;
mod levels;
mod limits;
mod model;
mod opening;

use super::*;
use crate::series::{NAME, Sample};

/// A Monday at midnight, UTC; also the begin of a block of each level.
const START: i64 = 1_728_000_000_000;
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// In memory where there is such a place: these tests force thousands of rounds to disk.
fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn open(folder: &std::path::Path, limits: Limits, now_ms: i64) -> Store {
    Store::open(folder, limits, now_ms).unwrap()
}

fn labels(name: &str, more: &[(&str, &str)]) -> Labels {
    Labels::new(more.iter().copied().chain([(NAME, name)]))
}

fn identify(store: &mut Store, group: &str, name: &str, kind: Kind) -> SeriesId {
    store.identify(group, &labels(name, &[("instance", group)]), kind).unwrap()
}

/// Maintains until there is nothing more to do.
fn settle(store: &mut Store, now_ms: i64) {
    for _ in 0..10_000 {
        if !store.maintain(now_ms).unwrap() {
            return;
        }
    }
    panic!("there is always more to do");
}

fn named(name: &str) -> Vec<Matcher> {
    vec![Matcher::equal(NAME, name)]
}

/// Samples of the only series of a name, as bits.
fn read(store: &Store, name: &str, from: i64, to: i64, step: i64, keep: Keep) -> Vec<(i64, u64)> {
    let mut found = store.select(&named(name), from, to, step, keep).unwrap();
    assert!(found.len() <= 1, "one series of {name}");
    found.pop().map_or_else(Vec::new, |series| bits(&series.samples))
}

fn bits(samples: &[Sample]) -> Vec<(i64, u64)> {
    samples.iter().map(|sample| (sample.at, sample.value.to_bits())).collect()
}

/// All raw samples of a name.
fn all(store: &Store, name: &str) -> Vec<(i64, u64)> {
    read(store, name, i64::MIN, i64::MAX, 0, Keep::Last)
}

fn append_one(store: &mut Store, id: SeriesId, value: f64, at: i64) {
    let appended = store.append(&[(id, value)], at);
    assert_eq!((appended.taken, appended.unwritten.is_none()), (1, true), "{appended:?}");
}

fn level_stats(store: &Store, level: Level) -> LevelStats {
    *store.stats().levels.iter().find(|stats| stats.level == level).unwrap()
}
