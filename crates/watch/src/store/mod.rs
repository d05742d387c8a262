//! The store of time series: compressed, safe against crashes, bounded in size, age and number.
//!
//! Samples come in rounds: what one target gave at one time. A round is written to the `journal` and taken into a window in memory
//! (`head`, `window`). A window of two hours becomes an immutable `block` of raw samples; of that one is made with a sample a minute,
//! of a day of those one with a sample an hour (`thin` says which samples stand for a span). `plan` says which block is made next,
//! which ones go and which ones a query reads; `build` makes them, a bounded piece of work with each call of [`Store::maintain`].
//!
//! Invariants: what was appended can be read at once and outlives the end of the process; what was read from disk had the right checksum; a
//! block is never changed, and under its name only when all of it is on disk; labels are kept once a series in memory, and once a block
//! on disk; neither memory nor disk grow beyond [`Limits`], whatever comes in and whatever the disk refuses.
//!
//! How it is fed: a target is a group; each of its series is identified once ([`Store::identify`]), and each scrape is one
//! [`Store::append`] of ids and values. A series that a scrape no longer gives ends with [`Store::mark_stale`], and those of a target that is
//! gone with [`Store::end_group`]; otherwise they just stop. [`Store::maintain`] is called every few seconds.
//!
//! Everything is plain synchronous I/O, for a thread that may wait. One owner appends and maintains; a [`Reader`] reads beside it.

mod bits;
mod block;
mod build;
mod disk;
mod error;
mod filling;
mod head;
mod ints;
mod journal;
mod key;
mod limits;
mod matching;
mod open;
mod plan;
mod record;
mod registry;
mod scan;
mod select;
mod stats;
mod symbols;
mod thin;
mod upkeep;
mod values;
mod window;
mod xor;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::File;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use block::Block;
use disk::Disk;
use head::{Head, Refused};
use journal::Journal;
use record::Round;

pub use bits::Broken;
pub use error::{StoreError, TooManySeries};
pub use journal::Torn;
pub use limits::*;
pub use registry::{Kind, SeriesId};
pub use stats::{Counts, LevelStats, SetAside, Stats};
pub use thin::{Level, is_counter_name};

use crate::series::{Each, Keep, Labels, Matcher, STALE_BITS, Source, SourceError};

/// See the module's page.
pub struct Store {
    shared: Arc<Shared>,
    disk: Disk,
    journal: Journal,
    upkeep: upkeep::Upkeep,
    counts: Counts,
    torn: Torn,
    set_aside: Vec<SetAside>,
    /// What the disk refused of the journal, and of blocks.
    trouble: [Option<String>; 2],
    /// Nobody else opens the store meanwhile.
    _lock: File,
}

/// Reads what the store has, from any thread.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// What the owner and readers share.
struct Shared {
    limits: Limits,
    /// One lock for both, so that a window's samples are never seen twice or not at all while they become a block.
    state: RwLock<State>,
}

struct State {
    head: Head,
    blocks: Arc<Vec<Arc<Block>>>,
}

/// What became of a round.
#[derive(Debug, Default)]
#[must_use = "series that were forgotten have to be identified again"]
pub struct Appended {
    /// Samples that can be read now.
    pub taken: usize,
    /// Samples that are older than the newest of their group. See [`CLOCK_SET_BACK_MS`].
    pub late: usize,
    /// Samples whose series has a value of this time already.
    pub repeated: usize,
    /// Samples of a group that has had [`MAX_ROUNDS`] within two hours.
    pub crowded: usize,
    /// Series that are not measured any more, and are to be identified again.
    pub unknown: Vec<SeriesId>,
    /// Why what was taken does not outlive the process, unless it gets into a block before that.
    pub unwritten: Option<StoreError>,
}

impl Store {
    /// The id of a series, which is measured from now on. `group` is what is scraped together: its series share their times and a limit.
    /// An id holds for as long as its series has samples in memory, which is two hours at least.
    ///
    /// # Errors
    /// A limit is reached, the labels cannot be stored, or another group gives the very same ones.
    pub fn identify(&mut self, group: &str, labels: &Labels, kind: Kind) -> Result<SeriesId, StoreError> {
        let mut state = self.shared.write();
        let oldest = state.head.oldest;
        let identified = state.head.registry.identify(group, labels, kind, oldest, &self.shared.limits);
        if matches!(identified, Err(StoreError::TooManySeries(_))) {
            self.counts.refused_series += 1;
        }
        identified
    }

