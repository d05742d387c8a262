//! Statements that end. A server that is halted, or whose machine is gone, breaks no connection: it says nothing, and its
//! own `statement_timeout` with it. So every statement has a bound on this side too, and so has every test of a connection;
//! sqlx's own wait for as long as it takes.
//!
//! Here is also where it is noticed that the database does not answer, whoever asks it.

use std::io::ErrorKind;
use std::ops::Deref;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sea_orm::sqlx::postgres::PgPoolOptions;
use sea_orm::sqlx::{self, Connection, PgConnection};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement};
use tokio::time::{Instant, timeout};

use super::{STATEMENT_TIMEOUT, failures};
use crate::outage::Outage;

/// Longest wait for a statement, the wait for a connection included: the server gives up before that, if it lives.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);

/// Longest wait for a commit. Below the server's own limit, and that matters: a PostgreSQL that waits for its standby when
/// its `statement_timeout` comes says that the commit is done, though it is on one machine alone. Nobody is to hear that.
pub(super) const COMMIT_TIMEOUT: Duration = Duration::from_secs(8);

const _: () = assert!(COMMIT_TIMEOUT.as_secs() < STATEMENT_TIMEOUT.as_secs());
const _: () = assert!(STATEMENT_TIMEOUT.as_secs() < ANSWER_TIMEOUT.as_secs());

/// Longest wait for a connection to show that it lives. It leaves time for opening another one.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// For so long after a statement was cut off, connections are tested before they go back to the pool: it may have been
/// theirs, or a transaction's whose end comes later.
const DOUBT: Duration = Duration::from_secs(30);

/// What all connections of a pool know of their server.
#[derive(Debug)]
pub(super) struct Server {
    outage: Outage,
    cut_off: Mutex<Option<Instant>>,
}

impl Default for Server {
    fn default() -> Self {
        Self { outage: Outage::new("database"), cut_off: Mutex::default() }
    }
}

impl Server {
    /// Waits for an answer of the database, within a bound.
    pub(super) async fn answer<T>(
        &self,
        bound: Duration,
        call: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        let mut call = pin!(call);
        // Dropped before the call is, and so before its connection is looked at.
        let mut cut_off = CutOff { server: self, ended: false };
        let outcome = match timeout(bound, call.as_mut()).await {
            Ok(outcome) => {
                cut_off.ended = true;
                outcome
            }
            Err(_) => return Err(self.no_answer(bound)),
        };
        match &outcome {
            Err(error) if failures::is_unavailable(error) => self.failed(error),
            _ => self.outage.answered(),
        }
        outcome
    }

    /// There was no answer within a bound.
    pub(super) fn no_answer(&self, bound: Duration) -> DbErr {
        let error = DbErr::Conn(RuntimeErr::Internal(format!("no answer within {bound:?}")));
        self.failed(&error);
        error
    }

    fn failed(&self, error: &DbErr) {
        metrics::counter!("database_unavailable_total").increment(1);
        self.outage.failed(error);
    }

    fn is_doubted(&self) -> bool {
        let cut_off = *self.cut_off.lock().unwrap_or_else(PoisonError::into_inner);
        cut_off.is_some_and(|at| at.elapsed() < DOUBT)
    }

    /// A pool whose connections are tested before they are used, and, after something was cut off, before they go back to it.
    pub(super) fn tests(self: Arc<Self>, pool: PgPoolOptions) -> PgPoolOptions {
        pool.test_before_acquire(false).before_acquire(|connection, _| Box::pin(lives(connection))).after_release(
            move |connection, _| {
                let is_doubted = self.is_doubted();
                Box::pin(async move { if is_doubted { lives(connection).await } else { Ok(true) } })
            },
        )
    }
}

/// A call that nobody waited for to the end: its answer may still come, to whoever uses the connection next.
struct CutOff<'a> {
    server: &'a Server,
    ended: bool,
}

impl Drop for CutOff<'_> {
    fn drop(&mut self) {
        if !self.ended {
            *self.server.cut_off.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }
}

async fn lives(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let ping = timeout(PING_TIMEOUT, connection.ping()).await;
    let ping = ping.unwrap_or_else(|_| Err(sqlx::Error::Io(ErrorKind::TimedOut.into())));
    if let Err(error) = &ping {
        tracing::debug!(%error, "a connection to the database is closed");
    }
    Ok(ping.is_ok())
}

/// A connection, pool or transaction whose statements end.
pub struct Bounded<C> {
    pub(super) inner: C,
    pub(super) server: Arc<Server>,
}

impl<C: Clone> Clone for Bounded<C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), server: Arc::clone(&self.server) }
    }
}

/// To what is not bounded: for migrations, which may take long.
impl<C> Deref for Bounded<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.inner
    }
}

#[async_trait::async_trait]
impl<C: ConnectionTrait> ConnectionTrait for Bounded<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.server.answer(ANSWER_TIMEOUT, self.inner.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.server.answer(ANSWER_TIMEOUT, self.inner.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.server.answer(ANSWER_TIMEOUT, self.inner.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.server.answer(ANSWER_TIMEOUT, self.inner.query_all_raw(statement)).await
    }
}
