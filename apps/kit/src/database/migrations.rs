//! Migrations: plain SQL files, run in order, each exactly once and in a transaction of its own together with the note that it ran.
//!
//! What ran is kept in `schema_migrations` with a checksum of its text, so that a file changed after the fact is noticed.
//! Only `migrate` (a command of its own) writes; serving only reads [`Migrations::state`], which readiness is made of.
//!
//! On PostgreSQL others use the tables meanwhile. A statement that waits for a lock lets nobody pass who comes after it, so it waits
//! for [`LOCK_TIMEOUT`] only, and the file is tried again; an index can be made beside them (`CONCURRENTLY`, alone in its file).

use std::time::Duration;

use sea_orm::sqlx::PgConnection;
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, RuntimeErr, Statement};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::transaction::Transaction;
use super::{Database, concurrent};
use crate::config::Env;
use crate::{Failure, clock};

/// Taken by whoever migrates a PostgreSQL database, so that two do it one after the other.
const LOCK: i64 = 0x6d61_6e61;

/// Longest time for one statement of a migration (PostgreSQL): an index over a large table takes minutes.
const STEP_TIMEOUT: &str = "10min";
/// Longest wait for a lock on a table: all that want it after the migration wait behind it.
const LOCK_TIMEOUT: &str = "5s";
/// What PostgreSQL says then.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// How often a file is tried that did not get its locks, and how long the others have in between.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_secs(1);
/// Longest wait for another one that migrates, and how often that is looked at. Nobody waits inside of a statement: making an index
/// beside others would wait for that one in turn.
const TURN_TIMEOUT: Duration = Duration::from_mins(10);
const TURN_LOOK: Duration = Duration::from_millis(100);

const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at TEXT NOT NULL)";

/// One step of a schema.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

impl Migration {
    /// SQL that both engines understand.
    pub const fn shared(version: i64, name: &'static str, sql: &'static str) -> Self {
        Self { version, name, sqlite: sql, postgres: sql }
    }

    /// SQL that differs between the engines (triggers, as a rule).
    pub const fn split(version: i64, name: &'static str, sqlite: &'static str, postgres: &'static str) -> Self {
        Self { version, name, sqlite, postgres }
    }

    fn sql(&self, engine: DbBackend) -> &'static str {
        if engine == DbBackend::Sqlite { self.sqlite } else { self.postgres }
    }

    fn checksum(&self, engine: DbBackend) -> String {
        hex::encode(Sha256::digest(self.sql(engine)))
    }
}

/// All steps of a schema, in order of their versions.
#[derive(Debug, Clone, Copy)]
pub struct Migrations(pub &'static [Migration]);

/// How a database's schema compares with the steps this program knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Exactly these steps have run.
    Matches {
        /// The last one's version.
        version: i64,
    },
    /// Nothing has ever run.
    Empty,
    /// Some are still to run.
    Behind {
        /// How many.
        pending: usize,
    },
    /// Steps have run that this program does not know.
    Ahead {
        /// The last one's version.
        version: i64,
    },
    /// A step that ran had another text than this program's.
    Changed {
        /// Its version.
        version: i64,
    },
}

/// Why migrating failed. The step that failed has changed nothing; those before it stay.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A step failed.
    #[error("migration {version} ({name}) failed; it has changed nothing, what ran before it stays")]
    Step {
        /// Its version.
        version: i64,
        /// Its name.
        name: &'static str,
        /// Why.
        source: DbErr,
    },
    /// A step cannot be run as it stands.
    #[error("migration {version} ({name}): {why}")]
    Unfit {
        /// Its version.
        version: i64,
        /// Its name.
        name: &'static str,
        /// Why not.
        why: String,
    },
    /// Another one migrates, and does not come to its end.
    #[error("another one has been migrating this database for {} minutes", TURN_TIMEOUT.as_secs() / 60)]
    Busy,
    /// The database's history is not this program's.
    #[error("the database's schema is not one this program can bring up to date: {0:?}")]
    Foreign(State),
    /// The database does not answer.
    #[error("the database cannot be migrated")]
    Database(#[from] DbErr),
}

