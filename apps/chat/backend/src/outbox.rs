//! What the ledger must still be told, told until it acknowledges.
//!
//! An instruction is written in the transaction that makes it true, so an answer that is stored will be paid for, whatever
//! dies in between. A settle is tried a moment after its answer (`settling.rs`); what was not delivered, the dispatcher repeats
//! with growing pauses. Delivering twice is harmless: the ledger resolves a reservation once and repeats its answer.
//!
//! A settle that comes so late that its reservation was given back moves to a reservation made anew, as soon as the balance covers it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use kit::database::Database;
use kit::{Credits, failpoint};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, InsertMany, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::credits::BalanceCache;
use crate::entity::outbox as row;
use crate::ids::ReservationId;
use crate::ledger::{Hold, Ledger, LedgerError, MOST_TOGETHER, Standing};
use crate::lifecycle::chain;
use crate::time::now_ms;

/// How long the first attempt has before the dispatcher takes over: more than a settle waits for the others and its call.
pub(crate) const HEAD_START: Duration = Duration::from_secs(5);

/// The pause after the first failed attempt; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// How often the dispatcher looks. Everything it finds has failed or been orphaned before, so nobody waits for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long it waits when the database does not answer: no need to say so every second.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How often it is looked whether the balance covers what is owed by now.
const OWED_EVERY: Duration = Duration::from_hours(1);

/// How long that is done: whoever has no credits for so long does not come back for them.
const OWED_FOR: Duration = Duration::from_hours(30 * 24);

/// Instructions taken at a time: what goes to the ledger in one call.
const BATCH: u64 = MOST_TOGETHER as u64;

/// Of releases among them, delivered at once: the ledger carries out together what comes together.
const AT_ONCE: usize = 16;

/// Acknowledged instructions remembered until they are struck off: a second's worth at far more than the service can do.
const MAX_ACKNOWLEDGED: usize = 10_000;

/// Rows struck off by one statement: below the number of parameters that either database takes.
const STRIKE_AT_ONCE: usize = 500;

/// What the ledger is to do with a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The answer is stored: take the credits.
    Settle,
    /// There is no answer: give them back.
    Release,
}

impl Action {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Settle => "settle",
            Self::Release => "release",
        }
    }
}

/// One thing to tell the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) reservation: ReservationId,
    pub(crate) user: Uuid,
    pub(crate) action: Action,
    pub(crate) amount: Credits,
}

impl Instruction {
    fn row(&self, now_ms: i64) -> row::ActiveModel {
        row::ActiveModel {
            reservation_id: Set(self.reservation.0),
            user_id: Set(self.user),
            action: Set(self.action.as_str().to_owned()),
            amount: Set(self.amount.units()),
            attempts: Set(0),
            next_attempt_at: Set(now_ms + millis(HEAD_START)),
            created_at: Set(now_ms),
        }
    }

    /// What writes some down, each with its time: within the transaction that makes them true.
    pub(crate) fn insertion(instructions: impl Iterator<Item = (Self, i64)>) -> InsertMany<row::ActiveModel> {
        row::Entity::insert_many(instructions.map(|(instruction, now_ms)| instruction.row(now_ms)))
    }
}

impl From<&row::Model> for Instruction {
    fn from(row: &row::Model) -> Self {
        let action = if row.action == Action::Release.as_str() { Action::Release } else { Action::Settle };
        let amount = Credits::from_units(row.amount);
        Self { reservation: ReservationId(row.reservation_id), user: row.user_id, action, amount }
    }
}

/// The outbox and the ledger it empties into.
pub(crate) struct Outbox {
    db: Database,
    ledger: Ledger,
    balances: BalanceCache,
    /// Acknowledged, but still written down: struck off together, since every durable commit costs a disk's sync. What a
    /// crash loses of it is delivered once more.
    acknowledged: Mutex<Vec<Uuid>>,
}

impl Outbox {
    pub(crate) fn new(db: Database, ledger: Ledger, balances: BalanceCache) -> Self {
        Self { db, ledger, balances, acknowledged: Mutex::default() }
    }

