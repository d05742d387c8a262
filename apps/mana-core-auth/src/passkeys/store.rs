//! Passkeys in the database.

use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::ceremony::Made;
use crate::entity::passkey::{ActiveModel, Column, Entity, Model};

pub(super) async fn insert(
    connection: &impl ConnectionTrait,
    user: Uuid,
    name: String,
    made: Made,
    now: i64,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(made.id),
        user_id: Set(user),
        name: Set(name),
        algorithm: Set(made.algorithm),
        public_key: Set(made.public_key),
        sign_count: Set(made.sign_count),
        created_at: Set(now),
        last_used_at: Set(None),
    };
    Entity::insert(row).exec_without_returning(connection).await.map(|_| ())
}

pub(super) async fn by_id(connection: &impl ConnectionTrait, id: &str) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(connection).await
}

pub(super) async fn of(connection: &impl ConnectionTrait, user: Uuid) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::UserId.eq(user)).order_by_asc(Column::CreatedAt).all(connection).await
}

/// Notes a use; false where another one at the same moment has.
pub(super) async fn touch(connection: &impl ConnectionTrait, key: &Model, count: i64, now: i64) -> Result<bool, DbErr> {
    let update = Entity::update_many()
        .col_expr(Column::SignCount, Expr::value(count))
        .col_expr(Column::LastUsedAt, Expr::value(now))
        .filter(Column::Id.eq(&key.id))
        .filter(Column::SignCount.eq(key.sign_count));
    Ok(update.exec(connection).await?.rows_affected == 1)
}

pub(super) async fn remove(connection: &impl ConnectionTrait, user: Uuid, id: &str) -> Result<bool, DbErr> {
    let delete = Entity::delete_many().filter(Column::UserId.eq(user)).filter(Column::Id.eq(id));
    Ok(delete.exec(connection).await?.rows_affected == 1)
}
