//! The service put together: its parts, and its routes.

use std::sync::Arc;

use axum::extract::State;
use axum::middleware;
use axum::response::IntoResponse;
use http::header;
use jsonwebtoken::jwk::JwkSet;
use kit::auth::{KeySource, Settings, Verifier};
use kit::cache::Cache;
use kit::counters::Counters;
use kit::database::{self, Database, Migration, Migrations};
use kit::service::Service;
use kit::visitors::Visitors;
use kit::{Problem, clock};
use tokio::sync::{Notify, Semaphore};
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::farewells::{self, Told};
use crate::config::{Config, Rules};
use crate::keyring::Keyring;
use crate::letters::mailer::{Mail, Way};
use crate::oidc::provider::Provider;
use crate::passkeys::Party;
use crate::password::Passwords;
use crate::registration::{self, Registration};
use crate::secrets::Secrets;
use crate::settings::{Limits, Tokens};
use crate::{accounts, housekeeping, ledger, letters, oidc, passkeys, second_factor, sessions, throttle};

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
    Migration::shared(10, "standing", include_str!("../migrations/0010_standing.sql")),
    Migration::shared(11, "signing_keys", include_str!("../migrations/0011_signing_keys.sql")),
    Migration::shared(12, "letters", include_str!("../migrations/0012_letters.sql")),
    Migration::shared(13, "second_factors", include_str!("../migrations/0013_second_factors.sql")),
    Migration::shared(14, "passkeys", include_str!("../migrations/0014_passkeys.sql")),
    Migration::shared(15, "identities", include_str!("../migrations/0015_identities.sql")),
    Migration::shared(16, "farewells", include_str!("../migrations/0016_farewells.sql")),
    Migration::split(
        20,
        "free_and_paid",
        include_str!("../migrations/0020_free_and_paid.sqlite.sql"),
        include_str!("../migrations/0020_free_and_paid.postgres.sql"),
    ),
    Migration::shared(21, "gift_codes", include_str!("../migrations/0021_gift_codes.sql")),
    Migration::shared(22, "registrations", include_str!("../migrations/0022_registrations.sql")),
    Migration::shared(23, "ended_sessions", include_str!("../migrations/0023_ended_sessions.sql")),
    Migration::shared(24, "roles", include_str!("../migrations/0024_roles.sql")),
    Migration::split(
        25,
        "reversals",
        include_str!("../migrations/0025_reversals.sqlite.sql"),
        include_str!("../migrations/0025_reversals.postgres.sql"),
    ),
    Migration::split(
        26,
        "reversed_once",
        include_str!("../migrations/0026_reversed_once.sqlite.sql"),
        include_str!("../migrations/0026_reversed_once.postgres.sql"),
    ),
    Migration::split(
        27,
        "postings_that_give",
        include_str!("../migrations/0027_postings_that_give.sqlite.sql"),
        include_str!("../migrations/0027_postings_that_give.postgres.sql"),
    ),
    Migration::split(
        28,
        "sessions_by_use",
        include_str!("../migrations/0028_sessions_by_use.sqlite.sql"),
        include_str!("../migrations/0028_sessions_by_use.postgres.sql"),
    ),
    Migration::shared(
        29,
        "registrations_without_letter",
        include_str!("../migrations/0029_registrations_without_letter.sql"),
    ),
]);

/// How long others may keep the published keys without asking again.
const KEYS_CACHE_CONTROL: &str = "public, max-age=300";

/// People who have forgotten their password, at once.
const FORGETTING_AT_ONCE: usize = 64;

/// What handlers work with.
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) cache: Cache,
    pub(crate) ledger: ledger::Ledger,
    pub(crate) counters: Counters,
    /// Whoever asks without a token, and whoever only reads what is published: who does much of it keeps nobody at their address from signing in.
    pub(crate) visitors: Visitors,
    pub(crate) readers: Visitors,
    pub(crate) passwords: Passwords,
    pub(crate) secrets: Secrets,
    pub(crate) keys: Keyring,
    /// What tokens say of where they come from.
    pub(crate) issued: Settings,
    pub(crate) tokens: Tokens,
    pub(crate) limits: Limits,
    pub(crate) rules: Rules,
    pub(crate) mail: Mail,
    /// In which way people get accounts.
    pub(crate) registration: Registration,
    /// Rings when there is a letter to send.
    pub(crate) letter_written: Notify,
    /// Bounds what is done aside for people who have forgotten their password.
    pub(crate) forgetting: Arc<Semaphore>,
    /// Whose passkeys they are.
    pub(crate) party: Party,
    /// Who forgets people whose account is deleted.
    pub(crate) told: Told,
    /// With whom people can sign in elsewhere.
    pub(crate) provider: Option<Provider>,
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
    assemble(config).await.map(|(service, _)| service)
}

