//! The database: SQLite or PostgreSQL by `DATABASE_URL`, one code for both.
//!
//! Reads go through the pool ([`Database`] dereferences to SeaORM's connection). Whoever writes more than one statement
//! takes [`Database::begin_write`]: on SQLite writers queue fairly in the process and lock with their first statement
//! (`BEGIN IMMEDIATE`), so no transaction ever fails half-way because another one wrote in between. They share one connection:
//! what it keeps of the file stays true, since nobody else has written meanwhile, and is not read anew for each.
//!
//! Every commit is durable before it is acknowledged (`synchronous = FULL`, PostgreSQL's default).

mod bounded;
mod checkpoints;
mod concurrent;
mod failures;
mod migrations;
mod transaction;
mod writer;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::ConnectOptions as _;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, SqlErr, TransactionTrait};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::config;
use bounded::{ANSWER_TIMEOUT, Server};
use transaction::Transaction;
use writer::Writer;

pub use bounded::Bounded;
pub use failures::{is_conflict, is_unavailable};
pub use migrations::{Migration, MigrationError, Migrations, State};
pub use transaction::{CommitError, WriteTransaction};

/// Connections of one instance.
pub const POOL_SIZE: u32 = 10;

/// Of those, on SQLite, for transactions that write.
const WRITERS: u32 = 1;

/// Longest wait for a free connection; then 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait to open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for another process's write lock (SQLite).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a new SQLite file that another process is just making is tried again.
const BUSY_RETRY: Duration = Duration::from_millis(10);

/// Longest time that PostgreSQL gives one statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection keeps of SQLite's file. The kernel keeps the file anyway, once for all of them.
const PAGE_CACHE_KIB: u32 = 512;

/// Unused connections are closed after this.
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);

/// A pool of connections.
#[derive(Clone)]
pub struct Database {
    connection: Bounded<DatabaseConnection>,
    /// What the database is called.
    name: Arc<str>,
    /// SQLite knows one writer at a time.
    writer: Option<Writer>,
}

/// Opens the pool. The first connection is made when first needed, so a database that is away makes a service unready,
/// not dead.
pub async fn connect(url: Option<&SecretString>) -> Result<Database, crate::Failure> {
    let allowed = "sqlite:///PATH or postgres://USER:PASSWORD@HOST/NAME";
    let url = url.ok_or_else(|| config::Error::Missing { name: "DATABASE_URL".into(), allowed: allowed.into() })?;
    let text = url.expose_secret();
    let sqlite = text.starts_with("sqlite:");
    if !sqlite && !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err(config::Error::InvalidSecret { name: "DATABASE_URL".into(), allowed: allowed.into() }.into());
    }
    let server = Arc::new(Server::default());
    let mut options = ConnectOptions::new(text.to_owned());
    options
        .max_connections(POOL_SIZE)
        .min_connections(0)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        .sqlx_logging(false)
        .connect_lazy(true);
    if sqlite {
        // A file is there or the statement says so; asking first is a way to the connection's thread and back for each use.
        options.test_before_acquire(false);
        options.map_sqlx_sqlite_opts(durable);
        make_wal(options.clone()).await;
    } else {
        options.statement_timeout(STATEMENT_TIMEOUT);
        let tested = Arc::clone(&server);
        options.map_sqlx_postgres_pool_opts(move |pool| Arc::clone(&tested).tests(pool));
        // The server shows whose a connection is.
        if let Some(name) = std::env::var("MANA_SERVICE").ok().filter(|name| !name.is_empty()) {
            options.map_sqlx_postgres_opts(move |options| options.application_name(&name));
        }
    }
    let mut writer = None;
    if sqlite {
        options.max_connections(POOL_SIZE - WRITERS);
        let own: SqliteConnectOptions = text.parse().map_err(crate::Failure::new)?;
        writer = Some(Writer::new(durable(own).disable_statement_logging()));
    }
    let inner = sea_orm::Database::connect(options).await.map_err(crate::Failure::new)?;
    let connection = Bounded { inner, server };
    let name = name_of(text).into();
    if let Some(writer) = &writer {
        tokio::spawn(checkpoints::run(connection.clone(), writer.writers(), checkpoints::EVERY));
    }
    Ok(Database { connection, name, writer })
}

