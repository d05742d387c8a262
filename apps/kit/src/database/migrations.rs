//! Migrations: plain SQL files, run in order, each exactly once, all pending ones in one transaction.
//!
//! What ran is kept in `schema_migrations` with a checksum of its text, so that a file changed after the fact is noticed.
//! Only `migrate` (a command of its own) writes; serving only reads [`Migrations::state`], which readiness is made of.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use super::Database;
use crate::config::Env;
use crate::{Failure, clock};

/// Taken by whoever migrates a PostgreSQL database, so that two do it one after the other.
const LOCK: i64 = 0x6d61_6e61;

/// Longest time for one statement of a migration, the wait for another one's lock included (PostgreSQL): an index over a
/// large table takes minutes.
const STEP_TIMEOUT: &str = "10min";

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

/// Why migrating failed. Nothing of it has been applied.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A step failed.
    #[error("migration {version} ({name}) failed; nothing was changed")]
    Step {
        /// Its version.
        version: i64,
        /// Its name.
        name: &'static str,
        /// Why.
        source: DbErr,
    },
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
    pub async fn run(&self, database: &Database) -> Result<Vec<i64>, MigrationError> {
        let transaction = database.begin_write().await?;
        if database.engine() == DbBackend::Postgres {
            transaction.execute_unprepared(&format!("SET LOCAL statement_timeout = '{STEP_TIMEOUT}'")).await?;
            transaction.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
        }
        transaction.execute_unprepared(TABLE).await?;
        let applied = read(&*transaction, database.engine()).await?;
        match self.compare(&applied, database.engine()) {
            State::Matches { .. } => Ok(Vec::new()),
            State::Empty | State::Behind { .. } => {
                let pending = &self.0[applied.len()..];
                for migration in pending {
                    apply(&transaction, migration, database.engine()).await?;
                }
                transaction.commit().await?;
                Ok(pending.iter().map(|migration| migration.version).collect())
            }
            foreign => Err(MigrationError::Foreign(foreign)),
        }
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

async fn apply(
    transaction: &DatabaseTransaction,
    migration: &Migration,
    engine: DbBackend,
) -> Result<(), MigrationError> {
    let step = |source| MigrationError::Step { version: migration.version, name: migration.name, source };
    transaction.execute_unprepared(migration.sql(engine)).await.map_err(step)?;
    let marks = if engine == DbBackend::Sqlite { "?, ?, ?, ?" } else { "$1, $2, $3, $4" };
    let insert = format!("INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES ({marks})");
    let values = [
        migration.version.into(),
        migration.name.into(),
        migration.checksum(engine).into(),
        clock::now().to_string().into(),
    ];
    transaction.execute_raw(Statement::from_sql_and_values(engine, insert, values)).await.map_err(step)?;
    Ok(())
}
