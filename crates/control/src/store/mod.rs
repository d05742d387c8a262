//! The control plane's memory: one SQLite file, owned by one process.
//!
//! What is written before something is done (what was applied, that an instance is about to be started) is on disk when
//! the call returns; what merely happened (journal, exits) may lose its last moments in a power cut, and nothing else.
//!
//! To change the schema: add a step at the end of `schema::STEPS`; never change one that was released.

mod applied;
mod audit;
mod edge_programs;
mod instances;
mod invitations;
mod journal;
mod operators;
mod outbox;
mod passkeys;
mod rollouts;
mod schema;
mod sessions;
mod tokens;

use std::cmp::Ordering;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::api::AuditEntry;
use crate::clock;

pub(crate) use applied::{Applied, SlotRow, Slots};
pub(crate) use audit::{AuditPage, Companion, NewEntry};
pub(crate) use instances::InstanceRow;
pub(crate) use operators::{Changed, OperatorRow, PersonRow};
pub(crate) use passkeys::PasskeyRow;
pub(crate) use rollouts::{JournalRow, RolloutRow};
pub(crate) use sessions::{NewSession, SessionRow};
pub(crate) use tokens::TokenRow;

/// Somebody looking into the file with `sqlite3` may hold it for a moment; longer is an error.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be made.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It was written by a newer control plane.
    #[error("the data was written by a newer mana (schema {found}, this one knows {known}); use that version")]
    Newer {
        /// What is in the file.
        found: usize,
        /// What this program knows.
        known: usize,
    },
    /// SQLite says no.
    #[error("the control plane's database: {what}")]
    Sqlite {
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        source: rusqlite::Error,
    },
}

fn sqlite(what: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
    move |source| StoreError::Sqlite { what, source }
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Store {
    db: Connection,
    /// A row of the audit log that is written with what is written next.
    companion: Option<Companion>,
}

/// How sure a write has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sync {
    /// On disk when the call returns.
    Full,
    /// On disk soon.
    Normal,
}

impl Store {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        // Made here and not by SQLite, for the mode; the files beside it (WAL) take theirs from it.
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        Self::prepare(Connection::open(path).map_err(sqlite("opening it"))?)
    }

    /// Reads what is there, beside a control plane that may be at work. `None`: nothing of this version was written yet.
    pub(crate) fn look_into(path: &Path) -> Result<Option<Self>, StoreError> {
        if !path.exists() {
            return Ok(None);
        }
        let what = "looking into it";
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(sqlite(what))?;
        db.busy_timeout(BUSY_TIMEOUT).map_err(sqlite(what))?;
        let found: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sqlite(what))?;
        match (found as usize).cmp(&schema::STEPS.len()) {
            Ordering::Less => Ok(None),
            Ordering::Equal => Ok(Some(Self { db, companion: None })),
            Ordering::Greater => Err(StoreError::Newer { found: found as usize, known: schema::STEPS.len() }),
        }
    }

    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        Self::prepare(Connection::open_in_memory().expect("memory")).expect("schema")
    }

    fn prepare(mut db: Connection) -> Result<Self, StoreError> {
        let set = |db: &Connection| -> rusqlite::Result<()> {
            db.busy_timeout(BUSY_TIMEOUT)?;
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "synchronous", "FULL")?;
            db.pragma_update(None, "foreign_keys", true)?;
            // A few hundred rows: 256 KiB of cache are plenty.
            db.pragma_update(None, "cache_size", -256)
        };
        set(&db).map_err(sqlite("setting it up"))?;
        schema::bring_up_to_date(&mut db)?;
        Ok(Self { db, companion: None })
    }

    /// What is written next takes this row of the audit log along; `None`: it takes none.
    pub(crate) fn accompany(&mut self, companion: Option<Companion>) {
        self.companion = companion;
    }

    /// Runs `work` in one transaction, or within the one that is under way ([`Self::as_one`]).
    fn write<T>(
        &mut self,
        what: &'static str,
        sync: Sync,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let row = self.companion.as_ref().map(Companion::entry);
        let sure = sync == Sync::Full || row.is_some();
        let work = |db: &Connection| -> rusqlite::Result<(T, Option<AuditEntry>)> {
            let before = db.total_changes();
            let done = work(db)?;
            // What was refused changes nothing, and is not written down as done.
            let row = row.filter(|_| db.total_changes() > before);
            let row = row.map(|row| audit::add(db, row, &clock::timestamp().to_string())).transpose()?;
            Ok((done, row))
        };
        let db = &mut self.db;
        let run = || {
            if !db.is_autocommit() {
                let part = db.savepoint()?;
                let done = work(&part)?;
                part.commit()?;
                return Ok(done);
            }
            db.pragma_update(None, "synchronous", if sure { "FULL" } else { "NORMAL" })?;
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        let (done, row) = run().map_err(sqlite(what))?;
        // Of what could not be written there is no row, and the next may take it along.
        if let (Some(row), Some(companion)) = (row, self.companion.take()) {
            companion.tell(&row);
        }
        Ok(done)
    }

    /// Runs all that `work` writes as one transaction, on disk when the call returns. Nothing of it is there where it fails.
    fn as_one<T>(
        &mut self,
        what: &'static str,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let begin = |db: &Connection| {
            db.pragma_update(None, "synchronous", "FULL")?;
            db.execute_batch("BEGIN IMMEDIATE")
        };
        begin(&self.db).map_err(sqlite(what))?;
        let done = work(self).and_then(|done| {
            self.db.execute_batch("COMMIT").map_err(sqlite(what))?;
            Ok(done)
        });
        if done.is_err() && !self.db.is_autocommit() {
            // What cannot even be rolled back is so when the connection is opened again.
            let _ = self.db.execute_batch("ROLLBACK");
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_its_owner_reads_it_and_it_opens_again() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("control.db");
        for _ in 0..2 {
            let _store = Store::open(&path).expect("open");
            for entry in std::fs::read_dir(folder.path()).expect("folder") {
                let mode = entry.expect("entry").metadata().expect("metadata").permissions().mode();
                assert_eq!(mode & 0o077, 0);
            }
        }
    }

    #[test]
    fn data_of_a_newer_version_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("control.db");
        let store = Store::open(&path).expect("open");
        store.db.pragma_update(None, "user_version", 999).expect("write");
        drop(store);
        assert!(matches!(Store::open(&path), Err(StoreError::Newer { found: 999, .. })));
    }
}
