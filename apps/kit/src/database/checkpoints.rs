//! SQLite's log of changes is brought into its file aside, every few seconds. SQLite itself does it within the commit that finds a
//! thousand pages in the log, and whoever waits for that commit waits for all of it.
//!
//! Most of it is copied while others write. What they wrote meanwhile follows between two transactions, and the file is made durable
//! then: so all of the log is in the file, and the next commit begins the log anew where it is. Where somebody still reads an older
//! state, the log goes on until the next time. A log that is written over and over is quicker to make durable than one that grows,
//! since the file system has nothing of its own to write down. Nothing of it is about what is durable: the log is, with each commit.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use tokio::time::sleep;

use super::Bounded;
use super::writer::Writers;

/// Pages of the log, of 4 KiB each, at which a commit brings in itself what is left.
pub(super) const MAX_LOG_PAGES: u32 = 16_000;

/// How often it is brought in. Each time the disk is made to write, which commits of that moment wait for.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// It waits for nobody, and what it cannot bring in comes with the next one.
const BRING_IN: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// Brings the log in for as long as there is somebody who could write.
pub(super) async fn run(connection: Bounded<DatabaseConnection>, writers: Writers, every: Duration) {
    loop {
        sleep(every).await;
        if !writers.are_there() {
            return;
        }
        let mut done = connection.query_one_raw(Statement::from_string(DbBackend::Sqlite, BRING_IN)).await.map(drop);
        // Where that fails, those who write do not wait for all of it.
        if done.is_ok() {
            done = writers.between(BRING_IN).await.unwrap_or(Ok(()));
        }
        if let Err(error) = done {
            tracing::debug!(error = crate::telemetry::chain(&error), "the log of changes stays as it is");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use secrecy::SecretString;

    use super::*;
    use crate::database::{Database, connect};

    async fn database(folder: &Path) -> Database {
        let url = SecretString::from(format!("sqlite://{}/a.db", folder.display()));
        let database = connect(Some(&url)).await.expect("opened");
        database.execute_unprepared("CREATE TABLE t (n INTEGER, text TEXT)").await.expect("made");
        database
    }

    async fn write(database: &Database, number: i32) {
        let transaction = database.begin_write().await.expect("its turn");
        let text = format!("INSERT INTO t VALUES ({number}, hex(zeroblob(2000)))");
        let insertion = Statement::from_string(DbBackend::Sqlite, text);
        transaction.commit_with(vec![insertion]).await.expect("written");
    }

    #[tokio::test]
    async fn what_takes_long_between_two_transactions_is_not_waited_for() {
        const LONG: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT count(*) FROM n";
        let folder = tempfile::tempdir().expect("a folder");
        let database = database(folder.path()).await;
        let writers = database.writer.as_ref().expect("SQLite has one").writers();
        write(&database, 1).await;
        assert!(writers.between("SELECT 1").await.is_some_and(|done| done.is_ok()));
        let late = writers.between(LONG).await.expect("somebody could write").expect_err("too long");
        assert!(crate::telemetry::chain(&late).contains("timed out"), "{late:?}");
        write(&database, 2).await;
        drop(database);
        assert!(!writers.are_there() && writers.between(LONG).await.is_none());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_log_begins_anew_while_others_write_and_read_without_a_pause() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = database(folder.path()).await;
        let writers = database.writer.as_ref().expect("SQLite has one").writers();
        let brought = tokio::spawn(run(database.connection.clone(), writers, Duration::from_millis(20)));
        let reader = database.clone();
        let reads = tokio::spawn(async move {
            loop {
                let count = Statement::from_string(DbBackend::Sqlite, "SELECT count(*) FROM t");
                reader.query_one_raw(count).await.expect("read");
            }
        });
        // How often the log has begun anew stands at its head.
        let log = folder.path().join("a.db-wal");
        let beginnings =
            || fs::read(&log).ok().and_then(|log| Some(u32::from_be_bytes(log.get(12..16)?.try_into().ok()?)));
        let mut written = 0;
        while beginnings().is_none_or(|times| times < 3) {
            assert!(written < 20_000, "the log goes on growing: {:?}", fs::metadata(&log).map(|log| log.len()));
            write(&database, written).await;
            written += 1;
        }
        reads.abort();
        assert!(reads.await.expect_err("ended from here").is_cancelled());
        let count = Statement::from_string(DbBackend::Sqlite, "SELECT count(*) AS n FROM t");
        let row = database.query_one_raw(count).await.expect("read").expect("a row");
        assert_eq!(row.try_get::<i32>("", "n").expect("a number"), written);
        drop(database);
        brought.await.expect("it ends with the last one who could write");
    }
}
