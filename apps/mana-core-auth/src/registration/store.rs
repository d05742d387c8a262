//! Registrations that wait for their confirmation, in the database.

use jiff::Timestamp;
use kit::clock;
use kit::database::Database;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::entity::registration::{ActiveModel, Column, Entity, Model};
use crate::letters::Kind;
use crate::time;

/// What somebody has asked for.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) email: String,
    pub(super) name: String,
    pub(super) password_hash: String,
    pub(super) app_id: String,
}

/// Keeps it, with its letter to be sent.
pub(super) async fn write(connection: &impl ConnectionTrait, asked: Asked, now: Timestamp) -> Result<(), DbErr> {
    Entity::insert(row(asked, now)).exec_without_returning(connection).await.map(|_| ())
}

/// Keeps it without a letter of its own, in the place of what else was so asked for from there.
pub(super) async fn write_without_letter(
    database: &Database,
    asked: Asked,
    from: String,
    now: Timestamp,
) -> Result<(), DbErr> {
    let transaction = database.begin_write().await?;
    Entity::delete_many()
        .filter(Column::Email.eq(asked.email.as_str()))
        .filter(Column::AskedFrom.eq(from.as_str()))
        .exec(&*transaction)
        .await?;
    // As if it had gone: an older version beside this one knows no letter that is not to go.
    let row = ActiveModel { asked_from: Set(Some(from)), sent_at: Set(Some(now.as_millisecond())), ..row(asked, now) };
    Entity::insert(row).exec_without_returning(&*transaction).await?;
    transaction.commit().await
}

fn row(asked: Asked, now: Timestamp) -> ActiveModel {
    ActiveModel {
        id: Set(clock::new_id()),
        email: Set(asked.email),
        name: Set(asked.name),
        password_hash: Set(asked.password_hash),
        app_id: Set(asked.app_id),
        created_at: Set(now.as_millisecond()),
        expires_at: Set(time::later(now, Kind::Register.life())),
        sent_at: Set(None),
        attempts: Set(0),
        next_try_at: Set(now.as_millisecond()),
        asked_from: Set(None),
    }
}

/// How many were kept with a letter for an address since then; `most` where there are more.
pub(super) async fn recent(
    connection: &impl ConnectionTrait,
    email: &str,
    since: i64,
    most: u64,
) -> Result<u64, DbErr> {
    let asked = Entity::find()
        .filter(Column::Email.eq(email))
        .filter(Column::AskedFrom.is_null())
        .filter(Column::CreatedAt.gt(since))
        .limit(most);
    Ok(asked.all(connection).await?.len() as u64)
}

/// What was kept without a letter of its own for an address, asked for from there.
pub(super) async fn without_letter(
    connection: &impl ConnectionTrait,
    email: &str,
    from: &str,
    now: i64,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::Email.eq(email))
        .filter(Column::AskedFrom.eq(from))
        .filter(Column::ExpiresAt.gt(now))
        .order_by_desc(Column::CreatedAt)
        .one(connection)
        .await
}

/// One that can still be confirmed.
pub(super) async fn open(connection: &impl ConnectionTrait, id: Uuid, now: i64) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).filter(Column::ExpiresAt.gt(now)).one(connection).await
}

/// Takes it to make its account; false where that has been done.
pub(super) async fn take(connection: &impl ConnectionTrait, id: Uuid) -> Result<bool, DbErr> {
    Ok(Entity::delete_by_id(id).exec(connection).await?.rows_affected == 1)
}

/// Forgets whatever else was asked for with an address that has an account now.
pub(super) async fn forget_of(connection: &impl ConnectionTrait, email: &str) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::Email.eq(email)).exec(connection).await.map(|_| ())
}

/// Forgets what nobody has confirmed in its time.
pub(crate) async fn forget(connection: &impl ConnectionTrait, now: i64) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::ExpiresAt.lt(now)).exec(connection).await.map(|_| ())
}
