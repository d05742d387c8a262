//! What services need and nobody here runs: databases, Redis, model providers; the channels by which people are told; and the files of SQLite.
//!
//! | module | what it is |
//! |---|---|
//! | `found` | which there are: the manifest's dependencies and channels, and what services' addresses name |
//! | `session` | one of them, asked again and again over the connection that it keeps |
//! | `postgres`, `redis`, `plain`, `sqlite` | how each is asked |
//! | `put` | the answer as samples |
//!
//! Who is asked is only read from. An address holds secrets: it is in no log, no error and no `Debug`.

mod found;
mod plain;
mod postgres;
mod put;
mod redis;
mod session;
mod sqlite;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;
pub(crate) use found::{Found, found, has_proxy};
pub(super) use put::put;
pub(super) use session::{Reading, Session};

/// Most that are asked; a small team has some ten.
pub(crate) const MAX_OUTSIDE: usize = 100;

/// One that is asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outside {
    /// What alerts and people call it.
    pub(crate) name: String,
    pub(crate) what: What,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// Services that use it.
    pub(crate) users: BTreeSet<String>,
}

/// What it is, and where.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// A server, with those of its databases that are named here.
    Postgres { url: Address, databases: BTreeSet<String> },
    /// A server.
    Redis { url: Address },
    /// Answers HTTP, well with this status.
    Http { url: Address, status: Option<u16> },
    /// Takes connections.
    Tcp { host: String, port: u16 },
    /// Takes messages for people, at least connections for them; and why it has not taken the last one.
    Channel { server: Option<(String, u16)>, refusing: Option<String> },
    /// A file of SQLite.
    Sqlite { database: String, file: PathBuf },
}

impl Outside {
    /// What its series are kept by.
    pub(super) fn target(&self) -> String {
        match self.what {
            What::Channel { .. } => format!("channel/{}/asked", self.name),
            _ => format!("outside/{}", self.name),
        }
    }

    /// The label that says whose a series is.
    pub(super) fn labels(&self) -> Vec<(String, String)> {
        let (label, value) = match &self.what {
            What::Postgres { .. } | What::Redis { .. } => ("server", &self.name),
            What::Http { .. } | What::Tcp { .. } => ("dependency", &self.name),
            What::Channel { .. } => ("channel", &self.name),
            What::Sqlite { database, .. } => ("database", database),
        };
        vec![(label.to_owned(), value.clone())]
    }
}