/// What every connection to a SQLite file wants of it.
fn durable(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .create_if_missing(true)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("journal_mode", "WAL")
        .pragma("synchronous", "FULL")
        .pragma("wal_autocheckpoint", checkpoints::MAX_LOG_PAGES.to_string())
        .pragma("cache_size", format!("-{PAGE_CACHE_KIB}"))
}

/// The last part of the URL's path, without the ending of a file; of its characters those that need no quoting anywhere.
fn name_of(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let name = last.strip_suffix(".db").unwrap_or(last);
    name.chars().filter(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(*letter)).collect()
}

/// Makes a new SQLite file what every connection wants it to be. SQLite does not wait for a lock while it changes the journal
/// mode, so of several processes that meet at a new file all but one would be refused; here they try again. Any other
/// problem is left to the first use, which reports it.
async fn make_wal(mut options: ConnectOptions) {
    options.max_connections(1).connect_lazy(false);
    let began = Instant::now();
    while began.elapsed() < BUSY_TIMEOUT {
        match sea_orm::Database::connect(options.clone()).await {
            Err(error) if error.to_string().contains("database is locked") => tokio::time::sleep(BUSY_RETRY).await,
            Err(_) => return,
            Ok(connection) => {
                if let Err(error) = connection.close().await {
                    tracing::debug!(%error, "the first connection did not close cleanly");
                }
                return;
            }
        }
    }
}

impl Database {
    /// Begins a transaction that writes. SQLite locks with its first statement; in this process nobody else has a turn from now on.
    pub async fn begin_write(&self) -> Result<WriteTransaction, DbErr> {
        let Bounded { inner, server } = &self.connection;
        let inner = match &self.writer {
            Some(writer) => {
                // That others write is no outage.
                let turn = writer.turn().await?;
                Transaction::Sqlite(server.answer(ANSWER_TIMEOUT, writer.open(turn)).await?)
            }
            None => Transaction::Postgres(server.answer(ANSWER_TIMEOUT, inner.begin()).await?),
        };
        Ok(WriteTransaction::new(inner, Arc::clone(server)))
    }

    /// For whoever waits for less long than a statement may take: there was no answer within `bound`. Gives the error.
    pub fn no_answer(&self, bound: Duration) -> DbErr {
        self.connection.server.no_answer(bound)
    }

    /// Which engine it is.
    pub fn engine(&self) -> DbBackend {
        self.connection.get_database_backend()
    }

    /// What the database is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Open connections and how many of them are unused.
    pub fn pool(&self) -> (u32, usize) {
        if let Some(writer) = &self.writer {
            let (reading, (open, unused)) = (self.connection.get_sqlite_connection_pool(), writer.pool());
            (reading.size() + open, reading.num_idle() + unused)
        } else {
            let pool = self.connection.get_postgres_connection_pool();
            (pool.size(), pool.num_idle())
        }
    }
}

impl Deref for Database {
    type Target = Bounded<DatabaseConnection>;

    fn deref(&self) -> &Self::Target {
        &self.connection
    }
}

/// Whether a statement failed because what must be unique was there already.
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

impl From<DbErr> for crate::Problem {
    /// A database that does not answer is 503; anything else is our fault.
    fn from(error: DbErr) -> Self {
        if is_unavailable(&error) {
            // Counted and said where it was found: in `bounded`.
            tracing::debug!(error = crate::telemetry::chain(&error), "the database does not answer");
            return Self::unavailable("database_unavailable", "The database does not answer; try again shortly.");
        }
        Self::internal(&error)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_database_is_called_by_the_last_part_of_its_url() {
        for (url, name) in [
            ("sqlite:///srv/data/chat.db", "chat"),
            ("postgres://u:p@127.0.0.1:5432/staging_chat?sslmode=require", "staging_chat"),
            ("postgres://u:p@h/a\"b\n}", "ab"),
        ] {
            assert_eq!(super::name_of(url), name, "{url}");
        }
    }
}
