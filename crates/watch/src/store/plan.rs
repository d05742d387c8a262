//! What is to be done with blocks: which one is made next, which are dropped, which ones a query reads. Pure.

use std::collections::HashSet;

use super::block::Meta;
use super::limits::{GRACE_MS, Limits, MAX_BLOCKS, MAX_WINDOWS};
use super::thin::Level;

/// A block that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Job {
    /// Of a window.
    Cut { window: u64 },
    /// Of a finer one.
    Thin { source: u64 },
    /// Of several of the same level.
    Merge { sources: Vec<u64> },
}

/// A window, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) serial: u64,
    pub(super) from: i64,
    pub(super) closed: bool,
}

/// A block that a query reads, and the time that it reads of it, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Its place in the list.
    pub(super) number: usize,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// A block with its size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sized<'a> {
    pub(super) meta: &'a Meta,
    pub(super) bytes: u64,
}

/// The next block to make.
pub(super) fn next_job(blocks: &[&Meta], windows: &[Open], now_ms: i64) -> Option<Job> {
    if let Some(window) = next_cut(windows, now_ms) {
        return Some(Job::Cut { window });
    }
    let thinned: HashSet<u64> = blocks.iter().flat_map(|meta| &meta.thinned).copied().collect();
    let merged: HashSet<u64> = blocks.iter().flat_map(|meta| &meta.merged).copied().collect();
    let left: Vec<&Meta> = blocks.iter().copied().filter(|meta| !merged.contains(&meta.serial)).collect();
    let waiting = |meta: &&&Meta| meta.level != Level::Hour && !thinned.contains(&meta.serial);
    if let Some(raw) = left.iter().filter(waiting).find(|meta| meta.level == Level::Raw) {
        return Some(Job::Thin { source: raw.serial });
    }
    for level in [Level::Minute, Level::Hour] {
        let span = |from: i64| from.div_euclid(level.block_ms());
        let mut spans: Vec<i64> = left.iter().filter(|meta| meta.level == level).map(|meta| span(meta.from)).collect();
        spans.sort_unstable();
        spans.dedup();
        for number in spans {
            let end = (number + 1).saturating_mul(level.block_ms());
            let open = windows.iter().any(|window| span(window.from) == number);
            let finer = left.iter().filter(waiting).any(|meta| meta.level < level && span(meta.from) == number);
            if open || finer || now_ms < end.saturating_add(2 * GRACE_MS) {
                continue;
            }
            let within: Vec<&&Meta> =
                left.iter().filter(|meta| meta.level == level && span(meta.from) == number).collect();
            match within.as_slice() {
                [one] if waiting(one) => return Some(Job::Thin { source: one.serial }),
                [_] | [] => {}
                several => return Some(Job::Merge { sources: several.iter().map(|meta| meta.serial).collect() }),
            }
        }
    }
    None
}

fn next_cut(windows: &[Open], now_ms: i64) -> Option<u64> {
    let length = Level::Raw.block_ms();
    let ended = |window: &&Open| {
        let over = now_ms >= window.from.saturating_add(length + GRACE_MS);
        // The clock was set back since: nothing more will come for a long time.
        let ahead = window.from > now_ms.saturating_add(length);
        window.closed || over || ahead
    };
    let crowded = windows.first().filter(|_| windows.len() >= MAX_WINDOWS);
    windows.iter().find(ended).or(crowded).map(|window| window.serial)
}

