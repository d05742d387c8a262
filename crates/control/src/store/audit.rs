//! The audit log: what people changed, in rows that are only added to.
//!
//! Each row holds SHA-256 over the hash of the row before it and its own content, every field with its length before it.
//! Triggers refuse changes by accident; the chain shows those by intent, but for rows taken off the end, which show where
//! somebody noted a later hash (each is in `control.log` too).

use std::fmt;

use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::{Store, StoreError, Sync, sqlite};
use crate::api::{AuditCheck, AuditEntry, Broken};

/// Longest text of a field, in characters: what strangers type is not kept at any length.
const LONGEST: usize = 200;
/// What the first row follows.
const ORIGIN: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const COLUMNS: &str = "number, at, who, source, what, target, outcome, sha256";

/// A row to come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NewEntry {
    pub(crate) who: String,
    pub(crate) source: String,
    pub(crate) what: String,
    pub(crate) target: String,
    pub(crate) outcome: String,
}

impl NewEntry {
    fn cut(self) -> Self {
        let cut = |text: String| -> String {
            text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(LONGEST).collect()
        };
        Self {
            who: cut(self.who),
            source: cut(self.source),
            what: cut(self.what),
            target: cut(self.target),
            outcome: cut(self.outcome),
        }
    }
}

/// Rows that were looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AuditPage {
    /// Newest first.
    pub(crate) rows: Vec<AuditEntry>,
    /// Before this row there are some that were not looked at.
    pub(crate) older: Option<u64>,
}

fn chained(before: &str, entry: &AuditEntry) -> String {
    let number = entry.number.to_string();
    let fields = [before, &number, &entry.at, &entry.who, &entry.source, &entry.what, &entry.target, &entry.outcome];
    let mut hash = Sha256::new();
    for field in fields {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field.as_bytes());
    }
    hex::encode(hash.finalize())
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        number: row.get::<_, i64>(0)?.cast_unsigned(),
        at: row.get(1)?,
        who: row.get(2)?,
        source: row.get(3)?,
        what: row.get(4)?,
        target: row.get(5)?,
        outcome: row.get(6)?,
        sha256: row.get(7)?,
    })
}

fn last(db: &Connection) -> rusqlite::Result<Option<AuditEntry>> {
    db.query_row(&format!("SELECT {COLUMNS} FROM audit ORDER BY number DESC LIMIT 1"), [], entry).optional()
}

/// A row that is written with what is written next, so that neither is there without the other.
pub(crate) struct Companion {
    entry: NewEntry,
    is_written: Box<dyn FnOnce(&AuditEntry) + Send>,
}

impl Companion {
    /// `is_written` is told once it is.
    pub(crate) fn new(entry: NewEntry, is_written: impl FnOnce(&AuditEntry) + Send + 'static) -> Self {
        Self { entry, is_written: Box::new(is_written) }
    }

    pub(super) fn entry(&self) -> NewEntry {
        self.entry.clone()
    }

    pub(super) fn tell(self, row: &AuditEntry) {
        (self.is_written)(row);
    }
}

impl fmt::Debug for Companion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Companion").field("entry", &self.entry).finish_non_exhaustive()
    }
}

