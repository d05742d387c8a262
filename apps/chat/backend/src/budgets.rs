//! How much a person, or one of their keys, may ask for: requests a minute and credits a day (UTC).
//!
//! Requests are counted through the cache, so that instances agree; while it is away each counts for itself. Credits are
//! held back in the database before the ledger is asked, by one statement that refuses what would go beyond: no number of
//! calls at once gets past it. What an answer did not cost is given back; what a crash keeps from being given back counts
//! as spent until the day is over. Without a limit nothing is counted.

use std::time::Duration;

use kit::Credits;
use kit::cache::Cache;
use kit::database::Database;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use crate::caller::Caller;
use crate::entity::spending as row;
use crate::failure::Failure;
use crate::lifecycle::{chain, storage};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// A count outlives its minute by another one: clocks of instances differ.
const COUNT_TTL: Duration = Duration::from_mins(2);

/// What one subject may do at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    pub(crate) requests_per_minute: Option<u64>,
    pub(crate) credits_per_day: Option<Credits>,
}

/// Whose limit it is, for the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Person,
    Key,
}

impl std::fmt::Display for Whose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::Person { "account" } else { "API key" })
    }
}

/// Credits of one day that are held back under limits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spending {
    subjects: Vec<Uuid>,
    day: i64,
    amount: Credits,
}

/// The limits and what counts against them.
#[derive(Clone)]
pub(crate) struct Budgets {
    db: Database,
    cache: Cache,
    /// Where requests are counted while the cache is away.
    local: Cache,
    everyone: Limits,
}

impl Budgets {
    pub(crate) fn new(db: Database, cache: Cache, everyone: Limits) -> Self {
        Self { db, cache, local: Cache::in_process(), everyone }
    }

    fn limits(&self, caller: &Caller) -> impl Iterator<Item = (Whose, Uuid, Limits)> {
        let person = (Whose::Person, caller.user, self.everyone);
        std::iter::once(person).chain(caller.key.map(|key| (Whose::Key, key.id, key.limits)))
    }

    /// Counts a request, or refuses it.
    pub(crate) async fn count(&self, caller: &Caller, now_ms: i64) -> Result<(), Failure> {
        for (whose, subject, limits) in self.limits(caller) {
            let Some(limit) = limits.requests_per_minute else { continue };
            let key = format!("requests:{subject}:{}", now_ms.div_euclid(MINUTE_MS));
            let count = match self.cache.increment(&key, COUNT_TTL).await {
                Ok(count) => count,
                // The cache counts its own errors; the one of the process does not fail.
                Err(_) => self.local.increment(&key, COUNT_TTL).await.unwrap_or(0),
            };
            if count > limit {
                metrics::counter!("chat_limited_total", "limit" => "requests").increment(1);
                let left = u64::try_from(MINUTE_MS - now_ms.rem_euclid(MINUTE_MS)).unwrap_or_default();
                let retry_after = Duration::from_secs(left.div_ceil(1000));
                return Err(Failure::TooMany { whose, limit, retry_after });
            }
        }
        Ok(())
    }

    /// Holds `amount` back under every limit of the caller, or refuses.
    pub(crate) async fn hold(&self, caller: &Caller, amount: Credits, now_ms: i64) -> Result<Spending, Failure> {
        let mut held = Spending { subjects: Vec::new(), day: now_ms.div_euclid(DAY_MS), amount };
        for (whose, subject, limits) in self.limits(caller) {
            let Some(limit) = limits.credits_per_day else { continue };
            match self.add(subject, held.day, amount, limit).await {
                Ok(true) => held.subjects.push(subject),
                Ok(false) => {
                    self.give_back(&held, amount).await;
                    metrics::counter!("chat_limited_total", "limit" => "credits").increment(1);
                    return Err(Failure::BudgetSpent { whose, limit, price: amount });
                }
                Err(error) => {
                    self.give_back(&held, amount).await;
                    return Err(storage(&error));
                }
            }
        }
        Ok(held)
    }

    /// One statement looks and adds.
    async fn add(&self, subject: Uuid, day: i64, amount: Credits, limit: Credits) -> Result<bool, DbErr> {
        if amount > limit {
            return Ok(false);
        }
        let first = row::ActiveModel { subject: Set(subject), day: Set(day), amount: Set(amount.units()) };
        let known = || Expr::col((row::Entity, row::Column::Amount));
        let add = OnConflict::columns([row::Column::Subject, row::Column::Day])
            .value(row::Column::Amount, known().add(amount.units()))
            .action_and_where(known().lte(limit.units() - amount.units()))
            .to_owned();
        Ok(row::Entity::insert(first).on_conflict(add).exec_without_returning(&*self.db).await? == 1)
    }

    /// Gives `amount` of it back: all, when there was no answer.
    pub(crate) async fn give_back(&self, held: &Spending, amount: Credits) {
        if held.subjects.is_empty() || amount <= Credits::ZERO {
            return;
        }
        let given = row::Entity::update_many()
            .col_expr(row::Column::Amount, Expr::col(row::Column::Amount).sub(amount.units()))
            .filter(row::Column::Subject.is_in(held.subjects.iter().copied()))
            .filter(row::Column::Day.eq(held.day))
            .exec(&*self.db)
            .await;
        if let Err(error) = given {
            tracing::warn!(error = %chain(&error), "what was not spent counts against the day's budget all the same");
        }
    }

    /// Gives back all but what an answer cost.
    pub(crate) async fn spent(&self, held: &Spending, cost: Credits) {
        self.give_back(held, held.amount.checked_sub(cost).unwrap_or_default()).await;
    }

    /// Gives all of it back.
    pub(crate) async fn release(&self, held: &Spending) {
        self.give_back(held, held.amount).await;
    }

    /// Forgets days that are over.
    pub(crate) async fn sweep(&self, now_ms: i64) -> Result<(), DbErr> {
        let over = row::Column::Day.lt(now_ms.div_euclid(DAY_MS) - 1);
        row::Entity::delete_many().filter(over).exec(&*self.db).await?;
        Ok(())
    }
}