struct Applied {
    version: i64,
    checksum: String,
}

impl Migrations {
    /// The command `migrate` of a service: brings the database of its environment up to date.
    ///
    /// # Errors
    /// When `DATABASE_URL` is no address of a database, or it cannot be brought up to date.
    pub async fn command(&self, env: &Env) -> Result<(), Failure> {
        let url = env.optional("DATABASE_URL").map(SecretString::from);
        let database = super::connect(url.as_ref()).await?;
        let applied = self.run(&database).await.map_err(Failure::new)?;
        tracing::info!(?applied, "the database is up to date");
        Ok(())
    }

    /// Brings the database up to date; gives the versions that ran.
    ///
    /// # Errors
    /// A step fails, or the database was brought up by other steps than these. What ran before that stays.
    pub async fn run(&self, database: &Database) -> Result<Vec<i64>, MigrationError> {
        let mut ran = Vec::new();
        let until = Instant::now() + TURN_TIMEOUT;
        let mut refused = 0;
        loop {
            match self.step(database).await {
                Ok(Step::UpToDate) => return Ok(ran),
                Ok(Step::Ran(version)) => {
                    ran.push(version);
                    refused = 0;
                }
                Ok(Step::Busy) if Instant::now() < until => tokio::time::sleep(TURN_LOOK).await,
                Ok(Step::Busy) => return Err(MigrationError::Busy),
                Err(MigrationError::Step { version, name, source }) if is_locked(&source) && refused < LOCK_TRIES => {
                    refused += 1;
                    tracing::info!(version, name, refused, "others use what it changes; it is tried again");
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs the next pending file.
    async fn step(&self, database: &Database) -> Result<Step, MigrationError> {
        let engine = database.engine();
        let transaction = database.begin_write().await?;
        // A file may take longer than other statements do.
        let unbounded: &Transaction = &transaction;
        if engine == DbBackend::Postgres {
            let settings =
                format!("SET LOCAL statement_timeout = '{STEP_TIMEOUT}'; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'");
            transaction.execute_unprepared(&settings).await?;
            let turn = format!("SELECT pg_try_advisory_xact_lock({LOCK}) AS free");
            let turn = transaction.query_one_raw(Statement::from_string(engine, turn)).await?;
            if !turn.map(|row| row.try_get("", "free")).transpose()?.unwrap_or(false) {
                transaction.rollback().await?;
                return Ok(Step::Busy);
            }
        }
        transaction.execute_unprepared(TABLE).await?;
        let applied = read(&*transaction, engine).await?;
        let migration = match self.compare(&applied, engine) {
            State::Matches { .. } => {
                transaction.commit().await?;
                return Ok(Step::UpToDate);
            }
            State::Empty | State::Behind { .. } => &self.0[applied.len()],
            foreign => return Err(MigrationError::Foreign(foreign)),
        };
        let Migration { version, name, .. } = *migration;
        if engine == DbBackend::Postgres {
            let unfit = |why: concurrent::Unfit| MigrationError::Unfit { version, name, why: why.to_string() };
            if let Some(what) = concurrent::read(migration.sql(engine)).map_err(unfit)? {
                // The table of what ran has to be there for others, too.
                transaction.commit().await?;
                return self.beside_others(database, migration, &what).await;
            }
        }
        let failed = |source| MigrationError::Step { version, name, source };
        unbounded.execute_unprepared(migration.sql(engine)).await.map_err(failed)?;
        note(unbounded, migration, engine).await.map_err(failed)?;
        transaction.commit_unbounded().await.map_err(failed)?;
        Ok(Step::Ran(version))
    }

    /// Runs a file that no transaction may be around, on a connection of its own that holds the turn meanwhile.
    async fn beside_others(
        &self,
        database: &Database,
        migration: &Migration,
        what: &concurrent::Concurrent,
    ) -> Result<Step, MigrationError> {
        let pool = database.get_postgres_connection_pool();
        let mut connection = pool.acquire().await.map_err(concurrent::error)?.detach();
        let found = self.alone(&mut connection, migration, what).await;
        concurrent::close(connection).await;
        found
    }

    async fn alone(
        &self,
        connection: &mut PgConnection,
        migration: &Migration,
        what: &concurrent::Concurrent,
    ) -> Result<Step, MigrationError> {
        let Migration { version, name, .. } = *migration;
        let failed = |source| MigrationError::Step { version, name, source };
        if !concurrent::take_turn(connection, LOCK, STEP_TIMEOUT).await? {
            return Ok(Step::Busy);
        }
        // Another one may have had its turn in between.
        if concurrent::has_run(connection, version).await? {
            return Ok(Step::Busy);
        }
        let sql = migration.sql(DbBackend::Postgres);
        concurrent::run(connection, what, sql).await.map_err(failed)?;
        let checksum = migration.checksum(DbBackend::Postgres);
        concurrent::note(connection, version, name, &checksum, &clock::now().to_string()).await.map_err(failed)?;
        Ok(Step::Ran(version))
    }

    /// Compares without writing.
    pub async fn state(&self, database: &Database) -> Result<State, DbErr> {
        let engine = database.engine();
        let exists = match engine {
            DbBackend::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'",
            _ => "SELECT to_regclass('schema_migrations')::text WHERE to_regclass('schema_migrations') IS NOT NULL",
        };
        if database.query_one_raw(Statement::from_string(engine, exists)).await?.is_none() {
            return Ok(State::Empty);
        }
        Ok(self.compare(&read(&**database, engine).await?, engine))
    }

    fn compare(&self, applied: &[Applied], engine: DbBackend) -> State {
        for (known, ran) in self.0.iter().zip(applied) {
            if known.version != ran.version || known.checksum(engine) != ran.checksum {
                return State::Changed { version: ran.version };
            }
        }
        match (self.0.len(), applied) {
            (known, []) if known > 0 => State::Empty,
            (known, applied) if applied.len() < known => State::Behind { pending: known - applied.len() },
            (known, [.., last]) if applied.len() > known => State::Ahead { version: last.version },
            (_, applied) => State::Matches { version: applied.last().map_or(0, |last| last.version) },
        }
    }
}

async fn read(connection: &impl ConnectionTrait, engine: DbBackend) -> Result<Vec<Applied>, DbErr> {
    let query = Statement::from_string(engine, "SELECT version, checksum FROM schema_migrations ORDER BY version");
    let rows = connection.query_all_raw(query).await?;
    rows.iter()
        .map(|row| Ok(Applied { version: row.try_get("", "version")?, checksum: row.try_get("", "checksum")? }))
        .collect()
}

/// What came of a look at the next file.
enum Step {
    /// There is none.
    UpToDate,
    /// It ran.
    Ran(i64),
    /// Another one migrates.
    Busy,
}

fn is_locked(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
        return false;
    };
    error.as_database_error().and_then(DatabaseError::code).as_deref() == Some(LOCK_NOT_AVAILABLE)
}

/// Writes down that it ran.
async fn note(transaction: &Transaction, migration: &Migration, engine: DbBackend) -> Result<(), DbErr> {
    let marks = if engine == DbBackend::Sqlite { "?, ?, ?, ?" } else { "$1, $2, $3, $4" };
    let insert = format!("INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES ({marks})");
    let values = [
        migration.version.into(),
        migration.name.into(),
        migration.checksum(engine).into(),
        clock::now().to_string().into(),
    ];
    transaction.execute_raw(Statement::from_sql_and_values(engine, insert, values)).await.map(drop)
}