    /// Delivers settles that are written down already, in one call. What is not delivered is left to the dispatcher.
    pub(crate) async fn settle(&self, settles: &[Instruction]) {
        let outcomes = self.ledger.settle_many(settles).await;
        failpoint::here("chat: settled, not acknowledged");
        let mut standings = BTreeMap::new();
        for (settle, outcome) in settles.iter().zip(outcomes) {
            match outcome {
                Ok(standing) => {
                    self.acknowledged(settle);
                    newest(&mut standings, settle.user, Some(standing));
                }
                Err(error) => {
                    tracing::debug!(error = %chain(&error), reservation = %settle.reservation, "settle not delivered, the outbox will repeat it");
                    newest(&mut standings, settle.user, None);
                }
            }
        }
        self.keep(standings).await;
    }

    /// Keeps what the ledger said of balances; of those of which nothing is known, nothing is kept.
    async fn keep(&self, standings: BTreeMap<Uuid, Option<Standing>>) {
        let kept = standings.into_iter().map(|(user, standing)| async move {
            match standing {
                Some(standing) => self.balances.keep(user, standing).await,
                None => self.balances.forget(user).await,
            }
        });
        join_all(kept).await;
    }

    /// Gives a reservation back: at once, or written down and repeated. If even that fails it expires at the ledger.
    pub(crate) async fn release(&self, instruction: Instruction) {
        failpoint::here("chat: before releasing");
        let error = match self.ledger.resolve(&instruction).await {
            Ok(standing) => return self.balances.keep(instruction.user, standing).await,
            Err(error) => error,
        };
        tracing::debug!(error = %chain(&error), reservation = %instruction.reservation, "release not delivered, writing it down");
        failpoint::here("chat: before the release is written down");
        let written = Instruction::insertion(std::iter::once((instruction, now_ms())));
        if let Err(error) = written.exec_without_returning(&*self.db).await {
            metrics::counter!("chat_release_lost_total").increment(1);
            tracing::error!(error = %chain(&error), reservation = %instruction.reservation, "release neither delivered nor written down; the reservation ends when it expires");
        }
    }

    /// Repeats what is due until told to stop. `stop` resolves at shutdown.
    pub(crate) async fn run(self: Arc<Self>, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let pause = match self.dispatch_due().await {
                // There is more where that came from: after an outage, perhaps very much.
                Ok(BATCH) => Duration::ZERO,
                Ok(_) => LOOK_EVERY,
                Err(error) => {
                    metrics::counter!("chat_outbox_errors_total").increment(1);
                    // That the database is away is said where it is asked, once.
                    if kit::database::is_unavailable(&error) {
                        tracing::debug!(error = %chain(&error), "the outbox cannot be read");
                    } else {
                        tracing::error!(error = %chain(&error), "the outbox cannot be read");
                    }
                    LOOK_AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut stop => return,
            }
        }
    }

    /// Strikes off what is done and attempts every instruction that is due, once. Gives how many were acknowledged.
    pub(crate) async fn dispatch_due(&self) -> Result<u64, DbErr> {
        self.strike_off().await?;
        let now = now_ms();
        let due = row::Entity::find()
            .filter(row::Column::NextAttemptAt.lte(now))
            .order_by_asc(row::Column::NextAttemptAt)
            .limit(BATCH)
            .all(&*self.db)
            .await?;
        let (mut acknowledged, mut standings) = (0, BTreeMap::new());
        for (row, instruction, outcome) in self.deliver(due).await {
            match outcome {
                Ok(standing) => {
                    self.acknowledged(&instruction);
                    newest(&mut standings, instruction.user, Some(standing));
                    acknowledged += 1;
                }
                Err(LedgerError::GivenBack(reason)) if instruction.action == Action::Settle => {
                    self.anew(&row, &instruction, &reason).await?;
                }
                Err(LedgerError::Refused(reason) | LedgerError::GivenBack(reason)) => {
                    self.refused(&row, &instruction, &reason).await?;
                }
                Err(error) => self.postpone(&row, &error).await?,
            }
        }
        self.keep(standings).await;
        self.strike_off().await?;
        metrics::gauge!("chat_outbox_depth").set(self.depth().await?);
        Ok(acknowledged)
    }

