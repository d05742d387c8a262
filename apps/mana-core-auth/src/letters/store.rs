//! Letters in the database.

use jiff::Timestamp;
use kit::clock;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use super::{Kind, outgoing};
use crate::entity::letter::{ActiveModel, Column, Entity, Model};
use crate::entity::user;
use crate::time;

/// Writes a letter to a user, to be sent.
pub(crate) async fn write(
    connection: &impl ConnectionTrait,
    user: &user::Model,
    kind: Kind,
    now: Timestamp,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(clock::new_id()),
        user_id: Set(user.id),
        kind: Set(kind.as_str().to_owned()),
        email: Set(user.email.clone()),
        created_at: Set(now.as_millisecond()),
        expires_at: Set(time::later(now, kind.life())),
        used_at: Set(None),
        sent_at: Set(None),
        attempts: Set(0),
        next_try_at: Set(now.as_millisecond()),
    };
    Entity::insert(row).exec_without_returning(connection).await.map(|_| ())
}

/// How many letters of a kind a user was written since then whose codes were not used; `most` where there are more.
pub(super) async fn recent(
    connection: &impl ConnectionTrait,
    user: Uuid,
    kind: Kind,
    since: i64,
    most: u64,
) -> Result<u64, DbErr> {
    let letters = Entity::find()
        .filter(Column::UserId.eq(user))
        .filter(Column::Kind.eq(kind.as_str()))
        .filter(Column::UsedAt.is_null())
        .filter(Column::CreatedAt.gt(since))
        .limit(most);
    Ok(letters.all(connection).await?.len() as u64)
}

/// Letters that are due, the oldest first.
pub(super) async fn due(
    connection: &impl ConnectionTrait,
    now: i64,
    attempts: i64,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    outgoing::due::<Entity>(now, attempts, limit).filter(Column::UsedAt.is_null()).all(connection).await
}

/// Uses a letter's code: once, in its time. Gives the letter.
pub(crate) async fn use_code(
    connection: &impl ConnectionTrait,
    id: Uuid,
    kind: Kind,
    now: i64,
) -> Result<Option<Model>, DbErr> {
    let update = Entity::update_many()
        .col_expr(Column::UsedAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::Kind.eq(kind.as_str()))
        .filter(Column::UsedAt.is_null())
        .filter(Column::ExpiresAt.gt(now));
    if update.exec(connection).await?.rows_affected == 0 {
        return Ok(None);
    }
    Entity::find_by_id(id).one(connection).await
}

/// All other codes of a kind stop counting.
pub(crate) async fn use_up(connection: &impl ConnectionTrait, user: Uuid, kind: Kind, now: i64) -> Result<(), DbErr> {
    let update = Entity::update_many()
        .col_expr(Column::UsedAt, Expr::value(now))
        .filter(Column::UserId.eq(user))
        .filter(Column::Kind.eq(kind.as_str()))
        .filter(Column::UsedAt.is_null());
    update.exec(connection).await.map(|_| ())
}

/// Forgets letters whose code does not count any more.
pub(crate) async fn forget(connection: &impl ConnectionTrait, before: i64) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::ExpiresAt.lt(before)).exec(connection).await.map(|_| ())
}

pub(crate) async fn forget_of(connection: &impl ConnectionTrait, user: Uuid) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::UserId.eq(user)).exec(connection).await.map(|_| ())
}
