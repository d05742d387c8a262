//! The composition root: what the service is made of, and which address leads where.

use std::sync::Arc;
use std::time::Duration;

use ai::Catalog;
use axum::extract::DefaultBodyLimit;
use axum::routing::any;
use axum::{Router, middleware};
use kit::auth::ServiceToken;
use kit::cache::Cache;
use kit::counters::Counters;
use kit::database::{Database, Migration, Migrations};
use kit::service::Service;
use kit::visitors::Visitors;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::budgets::Budgets;
use crate::completions::{native, openai};
use crate::config::Config;
use crate::conversations::{self, Store, Titles};
use crate::credits::{self, BalanceCache, Balances};
use crate::held::Doubts;
use crate::idempotency;
use crate::keys;
use crate::ledger::Ledger;
use crate::limits::{MAX_BODY_BYTES, MAX_OPENAI_BODY_BYTES};
use crate::models::{self, ProviderCheck};
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::reserving::Reserves;
use crate::settling::Settles;
use crate::time::now_ms;

/// The schema, step by step.
pub const MIGRATIONS: Migrations = Migrations(&[
    Migration::shared(1, "conversations", include_str!("../migrations/0001_conversations.sql")),
    Migration::shared(2, "api keys", include_str!("../migrations/0002_api_keys.sql")),
    Migration::shared(30, "idempotency", include_str!("../migrations/0030_idempotency.sql")),
    Migration::shared(31, "limits", include_str!("../migrations/0031_limits.sql")),
    Migration::shared(40, "conversation tree", include_str!("../migrations/0040_conversation_tree.sql")),
    Migration::shared(41, "parents", include_str!("../migrations/0041_parents.sql")),
    Migration::split(
        42,
        "search",
        include_str!("../migrations/0042_search.sqlite.sql"),
        include_str!("../migrations/0042_search.postgres.sql"),
    ),
    Migration::split(
        43,
        "messages by parent",
        include_str!("../migrations/0043_messages_by_parent.sqlite.sql"),
        include_str!("../migrations/0043_messages_by_parent.postgres.sql"),
    ),
]);

/// How long answers that are under way when the last connection is closed may still take; and, after that, how long they
/// have for releasing what they reserved. With the 25 s for connections it stays below the 30 s after which platforms kill.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What every handler can reach.
pub(crate) struct App {
    pub(crate) catalog: Catalog,
    pub(crate) cache: Cache,
    pub(crate) balances: Balances,
    pub(crate) ledger: Ledger,
    pub(crate) conversations: Store,
    pub(crate) titles: Titles,
    pub(crate) keys: keys::Store,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) reserves: Reserves,
    pub(crate) settles: Settles,
    /// Reserves whose answer was lost.
    pub(crate) doubts: Doubts,
    pub(crate) router: ai::Router,
    pub(crate) pace: Pace,
    pub(crate) budgets: Budgets,
    /// Whoever asks without a token.
    pub(crate) visitors: Visitors,
    pub(crate) idempotency: idempotency::Calls,
    /// Lifecycles under way, with or without a client.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when answers under way can no longer be waited for.
    pub(crate) cut: CancellationToken,
}

/// A service that is put together: what to serve, and what runs beside it.
pub struct Running {
    /// The routes with health, metrics and the rest around them.
    pub service: Service,
    rest: Rest,
}

/// Puts the service together and starts what runs beside it (the outbox's dispatcher, the sweeper, the breakers' exchange).
pub fn start(config: Config, database: &Database, cache: Cache) -> Running {
    let accepted = vec![ServiceToken::new("service", config.service_token.clone())];
    let ledger = Ledger::new(config.ledger_url, config.service_token);
    let balance_cache = BalanceCache::new(cache.clone());
    let outbox = Arc::new(Outbox::new(database.clone(), ledger.clone(), balance_cache.clone()));
    let last_settle = CancellationToken::new();
    let (settles, settling) = Settles::new(outbox.clone(), last_settle.clone());
    let (tasks, cut) = (TaskTracker::new(), CancellationToken::new());
    let budgets = Budgets::new(database.clone(), cache.clone(), config.limits);
    let calls = idempotency::Calls::new(database.clone());
    let models = config.router.shared_through(cache.clone());
    let app = Arc::new(App {
        catalog: config.catalog,
        cache: cache.clone(),
        balances: Balances::new(balance_cache, ledger.clone()),
        ledger: ledger.clone(),
        conversations: Store::start(database.clone()),
        titles: Titles::new(config.titles),
        keys: keys::Store::new(database.clone()),
        outbox: outbox.clone(),
        reserves: Reserves::start(ledger.clone()),
        settles,
        doubts: Doubts::new(),
        router: models.clone(),
        pace: Pace::default(),
        budgets: budgets.clone(),
        visitors: Visitors::new(Counters::new(cache.clone()), "shared", config.visitor_requests_per_minute),
        idempotency: calls.clone(),
        tasks: tasks.clone(),
        cut: cut.clone(),
    });
    let stop = CancellationToken::new();
    tasks.spawn(outbox.run(stop.clone().cancelled_owned()));
    tasks.spawn(sweep(calls, budgets, stop.clone()));
    let stopped = stop.clone().cancelled_owned();
    tasks.spawn(async move {
        tokio::select! {
            () = models.keep_in_step() => {}
            () = stopped => {}
        }
    });
    let (router, openapi) = router(app.clone());
    let checks: Vec<_> = app.catalog.providers().into_iter().map(|p| Arc::new(ProviderCheck::new(p))).collect();
    let mut service = Service::new(router)
        .openapi(&openapi)
        .verifier(config.verifier)
        .service_tokens(accepted)
        .body_limit(MAX_BODY_BYTES)
        .database(database.clone(), MIGRATIONS, "conversations")
        .dependency("mana-core-auth", move || {
            let ledger = ledger.clone();
            async move { ledger.ping().await }
        })
        .dependency("cache", move || {
            let cache = cache.clone();
            async move { cache.ping().await.map_err(|error| error.to_string()) }
        });
    for check in checks {
        service = service.dependency(check.name(), move || {
            let check = check.clone();
            async move { check.check().await }
        });
    }
    let settling = tokio::spawn(settling);
    Running { service, rest: Rest { tasks, stop, cut, settling, last_settle } }
}

