//! `Idempotency-Key`: a call that comes again gets the same answer, and the model and the ledger hear of it once.
//!
//! The written rule:
//! - A key belongs to a user and an operation. With the same body it is the same call, with another one a mistake (409).
//! - Two at once: one is carried out, the other waits for its answer ([`PATIENCE`]), then is told to come again (409).
//! - An answer is kept in the transaction that stores it, and given again, streams included, for [`KEPT`].
//! - A call that failed cost nothing and leaves nothing behind: with the same key it is carried out anew. One that was paid
//!   for though its conversation was deleted meanwhile is done: it is told that its answer is deleted.
//! - Who works on a call renews its lease. A process that dies stops doing so, and the next call takes over; should the
//!   first one still live, its transaction finds the other's name and fails, so there is one answer and one charge.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kit::clock;
use kit::database::Database;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, InsertMany, QueryFilter, QueryOrder,
    QuerySelect, Select,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::entity::{idempotent_answer as answers, idempotent_call as calls};
use crate::failure::Failure;
use crate::ids::ConversationId;
use crate::lifecycle::{Answered, chain, storage};
use crate::time::now_ms;

/// The header.
pub(crate) const HEADER: &str = "idempotency-key";

/// Longest key, in bytes: a UUID with a name before it fits many times.
const MAX_KEY_BYTES: usize = 255;

/// How long an answer is given again: whoever tries for longer than a day means another call.
const KEPT: Duration = Duration::from_hours(24);

/// Answers kept for one person; the oldest go first.
const MAX_KEPT: u64 = 10_000;

/// How long a call is believed to be under way without a sign of life, and how often it gives one.
const LEASE: Duration = Duration::from_secs(30);
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// How long the second of two equal calls waits for the first one's answer, and how often it looks.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at whether it has: first, and at most, since each is a question to the database.
const LOOK_AFTER: Duration = Duration::from_millis(100);
const LOOK_AT_LATEST: Duration = Duration::from_secs(1);
/// Calls of one person that wait for others with their keys at once; a further one is told to come again.
const MOST_WAITING: usize = 64;

/// Rows that a sweep removes at a time, until there are no more: each time is a transaction, and others write between two.
const SWEPT_AT_ONCE: u64 = 500;

/// What makes two calls the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    user: Uuid,
    operation: &'static str,
    hash: String,
    body_hash: String,
}

impl Key {
    /// The key of a call, if its header holds one that can be one.
    pub(crate) fn read(
        header: Option<&[u8]>,
        user: Uuid,
        operation: &'static str,
        body: impl FnOnce() -> String,
    ) -> Result<Option<Self>, Failure> {
        let Some(key) = header else { return Ok(None) };
        if key.is_empty() || key.len() > MAX_KEY_BYTES || !key.iter().all(u8::is_ascii_graphic) {
            let says = format!("must have 1 to {MAX_KEY_BYTES} visible ASCII characters");
            return Err(Failure::Invalid(vec![kit::FieldError::new("Idempotency-Key", says)]));
        }
        let hash = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
        Ok(Some(Self { user, operation, hash: hash(key), body_hash: hash(body().as_bytes()) }))
    }

    fn row(&self) -> Condition {
        Condition::all()
            .add(calls::Column::UserId.eq(self.user))
            .add(calls::Column::Operation.eq(self.operation))
            .add(calls::Column::KeyHash.eq(self.hash.as_str()))
    }
}

/// What is to be done with a call.
pub(crate) enum Claim {
    /// Carry it out.
    Run(Execution),
    /// Give this again.
    Replay(Box<Answered>),
}

/// The right to carry a call out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Execution(Uuid);

/// An answer to keep, written in the transaction that stores it.
#[derive(Debug, Clone)]
pub(crate) struct Keep {
    pub(crate) execution: Execution,
    pub(crate) answer: String,
}

impl Keep {
    /// Marks the call as done: what it belongs to is stored in this transaction, or was deleted already. Fails where another one
    /// has taken over.
    pub(crate) async fn done(&self, db: &impl ConnectionTrait) -> Result<(), DbErr> {
        let done = calls::Entity::update_many()
            .col_expr(calls::Column::Done, Expr::value(true))
            .filter(calls::Column::Execution.eq(self.execution.0))
            .exec(db)
            .await?;
        if done.rows_affected != 1 {
            return Err(DbErr::Custom("another one has taken over the call of this Idempotency-Key".into()));
        }
        Ok(())
    }

