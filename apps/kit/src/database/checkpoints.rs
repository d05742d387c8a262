//! SQLite's log of changes is brought into its file aside, once a second. SQLite itself does it within the commit that finds a
//! thousand pages in the log, and whoever waits for that commit waits for all of it.
//!
//! While others write, this never comes to the log's very end, so that it goes on growing; a commit that finds it at
//! [`MAX_LOG_PAGES`] brings in the little that is left, and the log begins anew. Nothing of it is about what is durable: the log
//! is, with each commit.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use tokio::time::sleep;

use super::Bounded;
use super::writer::Writers;

/// Pages of the log, of 4 KiB each.
pub(super) const MAX_LOG_PAGES: u32 = 16_000;

/// How often it is brought in.
const EVERY: Duration = Duration::from_secs(1);

/// Brings the log in for as long as there is somebody who could write.
pub(super) async fn run(connection: Bounded<DatabaseConnection>, writers: Writers) {
    loop {
        sleep(EVERY).await;
        if writers.strong_count() == 0 {
            return;
        }
        // It waits for nobody, and what it cannot bring in comes with the next one.
        let statement = Statement::from_string(DbBackend::Sqlite, "PRAGMA wal_checkpoint(PASSIVE)");
        if let Err(error) = connection.query_one_raw(statement).await {
            tracing::debug!(error = crate::telemetry::chain(&error), "the log of changes stays as it is");
        }
    }
}
