//! The two places of a service in an environment.

use std::fmt;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

/// Where a release of a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) enum Slot {
    /// Where everything begins.
    #[default]
    Blue,
    /// The other one.
    Green,
}

impl Slot {
    pub(crate) const ALL: [Self; 2] = [Self::Blue, Self::Green];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }

    /// What its instances' logs are told apart by: blue's have the names that all had before there was green.
    pub(crate) fn log_name(self) -> &'static str {
        match self {
            Self::Blue => "",
            Self::Green => "green-",
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl ToSql for Slot {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for Slot {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        Self::ALL.into_iter().find(|slot| slot.as_str() == name).ok_or(FromSqlError::InvalidType)
    }
}