    /// What keeps answers, to be given again for as long as their conversations are there; nothing where there are none.
    pub(crate) fn insertion<'a>(
        kept: impl Iterator<Item = (&'a Self, ConversationId)>,
    ) -> Option<InsertMany<answers::ActiveModel>> {
        let row = |(keep, conversation): (&Self, ConversationId)| answers::ActiveModel {
            execution: Set(keep.execution.0),
            conversation_id: Set(conversation.0),
            answer: Set(keep.answer.clone()),
        };
        let rows: Vec<_> = kept.map(row).collect();
        (!rows.is_empty()).then(|| answers::Entity::insert_many(rows))
    }
}

/// What a look at a key's row shows.
enum Look {
    Mine(Execution),
    Done(Uuid),
    Running,
    /// There is no row any more: it was given up.
    Gone,
}

/// How many calls of each person wait.
#[derive(Debug, Clone, Default)]
struct Waiting(Arc<Mutex<HashMap<Uuid, usize>>>);

/// One that waits.
struct Waits {
    waiting: Waiting,
    user: Uuid,
}

impl Waiting {
    fn begin(&self, user: Uuid) -> Option<Waits> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(user).or_default();
        if *count >= MOST_WAITING {
            return None;
        }
        *count += 1;
        Some(Waits { waiting: self.clone(), user })
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut counts = self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.user);
            }
        }
    }
}

/// The tables `idempotent_calls` and `idempotent_answers`.
#[derive(Clone)]
pub(crate) struct Calls {
    db: Database,
    waiting: Waiting,
}

impl Calls {
    pub(crate) fn new(db: Database) -> Self {
        Self { db, waiting: Waiting::default() }
    }

    /// Says whether to carry a call out; waits for another one that does so already.
    pub(crate) async fn claim(&self, key: &Key) -> Result<Claim, Failure> {
        let mut look = self.first(key).await?;
        let (mut pause, mut waits) = (LOOK_AFTER, None);
        let waited = async {
            loop {
                look = match look {
                    Look::Mine(execution) => return Ok(Claim::Run(execution)),
                    Look::Done(execution) => return self.answer(execution).await,
                    Look::Gone => self.first(key).await?,
                    Look::Running => {
                        if waits.is_none() {
                            waits = Some(self.waiting.begin(key.user).ok_or(Failure::InProgress)?);
                        }
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(LOOK_AT_LATEST);
                        self.look(key).await?
                    }
                };
            }
        };
        tokio::time::timeout(PATIENCE, waited).await.unwrap_or(Err(Failure::InProgress))
    }

    /// Makes the row, unless there is one.
    async fn first(&self, key: &Key) -> Result<Look, Failure> {
        let (now, execution) = (now_ms(), clock::new_id());
        let row = calls::ActiveModel {
            user_id: Set(key.user),
            operation: Set(key.operation.to_owned()),
            key_hash: Set(key.hash.clone()),
            body_hash: Set(key.body_hash.clone()),
            execution: Set(execution),
            done: Set(false),
            lease_until: Set(now + millis(LEASE)),
            created_at: Set(now),
        };
        let first = OnConflict::new().do_nothing().to_owned();
        let inserted = calls::Entity::insert(row).on_conflict(first).exec_without_returning(&*self.db).await;
        if inserted.map_err(|e| storage(&e))? == 1 {
            return Ok(Look::Mine(Execution(execution)));
        }
        self.look(key).await
    }

    async fn look(&self, key: &Key) -> Result<Look, Failure> {
        let (now, execution) = (now_ms(), clock::new_id());
        let row = calls::Entity::find().filter(key.row()).one(&*self.db).await.map_err(|e| storage(&e))?;
        let Some(row) = row else { return Ok(Look::Gone) };
        if row.body_hash != key.body_hash {
            return Err(Failure::KeyReused);
        }
        if row.done {
            return Ok(Look::Done(row.execution));
        }
        if row.lease_until > now {
            return Ok(Look::Running);
        }
        let taken = calls::Entity::update_many()
            .col_expr(calls::Column::Execution, Expr::value(execution))
            .col_expr(calls::Column::LeaseUntil, Expr::value(now + millis(LEASE)))
            .filter(key.row())
            .filter(calls::Column::Execution.eq(row.execution))
            .filter(calls::Column::Done.eq(false))
            .exec(&*self.db)
            .await
            .map_err(|e| storage(&e))?;
        if taken.rows_affected == 1 {
            tracing::warn!(before = %row.execution, %execution, "a call whose executor fell silent is carried out anew");
            return Ok(Look::Mine(Execution(execution)));
        }
        Ok(Look::Running)
    }

    async fn answer(&self, execution: Uuid) -> Result<Claim, Failure> {
        let row = answers::Entity::find_by_id(execution).one(&*self.db).await.map_err(|e| storage(&e))?;
        let row = row.ok_or(Failure::AnswerDeleted)?;
        let answered = serde_json::from_str(&row.answer).map_err(|error| {
            tracing::error!(%error, %execution, "a kept answer cannot be read");
            Failure::Storage
        })?;
        metrics::counter!("chat_replays_total").increment(1);
        Ok(Claim::Replay(answered))
    }

