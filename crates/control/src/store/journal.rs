//! What happened, for people and for later rooms. Bounded.

use rusqlite::params;

use super::{Store, StoreError, Sync, sqlite};
use crate::api::JournalEntry;
use crate::clock;

/// Entries kept: months of a quiet ecosystem, hours of a badly flapping one.
const MAX_ENTRIES: u32 = 10_000;

impl Store {
    pub(crate) fn note(
        &mut self,
        service: Option<&str>,
        instance: Option<&str>,
        kind: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        let at = clock::timestamp().to_string();
        self.write("writing the journal", Sync::Normal, |db| {
            db.execute(
                "INSERT INTO journal (at, service, instance, kind, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![at, service, instance, kind, detail],
            )?;
            db.execute("DELETE FROM journal WHERE number <= (SELECT max(number) FROM journal) - ?1", [MAX_ENTRIES])
                .map(drop)
        })
    }

    /// The last entries, newest first.
    pub(crate) fn journal(&self, limit: u32) -> Result<Vec<JournalEntry>, StoreError> {
        let read = || -> rusqlite::Result<Vec<JournalEntry>> {
            let mut query = self
                .db
                .prepare("SELECT at, service, instance, kind, detail FROM journal ORDER BY number DESC LIMIT ?1")?;
            let rows = query.query_map([limit], |row| {
                Ok(JournalEntry {
                    at: row.get(0)?,
                    service: row.get(1)?,
                    instance: row.get(2)?,
                    kind: row.get(3)?,
                    detail: row.get(4)?,
                })
            })?;
            rows.collect()
        };
        read().map_err(sqlite("reading the journal"))
    }
}

impl Store {
    /// Number of the newest entry; 0 where there is none.
    pub(crate) fn journal_end(&self) -> Result<i64, StoreError> {
        let read = self.db.query_row("SELECT coalesce(max(number), 0) FROM journal", [], |row| row.get(0));
        read.map_err(sqlite("reading the journal"))
    }

    /// Entries after that number, oldest first, each with its own.
    pub(crate) fn journal_after(&self, number: i64, limit: u32) -> Result<Vec<(i64, JournalEntry)>, StoreError> {
        let read = || -> rusqlite::Result<Vec<(i64, JournalEntry)>> {
            let mut query = self.db.prepare_cached(
                "SELECT number, at, service, instance, kind, detail FROM journal WHERE number > ?1 ORDER BY number LIMIT ?2",
            )?;
            let rows = query.query_map(params![number, limit], |row| {
                let entry = JournalEntry {
                    at: row.get(1)?,
                    service: row.get(2)?,
                    instance: row.get(3)?,
                    kind: row.get(4)?,
                    detail: row.get(5)?,
                };
                Ok((row.get(0)?, entry))
            })?;
            rows.collect()
        };
        read().map_err(sqlite("reading the journal"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_answers_newest_first_and_is_bounded() {
        let mut store = Store::in_memory();
        for number in 0..MAX_ENTRIES + 5 {
            store.note(Some("chat"), None, "ready", &number.to_string()).expect("write");
        }
        let last = store.journal(2).expect("read");
        let details: Vec<&str> = last.iter().map(|entry| entry.detail.as_str()).collect();
        assert_eq!(details, [(MAX_ENTRIES + 4).to_string(), (MAX_ENTRIES + 3).to_string()]);
        assert_eq!(store.journal(u32::MAX).expect("read").len(), MAX_ENTRIES as usize);
    }

    #[test]
    fn the_journal_is_read_on_from_where_somebody_was() {
        let mut store = Store::in_memory();
        assert_eq!(store.journal_end().expect("read"), 0);
        for detail in ["one", "two", "three"] {
            store.note(Some("chat"), None, "ready", detail).expect("write");
        }
        let read = |after, limit| -> Vec<(i64, String)> {
            let entries = store.journal_after(after, limit).expect("read").into_iter();
            entries.map(|(number, entry)| (number, entry.detail)).collect()
        };
        assert_eq!(read(1, 10), [(2, "two".to_owned()), (3, "three".to_owned())]);
        assert_eq!(read(0, 1), [(1, "one".to_owned())]);
        assert_eq!((read(3, 10), store.journal_end().expect("read")), (Vec::new(), 3));
    }
}
