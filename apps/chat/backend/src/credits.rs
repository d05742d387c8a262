//! Balances for showing: from the cache that services share ([`KeptBalance`], five minutes), else from the ledger.
//!
//! Each answer of the ledger says the new balance and its version, and is kept where it is newer than what is kept; so a change
//! replaces the copy rather than leaving the next reader without one. What mana-core-auth changes by itself (grants, gift codes)
//! it keeps there, too. An answer of a model shows at once: as the balance that its reserve left, with what of it comes back.
//!
//! Nothing here admits or refuses anything: that is the ledger's reserve alone. A cache that fails is a cache that missed.

use std::sync::Arc;

use axum::extract::State;
use kit::cache::Cache;
use kit::{Credits, Json, KeptBalance, Problem};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::ledger::{Ledger, Standing};

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
        KeptBalance::kept(&self.cache, user).await.ok()?.map(|kept| kept.balance)
    }

    /// Keeps what the ledger said. Without a version nobody knows whether it is the newest: then the copy is forgotten.
    pub(crate) async fn keep(&self, user: Uuid, standing: Standing) {
        let Standing { balance, version: Some(version) } = standing else { return self.forget(user).await };
        // That the cache is away is said there.
        if let Err(error) = (KeptBalance { balance, version }).keep(&self.cache, user).await {
            tracing::debug!(%error, %user, "a changed balance is not shown until its copy expires");
        }
    }

    /// Forgets a balance that may have changed.
    pub(crate) async fn forget(&self, user: Uuid) {
        if let Err(error) = KeptBalance::forget(&self.cache, user).await {
            tracing::debug!(%error, %user, "a balance that may have changed stays in the cache until it expires there");
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
        let standing = self.ledger.balance(user).await?;
        self.cache.keep(user, standing).await;
        Ok(standing.balance)
    }

    /// Keeps what is known of a user's balance, unless something newer is kept.
    pub(crate) async fn keep(&self, user: Uuid, standing: Standing) {
        self.cache.keep(user, standing).await;
    }

    /// Forgets a user's copy.
    pub(crate) async fn forget(&self, user: Uuid) {
        self.cache.forget(user).await;
    }
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
