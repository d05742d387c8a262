//! What time alone resolves: reservations that nobody settled or released are given back, free credits that are too old are forfeited, and rows that cannot matter any
//! more go. Each step is a transaction of its own, so it may end anywhere; several instances may do it at once.

use std::sync::Arc;
use std::time::Duration;

use kit::clock;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};

use crate::app::App;
use crate::entity::{idempotency_key, refresh_token};
use crate::{ledger, letters, registration, sessions, time};

/// How often; so long after its time a reservation is given back at the latest.
const EVERY: Duration = Duration::from_secs(15);

/// How often it looks for free credits that are too old: each look reads every balance that has some.
const LAPSE_EVERY: Duration = Duration::from_hours(1);

/// How long the answer to a call with an idempotency key is remembered: far longer than any service repeats a call. Those of grants are kept
/// for good: somebody may look through their invoices after a year.
const ANSWERS_KEPT: Duration = Duration::from_hours(7 * 24);

/// How long a letter is kept after its code stopped counting.
const LETTERS_KEPT: Duration = Duration::from_hours(7 * 24);

/// How long a refresh token, and a session, is kept after it expired, so that its use is still recognised as such.
const TOKENS_KEPT: Duration = Duration::from_hours(24);

/// Sessions that are forgotten in one transaction: some milliseconds' worth.
const SESSIONS_AT_ONCE: u64 = 1_000;

/// How long others have, after this service was away, to resolve what they had reserved: whoever waited for it to come back
/// repeats within a minute and a quarter. Until then nothing is given back that somebody may still want to settle.
const GRACE: Duration = Duration::from_mins(2);

/// Does it for ever. What a crash left behind is given back after a while only; the keys are looked after at once.
pub(crate) async fn run(app: Arc<App>) {
    let resolved_from = tokio::time::Instant::now() + GRACE;
    let mut lapse_from = resolved_from;
    loop {
        let outcome = if tokio::time::Instant::now() < resolved_from {
            forget(&app).await.map_err(Into::into)
        } else {
            round(&app).await
        };
        if let Err(error) = outcome {
            metrics::counter!("housekeeping_failures_total").increment(1);
            tracing::warn!(%error, "reservations past their time cannot be given back now; it is tried again");
        }
        if let Err(error) = app.keys.round(&*app.database, clock::now()).await {
            metrics::counter!("housekeeping_failures_total").increment(1);
            tracing::warn!(%error, "the signing keys cannot be looked after now; it is tried again");
        }
        if tokio::time::Instant::now() >= lapse_from {
            lapse_from += LAPSE_EVERY;
            if let Err(error) = lapse(&app).await {
                metrics::counter!("housekeeping_failures_total").increment(1);
                tracing::warn!(
                    error = kit::chain(&error),
                    "free credits that are too old cannot be forfeited now; it is tried again in an hour"
                );
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Forfeits free credits that are too old, where they last for a time only.
pub(crate) async fn lapse(app: &App) -> Result<(), ledger::Error> {
    let Some(last) = app.rules.free_credits_last else { return Ok(()) };
    let now = clock::now();
    let lapsed = app.ledger.lapse(time::earlier(now, last), now).await?;
    for user in &lapsed {
        ledger::changed(app, *user).await;
    }
    if !lapsed.is_empty() {
        metrics::counter!("free_credits_lapsed_total").increment(lapsed.len() as u64);
        tracing::info!(accounts = lapsed.len(), "free credits that were too old were forfeited");
    }
    Ok(())
}

/// One time.
pub(crate) async fn round(app: &App) -> Result<(), ledger::Error> {
    let expired = app.ledger.expire(clock::now()).await?;
    if expired > 0 {
        metrics::counter!("reservations_expired_total").increment(expired);
        tracing::warn!(expired, "reservations that nobody resolved in time were given back");
    }
    forget(app).await?;
    Ok(())
}

async fn forget(app: &App) -> Result<(), DbErr> {
    let now = clock::now();
    let transaction = app.database.begin_write().await?;
    idempotency_key::Entity::delete_many()
        .filter(idempotency_key::Column::CreatedAt.lt(time::earlier(now, ANSWERS_KEPT)))
        .filter(idempotency_key::Column::Operation.ne(ledger::GRANT))
        .exec(&*transaction)
        .await?;
    refresh_token::Entity::delete_many()
        .filter(refresh_token::Column::ExpiresAt.lt(time::earlier(now, TOKENS_KEPT)))
        .exec(&*transaction)
        .await?;
    letters::store::forget(&*transaction, time::earlier(now, LETTERS_KEPT)).await?;
    sessions::ended::forget(&*transaction, &app.tokens, now).await?;
    registration::store::forget(&*transaction, now.as_millisecond()).await?;
    transaction.commit().await?;
    forget_sessions(app, time::earlier(now, app.tokens.session_ttl() + TOKENS_KEPT)).await
}

/// Those that nobody has used since then.
async fn forget_sessions(app: &App, since: i64) -> Result<(), DbErr> {
    loop {
        let transaction = app.database.begin_write().await?;
        let forgotten = sessions::store::forget_unused(&*transaction, since, SESSIONS_AT_ONCE).await?;
        transaction.commit().await?;
        if forgotten < SESSIONS_AT_ONCE {
            return Ok(());
        }
    }
}
