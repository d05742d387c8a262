//! `POST /api/auth/refresh`, `POST /api/auth/logout`, `GET /api/auth/sessions`, `DELETE /api/auth/sessions/{id}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use http::StatusCode;
use kit::auth::User;
use kit::{Json, Problem, ProblemBody, clock};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{TokenPair, hash, keep, pair, require_live, require_open, store, successor};
use crate::accounts;
use crate::app::App;
use crate::time;

/// What needs no access token.
pub(crate) fn public() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(refresh)).routes(routes!(logout))
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(revoke)).routes(routes!(revoke_others))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RefreshToken {
    #[schema(value_type = String)]
    refresh_token: SecretString,
}

/// Exchanges a refresh token for the next pair. For some seconds the same token gives the same successor again, since two tabs
/// may ask at once; its use after that ends the session.
#[utoipa::path(post, path = "/api/auth/refresh", tag = "auth", request_body = RefreshToken, responses(
    (status = 200, body = TokenPair),
    (status = 401, body = ProblemBody, description = "Unknown, expired, used before, or its session has ended"),
    (status = 403, body = ProblemBody, description = "The account is closed"),
    (status = 422, body = ProblemBody),
    (status = 429, body = ProblemBody, description = "Too many requests; see Retry-After"),
))]
async fn refresh(State(app): State<Arc<App>>, Json(input): Json<RefreshToken>) -> Result<Json<TokenPair>, Problem> {
    let refused = || Problem::unauthorized("This refresh token is not valid; sign in again.");
    let old = input.refresh_token.expose_secret();
    let hash = hash(old);
    let now = clock::now();
    let key = app.keys.current(&*app.database, now).await?;
    let transaction = app.database.begin_write().await?;
    let token = store::refresh(&*transaction, &hash).await?.ok_or_else(refused)?;
    let session = store::by_id(&*transaction, token.session_id).await?.ok_or_else(refused)?;
    if session.ended_at.is_some() || token.expires_at <= now.as_millisecond() {
        return Err(refused());
    }
    let next = successor(&app.secrets, old);
    if store::use_refresh(&*transaction, &hash, now.as_millisecond()).await? {
        keep(&transaction, &app, &session, &next, now).await?;
    } else {
        // Read again: whoever was faster has just written when.
        let used_at = store::refresh(&*transaction, &hash).await?.and_then(|token| token.used_at);
        let grace_ends = used_at.map_or(0, |at| at.saturating_add(millis(app.tokens.refresh_grace)));
        if now.as_millisecond() > grace_ends {
            store::end(&*transaction, session.user_id, session.id, now.as_millisecond()).await?;
            transaction.commit().await?;
            metrics::counter!("refresh_tokens_reused_total").increment(1);
            tracing::warn!(session = %session.id, user = %session.user_id, "a refresh token came a second time; the session has ended");
            return Err(refused());
        }
        metrics::counter!("refresh_tokens_asked_twice_total").increment(1);
    }
    let user = accounts::store::by_id(&*transaction, session.user_id).await?.ok_or_else(refused)?;
    require_open(&user)?;
    store::touch(&*transaction, session.id, now.as_millisecond()).await?;
    let pair = pair(&app, &key, &user, &session, next, now)?;
    transaction.commit().await?;
    Ok(Json(pair))
}

fn millis(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Ends the session that a refresh token belongs to. Also 204 where it has ended before, or was never there.
#[utoipa::path(post, path = "/api/auth/logout", tag = "auth", request_body = RefreshToken, responses(
    (status = 204),
    (status = 422, body = ProblemBody),
    (status = 429, body = ProblemBody, description = "Too many requests; see Retry-After"),
))]
async fn logout(State(app): State<Arc<App>>, Json(input): Json<RefreshToken>) -> Result<StatusCode, Problem> {
    let transaction = app.database.begin_write().await?;
    if let Some(token) = store::refresh(&*transaction, &hash(input.refresh_token.expose_secret())).await?
        && let Some(session) = store::by_id(&*transaction, token.session_id).await?
    {
        store::end(&*transaction, session.user_id, session.id, clock::now().as_millisecond()).await?;
    }
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One sign-in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SessionView {
    id: Uuid,
    app_id: String,
    user_agent: Option<String>,
    /// RFC 3339, UTC.
    created_at: String,
    /// RFC 3339, UTC.
    last_used_at: String,
    /// Whether it is the one that asks.
    current: bool,
}

#[derive(Serialize, ToSchema)]
struct SessionList {
    sessions: Vec<SessionView>,
}

/// The sessions that have not ended, by themselves or by anybody's wish, the last used first.
#[utoipa::path(get, path = "/api/auth/sessions", tag = "auth", security(("accessToken" = [])), responses(
    (status = 200, body = SessionList),
    (status = 401, body = ProblemBody),
))]
async fn list(State(app): State<Arc<App>>, user: User) -> Result<Json<SessionList>, Problem> {
    require_live(&app, &user).await?;
    let since = time::earlier(clock::now(), app.tokens.session_ttl());
    let sessions = store::live(&*app.database, user.claims.sub, since).await?.into_iter().map(|session| SessionView {
        id: session.id,
        current: session.id == user.claims.sid,
        app_id: session.app_id,
        user_agent: session.user_agent,
        created_at: time::rfc3339(session.created_at),
        last_used_at: time::rfc3339(session.last_used_at),
    });
    Ok(Json(SessionList { sessions: sessions.collect() }))
}

/// Ends one of one's own sessions: its refresh tokens stop working at once.
#[utoipa::path(delete, path = "/api/auth/sessions/{id}", tag = "auth", security(("accessToken" = [])),
    params(("id" = Uuid, Path)), responses(
    (status = 204),
    (status = 401, body = ProblemBody),
    (status = 404, body = ProblemBody, description = "Unknown, ended before, or someone else's"),
))]
async fn revoke(State(app): State<Arc<App>>, user: User, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    require_live(&app, &user).await?;
    let id = Uuid::parse_str(&id).map_err(|_| Problem::not_found("session"))?;
    let transaction = app.database.begin_write().await?;
    let ended = store::end(&*transaction, user.claims.sub, id, clock::now().as_millisecond()).await?;
    transaction.commit().await?;
    if ended { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("session")) }
}

/// Ends all of one's own sessions but the one that asks.
#[utoipa::path(delete, path = "/api/auth/sessions", tag = "auth", security(("accessToken" = [])), responses(
    (status = 204),
    (status = 401, body = ProblemBody),
))]
async fn revoke_others(State(app): State<Arc<App>>, user: User) -> Result<StatusCode, Problem> {
    require_live(&app, &user).await?;
    let transaction = app.database.begin_write().await?;
    store::end_others(&*transaction, user.claims.sub, user.claims.sid, clock::now().as_millisecond()).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
