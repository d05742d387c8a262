//! Whether a service lives (`/api/health`), and whether it can do its work (`/api/health/ready`).
//!
//! Ready means: its migrations match and a real table answers. Dependencies are reported by name, but they do not take
//! readiness down: a service whose ledger is away still reads conversations, and says so.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use sea_orm::{ConnectionTrait, Statement};

use crate::database::{Database, Migrations, State};

/// Longest time for the database's check. Whoever probes waits two seconds; an answer after that is none.
const SCHEMA_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest time for a dependency's check: one that hangs must be reported in time, not take the report with it.
const DEPENDENCY_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a dependency's answer is kept: probes come every few seconds from several sides.
const DEPENDENCY_AGE: Duration = Duration::from_secs(2);

type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// What a service's readiness is made of.
#[derive(Clone, Default)]
pub(crate) struct Health {
    pub(crate) schema: Option<Schema>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A database, what its schema must be, and a table of it that must answer.
#[derive(Clone)]
pub(crate) struct Schema {
    pub(crate) database: Database,
    pub(crate) migrations: Migrations,
    pub(crate) table: &'static str,
}

/// What a check said, and when.
type Seen = (Instant, Result<(), String>);

/// Something the service calls.
#[derive(Clone)]
pub(crate) struct Dependency {
    name: &'static str,
    check: Check,
    last: Arc<Mutex<Option<Seen>>>,
}

/// The answer of the ready probe.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<Part>,
    dependencies: Vec<Part>,
}

/// One part and how it is.
#[derive(Debug, Serialize)]
struct Part {
    name: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Part {
    fn of(name: &'static str, result: Result<Option<String>, String>) -> Self {
        match result {
            Ok(detail) => Self { name, status: "up", detail },
            Err(detail) => Self { name, status: "down", detail: Some(detail) },
        }
    }
}

impl Health {
    pub(crate) async fn report(&self) -> Report {
        let database = async {
            match &self.schema {
                Some(schema) => Some(Part::of("database", schema.check().await)),
                None => None,
            }
        };
        let parts = self.dependencies.iter().map(|it| async { Part::of(it.name, it.state().await.map(|()| None)) });
        let (database, dependencies) = tokio::join!(database, futures_util::future::join_all(parts));
        let ready = database.as_ref().is_none_or(|part| part.status == "up");
        Report { status: if ready { "ready" } else { "unready" }, database, dependencies }
    }
}

impl Report {
    pub(crate) fn is_ready(&self) -> bool {
        self.status == "ready"
    }
}

impl Schema {
    async fn check(&self) -> Result<Option<String>, String> {
        let check = async {
            match self.migrations.state(&self.database).await.map_err(|error| error.to_string())? {
                // Ahead: a newer version has brought it on while this one still serves, which it may only do in ways that this one bears.
                state @ (State::Matches { version } | State::Ahead { version }) => {
                    let query = format!("SELECT 1 FROM {} LIMIT 1", self.table);
                    let statement = Statement::from_string(self.database.engine(), query);
                    self.database.query_one_raw(statement).await.map_err(|error| error.to_string())?;
                    let ahead = if matches!(state, State::Ahead { .. }) { ", ahead of this program" } else { "" };
                    Ok(Some(format!("schema {version}{ahead}")))
                }
                State::Empty => Err("the schema is empty: run `migrate`".to_owned()),
                State::Behind { pending } => Err(format!("{pending} migrations are pending: run `migrate`")),
                State::Changed { version } => Err(format!("migration {version} ran with another text")),
            }
        };
        timeout(SCHEMA_TIMEOUT, check).await.unwrap_or_else(|_| Err(format!("no answer within {SCHEMA_TIMEOUT:?}")))
    }
}

impl Dependency {
    pub(crate) fn new<F, Fut>(name: &'static str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self { name, check: Arc::new(move || Box::pin(check())), last: Arc::default() }
    }

    async fn state(&self) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some((at, result)) = &*last
            && at.elapsed() < DEPENDENCY_AGE
        {
            return result.clone();
        }
        let result = timeout(DEPENDENCY_TIMEOUT, (self.check)()).await;
        let result = result.unwrap_or_else(|_| Err(format!("no answer within {DEPENDENCY_TIMEOUT:?}")));
        *last = Some((Instant::now(), result.clone()));
        result
    }
}