/// Adds a row.
pub(super) fn add(db: &Connection, new: NewEntry, at: &str) -> rusqlite::Result<AuditEntry> {
    let (number, before) = last(db)?.map_or((1, ORIGIN.to_owned()), |before| (before.number + 1, before.sha256));
    let NewEntry { who, source, what, target, outcome } = new.cut();
    let at = at.to_owned();
    let mut entry = AuditEntry { number, at, who, source, what, target, outcome, sha256: String::new() };
    entry.sha256 = chained(&before, &entry);
    db.execute(
        &format!("INSERT INTO audit ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
        params![
            entry.number.cast_signed(),
            entry.at,
            entry.who,
            entry.source,
            entry.what,
            entry.target,
            entry.outcome,
            entry.sha256
        ],
    )?;
    Ok(entry)
}

impl Store {
    /// Adds a row, on disk when the call returns.
    pub(crate) fn audit(&mut self, new: NewEntry, at: &str) -> Result<AuditEntry, StoreError> {
        self.write("writing the audit log", Sync::Full, |db| add(db, new, at))
    }

    /// Does something, and adds a row about it in the same transaction: either both are there or neither. Where nothing was changed there is
    /// nothing to write down (`None`).
    pub(crate) fn audited<T>(
        &mut self,
        new: NewEntry,
        at: &str,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<(T, Option<AuditEntry>), StoreError> {
        self.as_one("changing and writing the audit log", |store| {
            let before = store.db.total_changes();
            let done = work(store)?;
            let changed = store.db.total_changes() > before;
            let row = changed.then(|| store.audit(new, at)).transpose()?;
            Ok((done, row))
        })
    }

    /// The last rows, newest first.
    pub(crate) fn audit_log(&self, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let read = || -> rusqlite::Result<Vec<AuditEntry>> {
            let query = format!("SELECT {COLUMNS} FROM audit ORDER BY number DESC LIMIT ?1");
            self.db.prepare(&query)?.query_map([limit], entry)?.collect()
        };
        read().map_err(sqlite("reading the audit log"))
    }

    /// Rows that fit, newest first: so many at most, before a row or the newest ones. No more than so many rows are looked at for them.
    pub(crate) fn audit_page(
        &self,
        before: Option<u64>,
        most: usize,
        most_looked_at: u64,
        fits: impl Fn(&AuditEntry) -> bool,
    ) -> Result<AuditPage, StoreError> {
        let read = || -> rusqlite::Result<AuditPage> {
            let newest = last(&self.db)?.map_or(0, |newest| newest.number);
            let first = before.map_or(newest, |before| before.saturating_sub(1).min(newest));
            let end = first.saturating_sub(most_looked_at);
            let query = format!("SELECT {COLUMNS} FROM audit WHERE number <= ?1 AND number > ?2 ORDER BY number DESC");
            let mut query = self.db.prepare(&query)?;
            let mut rows = query.query([first.cast_signed(), end.cast_signed()])?;
            let mut page = AuditPage { rows: Vec::new(), older: (end > 0).then_some(end + 1) };
            while let Some(row) = rows.next()? {
                let entry = entry(row)?;
                if !fits(&entry) {
                    continue;
                }
                let number = entry.number;
                page.rows.push(entry);
                if page.rows.len() >= most {
                    page.older = (number > 1).then_some(number);
                    break;
                }
            }
            Ok(page)
        };
        read().map_err(sqlite("reading the audit log"))
    }

    /// Whether somebody has done this from there before, as far as it was written down as done.
    pub(crate) fn has_done(&self, who: &str, what: &str, source: &str) -> Result<bool, StoreError> {
        let query =
            "SELECT EXISTS (SELECT 1 FROM audit WHERE who = ?1 AND what = ?2 AND source = ?3 AND outcome = 'done')";
        self.db.query_row(query, [who, what, source], |row| row.get(0)).map_err(sqlite("reading the audit log"))
    }

    /// Walks the chain from its beginning.
    pub(crate) fn check_audit(&self) -> Result<AuditCheck, StoreError> {
        self.check_audit_after(0)
    }

    /// Walks the last links of the chain, so many at most. Answers the row that is believed, after which it began (0: the whole was walked), too.
    pub(crate) fn check_last_audited(&self, most: u64) -> Result<(u64, AuditCheck), StoreError> {
        let newest = last(&self.db).map_err(sqlite("checking the audit log"))?.map_or(0, |newest| newest.number);
        let believed = newest.saturating_sub(most);
        Ok((believed, self.check_audit_after(believed)?))
    }

    /// Walks the chain after a row, which is believed.
    fn check_audit_after(&self, believed: u64) -> Result<AuditCheck, StoreError> {
        let read = || -> rusqlite::Result<AuditCheck> {
            let hash = "SELECT sha256 FROM audit WHERE number = ?1";
            let head: Option<String> =
                self.db.query_row(hash, [believed.cast_signed()], |row| row.get(0)).optional()?;
            let head = head.unwrap_or_else(|| ORIGIN.to_owned());
            let mut check = AuditCheck { good: believed, head, broken: None };
            let query = format!("SELECT {COLUMNS} FROM audit WHERE number > ?1 ORDER BY number");
            let mut query = self.db.prepare(&query)?;
            let mut rows = query.query([believed.cast_signed()])?;
            let broken = |number, why: &str| Some(Broken { number, why: why.to_owned() });
            while let Some(row) = rows.next()? {
                let entry = entry(row)?;
                let expected = check.good + 1;
                if entry.number != expected {
                    check.broken = broken(expected, "it is missing");
                    return Ok(check);
                }
                if chained(&check.head, &entry) != entry.sha256 {
                    check.broken = broken(entry.number, "it is not what was written, or the one before it is not");
                    return Ok(check);
                }
                check.good = entry.number;
                check.head = entry.sha256;
            }
            let given = "SELECT seq FROM sqlite_sequence WHERE name = 'audit'";
            let given: Option<i64> = self.db.query_row(given, [], |row| row.get(0)).optional()?;
            if given.is_some_and(|given| given.cast_unsigned() > check.good) {
                check.broken = broken(check.good + 1, "it is missing, and all after it");
            }
            Ok(check)
        };
        read().map_err(sqlite("checking the audit log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2026-01-01T00:00:00Z";

    fn filled() -> Store {
        let mut store = Store::in_memory();
        for target in ["a", "b", "c", "d"] {
            let entry = NewEntry {
                who: "ada".into(),
                source: "socket".into(),
                what: "deploy".into(),
                target: target.into(),
                outcome: "done".into(),
            };
            store.audit(entry, AT).expect("written");
        }
        store
    }

    fn broken(store: &Store) -> Option<u64> {
        store.check_audit().expect("read").broken.map(|broken| broken.number)
    }

    #[test]
    fn rows_follow_each_other_and_are_read_newest_first() {
        let store = filled();
        let targets: Vec<String> = store.audit_log(2).expect("read").into_iter().map(|entry| entry.target).collect();
        assert_eq!(targets, ["d", "c"]);
        let check = store.check_audit().expect("read");
        assert_eq!((check.good, check.broken), (4, None));
        assert_eq!(check.head, store.audit_log(1).expect("read")[0].sha256);
        assert!(store.has_done("ada", "deploy", "socket").expect("read"));
        assert!(!store.has_done("ada", "deploy", "192.0.2.1").expect("read"));
        assert_eq!(Store::in_memory().check_audit().expect("read").good, 0);
    }

    #[test]
    fn a_change_and_its_row_are_there_together_or_not_at_all() {
        use crate::api::Role;
        use crate::store::Changed;

        let mut store = filled();
        let entry = || NewEntry { who: "ada".into(), what: "add operator".into(), ..NewEntry::default() };
        let add = |store: &mut Store| {
            let added = store.add_operator("bob", Role::Viewer, AT)?;
            store.invite("bob", "code", 100)?;
            Ok(added)
        };
        let (added, row) = store.audited(entry(), AT, add).expect("written");
        assert_eq!((added, row.map(|row| row.number)), (Changed::Yes, Some(5)));
        let (_, row) = store.audited(entry(), AT, |store| store.operator("bob")).expect("read");
        assert_eq!(row, None, "a question is no change");
        // The second of two fails: the first has not happened, and is not written down.
        let failed = store.audited(entry(), AT, |store| {
            store.set_role("bob", Role::Admin)?;
            store.write("failing", Sync::Full, |db| db.execute("UPDATE nowhere SET a = 1", []).map(drop))
        });
        assert!(failed.is_err());
        assert_eq!(store.operator("bob").expect("read").expect("there").view.role, Role::Viewer);
        assert_eq!(store.check_audit().expect("read").good, 5);
        // The row cannot be written: nor is what it is about.
        store
            .db
            .execute_batch("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END")
            .expect("set");
        assert!(store.audited(entry(), AT, |store| store.set_role("bob", Role::Admin)).is_err());
        assert_eq!(store.operator("bob").expect("read").expect("there").view.role, Role::Viewer);
        assert_eq!(store.set_role("bob", Role::Admin).expect("written"), Changed::Yes, "and nothing is left open");
    }

    #[test]
    fn a_row_goes_along_with_what_is_written_next_and_with_nothing_else() {
        use std::sync::mpsc;

        let mut store = filled();
        let (told, heard) = mpsc::channel();
        let companion = || {
            let told = told.clone();
            let entry = NewEntry { who: "ada".into(), what: "promote".into(), ..NewEntry::default() };
            Companion::new(entry, move |row| told.send(row.number).expect("somebody hears"))
        };
        store.accompany(Some(companion()));
        // What fails takes it nowhere.
        let failed = store.write("failing", Sync::Normal, |db| db.execute("UPDATE nowhere SET a = 1", []).map(drop));
        assert!(failed.is_err() && heard.try_recv().is_err());
        assert_eq!(store.check_audit().expect("read").good, 4);
        store.note(None, None, "first", "").expect("written");
        assert_eq!(heard.try_recv(), Ok(5));
        store.note(None, None, "second", "").expect("written");
        assert_eq!((heard.try_recv().is_err(), store.check_audit().expect("read").good), (true, 5), "one row");
        // Where the row cannot be written, what it goes along with is not either.
        let full = "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END";
        store.db.execute_batch(full).expect("set");
        store.accompany(Some(companion()));
        assert!(store.note(None, None, "third", "").is_err());
        let noted = |store: &Store| store.journal(10).expect("read").len();
        assert_eq!((noted(&store), heard.try_recv().is_err()), (2, true));
        store.accompany(None);
        store.note(None, None, "fourth", "").expect("written");
        assert_eq!((noted(&store), store.check_audit().expect("read").good), (3, 5));
    }

    #[test]
    fn nothing_is_changed_or_taken_away() {
        let store = filled();
        for statement in ["UPDATE audit SET who = 'eve'", "DELETE FROM audit", "REPLACE INTO audit SELECT * FROM audit"]
        {
            assert!(store.db.execute(statement, []).is_err(), "{statement}");
        }
        assert_eq!(broken(&store), None);
    }

    #[test]
    fn the_first_row_that_is_not_as_it_was_written_is_named() {
        let cases = [
            ("UPDATE audit SET who = 'eve' WHERE number = 2", Some(2)),
            ("UPDATE audit SET outcome = 'done ' WHERE number = 4", Some(4)),
            ("UPDATE audit SET who = 'adas', source = 'ocket' WHERE number = 3", Some(3)),
            ("DELETE FROM audit WHERE number = 1", Some(1)),
            ("DELETE FROM audit WHERE number = 3", Some(3)),
            ("DELETE FROM audit WHERE number > 2", Some(3)),
            ("UPDATE audit SET at = at", None),
        ];
        for (statement, expected) in cases {
            let store = filled();
            store
                .db
                .execute_batch("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_shortened")
                .expect("gone");
            store.db.execute(statement, []).expect("tampered");
            assert_eq!(broken(&store), expected, "{statement}");
        }
    }

    #[test]
    fn rows_are_looked_for_page_by_page_and_not_among_all_at_once() {
        let store = filled();
        let page = |before: Option<u64>, most: usize, looked_at: u64, targets: &str| {
            let fits = |row: &AuditEntry| targets.contains(row.target.as_str());
            let AuditPage { rows, older } = store.audit_page(before, most, looked_at, fits).expect("read");
            (rows.into_iter().map(|row| row.target).collect::<String>(), older)
        };
        let found = |rows: &str, older: Option<u64>| (rows.to_owned(), older);
        assert_eq!(page(None, 10, 100, "abcd"), found("dcba", None));
        // A page is full: the next one goes on before its last row.
        assert_eq!(page(None, 2, 100, "abcd"), found("dc", Some(3)));
        assert_eq!(page(Some(3), 2, 100, "abcd"), found("ba", None));
        assert_eq!(page(None, 1, 100, "ab"), found("b", Some(2)));
        assert_eq!(page(Some(2), 1, 100, "ab"), found("a", None));
        // Enough was looked at: what was not is said.
        assert_eq!(page(None, 10, 3, "a"), found("", Some(2)));
        assert_eq!(page(Some(2), 10, 3, "a"), found("a", None));
        for (before, rows) in
            [(Some(0), ""), (Some(1), ""), (Some(2), "a"), (Some(99), "dcba"), (Some(u64::MAX), "dcba")]
        {
            assert_eq!(page(before, 10, 100, "abcd"), found(rows, None), "{before:?}");
        }
        let empty = Store::in_memory().audit_page(None, 10, 100, |_| true).expect("read");
        assert_eq!(empty, AuditPage::default());
    }

    #[test]
    fn the_last_links_of_the_chain_are_walked_by_themselves() {
        let store = filled();
        let whole = store.check_audit().expect("read");
        let walked = |store: &Store, most| {
            let (believed, check) = store.check_last_audited(most).expect("read");
            (believed, check.good, check.broken.map(|broken| broken.number))
        };
        assert_eq!(store.check_last_audited(100).expect("read"), (0, whole.clone()));
        assert_eq!(walked(&store, 2), (2, 4, None));
        assert_eq!(store.check_last_audited(2).expect("read").1.head, whole.head);
        assert_eq!(walked(&Store::in_memory(), 2), (0, 0, None));
        store.db.execute_batch("DROP TRIGGER audit_is_not_changed").expect("gone");
        store.db.execute("UPDATE audit SET who = 'eve' WHERE number = 3", []).expect("tampered");
        assert_eq!(walked(&store, 2), (2, 2, Some(3)));
        assert_eq!(walked(&store, 1), (3, 4, None), "what is believed is not looked at");
    }

    #[test]
    fn what_strangers_type_is_cut_to_one_short_line() {
        let mut store = Store::in_memory();
        let entry = NewEntry { who: format!("eve\n{}", "x".repeat(1_000)), ..NewEntry::default() };
        let written = store.audit(entry, AT).expect("written");
        assert_eq!(written.who, format!("eve {}", "x".repeat(LONGEST - 4)));
        assert_eq!(broken(&store), None);
    }
}
