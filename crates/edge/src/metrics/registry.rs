//! Where a scrape finds the cells of all threads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::cells::{Cells, ThreadCells};
use crate::table::{Table, Target};

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

impl Key {
    /// Whether the table has it.
    fn is_in(&self, table: &Table) -> bool {
        let Some(place) = table.names.get(&self.route) else { return false };
        self.slot.is_empty()
            || match &table.routes[*place].target {
                Target::Slots(slots) => {
                    slots.slots.iter().any(|slot| slot.name == self.slot && slot.release == self.release)
                }
                Target::Static(_) | Target::Redirect(_) => false,
            }
    }
}

/// One thread's cells. Locked for a route's first request under a snapshot, when a snapshot is taken over and when somebody
/// scrapes, never for any other request.
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
    /// The last snapshot that had it.
    round: u64,
}

impl Registry {
    /// The cells of `key`: those it has, or new ones.
    pub(crate) fn cells(&self, key: Key) -> Arc<Cells> {
        let mut slots = self.lock();
        let round = slots.round;
        Arc::clone(&slots.cells.entry(key).or_insert_with(|| Entry { cells: Arc::default(), round }).cells)
    }

    /// Goes by this table from now on: forgets the oldest of what no table names any more.
    pub(crate) fn take_over(&self, table: &Table) {
        let mut slots = self.lock();
        slots.round += 1;
        let round = slots.round;
        let mut retired = Vec::new();
        for (key, entry) in &mut slots.cells {
            if key.is_in(table) {
                entry.round = round;
            } else {
                retired.push((entry.round, key.clone()));
            }
        }
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
    use crate::snapshot::Snapshot;

    fn key(release: &str) -> Key {
        Key { route: "chat".into(), slot: "green".into(), release: release.into() }
    }

    fn table(release: &str) -> Table {
        let snapshot: Snapshot = serde_json::from_value(serde_json::json!({"generation": 1, "listeners": [], "routes": [
            {"name": "chat", "target": {"slots": [{"name": "green", "release": release, "weight": 1, "instances": []}]}}
        ]}))
        .unwrap();
        snapshot.compile().unwrap()
    }

    #[test]
    fn cells_stay_the_same_over_snapshots() {
        let registry = Registry::default();
        registry.cells(key("v1")).started.add(3);
        registry.take_over(&table("v1"));
        assert_eq!(registry.cells(key("v1")).started.get(), 3);
    }

    #[test]
    fn old_releases_are_forgotten_oldest_first_and_what_is_in_the_table_never() {
        let registry = Registry::default();
        let release = |number: usize| format!("v{number:04}");
        for number in 0..MAX_RETIRED + 11 {
            registry.cells(key(&release(number)));
            registry.take_over(&table(&release(number)));
        }
        let releases = || {
            let mut releases = Vec::new();
            registry.for_each(|key, _| releases.push(key.release.to_string()));
            releases
        };
        assert_eq!(releases().len(), MAX_RETIRED + 1);
        assert_eq!(releases()[0], "v0010");
        for _ in 0..5 {
            registry.take_over(&table("v0010"));
        }
        registry.cells(key("later"));
        registry.take_over(&table("v0010"));
        assert_eq!(releases().len(), MAX_RETIRED + 1);
        assert_eq!(releases()[..2], ["later", "v0010"]);
    }
}