    /// Renews the lease for as long as it is polled.
    pub(crate) async fn keep_alive(&self, execution: Option<Execution>) {
        let Some(execution) = execution else { return std::future::pending().await };
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let renewed = calls::Entity::update_many()
                .col_expr(calls::Column::LeaseUntil, Expr::value(now_ms() + millis(LEASE)))
                .filter(calls::Column::Execution.eq(execution.0))
                .exec(&*self.db)
                .await;
            if let Err(error) = renewed {
                tracing::warn!(error = %chain(&error), "the lease of a call was not renewed");
            }
        }
    }

    /// Forgets a call that failed, so that it can be made again. What this misses ends with its lease.
    pub(crate) async fn give_up(&self, execution: Execution) {
        let given_up = calls::Entity::delete_many()
            .filter(calls::Column::Execution.eq(execution.0))
            .filter(calls::Column::Done.eq(false))
            .exec(&*self.db)
            .await;
        if let Err(error) = given_up {
            tracing::warn!(error = %chain(&error), "a failed call keeps its Idempotency-Key until its lease ends");
        }
    }

    /// Removes what is too old, and what is too much. Gives how many calls it removed.
    pub(crate) async fn sweep(&self, now_ms: i64) -> Result<u64, DbErr> {
        use calls::Column;
        let aged = calls::Entity::find().filter(Column::CreatedAt.lt(now_ms - millis(KEPT)));
        let mut swept = self.remove(aged).await?;
        let greedy: Vec<Uuid> = calls::Entity::find()
            .select_only()
            .column(Column::UserId)
            .group_by(Column::UserId)
            .having(Column::KeyHash.count().gt(MAX_KEPT))
            .into_tuple()
            .all(&*self.db)
            .await?;
        for user in greedy {
            let theirs = calls::Entity::find().filter(Column::UserId.eq(user)).filter(Column::Done.eq(true));
            swept += self.remove(theirs.order_by_desc(Column::CreatedAt).offset(MAX_KEPT)).await?;
        }
        Ok(swept)
    }

    /// Removes all calls that are found, with their answers; how many those were.
    async fn remove(&self, found: Select<calls::Entity>) -> Result<u64, DbErr> {
        let found = found.select_only().column(calls::Column::Execution).limit(SWEPT_AT_ONCE);
        let mut removed = 0;
        loop {
            let executions: Vec<Uuid> = found.clone().into_tuple().all(&*self.db).await?;
            if executions.is_empty() {
                return Ok(removed);
            }
            let tx = self.db.begin_write().await?;
            let theirs = answers::Column::Execution.is_in(executions.iter().copied());
            answers::Entity::delete_many().filter(theirs).exec(&*tx).await?;
            let theirs = calls::Column::Execution.is_in(executions.iter().copied());
            let now = calls::Entity::delete_many().filter(theirs).exec(&*tx).await?.rows_affected;
            tx.commit().await?;
            removed += now;
            if now < SWEPT_AT_ONCE {
                return Ok(removed);
            }
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_one_user_operation_and_body() {
        let (ada, eve) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let read = |key: &[u8], user, operation, body: &str| {
            Key::read(Some(key), user, operation, || body.to_owned()).unwrap().unwrap()
        };
        let one = read(b"k", ada, "chat", "{}");
        assert_eq!(one, read(b"k", ada, "chat", "{}"));
        for other in [
            read(b"l", ada, "chat", "{}"),
            read(b"k", eve, "chat", "{}"),
            read(b"k", ada, "v1", "{}"),
            read(b"k", ada, "chat", "{ }"),
        ] {
            assert_ne!(one, other);
        }
        assert!(Key::read(None, ada, "chat", String::new).unwrap().is_none());
        for wrong in [&b""[..], b"with space", &[0xff], &[b'k'; 256]] {
            assert!(Key::read(Some(wrong), ada, "chat", String::new).is_err());
        }
    }

    #[test]
    fn so_many_calls_of_a_person_wait_and_no_more() {
        let (waiting, ada, bob) = (Waiting::default(), Uuid::from_u128(1), Uuid::from_u128(2));
        let mut all: Vec<Waits> = (0..MOST_WAITING).map(|_| waiting.begin(ada).unwrap()).collect();
        assert!(waiting.begin(ada).is_none() && waiting.begin(bob).is_some());
        drop(all.pop());
        assert!(waiting.begin(ada).is_some());
        drop(all);
        assert!(waiting.0.lock().unwrap().is_empty(), "nobody is kept who does not wait");
    }
}