/// The whole service, and what its handlers work with.
pub(crate) async fn assemble(config: &Config) -> Result<(Service, Arc<App>), kit::Failure> {
    let database = database::connect(config.base.database_url.as_ref()).await?;
    let cache = Cache::connect(config.base.redis_url.as_ref())?;
    let secrets = Secrets::new(&config.signing_seed);
    // Its keys come with the keyring's first look at the database.
    let verifier = Arc::new(Verifier::new(KeySource::Fixed(JwkSet { keys: Vec::new() }), &config.issued));
    let counters = Counters::new(cache.clone());
    let app = Arc::new(App {
        database: database.clone(),
        visitors: Visitors::new(counters.clone(), "requests", config.limits.requests_per_minute),
        readers: Visitors::new(counters.clone(), "readings", config.limits.requests_per_minute),
        counters,
        cache: cache.clone(),
        ledger: ledger::Ledger::start(database.clone()),
        passwords: Passwords::new(config.hashing.clone()),
        keys: Keyring::new(secrets.clone(), config.tokens.clone(), Arc::clone(&verifier)),
        secrets,
        issued: config.issued.clone(),
        tokens: config.tokens.clone(),
        limits: config.limits.clone(),
        rules: config.rules.clone(),
        mail: config.mail.clone(),
        registration: config.registration,
        letter_written: Notify::new(),
        forgetting: Arc::new(Semaphore::new(FORGETTING_AT_ONCE)),
        party: config.party.clone(),
        told: config.told.clone(),
        provider: Provider::read(&config.env, &config.mail.app_url)?,
    });
    if !app.mail.can_send() {
        tracing::warn!(
            "SMTP_URL is not set: no letters are sent, so nobody can confirm an address, reset a password, or register where addresses are confirmed first"
        );
    }
    tokio::spawn(letters::post::run(Arc::clone(&app)));
    tokio::spawn(farewells::run(Arc::clone(&app)));
    tokio::spawn(housekeeping::run(Arc::clone(&app)));
    let public = OpenApiRouter::new()
        .merge(accounts::routes::public())
        .merge(registration::routes::public())
        .merge(sessions::routes::public())
        .merge(letters::routes::public())
        .merge(second_factor::routes::public())
        .merge(passkeys::routes::public())
        .merge(oidc::routes::public())
        .route_layer(middleware::from_fn_with_state(Arc::clone(&app), throttle::limit_requests));
    let published = OpenApiRouter::new()
        .merge(oidc::metadata::routes())
        .routes(routes!(published_keys))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&app), throttle::limit_readings));
    let (routes, document) = OpenApiRouter::with_openapi(Document::openapi())
        .merge(public)
        .merge(published)
        .merge(accounts::routes::routes())
        .merge(registration::routes::internal())
        .merge(accounts::password_routes::routes())
        .merge(accounts::own_routes::routes())
        .merge(letters::routes::routes())
        .merge(second_factor::routes::routes())
        .merge(passkeys::routes::routes())
        .merge(sessions::routes::routes())
        .merge(sessions::ended::routes())
        .merge(ledger::routes::routes())
        .merge(ledger::internal_routes::routes())
        .merge(ledger::admin_routes::routes())
        .merge(ledger::gifts::routes::routes())
        .with_state(Arc::clone(&app))
        .split_for_parts();
    let routes = match &app.mail.way {
        Way::Folder(folder) => routes.merge(letters::folder::routes(folder.clone())),
        Way::None | Way::Smtp(_) => routes,
    };
    let ping = move || {
        let cache = cache.clone();
        async move { cache.ping().await.map_err(|error| error.to_string()) }
    };
    let service = Service::new(routes)
        .openapi(&document)
        .database(database, MIGRATIONS, "users")
        .dependency("cache", ping)
        .verifier(verifier)
        .service_tokens(config.service_tokens.clone());
    Ok((service, app))
}

/// The keys that sign access tokens (RFC 7517): the one that signs, the next one, and those whose tokens may still live.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "auth", responses(
    (status = 200, body = serde_json::Value),
    (status = 429, body = kit::ProblemBody, description = "Too many requests; see Retry-After"),
))]
async fn published_keys(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Problem> {
    let keys = app.keys.published(&*app.database, clock::now()).await?;
    Ok(([(header::CACHE_CONTROL, KEYS_CACHE_CONTROL)], axum::Json(keys)))
}
