//! Where a scrape finds the cells of all threads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::cells::{Cells, ThreadCells};

/// Cells of slots that are in no snapshot any more and are still shown. Old releases must not pile up for ever in an
/// edge that runs for months; the newest stay, so that what happened in a rollout is still there after it.
const MAX_RETIRED: usize = 256;

/// What a set of cells is about. A slot of `""` stands for the route's requests that reached no slot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) route: Arc<str>,
    pub(crate) slot: Arc<str>,
    pub(crate) release: Arc<str>,
}

/// One thread's cells. Locked when a snapshot is taken over and when somebody scrapes, never for a request.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) thread: ThreadCells,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    cells: BTreeMap<Key, Entry>,
    /// Counts the snapshots taken over.
    round: u64,
}

#[derive(Debug)]
struct Entry {
    cells: Arc<Cells>,
    /// The last snapshot that named it.
    round: u64,
}

impl Registry {
    /// Begins to take over a snapshot.
    pub(crate) fn begin(&self) {
        self.lock().round += 1;
    }

    /// The cells of `key`: those it has, or new ones.
    pub(crate) fn cells(&self, key: Key) -> Arc<Cells> {
        let mut slots = self.lock();
        let round = slots.round;
        let entry = slots.cells.entry(key).or_insert_with(|| Entry { cells: Arc::default(), round });
        entry.round = round;
        Arc::clone(&entry.cells)
    }

    /// Ends taking over a snapshot: forgets the oldest of what no snapshot names any more.
    pub(crate) fn end(&self) {
        let mut slots = self.lock();
        let round = slots.round;
        let mut retired: Vec<_> = slots
            .cells
            .iter()
            .filter(|(_, entry)| entry.round < round)
            .map(|(key, entry)| (entry.round, key.clone()))
            .collect();
        let excess = retired.len().saturating_sub(MAX_RETIRED);
        retired.sort_unstable();
        for (_, key) in retired.into_iter().take(excess) {
            slots.cells.remove(&key);
        }
    }

    /// Calls `each` for all cells of this thread.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&Key, &Cells)) {
        for (key, entry) in &self.lock().cells {
            each(key, &entry.cells);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Slots> {
        // Nothing in here can be half done in a way that matters to a later reader.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(release: &str) -> Key {
        Key { route: "chat".into(), slot: "green".into(), release: release.into() }
    }

    #[test]
    fn cells_stay_the_same_over_snapshots() {
        let registry = Registry::default();
        registry.cells(key("v1")).started.add(3);
        registry.begin();
        assert_eq!(registry.cells(key("v1")).started.get(), 3);
    }

    #[test]
    fn old_releases_are_forgotten_oldest_first() {
        let registry = Registry::default();
        for release in 0..MAX_RETIRED + 11 {
            registry.begin();
            registry.cells(key(&format!("v{release:04}")));
            registry.end();
        }
        let mut releases = Vec::new();
        registry.for_each(|key, _| releases.push(key.release.to_string()));
        assert_eq!(releases.len(), MAX_RETIRED + 1);
        assert_eq!(releases[0], "v0010");
    }
}
