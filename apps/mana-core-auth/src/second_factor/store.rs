//! Second factors in the database.

use kit::database::WriteTransaction;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter};
use uuid::Uuid;

use super::recovery_hash;
use crate::entity::recovery_code::{self, Entity as RecoveryCodes};
use crate::entity::second_factor::{ActiveModel, Column, Entity, Model};

pub(super) async fn of(connection: &impl ConnectionTrait, user: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(user).one(connection).await
}

/// The second factor that is asked for.
pub(super) async fn active(connection: &impl ConnectionTrait, user: Uuid) -> Result<Option<Model>, DbErr> {
    Ok(of(connection, user).await?.filter(|factor| factor.confirmed_at.is_some()))
}

/// Keeps a new secret that is still to be confirmed, in the place of another such one.
pub(super) async fn begin(tx: &WriteTransaction, user: Uuid, sealed: String, now: i64) -> Result<(), DbErr> {
    Entity::delete_by_id(user).exec(&**tx).await?;
    let row = ActiveModel {
        user_id: Set(user),
        secret: Set(sealed),
        created_at: Set(now),
        confirmed_at: Set(None),
        last_step: Set(0),
    };
    Entity::insert(row).exec_without_returning(&**tx).await.map(|_| ())
}

pub(super) async fn confirm(tx: &WriteTransaction, user: Uuid, now: i64) -> Result<(), DbErr> {
    let update = Entity::update_many().col_expr(Column::ConfirmedAt, Expr::value(now)).filter(Column::UserId.eq(user));
    update.exec(&**tx).await.map(|_| ())
}

/// Takes the code of a step; false where it, or a later one, was taken before.
pub(super) async fn take_step(connection: &impl ConnectionTrait, user: Uuid, step: i64) -> Result<bool, DbErr> {
    let update = Entity::update_many()
        .col_expr(Column::LastStep, Expr::value(step))
        .filter(Column::UserId.eq(user))
        .filter(Column::LastStep.lt(step));
    Ok(update.exec(connection).await?.rows_affected == 1)
}

/// Takes a recovery code; false where there is none such, or it was taken before.
pub(super) async fn take_recovery_code(
    connection: &impl ConnectionTrait,
    user: Uuid,
    code: &str,
    now: i64,
) -> Result<bool, DbErr> {
    let update = RecoveryCodes::update_many()
        .col_expr(recovery_code::Column::UsedAt, Expr::value(now))
        .filter(recovery_code::Column::UserId.eq(user))
        .filter(recovery_code::Column::Hash.eq(recovery_hash(code)))
        .filter(recovery_code::Column::UsedAt.is_null());
    Ok(update.exec(connection).await?.rows_affected == 1)
}

/// Puts new recovery codes in the place of those before.
pub(super) async fn replace_recovery_codes(tx: &WriteTransaction, user: Uuid, codes: &[String]) -> Result<(), DbErr> {
    RecoveryCodes::delete_many().filter(recovery_code::Column::UserId.eq(user)).exec(&**tx).await?;
    let rows = codes.iter().map(|code| recovery_code::ActiveModel {
        user_id: Set(user),
        hash: Set(recovery_hash(code)),
        used_at: Set(None),
    });
    RecoveryCodes::insert_many(rows).exec_without_returning(&**tx).await.map(|_| ())
}

pub(super) async fn recovery_codes_left(connection: &impl ConnectionTrait, user: Uuid) -> Result<u64, DbErr> {
    RecoveryCodes::find()
        .filter(recovery_code::Column::UserId.eq(user))
        .filter(recovery_code::Column::UsedAt.is_null())
        .count(connection)
        .await
}

pub(super) async fn remove(tx: &WriteTransaction, user: Uuid) -> Result<(), DbErr> {
    RecoveryCodes::delete_many().filter(recovery_code::Column::UserId.eq(user)).exec(&**tx).await?;
    Entity::delete_by_id(user).exec(&**tx).await.map(|_| ())
}
