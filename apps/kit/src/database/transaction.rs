//! Transactions that write, of either engine.

use std::ops::Deref;
use std::sync::Arc;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement};

use super::bounded::{ANSWER_TIMEOUT, Bounded, COMMIT_TIMEOUT, Server};
use super::writer::Turn;
use crate::failpoint;

/// A transaction that writes; dropped without [`WriteTransaction::commit`] it is rolled back.
pub struct WriteTransaction(Bounded<Transaction>);

impl WriteTransaction {
    pub(super) fn new(inner: Transaction, server: Arc<Server>) -> Self {
        Self(Bounded { inner, server })
    }

    /// Makes it durable. After an error it is not known whether it is.
    pub async fn commit(self) -> Result<(), DbErr> {
        let Bounded { inner, server } = self.0;
        server.answer(COMMIT_TIMEOUT, inner.commit()).await
    }

    /// Executes its last statements and makes it durable; on SQLite in one go, so that parameters with a number (`?1`) are those of
    /// all of them together.
    pub async fn commit_with(self, statements: Vec<Statement>) -> Result<(), CommitError> {
        let Bounded { inner, server } = self.0;
        let turn = match inner {
            Transaction::Sqlite(turn) => turn,
            Transaction::Postgres(transaction) => {
                let transaction = Bounded { inner: transaction, server };
                for statement in statements {
                    transaction.execute_raw(statement).await.map_err(CommitError::Undone)?;
                }
                failpoint::here("database: written, not committed");
                let Bounded { inner, server } = transaction;
                return server.answer(COMMIT_TIMEOUT, inner.commit()).await.map_err(CommitError::Unknown);
            }
        };
        let mut undone = false;
        let commit = async {
            turn.commit_with(statements).await.map_err(|error| {
                undone = matches!(error, CommitError::Undone(_));
                error.into()
            })
        };
        // Without an answer in time nothing is known.
        let outcome = server.answer(ANSWER_TIMEOUT, commit).await;
        outcome.map_err(|error| if undone { CommitError::Undone(error) } else { CommitError::Unknown(error) })
    }

    /// Undoes it.
    pub async fn rollback(self) -> Result<(), DbErr> {
        let Bounded { inner, server } = self.0;
        server.answer(ANSWER_TIMEOUT, inner.rollback()).await
    }

    /// Makes it durable, however long that takes.
    pub(super) async fn commit_unbounded(self) -> Result<(), DbErr> {
        self.0.inner.commit().await
    }
}

impl Deref for WriteTransaction {
    type Target = Bounded<Transaction>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Why a transaction is not known to be durable.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// One of its statements was refused: nothing of it is there.
    #[error("not written: {0}")]
    Undone(#[source] DbErr),
    /// It may be there or not.
    #[error("perhaps not written: {0}")]
    Unknown(#[source] DbErr),
}

impl From<CommitError> for DbErr {
    fn from(error: CommitError) -> Self {
        let (CommitError::Undone(error) | CommitError::Unknown(error)) = error;
        error
    }
}

/// A transaction of either engine.
pub enum Transaction {
    /// The one that writes at this time.
    Sqlite(Turn),
    /// One of many.
    Postgres(DatabaseTransaction),
}

impl Transaction {
    async fn commit(self) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(turn) => turn.commit().await,
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }

    async fn rollback(self) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(turn) => turn.rollback().await,
            Self::Postgres(transaction) => transaction.rollback().await,
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Sqlite(turn) => turn.get_database_backend(),
            Self::Postgres(transaction) => transaction.get_database_backend(),
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(turn) => turn.execute_raw(statement).await,
            Self::Postgres(transaction) => transaction.execute_raw(statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(turn) => turn.execute_unprepared(sql).await,
            Self::Postgres(transaction) => transaction.execute_unprepared(sql).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match self {
            Self::Sqlite(turn) => turn.query_one_raw(statement).await,
            Self::Postgres(transaction) => transaction.query_one_raw(statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Sqlite(turn) => turn.query_all_raw(statement).await,
            Self::Postgres(transaction) => transaction.query_all_raw(statement).await,
        }
    }
}
