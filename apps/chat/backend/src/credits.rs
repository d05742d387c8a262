//! Balances for showing: from the cache (`credits:{userId}`, five minutes), else from the ledger.
//!
//! Nothing here admits or refuses anything: that is the ledger's reserve alone. A cache that fails is a cache that missed.

use std::sync::Arc;

use axum::extract::State;
use kit::cache::Cache;
use kit::{Credits, Json, Problem};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::limits::BALANCE_TTL;

/// The cached balances.
#[derive(Clone)]
pub(crate) struct BalanceCache {
    cache: Cache,
}

impl BalanceCache {
    pub(crate) fn new(cache: Cache) -> Self {
        Self { cache }
    }

    async fn get(&self, user: Uuid) -> Option<Credits> {
        // The cache counts its own errors; for us each is a miss.
        let text = self.cache.get(&key(user)).await.ok()??;
        text.parse().ok()
    }

    async fn set(&self, user: Uuid, balance: Credits) {
        if let Err(error) = self.cache.set(&key(user), &balance.to_string(), BALANCE_TTL).await {
            tracing::debug!(%error, "a balance was not cached");
        }
    }

    /// Forgets a balance that has changed.
    pub(crate) async fn forget(&self, user: Uuid) {
        if let Err(error) = self.cache.delete(&key(user)).await {
            tracing::warn!(%error, %user, "a changed balance stays in the cache until it expires there");
        }
    }
}

/// Where balances are asked for.
#[derive(Clone)]
pub(crate) struct Balances {
    cache: BalanceCache,
    ledger: Ledger,
}

impl Balances {
    pub(crate) fn new(cache: BalanceCache, ledger: Ledger) -> Self {
        Self { cache, ledger }
    }

    /// What the user has, as far as is known without holding anything up.
    pub(crate) async fn balance(&self, user: Uuid) -> Result<Credits, Failure> {
        if let Some(balance) = self.cache.get(user).await {
            metrics::counter!("chat_balance_reads_total", "source" => "cache").increment(1);
            return Ok(balance);
        }
        metrics::counter!("chat_balance_reads_total", "source" => "ledger").increment(1);
        let balance = self.ledger.balance(user).await?;
        self.cache.set(user, balance).await;
        Ok(balance)
    }

    /// Forgets a balance that has changed.
    pub(crate) async fn forget(&self, user: Uuid) {
        self.cache.forget(user).await;
    }
}

fn key(user: Uuid) -> String {
    format!("credits:{user}")
}

/// What the caller has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Balance {
    /// Credits, as far as is known without holding anything up: up to five minutes old.
    #[schema(example = 49)]
    credits: Credits,
}

/// `GET /api/credits`
#[utoipa::path(
    get, path = "/api/credits", tag = "chat", operation_id = "readBalance",
    summary = "What the caller has",
    responses(
        (status = 200, description = "The balance", body = Balance),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 503, description = "The ledger does not answer", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn handler(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Balance>, Problem> {
    let credits = app.balances.balance(caller.user).await.map_err(|failure| failure.problem())?;
    Ok(Json(Balance { credits }))
}
