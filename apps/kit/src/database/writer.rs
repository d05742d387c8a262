//! SQLite's one connection for transactions that write. Whoever writes takes a turn at it, in the order of asking, rather than
//! poll for SQLite's lock.
//!
//! Each way to the connection's thread and back costs more than most statements do there, so a transaction makes few of them: it
//! begins with its first statement (`BEGIN IMMEDIATE` goes along), and [`Turn::commit_with`] ends it with its last ones.

use std::io::ErrorKind;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::TryStreamExt;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteQueryResult};
use sea_orm::sqlx::{self, AssertSqlSafe, ConnectOptions as _, Either, Executor as _, SqliteConnection};
use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement, Value, Values,
};
use sea_query_sqlx::SqlxValues;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use super::{ACQUIRE_TIMEOUT, CommitError};

const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";

/// How long those who write wait for what is done between two of their transactions: well below what they wait for their turn.
const LONGEST_BETWEEN: Duration = Duration::from_secs(1);

/// SQLite's code for what a constraint refuses, in the last byte.
const CONSTRAINT: u32 = 19;

/// The connection, opened by whoever needs it first.
#[derive(Clone)]
pub(super) struct Writer {
    options: SqliteConnectOptions,
    connection: Arc<Mutex<Option<SqliteConnection>>>,
}

/// Everybody who could write.
pub(super) struct Writers(Weak<Mutex<Option<SqliteConnection>>>);

impl Writers {
    pub(super) fn are_there(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Executes something between two transactions, where any was made yet. `None`: nobody is there any more.
    pub(super) async fn between(&self, sql: &'static str) -> Option<Result<(), DbErr>> {
        let connection = self.0.upgrade()?;
        let mut connection = connection.lock().await;
        let Some(open) = connection.as_mut() else { return Some(Ok(())) };
        let late = |_| Err(sqlx::Error::Io(ErrorKind::TimedOut.into()));
        let done = timeout(LONGEST_BETWEEN, open.execute(sql)).await.unwrap_or_else(late);
        if done.is_err() {
            // Whoever writes next opens another; what is late comes to its end in the thread of this one.
            *connection = None;
        }
        Some(done.map(drop).map_err(|error| DbErr::Exec(sqlx_error(error))))
    }
}

impl Writer {
    pub(super) fn new(options: SqliteConnectOptions) -> Self {
        Self { options, connection: Arc::default() }
    }

    pub(super) fn writers(&self) -> Writers {
        Writers(Arc::downgrade(&self.connection))
    }

    /// Waits for its turn.
    pub(super) async fn turn(&self) -> Result<Turn, DbErr> {
        let turn = timeout(ACQUIRE_TIMEOUT, self.connection.clone().lock_owned()).await;
        let connection = turn.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))?;
        Ok(Turn(Mutex::new(Held { connection: Some(connection), open: false, busy: false, broken: false })))
    }

    /// Opens the connection for whose turn it is, where it is not open.
    pub(super) async fn open(&self, mut turn: Turn) -> Result<Turn, DbErr> {
        if let Some(connection) = turn.0.get_mut().connection.as_mut().filter(|connection| connection.is_none()) {
            let opened = self.options.connect().await;
            **connection = Some(opened.map_err(|error| DbErr::Conn(sqlx_error(error)))?);
        }
        Ok(turn)
    }

    /// Open connections, and how many of them are unused.
    pub(super) fn pool(&self) -> (u32, usize) {
        match self.connection.try_lock().as_deref() {
            Ok(None) => (0, 0),
            Ok(Some(_)) => (1, 1),
            Err(_) => (1, 0),
        }
    }
}

/// A transaction that has its turn; dropped, it is undone.
pub struct Turn(Mutex<Held>);

struct Held {
    /// There until it is dropped.
    connection: Option<OwnedMutexGuard<Option<SqliteConnection>>>,
    /// Whether a transaction may be open.
    open: bool,
    /// Whether the connection's thread may be at a statement of it.
    busy: bool,
    /// Whether something failed that SQLite may have undone the transaction for: what came after it would be no part of any.
    broken: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take().filter(|_| self.open) else { return };
        match Handle::try_current() {
            Ok(runtime) if !self.busy => {
                // Who comes next waits for it.
                runtime.spawn(async move {
                    let Some(open) = connection.as_mut() else { return };
                    if open.execute("ROLLBACK").await.is_err() {
                        *connection = None;
                    }
                });
            }
            // Closing it undoes what is open on it, whatever its thread is at. The next one opens another.
            _ => *connection = None,
        }
    }
}

/// What came of statements that went together.
#[derive(Default)]
struct Outcome {
    rows: Vec<QueryResult>,
    result: SqliteQueryResult,
    /// Statements that were carried out.
    done: usize,
}

