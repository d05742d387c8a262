//! The two engines that a service's data may live in.

use sqlparser::dialect::{Dialect, PostgreSqlDialect, SQLiteDialect};

/// Whose SQL a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL 12 or later: older ones cannot add an enum's value within a transaction, and are past their end of life.
    Postgres,
    /// SQLite 3.
    Sqlite,
}

impl Engine {
    /// As in a file's name: `0003_append_only.postgres.sql`.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        }
    }

    pub(super) fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::Postgres => &PostgreSqlDialect {},
            Self::Sqlite => &SQLiteDialect {},
        }
    }
}
