//! Which versions of the edge were taken, and which of them were gone back on.

use rusqlite::{OptionalExtension, params};

use super::{Store, StoreError, Sync, sqlite};
use crate::clock;

impl Store {
    /// This version serves from now on; whoever went back on it changed their mind.
    pub(crate) fn take_edge(&mut self, spec: &str) -> Result<(), StoreError> {
        let at = clock::timestamp().to_string();
        self.write("writing down the edge's version", Sync::Full, |db| {
            db.execute(
                "INSERT OR REPLACE INTO edge_programs (spec, taken_at, refused) VALUES (?1, ?2, NULL)",
                params![spec, at],
            )
            .map(drop)
        })
    }

    /// This version is not taken again by itself.
    pub(crate) fn refuse_edge(&mut self, spec: &str, why: &str) -> Result<(), StoreError> {
        self.write("writing down that the edge goes back", Sync::Full, |db| {
            db.execute("UPDATE edge_programs SET refused = ?2 WHERE spec = ?1", [spec, why]).map(drop)
        })
    }

    /// Why a version is not taken by itself.
    pub(crate) fn edge_refused(&self, spec: &str) -> Result<Option<String>, StoreError> {
        let query = "SELECT refused FROM edge_programs WHERE spec = ?1";
        let read = self.db.query_row(query, [spec], |row| row.get::<_, Option<String>>(0)).optional();
        read.map(Option::flatten).map_err(sqlite("reading the edge's versions"))
    }

    /// Versions that may serve, the one taken last first.
    pub(crate) fn edges(&self) -> Result<Vec<String>, StoreError> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let query = "SELECT spec FROM edge_programs WHERE refused IS NULL ORDER BY taken_at DESC, rowid DESC";
            let mut query = self.db.prepare(query)?;
            query.query_map([], |row| row.get(0))?.collect()
        };
        read().map_err(sqlite("reading the edge's versions"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_gone_back_on_is_not_among_those_that_may_serve_until_it_is_taken_again() {
        let mut store = Store::in_memory();
        for spec in ["one", "two", "three"] {
            store.take_edge(spec).expect("written");
        }
        store.refuse_edge("three", "it crashed").expect("written");
        assert_eq!(store.edges().expect("read"), ["two", "one"]);
        assert_eq!(store.edge_refused("three").expect("read").as_deref(), Some("it crashed"));
        store.take_edge("one").expect("written");
        store.take_edge("three").expect("written");
        assert_eq!(store.edges().expect("read"), ["three", "one", "two"]);
        assert_eq!(store.edge_refused("four").expect("read"), None);
    }
}
