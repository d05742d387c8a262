//! `/api/keys`: make, list, revoke. With a person's access token only.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use kit::auth::User;
use kit::{Credits, FieldError, Json, Problem, clock};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::secret::Secret;
use super::store::MAX_KEYS;
use crate::app::App;
use crate::caller::Caller;
use crate::entity::api_key;
use crate::time::{now_ms, timestamp};

/// Characters of a key's name.
const MAX_NAME_CHARS: usize = 100;

/// The highest limit that says anything.
const MAX_REQUESTS_PER_MINUTE: i64 = 100_000;

/// A key, without what opens anything.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKey {
    id: Uuid,
    name: String,
    /// Its first characters.
    prefix: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// To the minute; absent if never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    /// Requests it may make in a minute; absent: as many as its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_per_minute: Option<i64>,
    /// Credits it may spend in a day (UTC); absent: as many as its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    credits_per_day: Option<Credits>,
}

/// A key just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewApiKey {
    #[serde(flatten)]
    about: ApiKey,
    /// The key itself: shown here and never again.
    key: String,
}

/// All keys in use.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiKeys {
    keys: Vec<ApiKey>,
}

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKeyRequest {
    /// What it is for, 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Requests it may make in a minute, 1 to 100,000; absent: as many as its owner.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100_000)]
    requests_per_minute: Option<i64>,
    /// Credits it may spend in a day (UTC), more than nothing; absent: as many as its owner.
    #[serde(default)]
    credits_per_day: Option<Credits>,
}

/// `POST /api/keys`
#[utoipa::path(
    post, path = "/api/keys", tag = "keys", operation_id = "createKey",
    summary = "Makes an API key for `/v1`",
    request_body = ApiKeyRequest,
    responses(
        (status = 201, description = "Made; the only answer that holds the key", body = NewApiKey),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 409, description = "There are as many keys as one may have", body = kit::ProblemBody),
        (status = 422, description = "The name or a limit is not valid", body = kit::ProblemBody),
        (status = 503, description = "The session cannot be checked", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    user: User,
    Json(body): Json<ApiKeyRequest>,
) -> Result<(StatusCode, Json<NewApiKey>), Problem> {
    let name = body.name.trim();
    let chars = name.chars().count();
    if chars == 0 || chars > MAX_NAME_CHARS || name.chars().any(char::is_control) {
        let says = format!("must have 1 to {MAX_NAME_CHARS} characters, without control characters");
        return Err(Problem::invalid(vec![FieldError::new("name", says)]));
    }
    if body.requests_per_minute.is_some_and(|limit| !(1..=MAX_REQUESTS_PER_MINUTE).contains(&limit)) {
        let says = format!("must be 1 to {MAX_REQUESTS_PER_MINUTE}");
        return Err(Problem::invalid(vec![FieldError::new("requestsPerMinute", says)]));
    }
    if body.credits_per_day.is_some_and(|limit| limit <= Credits::ZERO) {
        return Err(Problem::invalid(vec![FieldError::new("creditsPerDay", "must be more than nothing")]));
    }
    if !app.ledger.session_lives(&user.token).await.map_err(|failure| failure.problem())? {
        return Err(Problem::unauthorized("This session has ended; sign in to make a key."));
    }
    let secret = Secret::generate();
    let row = api_key::Model {
        id: clock::new_id(),
        user_id: user.claims.sub,
        name: name.to_owned(),
        prefix: secret.prefix(),
        hash: secret.hash(),
        created_at: now_ms(),
        last_used_at: None,
        revoked_at: None,
        requests_per_minute: body.requests_per_minute,
        credits_per_day: body.credits_per_day.map(Credits::units),
    };
    if !app.keys.add(row.clone()).await? {
        return Err(Problem::conflict(format!("There are {MAX_KEYS} keys already; revoke one that is not needed.")));
    }
    Ok((StatusCode::CREATED, Json(NewApiKey { about: row.into(), key: secret.reveal() })))
}

/// `GET /api/keys`
#[utoipa::path(
    get, path = "/api/keys", tag = "keys", operation_id = "listKeys",
    summary = "The caller's API keys in use, without the keys themselves",
    responses(
        (status = 200, description = "The keys", body = ApiKeys),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<ApiKeys>, Problem> {
    let rows = app.keys.list(caller.user).await?;
    Ok(Json(ApiKeys { keys: rows.into_iter().map(ApiKey::from).collect() }))
}

/// `DELETE /api/keys/{id}`
#[utoipa::path(
    delete, path = "/api/keys/{id}", tag = "keys", operation_id = "revokeKey",
    summary = "Revokes an API key",
    params(("id" = String, Path, description = "The key's id")),
    responses(
        (status = 204, description = "It opens nothing any more"),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 404, description = "No such key", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = Uuid::parse_str(&id).map_err(|_| Problem::not_found("key"))?;
    let revoked = app.keys.revoke(caller.user, id, now_ms()).await?;
    if revoked { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("key")) }
}

impl From<api_key::Model> for ApiKey {
    fn from(row: api_key::Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            created_at: timestamp(row.created_at),
            last_used_at: row.last_used_at.map(timestamp),
            requests_per_minute: row.requests_per_minute,
            credits_per_day: row.credits_per_day.map(Credits::from_units),
        }
    }
}
