//! A service's own database, as far as it is looked at before a migration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mana_delivery::migration::Engine;
use mana_manifest::plan::{Plan, Run, Service};
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Handle;
use url::Url;

use crate::postgres::Server;
use crate::secrets::Secrets;

/// What the server shows of whoever asks.
const APPLICATION: &str = "mana";
/// Nobody waits for long for an answer that may be none.
const OPTIONS: &str = "-c statement_timeout=10s -c lock_timeout=2s";
/// Longest time for saying how much it holds, the way there included.
const LONGEST_LOOK: Duration = Duration::from_secs(15);
/// What its own tables take up, with their indexes.
const BYTES: &str = "SELECT coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::bigint FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'";

/// Where it is. An address goes to nobody but the database's own programs.
#[derive(Debug, Clone)]
pub(crate) enum Database {
    Sqlite(PathBuf),
    Postgres(SecretString),
}

impl Database {
    /// As the service itself is told, secrets included.
    pub(crate) fn of(plan: &Plan, service: &Service) -> Result<Self, String> {
        let Run::Command(command) = &service.run else { return Err(format!("{} is no program", service.name)) };
        let value = command.env.get("DATABASE_URL").ok_or_else(|| {
            format!("{0} has migrations and no database: name one with `database` in [services.{0}]", service.name)
        })?;
        let known = Secrets::load(&plan.data).map_err(|error| error.to_string())?;
        let revealed = value.reveal(|name| known.get(name).map(|value| value.expose_secret().to_owned()));
        let url = revealed.map_err(|name| format!("the secret {name} is missing; `mana secret set {name}`"))?;
        Self::at(url)
    }

    pub(crate) fn at(url: String) -> Result<Self, String> {
        match url.split(':').next().unwrap_or_default() {
            "sqlite" => {
                let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
                Ok(Self::Sqlite(path.split('?').next().unwrap_or_default().into()))
            }
            "postgres" | "postgresql" => Ok(Self::Postgres(url.into())),
            other => Err(format!("the guard of migrations reads SQLite's and PostgreSQL's SQL, and this is {other}'s")),
        }
    }

    pub(crate) fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// How much it holds, where that can be said. Blocks, on a thread of the runtime that may.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let bytes = match self {
            Self::Sqlite(path) => sqlite_bytes(path).map_err(|error| error.to_string()),
            Self::Postgres(url) => Handle::current().block_on(async {
                let asked = tokio::time::timeout(LONGEST_LOOK, postgres_bytes(url)).await;
                asked.unwrap_or_else(|_| Err("no answer".to_owned()))
            }),
        };
        bytes.inspect_err(|why| tracing::info!(why, "nobody can say how much a database holds")).ok()
    }
}

/// With what is not in the file itself yet.
fn sqlite_bytes(path: &Path) -> std::io::Result<u64> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // There is none while nobody has it open.
    let log = std::fs::metadata(log).map_or(0, |log| log.len());
    Ok(std::fs::metadata(path)?.len() + log)
}

async fn postgres_bytes(url: &SecretString) -> Result<u64, String> {
    let connection = server(url)?.connect().await.map_err(|error| error.to_string())?;
    let row = connection.client.query_one(BYTES, &[]).await.map_err(|error| crate::postgres::in_words(&error))?;
    u64::try_from(row.get::<_, i64>(0)).map_err(|error| error.to_string())
}

/// The server that an address names, for a short look.
pub(crate) fn server(url: &SecretString) -> Result<Server, String> {
    let url = Url::parse(url.expose_secret()).map_err(|error| format!("its URL is not understood: {error}"))?;
    Server::new(url, APPLICATION, OPTIONS)
}