impl Held {
    fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        let connection = self.connection.as_mut().and_then(|held| held.as_mut());
        let over = || sqlx::Error::Protocol("an error before has ended the transaction".into());
        connection.filter(|_| !self.broken).ok_or_else(over)
    }

    /// What goes before the next statement.
    fn opening(&mut self) -> &'static str {
        if std::mem::replace(&mut self.open, true) { "" } else { BEGIN }
    }

    /// After an answer, or none. What is refused for what must be unique, or there, leaves the transaction as it was.
    fn answered<T>(&mut self, answer: Result<T, sqlx::Error>) -> Result<T, RuntimeErr> {
        self.busy = false;
        answer.map_err(|error| {
            let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
            self.broken |= code.is_none_or(|code| code & 0xff != CONSTRAINT);
            sqlx_error(error)
        })
    }

    /// Carries out statements in their order, and tells in `outcome` how far it came.
    async fn run(&mut self, sql: String, values: Vec<Value>, outcome: &mut Outcome) -> Result<(), RuntimeErr> {
        self.busy = true;
        let answer = carry_out(self.connection(), sql, values, outcome).await;
        self.answered(answer)
    }

    async fn statement(&mut self, statement: Statement) -> Result<Outcome, RuntimeErr> {
        let mut outcome = Outcome::default();
        let sql = joined([self.opening(), &statement.sql]);
        let values = statement.values.map_or_else(Vec::new, |values| values.0);
        self.run(sql, values, &mut outcome).await?;
        Ok(outcome)
    }

    async fn end(&mut self, sql: &'static str) -> Result<(), DbErr> {
        if self.open {
            let mut outcome = Outcome::default();
            self.run(sql.to_owned(), Vec::new(), &mut outcome).await.map_err(DbErr::Exec)?;
            if outcome.done != 1 {
                return Err(DbErr::Exec(sqlx_error(sqlx::Error::WorkerCrashed)));
            }
            self.open = false;
        }
        Ok(())
    }
}

async fn carry_out(
    connection: Result<&mut SqliteConnection, sqlx::Error>,
    sql: String,
    values: Vec<Value>,
    outcome: &mut Outcome,
) -> Result<(), sqlx::Error> {
    // What `BEGIN` is answered with is about the statement before it.
    let ignored = usize::from(sql.starts_with(BEGIN));
    let query = sqlx::query_with(AssertSqlSafe(sql), SqlxValues(Values(values)));
    // A thread that dies in between ends this as if it had come to its end: whoever has to know counts.
    let mut answers = connection?.fetch_many(query);
    while let Some(answer) = answers.try_next().await? {
        match answer {
            Either::Left(result) => {
                if outcome.done >= ignored {
                    outcome.result.extend([result]);
                }
                outcome.done += 1;
            }
            Either::Right(row) => outcome.rows.push(row.into()),
        }
    }
    Ok(())
}

impl Turn {
    pub(super) async fn commit(self) -> Result<(), DbErr> {
        self.0.into_inner().end(COMMIT).await
    }

    pub(super) async fn rollback(self) -> Result<(), DbErr> {
        self.0.into_inner().end("ROLLBACK").await
    }

    /// Carries out the last statements, of one each, and commits, in one go.
    pub(super) async fn commit_with(self, statements: Vec<Statement>) -> Result<(), CommitError> {
        let mut held = self.0.into_inner();
        let (mut texts, mut values) = (vec![held.opening().to_owned()], Vec::new());
        for statement in statements {
            texts.push(statement.sql);
            values.extend(statement.values.into_iter().flat_map(|values| values.0));
        }
        texts.retain(|text| !text.is_empty());
        let before_commit = texts.len();
        texts.push(COMMIT.to_owned());
        let mut outcome = Outcome::default();
        let answer = held.run(joined(texts.iter().map(String::as_str)), values, &mut outcome).await;
        match answer {
            Ok(()) if outcome.done > before_commit => {
                held.open = false;
                Ok(())
            }
            Ok(()) => Err(CommitError::Unknown(DbErr::Exec(sqlx_error(sqlx::Error::WorkerCrashed)))),
            Err(error) if outcome.done < before_commit => Err(CommitError::Undone(DbErr::Exec(error))),
            Err(error) => Err(CommitError::Unknown(DbErr::Exec(error))),
        }
    }
}

/// Statements as one text; those that are empty are none.
fn joined<'a>(statements: impl IntoIterator<Item = &'a str>) -> String {
    let mut joined = String::new();
    for statement in statements.into_iter().filter(|statement| !statement.is_empty()) {
        if !joined.is_empty() {
            joined.push_str("\n;\n");
        }
        joined.push_str(statement);
    }
    joined
}

fn sqlx_error(error: sqlx::Error) -> RuntimeErr {
    RuntimeErr::SqlxError(Arc::new(error))
}

#[async_trait::async_trait]
impl ConnectionTrait for Turn {
    fn get_database_backend(&self) -> DbBackend {
        DbBackend::Sqlite
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let outcome = self.0.lock().await.statement(statement).await.map_err(DbErr::Exec)?;
        Ok(outcome.result.into())
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let mut held = self.0.lock().await;
        let sql = joined([held.opening(), sql]);
        held.busy = true;
        let done = match held.connection() {
            Ok(connection) => connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await,
            Err(error) => Err(error),
        };
        held.answered(done).map(ExecResult::from).map_err(DbErr::Exec)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.query_all_raw(statement).await?.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let outcome = self.0.lock().await.statement(statement).await.map_err(DbErr::Query)?;
        Ok(outcome.rows)
    }
}
