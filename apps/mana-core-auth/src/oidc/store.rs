//! Who somebody is elsewhere, in the database.

use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait};
use uuid::Uuid;

use crate::entity::identity::{ActiveModel, Entity};

pub(super) async fn user_of(
    connection: &impl ConnectionTrait,
    issuer: &str,
    subject: &str,
) -> Result<Option<Uuid>, DbErr> {
    let found = Entity::find_by_id((issuer.to_owned(), subject.to_owned())).one(connection).await?;
    Ok(found.map(|identity| identity.user_id))
}

pub(super) async fn insert(
    connection: &impl ConnectionTrait,
    issuer: &str,
    subject: &str,
    user: Uuid,
    now: i64,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        issuer: Set(issuer.to_owned()),
        subject: Set(subject.to_owned()),
        user_id: Set(user),
        created_at: Set(now),
    };
    Entity::insert(row).exec_without_returning(connection).await.map(|_| ())
}
