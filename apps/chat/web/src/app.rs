//! The composition root: what the service is made of, and which address leads where.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use kit::database::{Database, Migration, Migrations};
use kit::service::Service;

use crate::answers::{Stops, Writings};
use crate::config::{Config, Site};
use crate::limits::MAX_FORM_BYTES;
use crate::pages::{
    self, account, account_entry, account_letters, account_own, chat, conversations, keeping, settings,
};
use crate::sessions::{Keys, Sessions};
use crate::upstream::{Auth, Backend};
use crate::{answers, assets, error, guard, headers, housekeeping, internal};

/// The schema, step by step.
pub const MIGRATIONS: Migrations = Migrations(&[
    Migration::shared(1, "sessions", include_str!("../migrations/0001_sessions.sql")),
    Migration::shared(2, "whose", include_str!("../migrations/0002_whose.sql")),
    Migration::split(
        3,
        "by person",
        include_str!("../migrations/0003_by_person.sqlite.sql"),
        include_str!("../migrations/0003_by_person.postgres.sql"),
    ),
    Migration::shared(4, "stopped answers", include_str!("../migrations/0004_stopped_answers.sql")),
]);

/// What every handler can reach.
pub(crate) struct App {
    pub(crate) site: Site,
    pub(crate) keys: Arc<Keys>,
    pub(crate) sessions: Sessions,
    pub(crate) auth: Auth,
    pub(crate) backend: Backend,
    pub(crate) writings: Arc<Writings>,
    pub(crate) stops: Stops,
}

/// How handlers get it.
pub(crate) type Shared = Arc<App>;

/// Puts the service together, and starts what runs beside it.
pub fn service(config: &Config, database: &Database) -> Service {
    let keys = Arc::new(Keys::new(&config.session_key));
    let auth = Auth::new(config.auth_url.clone());
    let backend = Backend::new(config.backend_url.clone());
    let sessions = Sessions::new(database.clone(), keys.clone(), auth.clone());
    let (site, stops) = (config.site.clone(), Stops::new(database.clone()));
    let app = Arc::new(App { site, keys, sessions, auth, backend, writings: Arc::default(), stops });
    tokio::spawn(housekeeping::run(app.clone()));
    tokio::spawn(answers::watch_for_stops(app.clone()));
    let (auth, backend) = (app.auth.clone(), app.backend.clone());
    Service::new(router(app))
        .service_tokens(config.service_tokens.clone())
        .body_limit(MAX_FORM_BYTES)
        .database(database.clone(), MIGRATIONS, "web_sessions")
        .dependency("mana-core-auth", move || {
            let auth = auth.clone();
            async move { auth.ping().await }
        })
        .dependency("chat-backend", move || {
            let backend = backend.clone();
            async move { backend.ping().await }
        })
}

/// All addresses. Outermost first: headers → the form of errors → the guard of what changes something → handlers. Around what services
/// call stands none of that.
fn router(app: Shared) -> Router {
    Router::new()
        .route("/", get(chat::new))
        .route("/c/{id}", get(chat::open))
        .route("/c/{id}/older", get(chat::older))
        .route("/c/{id}/messages", get(chat::newest))
        .route("/c/{id}/branch", post(keeping::branch))
        .route("/c/{id}/archive", post(keeping::archive))
        .route("/c/{id}/instructions", post(keeping::instruct))
        .route("/c/{id}/links", get(keeping::links).post(keeping::share))
        .route("/c/{id}/links/{share}/revoke", post(keeping::unshare))
        .route("/c/{id}/export", get(keeping::export))
        .route("/s/{token}", get(keeping::shared))
        .route("/search", get(keeping::search))
        .route("/export", get(keeping::export_all))
        .route("/archived", get(conversations::archived))
        .route("/settings", get(settings::show).post(settings::change))
        .route("/settings/delete-all", post(settings::delete_all))
        .route("/keys", get(settings::keys).post(settings::make_key))
        .route("/keys/{id}/revoke", post(settings::revoke_key))
        .route("/c/{id}/rename", post(conversations::rename))
        .route("/c/{id}/delete", post(conversations::delete))
        .route("/conversations", get(conversations::list))
        .route("/credits", get(chat::balance))
        .route("/credits/history", get(pages::credits::history))
        .route("/credits/history.csv", get(pages::credits::export))
        .route("/credits/redeem", post(pages::credits::redeem))
        .route("/ask", post(answers::ask))
        .route("/ask/stop", post(answers::stop))
        .merge(accounts())
        .route("/login", get(account::login_form).post(account::login))
        .route("/register", get(account::register_form).post(account::register))
        .route("/logout", post(account::logout))
        .route("/theme", post(pages::choose_theme))
        .route("/assets/{name}", get(assets::serve))
        .route("/favicon.svg", get(assets::icon))
        .route("/favicon.ico", get(assets::icon))
        .route("/{*path}", get(async || pages::not_found()))
        .layer(middleware::from_fn_with_state(app.clone(), guard::check))
        .layer(middleware::from_fn_with_state(app.clone(), error::present))
        .layer(middleware::from_fn(headers::add))
        .merge(internal::routes())
        .with_state(app)
}

/// What people do with their accounts, and further ways in.
fn accounts() -> Router<Shared> {
    Router::new()
        .route("/login/second", post(account_entry::second))
        .route("/login/passkey", post(account_entry::passkey))
        .route("/login/passkey/begin", post(account_entry::begin_passkey))
        .route("/login/provider", get(account_entry::come_back))
        .route("/login/provider/go", get(account_entry::leave))
        .route("/confirm", get(account_letters::confirm_form).post(account_letters::confirm))
        .route("/verify", get(account_letters::verify_form).post(account_letters::verify))
        .route("/forgot", get(account_letters::forgot_form).post(account_letters::forgot))
        .route("/reset", get(account_letters::reset_form).post(account_letters::reset))
        .route("/account", get(account_own::show))
        .route("/account/password", post(account_own::password))
        .route("/account/verify", post(account_own::send_letter))
        .route("/account/sessions/end-others", post(account_own::end_others))
        .route("/account/sessions/{id}/end", post(account_own::end_session))
        .route("/account/second-factor", post(account_own::begin_factor))
        .route("/account/second-factor/confirm", post(account_own::confirm_factor))
        .route("/account/second-factor/codes", post(account_own::new_codes))
        .route("/account/second-factor/remove", post(account_own::remove_factor))
        .route("/account/passkeys/begin", post(account_own::begin_passkey))
        .route("/account/passkeys/finish", post(account_own::finish_passkey))
        .route("/account/passkeys/{id}/remove", post(account_own::remove_passkey))
        .route("/account/export", get(account_own::export))
        .route("/account/delete", post(account_own::delete))
}
