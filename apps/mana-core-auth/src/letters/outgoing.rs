//! Rows with a letter to be sent, of whichever table: each is taken by one instance at a time, and sent once.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use uuid::Uuid;

use crate::entity::{letter, registration};

/// A table of them.
pub(crate) trait Outgoing: EntityTrait {
    const ID: Self::Column;
    /// Set once it was sent.
    const SENT_AT: Self::Column;
    const ATTEMPTS: Self::Column;
    const NEXT_TRY_AT: Self::Column;
    const EXPIRES_AT: Self::Column;
}

impl Outgoing for letter::Entity {
    const ID: letter::Column = letter::Column::Id;
    const SENT_AT: letter::Column = letter::Column::SentAt;
    const ATTEMPTS: letter::Column = letter::Column::Attempts;
    const NEXT_TRY_AT: letter::Column = letter::Column::NextTryAt;
    const EXPIRES_AT: letter::Column = letter::Column::ExpiresAt;
}

impl Outgoing for registration::Entity {
    const ID: registration::Column = registration::Column::Id;
    const SENT_AT: registration::Column = registration::Column::SentAt;
    const ATTEMPTS: registration::Column = registration::Column::Attempts;
    const NEXT_TRY_AT: registration::Column = registration::Column::NextTryAt;
    const EXPIRES_AT: registration::Column = registration::Column::ExpiresAt;
}

/// Those that are due and were tried less often than `attempts`, the oldest first.
pub(crate) fn due<T: Outgoing>(now: i64, attempts: i64, limit: u64) -> Select<T> {
    T::find()
        .filter(T::SENT_AT.is_null())
        .filter(T::ATTEMPTS.lt(attempts))
        .filter(T::NEXT_TRY_AT.lte(now))
        .filter(T::EXPIRES_AT.gt(now))
        .order_by_asc(T::NEXT_TRY_AT)
        .limit(limit)
}

/// Takes one to send its letter, after so many tries; false where another instance was faster. The next try is then not before `next`.
pub(crate) async fn take<T: Outgoing>(
    connection: &impl ConnectionTrait,
    id: Uuid,
    attempts: i64,
    next: i64,
) -> Result<bool, DbErr> {
    let update = T::update_many()
        .col_expr(T::ATTEMPTS, Expr::value(attempts + 1))
        .col_expr(T::NEXT_TRY_AT, Expr::value(next))
        .filter(T::ID.eq(id))
        .filter(T::SENT_AT.is_null())
        .filter(T::ATTEMPTS.eq(attempts));
    Ok(update.exec(connection).await?.rows_affected == 1)
}

pub(crate) async fn sent<T: Outgoing>(connection: &impl ConnectionTrait, id: Uuid, now: i64) -> Result<(), DbErr> {
    let update = T::update_many().col_expr(T::SENT_AT, Expr::value(now)).filter(T::ID.eq(id));
    update.exec(connection).await.map(|_| ())
}
