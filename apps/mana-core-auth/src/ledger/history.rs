//! Reading the ledger: balances, the history of a user, what is due.

use kit::Credits;
use kit::database::Database;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement};
use uuid::Uuid;

use super::postings::Account;
use super::{Now, sql};
use crate::entity::{balance, entry, posting, reservation};

/// What a user can spend, and its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) free: Credits,
    pub(crate) paid: Credits,
    pub(crate) version: i64,
}

impl Balance {
    /// Both together.
    pub(crate) fn total(self) -> Credits {
        self.free.checked_add(self.paid).unwrap_or(Credits::MAX)
    }
}

/// What the user can spend; `None` where there is no such user.
pub(crate) async fn balance(connection: &impl ConnectionTrait, user: Uuid) -> Result<Option<Balance>, DbErr> {
    let row = balance::Entity::find_by_id(user).one(connection).await?;
    Ok(row.map(|row| Balance {
        free: Credits::from_units(row.free),
        paid: Credits::from_units(row.paid),
        version: row.version,
    }))
}

/// A posting as its user sees it: what it added to or took from what can be spent.
pub(crate) struct Line {
    pub(crate) posting: posting::Model,
    pub(crate) change: Credits,
}

/// A user's postings, the newest first, those before `before`.
pub(crate) async fn by_user(
    connection: &impl ConnectionTrait,
    user: Uuid,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<Line>, DbErr> {
    let mut query = posting::Entity::find().filter(posting::Column::UserId.eq(user));
    if let Some(before) = before {
        query = query.filter(posting::Column::Id.lt(before));
    }
    let postings = query.order_by_desc(posting::Column::Id).limit(limit).all(connection).await?;
    let changes = entry::Entity::find()
        .filter(entry::Column::PostingId.is_in(postings.iter().map(|posting| posting.id)))
        .filter(entry::Column::Account.is_in([Account::Free.as_str(), Account::Paid.as_str()]))
        .all(connection)
        .await?;
    let change = |id: Uuid| changes.iter().filter(|entry| entry.posting_id == id).map(|entry| entry.amount).sum();
    Ok(postings.into_iter().map(|posting| Line { change: Credits::from_units(change(posting.id)), posting }).collect())
}

/// Reservations past their time: user and id, the oldest first.
pub(super) async fn due(database: &Database, now: Now, limit: u64) -> Result<Vec<(Uuid, Uuid)>, DbErr> {
    let rows = reservation::Entity::find()
        .filter(reservation::Column::State.eq("held"))
        .filter(reservation::Column::ExpiresAt.lte(now.as_millisecond()))
        .order_by_asc(reservation::Column::ExpiresAt)
        .limit(limit)
        .all(&**database)
        .await?;
    Ok(rows.into_iter().map(|row| (row.user_id, row.id)).collect())
}

/// Users with free credits that were given before a time, in the order of their ids, those after `after`.
pub(super) async fn lapsing(database: &Database, before: i64, after: Uuid, limit: u64) -> Result<Vec<Uuid>, DbErr> {
    let engine = database.engine();
    let values = [before.into(), after.into(), limit.into()];
    let rows = database.query_all_raw(Statement::from_sql_and_values(engine, sql::LAPSING.of(engine), values)).await?;
    rows.iter().map(|row| row.try_get("", "user_id")).collect()
}

/// Whose a posting is.
pub(crate) async fn owner(connection: &impl ConnectionTrait, posting: Uuid) -> Result<Option<Uuid>, DbErr> {
    Ok(posting::Entity::find_by_id(posting).one(connection).await?.map(|row| row.user_id))
}
