//! The one way of exchanges into the database: a bounded queue, and a writer that stores what has come together in one
//! transaction. So many answers at once cost one commit, and one that comes alone waits for nobody.
//!
//! Nobody is told that something is stored before the commit that carries it.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use kit::database::{CommitError, Database};
use kit::failpoint;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait, QueryTrait, Statement};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::attachments;
use super::erasure::Erased;
use super::store::{Exchange, RecordError, Recorded, Target, touch};
use crate::entity::{conversation, message};
use crate::idempotency::Keep;
use crate::lifecycle::chain;
use crate::outbox::Instruction;

/// Exchanges that wait: a second's worth at what the writer does.
const QUEUE: usize = 1_024;

/// Exchanges stored in one transaction: enough that the commit's share is small, and few enough for the parameters that one
/// statement may have.
const BATCH: usize = 64;

/// Longest wait, the queue included; longer than a transaction waits for its connection and its statements.
const PATIENCE: Duration = Duration::from_secs(25);

/// Where exchanges are stored.
#[derive(Clone)]
pub(super) struct Recorder {
    queue: mpsc::Sender<Asked>,
}

struct Asked {
    exchange: Arc<Exchange>,
    told: oneshot::Sender<Result<Recorded, RecordError>>,
}

impl Recorder {
    /// Starts the writer; it ends when nobody can ask any more.
    pub(super) fn start(db: Database) -> Self {
        let (queue, asked) = mpsc::channel(QUEUE);
        tokio::spawn(write_all(db, asked));
        Self { queue }
    }

    /// Stores an exchange.
    pub(super) async fn record(&self, exchange: Arc<Exchange>) -> Result<Recorded, RecordError> {
        let (told, outcome) = oneshot::channel();
        let ask = async {
            self.queue.send(Asked { exchange, told }).await.map_err(|_| RecordError::Busy)?;
            // Its batch panicked: nobody knows how far it had come.
            outcome.await.unwrap_or(Err(RecordError::Lost))
        };
        timeout(PATIENCE, ask).await.unwrap_or(Err(RecordError::Lost))
    }
}

async fn write_all(db: Database, mut asked: mpsc::Receiver<Asked>) {
    let mut batch = Vec::with_capacity(BATCH);
    while asked.recv_many(&mut batch, BATCH).await > 0 {
        // Whoever has given up was told that nothing is known; so nothing is done.
        batch.retain(|asked| !asked.told.is_closed());
        // Two instances that touch the same conversations do it in the same order, so that neither waits for the other for ever.
        batch.sort_unstable_by_key(|asked| asked.exchange.target.id().0);
        let batch = std::mem::take(&mut batch);
        // A panic, whose message the panic hook has written, costs this batch alone. What it has seen is gone with it.
        if AssertUnwindSafe(store(&db, batch)).catch_unwind().await.is_err() {
            tracing::error!("a batch of exchanges panicked");
        }
    }
}

/// Stores a batch and tells; where one of it cannot be written, each by itself.
async fn store(db: &Database, batch: Vec<Asked>) {
    let (exchanges, waiting): (Vec<_>, Vec<_>) = batch.into_iter().map(|asked| (asked.exchange, asked.told)).unzip();
    if exchanges.is_empty() {
        return;
    }
    match transact(db, &exchanges).await {
        Err(RecordError::NotStored(error)) if exchanges.len() > 1 => {
            tracing::warn!(error = %chain(&error), exchanges = exchanges.len(), "exchanges are stored one by one: one of them cannot be");
            for (exchange, told) in exchanges.into_iter().zip(waiting) {
                let outcome = transact(db, &[exchange]).await;
                let _ = told.send(outcome.and_then(|recorded| recorded[0].ok_or(RecordError::Gone)));
            }
        }
        outcome => {
            for (n, told) in waiting.into_iter().enumerate() {
                let outcome = outcome.as_ref().map_err(Clone::clone);
                // Who no longer waits finds it in the conversation, and the outbox finds its instruction.
                let _ = told.send(outcome.and_then(|recorded| recorded[n].ok_or(RecordError::Gone)));
            }
        }
    }
}

/// One transaction; what came of each. Of `None` nothing is stored: its conversation is gone.
async fn transact(db: &Database, exchanges: &[Arc<Exchange>]) -> Result<Vec<Option<Recorded>>, RecordError> {
    let not_stored = |error| RecordError::NotStored(Arc::new(error));
    let transaction = db.begin_write().await.map_err(not_stored)?;
    let (recorded, statements) = prepare(&*transaction, exchanges).await.map_err(not_stored)?;
    // Dropping the transaction rolls it back.
    if recorded.iter().any(Option::is_some) {
        failpoint::here("chat: before the exchange is written");
        transaction.commit_with(statements).await.map_err(|error| match error {
            CommitError::Undone(error) => not_stored(error),
            CommitError::Unknown(error) => RecordError::Unknown(Arc::new(error)),
        })?;
    }
    Ok(recorded)
}

