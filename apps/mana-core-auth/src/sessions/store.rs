//! Sessions and refresh tokens in the database.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::ended;
use crate::entity::{refresh_token, session};

/// Most sessions that are listed.
const MAX_LISTED: u64 = 100;

pub(super) async fn insert(connection: &impl ConnectionTrait, session: &session::Model) -> Result<(), DbErr> {
    let row = session::ActiveModel {
        id: Set(session.id),
        user_id: Set(session.user_id),
        app_id: Set(session.app_id.clone()),
        user_agent: Set(session.user_agent.clone()),
        created_at: Set(session.created_at),
        last_used_at: Set(session.last_used_at),
        ended_at: Set(session.ended_at),
    };
    session::Entity::insert(row).exec_without_returning(connection).await.map(|_| ())
}

pub(crate) async fn by_id(connection: &impl ConnectionTrait, id: Uuid) -> Result<Option<session::Model>, DbErr> {
    session::Entity::find_by_id(id).one(connection).await
}

/// A user's sessions that have not ended and were used since then, the last used first.
pub(super) async fn live(
    connection: &impl ConnectionTrait,
    user: Uuid,
    since: i64,
) -> Result<Vec<session::Model>, DbErr> {
    session::Entity::find()
        .filter(session::Column::UserId.eq(user))
        .filter(session::Column::EndedAt.is_null())
        .filter(session::Column::LastUsedAt.gt(since))
        .order_by_desc(session::Column::LastUsedAt)
        .limit(MAX_LISTED)
        .all(connection)
        .await
}

/// A user's sessions, those that have ended too, in the order of their ids, those after `after`.
pub(crate) async fn in_order(
    connection: &impl ConnectionTrait,
    user: Uuid,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<session::Model>, DbErr> {
    let mut which = of(user);
    if let Some(after) = after {
        which = which.add(session::Column::Id.gt(after));
    }
    session::Entity::find().filter(which).order_by_asc(session::Column::Id).limit(limit).all(connection).await
}

/// Ends a user's session; whether it was there and had not ended.
pub(super) async fn end(connection: &impl ConnectionTrait, user: Uuid, id: Uuid, now: i64) -> Result<bool, DbErr> {
    Ok(end_those(connection, of(user).add(session::Column::Id.eq(id)), now).await? == 1)
}

/// Ends all of a user's sessions, and with them their refresh tokens; how many those were.
pub(crate) async fn end_all(connection: &impl ConnectionTrait, user: Uuid, now: i64) -> Result<u64, DbErr> {
    end_those(connection, of(user), now).await
}

/// Ends all of a user's sessions but one.
pub(super) async fn end_others(
    connection: &impl ConnectionTrait,
    user: Uuid,
    kept: Uuid,
    now: i64,
) -> Result<u64, DbErr> {
    end_those(connection, of(user).add(session::Column::Id.ne(kept)), now).await
}

/// Forgets a user's sessions, and with them their refresh tokens. That they have ended is told all the same.
pub(crate) async fn forget_of(connection: &impl ConnectionTrait, user: Uuid, now: i64) -> Result<(), DbErr> {
    end_all(connection, user, now).await?;
    session::Entity::delete_many().filter(of(user)).exec(connection).await.map(|_| ())
}

/// Forgets up to `most` sessions that nobody has used since then, and with them their refresh tokens; how many those were. Their access tokens must have expired: that these
/// sessions are over is told to no other service.
pub(crate) async fn forget_unused(connection: &impl ConnectionTrait, since: i64, most: u64) -> Result<u64, DbErr> {
    let unused: Vec<Uuid> = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(session::Column::LastUsedAt.lt(since))
        .limit(most)
        .into_tuple()
        .all(connection)
        .await?;
    let found = unused.len() as u64;
    if found > 0 {
        session::Entity::delete_many().filter(session::Column::Id.is_in(unused)).exec(connection).await?;
    }
    Ok(found)
}

fn of(user: Uuid) -> Condition {
    Condition::all().add(session::Column::UserId.eq(user))
}

/// Ends those that have not ended; the connection is a transaction's.
async fn end_those(connection: &impl ConnectionTrait, which: Condition, now: i64) -> Result<u64, DbErr> {
    let update = session::Entity::update_many()
        .col_expr(session::Column::EndedAt, Expr::value(now))
        .filter(which.clone())
        .filter(session::Column::EndedAt.is_null());
    let ended = update.exec(connection).await?.rows_affected;
    if ended > 0 {
        ended::note(connection, which, now).await?;
    }
    Ok(ended)
}

pub(super) async fn touch(connection: &impl ConnectionTrait, id: Uuid, now: i64) -> Result<(), DbErr> {
    let update = session::Entity::update_many()
        .col_expr(session::Column::LastUsedAt, Expr::value(now))
        .filter(session::Column::Id.eq(id));
    update.exec(connection).await.map(|_| ())
}

pub(super) async fn insert_refresh(
    connection: &impl ConnectionTrait,
    hash: String,
    session: Uuid,
    issued_at: i64,
    expires_at: i64,
) -> Result<(), DbErr> {
    let row = refresh_token::ActiveModel {
        hash: Set(hash),
        session_id: Set(session),
        issued_at: Set(issued_at),
        expires_at: Set(expires_at),
        used_at: Set(None),
    };
    refresh_token::Entity::insert(row).exec_without_returning(connection).await.map(|_| ())
}

pub(super) async fn refresh(
    connection: &impl ConnectionTrait,
    hash: &str,
) -> Result<Option<refresh_token::Model>, DbErr> {
    refresh_token::Entity::find_by_id(hash).one(connection).await
}

/// Marks a refresh token as used; false where someone was faster.
pub(super) async fn use_refresh(connection: &impl ConnectionTrait, hash: &str, now: i64) -> Result<bool, DbErr> {
    let update = refresh_token::Entity::update_many()
        .col_expr(refresh_token::Column::UsedAt, Expr::value(now))
        .filter(refresh_token::Column::Hash.eq(hash))
        .filter(refresh_token::Column::UsedAt.is_null());
    Ok(update.exec(connection).await?.rows_affected == 1)
}