    /// Tells the ledger what is due: settles in one call, releases side by side.
    async fn deliver(&self, due: Vec<row::Model>) -> Vec<(row::Model, Instruction, Result<Standing, LedgerError>)> {
        let due = due.into_iter().map(|row| {
            let instruction = Instruction::from(&row);
            (row, instruction)
        });
        let (settles, releases): (Vec<_>, Vec<_>) = due.partition(|(_, due)| due.action == Action::Settle);
        if settles.is_empty() && releases.is_empty() {
            return Vec::new();
        }
        failpoint::here("chat: before repeating");
        let instructions: Vec<Instruction> = settles.iter().map(|(_, instruction)| *instruction).collect();
        let outcomes = self.ledger.settle_many(&instructions).await;
        let releases = stream::iter(releases).map(|(row, instruction)| async move {
            let outcome = self.ledger.resolve(&instruction).await;
            (row, instruction, outcome)
        });
        let given_back: Vec<_> = releases.buffer_unordered(AT_ONCE).collect().await;
        let settled = settles.into_iter().zip(outcomes).map(|((row, due), outcome)| (row, due, outcome));
        settled.chain(given_back).collect()
    }

    /// How many instructions the ledger has not acknowledged.
    #[expect(clippy::cast_precision_loss, reason = "a gauge; exact up to 2^53 rows")]
    pub(crate) async fn depth(&self) -> Result<f64, DbErr> {
        Ok(row::Entity::find().count(&*self.db).await? as f64)
    }

    /// Remembers that it can be struck off.
    fn acknowledged(&self, instruction: &Instruction) {
        if instruction.action == Action::Settle {
            metrics::counter!("chat_credits_charged_total").increment(instruction.amount.units().unsigned_abs());
        }
        let mut acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        if acknowledged.len() < MAX_ACKNOWLEDGED {
            acknowledged.push(instruction.reservation.0);
        }
    }

    /// Strikes off what was acknowledged.
    async fn strike_off(&self) -> Result<(), DbErr> {
        let done = std::mem::take(&mut *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner));
        if done.is_empty() {
            return Ok(());
        }
        let transaction = self.db.begin_write().await?;
        for part in done.chunks(STRIKE_AT_ONCE) {
            let theirs = row::Column::ReservationId.is_in(part.iter().copied());
            row::Entity::delete_many().filter(theirs).exec(&*transaction).await?;
        }
        failpoint::here("chat: before striking off");
        transaction.commit().await?;
        failpoint::here("chat: struck off");
        Ok(())
    }

    /// The reservation was given back before its settle came, since this service or the ledger was away for too long. What was
    /// delivered is to be paid for all the same: the instruction moves to a reservation made anew, under a key of the old one's
    /// own, and is settled like any other. However often that is begun, and by whomever, it is one charge. Where the balance does not
    /// cover it, it is owed.
    async fn anew(&self, row: &row::Model, instruction: &Instruction, reason: &str) -> Result<(), DbErr> {
        // The ledger repeats what it has answered to a key, and another answer may come of another hour.
        let hours = (now_ms() - row.created_at).div_euclid(millis(OWED_EVERY));
        let key = format!("late:{}:{hours}", instruction.reservation);
        let wanted = Hold { user: instruction.user, amount: instruction.amount, key };
        let reserved = match self.ledger.hold(&wanted).await {
            Ok(reserved) => reserved,
            Err(error @ LedgerError::Unavailable(_)) => return self.postpone(row, &error).await,
            Err(LedgerError::OutOfCredits) if now_ms() - row.created_at < millis(OWED_FOR) => {
                metrics::counter!("chat_settles_owed_total").increment(1);
                tracing::info!(
                    reservation = %instruction.reservation, user = %instruction.user, amount = %instruction.amount,
                    "an answer that was delivered is owed: its reservation was given back, and the balance does not cover it"
                );
                return self.later(row, row.created_at + (hours + 1) * millis(OWED_EVERY)).await;
            }
            Err(error) => {
                metrics::counter!("chat_settles_lost_total").increment(1);
                let reason = format!("{reason}; reserving it anew: {error}");
                return self.refused(row, instruction, &reason).await;
            }
        };
        metrics::counter!("chat_settles_late_total").increment(1);
        tracing::warn!(
            reservation = %instruction.reservation, anew = %reserved.id, user = %instruction.user, amount = %instruction.amount,
            "a reservation was given back before its answer was settled; it is reserved and settled anew"
        );
        let moved = row::ActiveModel {
            reservation_id: Set(reserved.id.0),
            attempts: Set(row.attempts + 1),
            next_attempt_at: Set(now_ms()),
            ..Default::default()
        };
        row::Entity::update_many()
            .set(moved)
            .filter(row::Column::ReservationId.eq(row.reservation_id))
            .exec(&*self.db)
            .await?;
        Ok(())
    }

    /// The ledger will never do it (the reservation expired or was resolved otherwise): repeating is useless, forgetting
    /// silently is not an option.
    async fn refused(&self, row: &row::Model, instruction: &Instruction, reason: &str) -> Result<(), DbErr> {
        metrics::counter!("chat_outbox_refused_total", "action" => instruction.action.as_str()).increment(1);
        tracing::error!(
            reservation = %instruction.reservation, user = %instruction.user, action = instruction.action.as_str(),
            amount = %instruction.amount, attempts = row.attempts, reason,
            "the ledger refuses an instruction for good; it is struck off, and this line is its record"
        );
        row::Entity::delete_by_id(row.reservation_id).exec(&*self.db).await?;
        Ok(())
    }

    async fn postpone(&self, row: &row::Model, error: &LedgerError) -> Result<(), DbErr> {
        let attempts = row.attempts + 1;
        let pause = pause(row.reservation_id, attempts);
        tracing::debug!(error = %chain(error), reservation = %row.reservation_id, attempts, pause_ms = pause.as_millis(), "instruction not delivered");
        self.later(row, now_ms() + millis(pause)).await
    }

    async fn later(&self, row: &row::Model, at: i64) -> Result<(), DbErr> {
        let later = row::ActiveModel {
            reservation_id: Set(row.reservation_id),
            attempts: Set(row.attempts + 1),
            next_attempt_at: Set(at),
            ..Default::default()
        };
        row::Entity::update_many()
            .set(later)
            .filter(row::Column::ReservationId.eq(row.reservation_id))
            .exec(&*self.db)
            .await?;
        Ok(())
    }
}