/// Which blocks go. `settled`: the clock can be trusted, so that what is too old may go as well.
pub(super) fn to_drop(
    blocks: &[Sized<'_>],
    other_bytes: u64,
    limits: &Limits,
    now_ms: i64,
    settled: bool,
) -> HashSet<u64> {
    let merged: HashSet<u64> = blocks.iter().flat_map(|block| &block.meta.merged).copied().collect();
    let thinned: HashSet<u64> = blocks.iter().flat_map(|block| &block.meta.thinned).copied().collect();
    let mut left: Vec<&Sized<'_>> = Vec::new();
    let mut gone = HashSet::new();
    for block in blocks {
        let keep_ms = limits.keep_ms(block.meta.level);
        let age_ms = now_ms.saturating_sub(block.meta.to);
        // What was not thinned yet waits for it, but not for ever.
        let stood_for = block.meta.level == Level::Hour || thinned.contains(&block.meta.serial) || age_ms / 2 > keep_ms;
        if merged.contains(&block.meta.serial) || (settled && age_ms > keep_ms && stood_for) {
            gone.insert(block.meta.serial);
        } else {
            left.push(block);
        }
    }
    left.sort_by_key(|block| (block.meta.level, block.meta.to, block.meta.serial));
    let mut bytes = other_bytes + left.iter().map(|block| block.bytes).sum::<u64>();
    let mut count = left.len();
    for block in left {
        if bytes <= limits.bytes && count <= MAX_BLOCKS {
            break;
        }
        gone.insert(block.meta.serial);
        bytes -= block.bytes;
        count -= 1;
    }
    gone
}

/// The coarsest level that has a sample for each step.
pub(super) fn wanted(step: i64) -> Level {
    Level::ALL.into_iter().rev().find(|level| level.span_ms() <= step).unwrap_or(Level::Raw)
}

/// Which blocks a query reads. Of the coarsest level that has a sample for each step all; finer ones only as far as nothing coarser
/// stands for them yet; coarser ones only where nothing else is left.
pub(super) fn parts(blocks: &[&Meta], from: i64, to: i64, step: i64) -> Vec<Part> {
    let wanted = wanted(step);
    let merged: HashSet<u64> = blocks.iter().flat_map(|meta| &meta.merged).copied().collect();
    let stood_for: HashSet<u64> =
        blocks.iter().filter(|meta| meta.level <= wanted).flat_map(|meta| &meta.thinned).copied().collect();
    let mut found: Vec<Part> = Vec::new();
    let mut covered: Vec<(i64, i64)> = Vec::new();
    for level in Level::ALL {
        let before = covered.clone();
        for (number, meta) in blocks.iter().enumerate() {
            let unused = merged.contains(&meta.serial) || (level < wanted && stood_for.contains(&meta.serial));
            if meta.level != level || unused || meta.from > to || meta.to <= from {
                continue;
            }
            if level <= wanted {
                found.push(Part { number, from, to });
            } else {
                let open = uncovered(meta.from.max(from), meta.to.saturating_sub(1).min(to), &before);
                found.extend(open.into_iter().map(|(from, to)| Part { number, from, to }));
            }
            covered.push((meta.from, meta.to - 1));
        }
    }
    found
}

/// What is left of a span (both ends included) without those that are covered.
fn uncovered(from: i64, to: i64, covered: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut left = vec![(from, to)];
    for (begin, end) in covered {
        left = left
            .into_iter()
            .flat_map(|(from, to)| {
                let before = (from, to.min(begin.saturating_sub(1)));
                let after = (from.max(end.saturating_add(1)), to);
                if *begin > to || *end < from { [(from, to), (1, 0)] } else { [before, after] }
            })
            .filter(|(from, to)| from <= to)
            .collect();
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn meta(level: Level, serial: u64, from: i64, to: i64) -> Meta {
        let (from, to) = (from * HOUR, to * HOUR);
        Meta { level, serial, from, to, merged: vec![], thinned: vec![], series: 1, samples: 1, newest: to - 1 }
    }

    fn standing_for(mut meta: Meta, merged: &[u64], thinned: &[u64]) -> Meta {
        meta.merged = merged.to_vec();
        meta.thinned = thinned.to_vec();
        meta
    }

    fn open(serial: u64, from: i64) -> Open {
        Open { serial, from: from * HOUR, closed: false }
    }

    #[test]
    fn a_window_is_cut_when_it_ended_or_lies_ahead_of_the_clock_or_too_many_wait() {
        let at = |hours: i64| hours * HOUR + GRACE_MS;
        assert_eq!(next_job(&[], &[open(1, 0)], at(2) - 1), None);
        assert_eq!(next_job(&[], &[open(1, 0)], at(2)), Some(Job::Cut { window: 1 }));
        assert_eq!(next_job(&[], &[open(1, 8_000)], at(2)), Some(Job::Cut { window: 1 }));
        let many: Vec<Open> = (1..5).map(|serial| open(serial, 0)).collect();
        assert_eq!(next_job(&[], &many, 0), Some(Job::Cut { window: 1 }));
    }

    #[test]
    fn raw_blocks_are_thinned_at_once_and_a_day_is_merged_and_thinned_when_it_is_over() {
        let raws = [meta(Level::Raw, 1, 0, 2), meta(Level::Raw, 2, 2, 4)];
        assert_eq!(next_job(&raws.iter().collect::<Vec<_>>(), &[], 4 * HOUR), Some(Job::Thin { source: 1 }));
        let minutes = [
            standing_for(meta(Level::Minute, 3, 0, 2), &[], &[1]),
            standing_for(meta(Level::Minute, 4, 2, 4), &[], &[2]),
        ];
        let all: Vec<&Meta> = raws.iter().chain(&minutes).collect();
        assert_eq!(next_job(&all, &[], 23 * HOUR), None);
        assert_eq!(next_job(&all, &[open(9, 22)], 25 * HOUR), Some(Job::Cut { window: 9 }));
        assert_eq!(next_job(&all, &[], 25 * HOUR), Some(Job::Merge { sources: vec![3, 4] }));
        let day = standing_for(meta(Level::Minute, 5, 0, 4), &[3, 4], &[1, 2]);
        let all: Vec<&Meta> = raws.iter().chain(&minutes).chain([&day]).collect();
        assert_eq!(next_job(&all, &[], 25 * HOUR), Some(Job::Thin { source: 5 }));
        let hours = standing_for(meta(Level::Hour, 6, 0, 4), &[], &[5]);
        let all: Vec<&Meta> = raws.iter().chain([&day, &hours]).collect();
        assert_eq!(next_job(&all, &[], 25 * HOUR), None);
    }

    #[test]
    fn what_is_too_old_goes_once_the_clock_is_settled_and_something_stands_for_it() {
        let limits = Limits::default();
        let raw = meta(Level::Raw, 1, 0, 2);
        let minute = standing_for(meta(Level::Minute, 2, 0, 2), &[], &[1]);
        let other = meta(Level::Raw, 3, 0, 2);
        let sized = [&raw, &minute, &other].map(|meta| Sized { meta, bytes: 10 });
        let drop = |settled| to_drop(&sized, 0, &limits, 51 * HOUR, settled);
        assert_eq!((drop(false).len(), drop(true)), (0, HashSet::from([1])));
    }

    #[test]
    fn with_too_little_room_the_oldest_of_the_finest_goes_first() {
        let metas = [
            meta(Level::Hour, 1, 0, 2),
            meta(Level::Minute, 2, 0, 2),
            meta(Level::Raw, 3, 2, 4),
            meta(Level::Raw, 4, 0, 2),
        ];
        let sized: Vec<_> = metas.iter().map(|meta| Sized { meta, bytes: 10 }).collect();
        let drop = |bytes| {
            let mut gone: Vec<u64> =
                to_drop(&sized, 5, &Limits { bytes, ..Limits::default() }, 0, false).into_iter().collect();
            gone.sort_unstable();
            gone
        };
        assert_eq!((drop(45), drop(35), drop(25), drop(5)), (vec![], vec![4], vec![3, 4], vec![1, 2, 3, 4]));
    }

    #[test]
    fn a_query_reads_what_is_coarse_enough_and_what_nothing_stands_for_yet() {
        let blocks = [
            meta(Level::Raw, 1, 24, 26),
            meta(Level::Raw, 2, 26, 28),
            standing_for(meta(Level::Minute, 3, 0, 24), &[], &[]),
            standing_for(meta(Level::Minute, 4, 24, 26), &[], &[1]),
            standing_for(meta(Level::Hour, 5, 0, 24), &[], &[3]),
        ];
        let all: Vec<&Meta> = blocks.iter().collect();
        let read = |step: i64| {
            let mut parts: Vec<(u64, i64, i64)> = parts(&all, 0, 28 * HOUR, step)
                .iter()
                .map(|part| (all[part.number].serial, part.from / HOUR, (part.to + 1) / HOUR))
                .collect();
            parts.sort_unstable();
            parts
        };
        assert_eq!(read(HOUR), [(2, 0, 28), (4, 0, 28), (5, 0, 28)]);
        assert_eq!(read(60_000), [(2, 0, 28), (3, 0, 28), (4, 0, 28)]);
        assert_eq!(read(10_000), [(1, 0, 28), (2, 0, 28), (3, 0, 24)]);
    }

    #[test]
    fn what_is_covered_is_taken_out_of_a_span() {
        assert_eq!(uncovered(0, 99, &[(10, 19), (50, 59)]), [(0, 9), (20, 49), (60, 99)]);
        assert_eq!(uncovered(0, 99, &[(-5, 200)]), []);
        assert_eq!(uncovered(0, 9, &[(10, 19)]), [(0, 9)]);
    }
}
