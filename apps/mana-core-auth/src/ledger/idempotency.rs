//! Calls with a key: carried out once, answered the same ever after.
//!
//! The key's row is written first, in the transaction of the posting: whoever comes second waits for it (or fails with
//! it) and then finds the answer. A key belongs to a user and an operation; with another body it is a conflict.

use std::time::Duration;

use kit::database::WriteTransaction;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::{Ask, Error, Now, Refusal};
use crate::entity::idempotency_key::{ActiveModel, Column, Entity};

/// Whether a call is the first with its key.
pub(super) enum Claim<T> {
    /// It is; carry it out and [`remember`] the answer.
    First,
    /// It was carried out before, with this outcome.
    Before(Result<T, Refusal>),
}

/// Claims a key for a call.
pub(super) async fn claim<T: DeserializeOwned>(
    transaction: &WriteTransaction,
    operation: &str,
    key: &str,
    ask: &Ask,
    ttl: Option<Duration>,
    now: Now,
) -> Result<Claim<T>, Error> {
    let request_hash = hash(ask, ttl);
    let row = ActiveModel {
        user_id: Set(ask.user),
        operation: Set(operation.to_owned()),
        key: Set(key.to_owned()),
        request_hash: Set(request_hash.clone()),
        answer: Set(None),
        created_at: Set(now.as_millisecond()),
    };
    let mut unless_there = OnConflict::columns([Column::UserId, Column::Operation, Column::Key]);
    let insert = Entity::insert(row).on_conflict(unless_there.do_nothing().to_owned());
    if insert.exec_without_returning(&**transaction).await? == 1 {
        return Ok(Claim::First);
    }
    let id = (ask.user, operation.to_owned(), key.to_owned());
    let before = Entity::find_by_id(id).one(&**transaction).await?;
    let before = before.filter(|before| before.request_hash == request_hash).ok_or(Refusal::KeyReused)?;
    let answer = before.answer.as_deref().map(serde_json::from_str);
    match answer {
        Some(Ok(answer)) => Ok(Claim::Before(answer)),
        // A row without an answer cannot have been committed; one that cannot be read is as good as another body.
        Some(Err(_)) | None => Err(Refusal::KeyReused.into()),
    }
}

/// Stores the outcome of a claimed call.
pub(super) async fn remember<T: Serialize>(
    transaction: &WriteTransaction,
    operation: &str,
    key: &str,
    ask: &Ask,
    outcome: &Result<T, Refusal>,
) -> Result<(), Error> {
    let answer = serde_json::to_string(outcome).expect("an outcome is strings and numbers");
    let update = Entity::update_many()
        .col_expr(Column::Answer, Expr::value(answer))
        .filter(Column::UserId.eq(ask.user))
        .filter(Column::Operation.eq(operation))
        .filter(Column::Key.eq(key));
    update.exec(&**transaction).await?;
    Ok(())
}

fn hash(ask: &Ask, ttl: Option<Duration>) -> String {
    let canonical =
        serde_json::to_vec(&(ask, ttl.map(|ttl| ttl.as_secs()))).expect("a question is strings and numbers");
    hex::encode(Sha256::digest(canonical))
}
