//! Accounts in the database.

use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
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
    };
    Entity::insert(row).exec_without_returning(connection).await.map(|_| ())
}

/// Gives an account a role; whether there is such an account.
pub(crate) async fn set_role(connection: &impl ConnectionTrait, email: &str, role: &str) -> Result<bool, DbErr> {
    let update = Entity::update_many().col_expr(Column::Role, Expr::value(role)).filter(Column::Email.eq(email));
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
