//! The ledger in the database. Each function is one transaction, or part of the caller's.

use std::time::Duration;

use kit::database::{Database, WriteTransaction};
use kit::{Credits, clock};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::idempotency::{self, Claim};
use super::postings::{Account, Kind};
use super::{Ask, Error, Now, Refusal, Reserved};
use crate::entity::{balance, entry, posting, reservation};
use crate::time;

/// Opens a new user's accounts and gives the sign-up credits: once, since the accounts can be opened only once.
pub(crate) async fn open(tx: &WriteTransaction, user: Uuid, grant: Credits, now: Now) -> Result<(), DbErr> {
    let row = balance::ActiveModel { user_id: Set(user), available: Set(grant.units()) };
    balance::Entity::insert(row).exec_without_returning(&**tx).await?;
    if grant > Credits::ZERO {
        post(tx, user, Kind::Grant(grant), "sign-up", None, grant, now).await?;
    }
    Ok(())
}

/// What the user can spend; `None` where there is no such user.
pub(crate) async fn balance(connection: &impl ConnectionTrait, user: Uuid) -> Result<Option<Credits>, DbErr> {
    let row = balance::Entity::find_by_id(user).one(connection).await?;
    Ok(row.map(|row| Credits::from_units(row.available)))
}

/// Gives credits; what can be spent after it.
pub(crate) async fn grant(database: &Database, ask: &Ask, key: &str, now: Now) -> Result<Credits, Error> {
    let tx = database.begin_write().await?;
    require_user(&tx, ask.user).await?;
    if let Claim::Before(outcome) = idempotency::claim(&tx, "grant", key, ask, None, now).await? {
        return Ok(outcome?);
    }
    let outcome = grant_once(&tx, ask, now).await?;
    idempotency::remember(&tx, "grant", key, ask, &outcome).await?;
    tx.commit().await?;
    Ok(outcome?)
}

async fn grant_once(tx: &WriteTransaction, ask: &Ask, now: Now) -> Result<Result<Credits, Refusal>, DbErr> {
    let current = balance(&**tx, ask.user).await?.unwrap_or(Credits::ZERO);
    // A look before the statement is enough here: it only keeps the sum within what a JSON number holds, and the
    // statement itself fails on a true overflow.
    if current.checked_add(ask.amount).is_none_or(|sum| sum > Credits::MAX) {
        return Ok(Err(Refusal::Overflow));
    }
    let after = add(tx, ask.user, ask.amount).await?;
    post(tx, ask.user, Kind::Grant(ask.amount), &ask.reason, None, after, now).await?;
    Ok(Ok(after))
}

/// Reservations given back in one go.
const EXPIRE_AT_ONCE: u64 = 100;

/// Holds credits back, if the balance covers them: the one place where a charge is admitted.
pub(crate) async fn reserve(
    database: &Database,
    ask: &Ask,
    key: &str,
    ttl: Duration,
    now: Now,
) -> Result<Reserved, Error> {
    let tx = database.begin_write().await?;
    require_user(&tx, ask.user).await?;
    if let Claim::Before(outcome) = idempotency::claim(&tx, "reserve", key, ask, Some(ttl), now).await? {
        return Ok(outcome?);
    }
    let outcome = reserve_once(&tx, ask, ttl, now).await?;
    idempotency::remember(&tx, "reserve", key, ask, &outcome).await?;
    tx.commit().await?;
    Ok(outcome?)
}

async fn reserve_once(
    tx: &WriteTransaction,
    ask: &Ask,
    ttl: Duration,
    now: Now,
) -> Result<Result<Reserved, Refusal>, DbErr> {
    let debit = balance::Entity::update_many()
        .col_expr(balance::Column::Available, Expr::col(balance::Column::Available).sub(ask.amount.units()))
        .filter(balance::Column::UserId.eq(ask.user))
        .filter(balance::Column::Available.gte(ask.amount.units()));
    let admitted = debit.exec(&**tx).await?.rows_affected == 1;
    let after = balance(&**tx, ask.user).await?.unwrap_or(Credits::ZERO);
    if !admitted {
        return Ok(Err(Refusal::OutOfCredits { balance: after, amount: ask.amount }));
    }
    let id = clock::new_id();
    let expires_at = time::later(now, ttl);
    let row = reservation::ActiveModel {
        id: Set(id),
        user_id: Set(ask.user),
        amount: Set(ask.amount.units()),
        settled_amount: Set(None),
        state: Set("held".to_owned()),
        expires_at: Set(expires_at),
        created_at: Set(now.as_millisecond()),
        resolved_at: Set(None),
    };
    reservation::Entity::insert(row).exec_without_returning(&**tx).await?;
    post(tx, ask.user, Kind::Reserve(ask.amount), &ask.reason, Some(id), after, now).await?;
    Ok(Ok(Reserved { reservation: id, balance: after, expires_at }))
}

/// Spends what was reserved, or less of it; what can be spent after it. The same again gives the same answer.
pub(crate) async fn settle(
    database: &Database,
    user: Uuid,
    id: Uuid,
    amount: Option<Credits>,
    now: Now,
) -> Result<Credits, Error> {
    resolve(database, user, id, now, ("settled", ""), |held| {
        let spent = amount.unwrap_or(held);
        if spent > held {
            return Err(Refusal::MoreThanReserved { amount: spent, reserved: held });
        }
        Ok((Kind::Settle { held, spent }, Some(spent)))
    })
    .await
}

