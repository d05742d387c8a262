//! Accounts in the database.

use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::entity::user::{ActiveModel, Column, Entity, Model};

/// The account of a (normalised) address.
pub(crate) async fn by_email(connection: &impl ConnectionTrait, email: &str) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::Email.eq(email)).one(connection).await
}

/// The account of an id.
pub(crate) async fn by_id(connection: &impl ConnectionTrait, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(connection).await
}

/// The account of an id, locked against changes until the transaction ends.
pub(crate) async fn lock(connection: &impl ConnectionTrait, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).lock_shared().one(connection).await
}

/// Writes a new account; a taken address is a unique violation.
pub(crate) async fn insert(connection: &impl ConnectionTrait, user: &Model) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(user.id),
        email: Set(user.email.clone()),
        name: Set(user.name.clone()),
        role: Set(user.role.clone()),
        password_hash: Set(user.password_hash.clone()),
        created_at: Set(user.created_at),
        email_verified_at: Set(user.email_verified_at),
        disabled_at: Set(user.disabled_at),
        deleted_at: Set(user.deleted_at),
        roles: Set(user.roles.clone()),
    };
    Entity::insert(row).exec_without_returning(connection).await.map(|_| ())
}

/// Gives an account a role; whether there is such an account.
pub(crate) async fn set_role(connection: &impl ConnectionTrait, email: &str, role: &str) -> Result<bool, DbErr> {
    let update = Entity::update_many().col_expr(Column::Role, Expr::value(role)).filter(Column::Email.eq(email));
    Ok(update.exec(connection).await?.rows_affected == 1)
}

/// Gives an account other further roles, where they still are `old`; whether they were.
pub(crate) async fn set_roles(
    connection: &impl ConnectionTrait,
    user: Uuid,
    old: &str,
    new: &str,
) -> Result<bool, DbErr> {
    let update = Entity::update_many()
        .col_expr(Column::Roles, Expr::value(new))
        .filter(Column::Id.eq(user))
        .filter(Column::Roles.eq(old));
    Ok(update.exec(connection).await?.rows_affected == 1)
}

/// Replaces a password's hash, where it still is `old`; whether it was.
pub(crate) async fn replace_password(
    connection: &impl ConnectionTrait,
    user: Uuid,
    old: &str,
    new: &str,
) -> Result<bool, DbErr> {
    let update = Entity::update_many()
        .col_expr(Column::PasswordHash, Expr::value(new))
        .filter(Column::Id.eq(user))
        .filter(Column::PasswordHash.eq(old));
    Ok(update.exec(connection).await?.rows_affected == 1)
}

/// Closes an account, or opens it again.
pub(crate) async fn set_disabled(connection: &impl ConnectionTrait, user: Uuid, at: Option<i64>) -> Result<(), DbErr> {
    let update = Entity::update_many().col_expr(Column::DisabledAt, Expr::value(at)).filter(Column::Id.eq(user));
    update.exec(connection).await.map(|_| ())
}

/// Notes that an address is its account's; false where the account has another one by now.
pub(crate) async fn set_verified(
    connection: &impl ConnectionTrait,
    user: Uuid,
    email: &str,
    now: i64,
) -> Result<bool, DbErr> {
    let update = Entity::update_many()
        .col_expr(Column::EmailVerifiedAt, Expr::value(now))
        .filter(Column::Id.eq(user))
        .filter(Column::Email.eq(email));
    Ok(update.exec(connection).await?.rows_affected == 1)
}

/// Empties a row. It stays, since the ledger's entries stay, and says nothing of anybody any more.
pub(crate) async fn empty(connection: &impl ConnectionTrait, user: Uuid, now: i64) -> Result<(), DbErr> {
    let update = Entity::update_many()
        // No address, so that nobody has it, and the real one is free again.
        .col_expr(Column::Email, Expr::value(format!("deleted:{user}")))
        .col_expr(Column::Name, Expr::value(""))
        .col_expr(Column::Role, Expr::value("user"))
        .col_expr(Column::Roles, Expr::value(""))
        .col_expr(Column::PasswordHash, Expr::value(crate::password::NONE))
        .col_expr(Column::EmailVerifiedAt, Expr::value(None::<i64>))
        .col_expr(Column::DeletedAt, Expr::value(now))
        .filter(Column::Id.eq(user));
    update.exec(connection).await.map(|_| ())
}