    /// Takes a round in: it can be read at once, and outlives the process. Samples of one group should follow each other.
    pub fn append(&mut self, round: &[(SeriesId, f64)], at_ms: i64) -> Appended {
        let mut appended = Appended::default();
        let mut known: Vec<(u32, u32, u64)> = Vec::with_capacity(round.len());
        {
            let state = self.shared.read();
            for (id, value) in round {
                match state.head.registry.by_id(*id) {
                    Some(measured) => known.push((measured.group, id.slot, to_bits(*value))),
                    None => appended.unknown.push(*id),
                }
            }
        }
        for samples in known.chunk_by(|(before, ..), (group, ..)| before == group) {
            self.append_group(samples[0].0, samples, at_ms, &mut appended);
        }
        self.counts.taken += appended.taken as u64;
        self.counts.late += appended.late as u64;
        self.counts.repeated += appended.repeated as u64;
        self.counts.crowded += appended.crowded as u64;
        self.counts.unknown += appended.unknown.len() as u64;
        appended
    }

    fn append_group(&mut self, group: u32, samples: &[(u32, u32, u64)], at_ms: i64, appended: &mut Appended) {
        let state = self.shared.read();
        let place = match state.head.place(group, at_ms) {
            Ok(place) => place,
            Err(Refused::Late) => return appended.late += samples.len(),
            Err(Refused::Crowded) => return appended.crowded += samples.len(),
        };
        let ascending = samples.is_sorted_by(|(_, before, _), (_, slot, _)| before < slot);
        let mut seen = HashSet::new();
        let mut taken: Vec<(u32, u64)> = Vec::with_capacity(samples.len());
        for (_, slot, bits) in samples {
            if state.head.has(place, group, *slot, at_ms) || (!ascending && !seen.insert(*slot)) {
                appended.repeated += 1;
            } else {
                taken.push((*slot, *bits));
            }
        }
        if taken.is_empty() {
            return;
        }
        let round = Round { window: place.serial, at: at_ms, group, samples: &taken };
        let written = self.journal.append(&round, place.begins, &state.head);
        drop(state);
        // What the disk does not take is still what alerts are decided by.
        match written {
            Ok(()) => self.trouble[0] = None,
            Err(error) => {
                self.counts.unwritten += 1;
                self.trouble[0] = Some(error.to_string());
                appended.unwritten = Some(error);
            }
        }
        self.shared.write().head.take(place, group, at_ms, &taken);
        appended.taken += taken.len();
    }

    /// Says that these series ended at that time.
    pub fn mark_stale(&mut self, series: &[SeriesId], at_ms: i64) -> Appended {
        let round: Vec<(SeriesId, f64)> = series.iter().map(|id| (*id, f64::from_bits(STALE_BITS))).collect();
        self.append(&round, at_ms)
    }

    /// Says that all series of a group that did not end yet ended at that time: its target is gone.
    pub fn end_group(&mut self, group: &str, at_ms: i64) -> Appended {
        let mut appended = Appended::default();
        let (number, samples) = {
            let state = self.shared.read();
            let Some(number) = state.head.registry.group_number(group) else { return appended };
            let goes_on = |bits: Option<u64>| bits.is_some_and(|bits| bits != STALE_BITS);
            let all =
                state.head.registry.slots().filter(|(_, measured)| measured.group == number && goes_on(measured.last));
            (number, all.map(|(slot, _)| (number, slot, STALE_BITS)).collect::<Vec<_>>())
        };
        self.append_group(number, &samples, at_ms, &mut appended);
        self.counts.taken += appended.taken as u64;
        self.counts.late += appended.late as u64;
        appended
    }

    /// Reads from another thread.
    pub fn reader(&self) -> Reader {
        Reader { shared: Arc::clone(&self.shared) }
    }

    /// What the store says of itself.
    pub fn stats(&self) -> Stats {
        let state = self.shared.read();
        let level = |level: Level| {
            let blocks = state.blocks.iter().filter(|block| block.meta.level == level);
            blocks.fold(LevelStats { level, blocks: 0, bytes: 0, samples: 0 }, |sum, block| LevelStats {
                level,
                blocks: sum.blocks + 1,
                bytes: sum.bytes + block.bytes,
                samples: sum.samples + block.meta.samples,
            })
        };
        Stats {
            series: state.head.registry.len(),
            groups: state.head.registry.groups(),
            windows: state.head.windows.len(),
            window_bytes: state.head.windows.iter().map(window::Window::bytes).sum(),
            levels: Level::ALL.into_iter().map(level).collect(),
            journal_bytes: self.journal.bytes(),
            counts: Counts { given_up: state.head.given_up, ..self.counts },
            torn: self.torn,
            set_aside: self.set_aside.clone(),
            trouble: self.trouble.iter().flatten().next().cloned(),
        }
    }
}

impl Source for Store {
    fn each(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
        step: i64,
        keep: Keep,
        each: &mut Each<'_>,
    ) -> Result<(), SourceError> {
        self.reader().each(matchers, from, to, step, keep, each)
    }
}

impl Shared {
    /// A panic elsewhere leaves the state as whole as it was: each change of it is one call.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.shared.read()
    }
}

/// The bits of a value that came in.
fn to_bits(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits == values::ABSENT { f64::NAN.to_bits() } else { bits }
}
