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

use super::{TokenPair, hash, pair, require_live, store};
use crate::accounts;
use crate::app::App;
use crate::time;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(refresh)).routes(routes!(logout)).routes(routes!(list)).routes(routes!(revoke))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RefreshToken {
    #[schema(value_type = String)]
    refresh_token: SecretString,
}

/// Exchanges a refresh token for the next pair. It works once: a second use ends the session.
#[utoipa::path(post, path = "/api/auth/refresh", tag = "auth", request_body = RefreshToken, responses(
    (status = 200, body = TokenPair),
    (status = 401, body = ProblemBody, description = "Unknown, expired, used before, or its session has ended"),
    (status = 422, body = ProblemBody),
))]
async fn refresh(State(app): State<Arc<App>>, Json(input): Json<RefreshToken>) -> Result<Json<TokenPair>, Problem> {
    let refused = || Problem::unauthorized("This refresh token is not valid; sign in again.");
    let hash = hash(input.refresh_token.expose_secret());
    let now = clock::now();
    let transaction = app.database.begin_write().await?;
    let token = store::refresh(&*transaction, &hash).await?.ok_or_else(refused)?;
    let session = store::by_id(&*transaction, token.session_id).await?.ok_or_else(refused)?;
    if session.ended_at.is_some() || token.expires_at <= now.as_millisecond() {
        return Err(refused());
    }
    if !store::use_refresh(&*transaction, &hash, now.as_millisecond()).await? {
        store::end(&*transaction, session.user_id, session.id, now.as_millisecond()).await?;
        transaction.commit().await?;
        metrics::counter!("refresh_tokens_reused_total").increment(1);
        tracing::warn!(session = %session.id, user = %session.user_id, "a refresh token came a second time; the session has ended");
        return Err(refused());
    }
    let user = accounts::store::by_id(&*transaction, session.user_id).await?.ok_or_else(refused)?;
    store::touch(&*transaction, session.id, now.as_millisecond()).await?;
    let pair = pair(&transaction, &app, &user, &session, now).await?;
    transaction.commit().await?;
    Ok(Json(pair))
}

/// Ends the session that a refresh token belongs to. Also 204 where it has ended before, or was never there.
#[utoipa::path(post, path = "/api/auth/logout", tag = "auth", request_body = RefreshToken, responses(
    (status = 204),
    (status = 422, body = ProblemBody),
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

/// The sessions that have not ended, the last used first.
#[utoipa::path(get, path = "/api/auth/sessions", tag = "auth", security(("accessToken" = [])), responses(
    (status = 200, body = SessionList),
    (status = 401, body = ProblemBody),
))]
async fn list(State(app): State<Arc<App>>, user: User) -> Result<Json<SessionList>, Problem> {
    require_live(&app, &user).await?;
    let sessions = store::live(&*app.database, user.claims.sub).await?.into_iter().map(|session| SessionView {
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
    let ended = store::end(&*app.database, user.claims.sub, id, clock::now().as_millisecond()).await?;
    if ended { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("session")) }
}