impl Running {
    /// Takes the service apart from what runs beside it, so that it can be served.
    pub fn split(self) -> (Service, Rest) {
        (self.service, self.rest)
    }
}

/// What runs beside the connections.
pub struct Rest {
    tasks: TaskTracker,
    /// Stops the outbox's dispatcher.
    stop: CancellationToken,
    cut: CancellationToken,
    /// Delivers settles; told when there is none to come.
    settling: JoinHandle<()>,
    last_settle: CancellationToken,
}

impl Rest {
    /// Ends it: answers under way may finish, then they are cut off and release what they reserved, each within a bound.
    /// What does not make it even so is in the outbox, or expires at the ledger.
    pub async fn finish(self) {
        self.stop.cancel();
        self.tasks.close();
        let settled = async {
            self.tasks.wait().await;
            self.last_settle.cancel();
            if let Err(error) = self.settling.await {
                tracing::error!(%error, "what delivers settles panicked; the outbox has them");
            }
        };
        tokio::pin!(settled);
        if timeout(LAST_WORDS, &mut settled).await.is_ok() {
            return;
        }
        tracing::warn!(left = self.tasks.len(), "cutting off the answers still under way");
        self.cut.cancel();
        if timeout(LAST_WORDS, settled).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "stopped with answers still being settled");
        }
    }
}

/// How often what is too old is removed.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// Removes answers kept for too long and days that are over, until told to stop.
async fn sweep(calls: idempotency::Calls, budgets: Budgets, stop: CancellationToken) {
    loop {
        let swept = async {
            calls.sweep(now_ms()).await?;
            budgets.sweep(now_ms()).await
        };
        let swept = tokio::select! {
            swept = swept => swept,
            // A part that is not committed is removed another time.
            () = stop.cancelled() => return,
        };
        if let Err(error) = swept {
            tracing::warn!(%error, "what is too old is not removed; it is tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// All routes and their description.
fn router(app: Arc<App>) -> (Router, utoipa::openapi::OpenApi) {
    let (openai, openai_description) = OpenApiRouter::new()
        .routes(routes!(openai::create))
        // Pictures come within the body.
        .layer(DefaultBodyLimit::max(MAX_OPENAI_BODY_BYTES))
        .routes(routes!(openai::models))
        .routes(routes!(openai::model))
        .split_for_parts();
    // Below `/v1` whatever is not there is refused in OpenAI's shape too.
    let openai = openai.route("/v1/{*rest}", any(openai::unknown)).method_not_allowed_fallback(openai::unknown);
    let openai = openai.layer(middleware::from_fn(openai::in_time));
    let (native, mut description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(native::create))
        .routes(routes!(native::create_short))
        .merge(conversation_routes())
        .routes(routes!(models::handler))
        .routes(routes!(models::health))
        .routes(routes!(keys::routes::list, keys::routes::create))
        .routes(routes!(keys::routes::revoke))
        .routes(routes!(credits::handler))
        .split_for_parts();
    description.merge(openai_description);
    (native.merge(openai).with_state(app), description)
}

/// What is about conversations.
fn conversation_routes() -> OpenApiRouter<Arc<App>> {
    use conversations::{erasure, export, messages, preferences, routes, search, shares};
    OpenApiRouter::new()
        .routes(routes!(routes::list, routes::create, erasure::delete_all))
        .routes(routes!(messages::read, routes::change, routes::delete))
        .routes(routes!(messages::show_branch))
        .routes(routes!(search::search))
        .routes(routes!(shares::list, shares::create))
        .routes(routes!(shares::revoke))
        .routes(routes!(shares::read))
        .routes(routes!(export::one))
        .routes(routes!(export::all))
        .routes(routes!(preferences::read, preferences::change))
        .routes(routes!(erasure::delete_user))
}

#[derive(OpenApi)]
#[openapi(
    info(title = "chat-backend", description = "AI conversations, paid in credits."),
    modifiers(&Token),
    tags(
        (name = "chat", description = "Ask a model"),
        (name = "conversations", description = "What was said"),
        (name = "internal", description = "For services of the ecosystem"),
        (name = "keys", description = "API keys for the protocol below"),
        (name = "openai", description = "The same in OpenAI's protocol"),
    )
)]
struct Description;

/// The ways to show who one is.
struct Token;

impl utoipa::Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        let service = ApiKey::Header(ApiKeyValue::new(kit::auth::SERVICE_TOKEN_HEADER.as_str()));
        components.add_security_scheme("serviceToken", SecurityScheme::ApiKey(service));
    }
}