/// Of what was said of a user's balance the newest; without a version nobody knows which that is, and of `None` nothing.
fn newest(standings: &mut BTreeMap<Uuid, Option<Standing>>, user: Uuid, said: Option<Standing>) {
    let known = standings.entry(user).or_insert(said);
    *known = match (*known, said) {
        (Some(one), Some(other)) if one.version.is_some() && other.version.is_some() => {
            Some(if other.version > one.version { other } else { one })
        }
        _ => None,
    };
}

/// Doubling, capped, and up to a quarter longer by the reservation's own bits: so that what failed together does not come
/// back together, without any chance in it.
fn pause(reservation: Uuid, attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.clamp(1, 7)).unwrap_or(1) - 1;
    let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(MAX_PAUSE);
    let spread = u32::from(reservation.as_bytes()[15]);
    pause + pause.mul_f64(0.25) * spread / 255
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_said_of_a_balance_the_newest_is_kept_and_where_that_is_not_known_nothing() {
        let user = Uuid::from_u128(1);
        let check = |said: &[Option<Option<i64>>], want: Option<i64>| {
            let mut standings = BTreeMap::new();
            for version in said {
                let standing = version.map(|version| Standing { balance: Credits::whole(1), version });
                newest(&mut standings, user, standing);
            }
            assert_eq!(standings[&user].and_then(|standing| standing.version), want, "{said:?}");
        };
        check(&[Some(Some(3))], Some(3));
        check(&[Some(Some(3)), Some(Some(5)), Some(Some(4))], Some(5));
        check(&[Some(Some(3)), Some(None), Some(Some(4))], None);
        check(&[Some(Some(3)), None], None);
        check(&[None, Some(Some(3))], None);
    }

    #[test]
    fn pauses_double_to_a_cap_and_spread() {
        let calm = Uuid::from_u128(0);
        let pauses: Vec<u64> = (1..=9).map(|n| pause(calm, n).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pause(Uuid::from_u128(255), 1), Duration::from_millis(1250));
        assert!(pause(Uuid::from_u128(255), i64::MAX) <= MAX_PAUSE.mul_f64(1.25));
    }
}