/// Gives back what was reserved; what can be spent after it. The same again gives the same answer.
pub(crate) async fn release(database: &Database, user: Uuid, id: Uuid, now: Now) -> Result<Credits, Error> {
    resolve(database, user, id, now, ("released", ""), |held| Ok((Kind::Release(held), None))).await
}

/// Gives back what nobody resolved in time; how many such reservations it found.
pub(crate) async fn expire(database: &Database, now: Now) -> Result<u64, Error> {
    let mut expired = 0;
    loop {
        let due = reservation::Entity::find()
            .filter(reservation::Column::State.eq("held"))
            .filter(reservation::Column::ExpiresAt.lte(now.as_millisecond()))
            .order_by_asc(reservation::Column::ExpiresAt)
            .limit(EXPIRE_AT_ONCE)
            .all(&**database)
            .await?;
        let all = (due.len() as u64) < EXPIRE_AT_ONCE;
        for row in due {
            let release = |held| Ok((Kind::Release(held), None));
            match resolve(database, row.user_id, row.id, now, ("released", "expired"), release).await {
                Ok(_) => expired += 1,
                // Somebody was faster, which is as good.
                Err(Error::Refused(Refusal::Resolved { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        if all {
            return Ok(expired);
        }
    }
}

async fn resolve(
    database: &Database,
    user: Uuid,
    id: Uuid,
    now: Now,
    (state, reason): (&str, &str),
    kind: impl FnOnce(Credits) -> Result<(Kind, Option<Credits>), Refusal>,
) -> Result<Credits, Error> {
    let tx = database.begin_write().await?;
    let row = reservation::Entity::find_by_id(id).one(&*tx).await?;
    let row = row.filter(|row| row.user_id == user).ok_or(Refusal::UnknownReservation)?;
    let held = Credits::from_units(row.amount);
    let (kind, spent) = kind(held)?;
    let update = reservation::Entity::update_many()
        .col_expr(reservation::Column::State, Expr::value(state))
        .col_expr(reservation::Column::SettledAmount, Expr::value(spent.map(Credits::units)))
        .col_expr(reservation::Column::ResolvedAt, Expr::value(now.as_millisecond()))
        .filter(reservation::Column::Id.eq(id))
        .filter(reservation::Column::State.eq("held"));
    if update.exec(&*tx).await?.rows_affected == 0 {
        return resolved_before(&tx, user, id, state, spent).await;
    }
    let back = kind.entries().into_iter().flatten().find(|(account, _)| *account == Account::User);
    let after = add(&tx, user, back.map_or(Credits::ZERO, |(_, amount)| amount)).await?;
    post(&tx, user, kind, reason, Some(id), after, now).await?;
    tx.commit().await?;
    Ok(after)
}

/// Someone was faster, or it is the same call again: the same outcome is no error, another one is.
async fn resolved_before(
    tx: &WriteTransaction,
    user: Uuid,
    id: Uuid,
    state: &str,
    spent: Option<Credits>,
) -> Result<Credits, Error> {
    let row = reservation::Entity::find_by_id(id).one(&**tx).await?.ok_or(Refusal::UnknownReservation)?;
    if row.state == state && row.settled_amount == spent.map(Credits::units) {
        return Ok(balance(&**tx, user).await?.ok_or(Refusal::UnknownUser)?);
    }
    Err(Refusal::Resolved { state: row.state }.into())
}

/// Adds to what can be spent; gives what can be spent after it.
async fn add(tx: &WriteTransaction, user: Uuid, amount: Credits) -> Result<Credits, DbErr> {
    let update = balance::Entity::update_many()
        .col_expr(balance::Column::Available, Expr::col(balance::Column::Available).add(amount.units()))
        .filter(balance::Column::UserId.eq(user));
    update.exec(&**tx).await?;
    let missing = || DbErr::RecordNotFound(format!("balance of {user}"));
    balance(&**tx, user).await?.ok_or_else(missing)
}

async fn post(
    tx: &WriteTransaction,
    user: Uuid,
    kind: Kind,
    reason: &str,
    reservation: Option<Uuid>,
    after: Credits,
    now: Now,
) -> Result<(), DbErr> {
    let overflow = || DbErr::Custom(format!("posting {kind:?} does not balance"));
    let entries = kind.entries().ok_or_else(overflow)?;
    let id = clock::new_id();
    let row = posting::ActiveModel {
        id: Set(id),
        user_id: Set(user),
        kind: Set(kind.as_str().to_owned()),
        reason: Set(reason.to_owned()),
        reservation_id: Set(reservation),
        balance_after: Set(after.units()),
        created_at: Set(now.as_millisecond()),
    };
    posting::Entity::insert(row).exec_without_returning(&**tx).await?;
    let rows = entries.into_iter().map(|(account, amount)| entry::ActiveModel {
        posting_id: Set(id),
        account: Set(account.as_str().to_owned()),
        user_id: Set(user),
        amount: Set(amount.units()),
    });
    entry::Entity::insert_many(rows).exec_without_returning(&**tx).await?;
    Ok(())
}

async fn require_user(tx: &WriteTransaction, user: Uuid) -> Result<(), Error> {
    match balance(&**tx, user).await? {
        Some(_) => Ok(()),
        None => Err(Refusal::UnknownUser.into()),
    }
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
        .filter(entry::Column::Account.eq(Account::User.as_str()))
        .all(connection)
        .await?;
    let change = |id: Uuid| changes.iter().find(|entry| entry.posting_id == id).map_or(0, |entry| entry.amount);
    Ok(postings.into_iter().map(|posting| Line { change: Credits::from_units(change(posting.id)), posting }).collect())
}
