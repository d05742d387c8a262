//! The service put together: its parts, and its routes.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use kit::auth::{KeySource, Settings, Verifier};
use kit::cache::Cache;
use kit::database::{self, Database, Migration, Migrations};
use kit::service::Service;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::{Config, Rules};
use crate::keys::SigningKey;
use crate::password::Passwords;
use crate::{accounts, housekeeping, ledger, sessions};

/// The schema, in steps.
pub const MIGRATIONS: Migrations = Migrations(&[
    Migration::shared(1, "accounts", include_str!("../migrations/0001_accounts.sql")),
    Migration::shared(2, "ledger", include_str!("../migrations/0002_ledger.sql")),
    Migration::split(
        3,
        "append_only",
        include_str!("../migrations/0003_append_only.sqlite.sql"),
        include_str!("../migrations/0003_append_only.postgres.sql"),
    ),
    Migration::split(
        4,
        "no_replacing",
        include_str!("../migrations/0004_no_replacing.sqlite.sql"),
        include_str!("../migrations/0004_no_replacing.postgres.sql"),
    ),
    Migration::split(
        20,
        "free_and_paid",
        include_str!("../migrations/0020_free_and_paid.sqlite.sql"),
        include_str!("../migrations/0020_free_and_paid.postgres.sql"),
    ),
    Migration::shared(21, "gift_codes", include_str!("../migrations/0021_gift_codes.sql")),
]);

/// How long others may keep the published keys without asking again.
const KEYS_CACHE_CONTROL: &str = "public, max-age=300";

/// What handlers work with.
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) cache: Cache,
    pub(crate) ledger: ledger::Ledger,
    pub(crate) passwords: Passwords,
    pub(crate) signing_key: SigningKey,
    pub(crate) tokens: Settings,
    pub(crate) rules: Rules,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "mana-core-auth", description = "Identity, tokens and the credits ledger of the ecosystem."),
    modifiers(&Security)
)]
struct Document;

struct Security;

impl utoipa::Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        components.add_security_scheme("accessToken", SecurityScheme::Http(bearer));
        let token = ApiKeyValue::new(kit::auth::SERVICE_TOKEN_HEADER.as_str());
        components.add_security_scheme("serviceToken", SecurityScheme::ApiKey(ApiKey::Header(token)));
    }
}

/// The whole service.
pub async fn service(config: &Config) -> Result<Service, kit::Failure> {
    let database = database::connect(config.base.database_url.as_ref()).await?;
    let cache = Cache::connect(config.base.redis_url.as_ref())?;
    let signing_key = SigningKey::from_seed(&config.signing_seed);
    let verifier = Verifier::new(KeySource::Fixed(signing_key.published().clone()), &config.tokens);
    let ledger = ledger::Ledger::start(database.clone());
    let app = App {
        database: database.clone(),
        cache: cache.clone(),
        ledger: ledger.clone(),
        passwords: Passwords::new(),
        signing_key,
        tokens: config.tokens.clone(),
        rules: config.rules.clone(),
    };
    tokio::spawn(housekeeping::run(database.clone(), ledger));
    let (routes, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(published_keys))
        .merge(accounts::routes::routes())
        .merge(sessions::routes::routes())
        .merge(ledger::routes::routes())
        .merge(ledger::internal_routes::routes())
        .merge(ledger::admin_routes::routes())
        .merge(ledger::gifts::routes::routes())
        .with_state(Arc::new(app))
        .split_for_parts();
    let ping = move || {
        let cache = cache.clone();
        async move { cache.ping().await.map_err(|error| error.to_string()) }
    };
    Ok(Service::new(routes)
        .openapi(&document)
        .database(database, MIGRATIONS, "users")
        .dependency("cache", ping)
        .verifier(Arc::new(verifier))
        .service_token(config.service_token.clone()))
}

/// The keys that sign access tokens (RFC 7517).
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "auth", responses((status = 200, body = serde_json::Value)))]
async fn published_keys(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, KEYS_CACHE_CONTROL)], axum::Json(app.signing_key.published().clone()))
}