/// Looks at what is there and takes what others must not change meanwhile; what will have come of each, and what writes the rows.
async fn prepare(
    transaction: &impl ConnectionTrait,
    exchanges: &[Arc<Exchange>],
) -> Result<(Vec<Option<Recorded>>, Vec<Statement>), DbErr> {
    let engine = transaction.get_database_backend();
    let (there, made) = conversations(transaction, exchanges).await?;
    let outcome = |(exchange, is_there): (&Arc<Exchange>, bool)| match (is_there, exchange.delivered) {
        (true, _) => Some(Recorded::Whole),
        (false, true) => Some(Recorded::ChargeOnly),
        (false, false) => None,
    };
    let recorded: Vec<_> = exchanges.iter().zip(there).map(outcome).collect();
    let all = || exchanges.iter().zip(&recorded);
    let charged = || all().filter(|(_, it)| it.is_some()).map(|(exchange, _)| exchange);
    let whole = || all().filter(|(_, it)| **it == Some(Recorded::Whole)).map(|(exchange, _)| exchange);
    let mut statements = Vec::new();
    if charged().next().is_none() {
        return Ok((recorded, statements));
    }
    if !made.is_empty() {
        statements.push(conversation::Entity::insert_many(made).build(engine));
    }
    if whole().next().is_some() {
        let rows = whole().flat_map(|exchange| question(exchange).into_iter().chain([answer(exchange)]));
        statements.push(message::Entity::insert_many(rows).build(engine));
        let attached = whole().map(|exchange| (exchange.question_id.0, exchange.attachments.as_slice()));
        statements.extend(attachments::insertion(attached).map(|insertion| insertion.build(engine)));
    }
    let settles = charged().map(|exchange| (exchange.settle, exchange.now));
    statements.push(Instruction::insertion(settles).build(engine));
    for exchange in charged() {
        if let Some(keep) = &exchange.keep {
            keep.done(transaction).await?;
        }
    }
    let kept = whole().filter_map(|exchange| Some((exchange.keep.as_ref()?, exchange.target.id())));
    statements.extend(Keep::insertion(kept).map(|insertion| insertion.build(engine)));
    Ok((recorded, statements))
}

/// Touches their conversations; which of them are there, and those that are to be made.
async fn conversations(
    transaction: &impl ConnectionTrait,
    exchanges: &[Arc<Exchange>],
) -> Result<(Vec<bool>, Vec<conversation::ActiveModel>), DbErr> {
    let is_new = |exchange: &Exchange| matches!(exchange.target, Target::New { .. });
    let owners: BTreeSet<_> = exchanges.iter().filter(|it| is_new(it)).map(|it| it.owner).collect();
    let erased = if owners.is_empty() { None } else { Some(Erased::find(transaction, &owners).await?) };
    let (mut stored, mut rows) = (Vec::with_capacity(exchanges.len()), Vec::new());
    for exchange in exchanges {
        let is_there = match &exchange.target {
            Target::Existing { id, title } => touch(transaction, exchange, *id, title).await?,
            Target::New { .. } => erased.as_ref().is_some_and(|it| it.admits(exchange.owner, exchange.begun)),
        };
        stored.push(is_there);
        if let (true, Target::New { id, title, origin }) = (is_there, &exchange.target) {
            rows.push(conversation::ActiveModel {
                id: Set(id.0),
                user_id: Set(exchange.owner),
                title: Set(title.clone()),
                origin: Set(origin.as_str().to_owned()),
                created_at: Set(exchange.now),
                updated_at: Set(exchange.now),
                archived_at: Set(None),
                active_leaf: Set(Some(exchange.answer.id.0)),
                system_prompt: Set(None),
            });
        }
    }
    Ok((stored, rows))
}

fn question(exchange: &Exchange) -> Option<message::ActiveModel> {
    let content = exchange.question.clone()?;
    Some(message::ActiveModel {
        id: Set(exchange.question_id.0),
        conversation_id: Set(exchange.target.id().0),
        role: Set(ai::Role::User.as_str().to_owned()),
        content: Set(content),
        model: Set(None),
        finish: Set(None),
        prompt_tokens: Set(None),
        completion_tokens: Set(None),
        price: Set(None),
        created_at: Set(exchange.now),
        parent_id: Set(exchange.parent),
    })
}

fn answer(exchange: &Exchange) -> message::ActiveModel {
    let answer = &exchange.answer;
    message::ActiveModel {
        id: Set(answer.id.0),
        conversation_id: Set(exchange.target.id().0),
        role: Set(ai::Role::Assistant.as_str().to_owned()),
        content: Set(answer.content.clone()),
        model: Set(Some(answer.model.clone())),
        finish: Set(Some(answer.finish.to_owned())),
        prompt_tokens: Set(answer.usage.map(|u| i64::from(u.prompt_tokens))),
        completion_tokens: Set(answer.usage.map(|u| i64::from(u.completion_tokens))),
        price: Set(Some(exchange.settle.amount.units())),
        created_at: Set(exchange.now),
        parent_id: Set(if exchange.question.is_some() { Some(exchange.question_id.0) } else { exchange.parent }),
    }
}
