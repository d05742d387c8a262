//! What other services may do: `/api/internal/credits/…`, with the service token only.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use kit::auth::ServiceCaller;
use kit::{Credits, FieldError, Json, Problem, ProblemBody, Query, clock};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{Admitted, Ask, Funds, Reserved, Standing, many};
use crate::app::App;
use crate::time;

/// Longest idempotency key.
pub(crate) const MAX_KEY_BYTES: usize = 200;

/// Longest reason.
const MAX_REASON_CHARS: usize = 200;

/// Longest time credits may stay reserved.
const MAX_TTL_SECONDS: u64 = 24 * 60 * 60;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(balance))
        .routes(routes!(grant))
        .routes(routes!(reserve))
        .routes(routes!(many::reserve_many))
        .routes(routes!(settle))
        .routes(routes!(many::settle_many))
        .routes(routes!(release))
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct Whose {
    user_id: Uuid,
}

/// What can be spent.
#[derive(Serialize, ToSchema)]
pub(super) struct StandingView {
    balance: Credits,
    /// Rises with each change: of two answers the one with the higher version is the newer. Absent where an answer is
    /// repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
}

impl From<Standing> for StandingView {
    fn from(Standing { balance, version }: Standing) -> Self {
        Self { balance, version }
    }
}

/// A user's balance.
#[utoipa::path(get, path = "/api/internal/credits/balance", tag = "internal", params(Whose), security(("serviceToken" = [])),
    responses((status = 200, body = StandingView), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody),
    (status = 422, body = ProblemBody)))]
async fn balance(
    _: ServiceCaller,
    State(app): State<Arc<App>>,
    Query(whose): Query<Whose>,
) -> Result<Json<StandingView>, Problem> {
    let balance = super::balance(&*app.database, whose.user_id).await?;
    let balance = balance.ok_or_else(|| Problem::not_found("account"))?;
    Ok(Json(StandingView { balance: balance.total(), version: Some(balance.version) }))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GrantBody {
    user_id: Uuid,
    /// More than nothing.
    amount: Credits,
    /// The same call again needs the same key; 1 to 200 bytes.
    idempotency_key: String,
    /// For the history.
    #[serde(default)]
    reason: String,
    /// Whether they were paid for; `free` where absent.
    #[serde(default)]
    funds: Funds,
}

/// Gives credits.
#[utoipa::path(post, path = "/api/internal/credits/grant", tag = "internal", request_body = GrantBody,
    security(("serviceToken" = [])), responses((status = 200, body = StandingView), (status = 401, body = ProblemBody),
    (status = 404, body = ProblemBody), (status = 409, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn grant(
    _: ServiceCaller,
    State(app): State<Arc<App>>,
    Json(body): Json<GrantBody>,
) -> Result<Json<StandingView>, Problem> {
    let ask = ask(body.user_id, body.amount, body.reason, &body.idempotency_key)?;
    let ask = Ask { funds: body.funds, ..ask };
    let user = ask.user;
    let balance = app.ledger.grant(ask, &body.idempotency_key, clock::now()).await?;
    super::changed(&app, user).await;
    Ok(Json(StandingView { balance, version: None }))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReserveBody {
    user_id: Uuid,
    /// More than nothing.
    amount: Credits,
    /// The same call again needs the same key; 1 to 200 bytes.
    idempotency_key: String,
    /// For the history.
    #[serde(default)]
    reason: String,
    /// How long they stay reserved; 600 where absent, at most a day.
    ttl_seconds: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReservedView {
    reservation_id: Uuid,
    /// What can still be spent.
    balance: Credits,
    /// Rises with each change of the balance.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    /// RFC 3339, UTC.
    expires_at: String,
}

impl From<Reserved> for ReservedView {
    fn from(reserved: Reserved) -> Self {
        Self {
            reservation_id: reserved.reservation,
            balance: reserved.balance,
            version: reserved.version,
            expires_at: time::rfc3339(reserved.expires_at),
        }
    }
}

/// Holds credits back, if the balance covers them.
#[utoipa::path(post, path = "/api/internal/credits/reserve", tag = "internal", request_body = ReserveBody,
    security(("serviceToken" = [])), responses((status = 200, body = ReservedView), (status = 401, body = ProblemBody),
    (status = 402, body = ProblemBody), (status = 403, body = ProblemBody, description = "The account is closed, or the token is not for this"), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
    (status = 422, body = ProblemBody)))]
async fn reserve(
    _: ServiceCaller,
    State(app): State<Arc<App>>,
    Json(body): Json<ReserveBody>,
) -> Result<Json<ReservedView>, Problem> {
    reserved(&app, body, None).await.map(Json)
}

/// `admitted` is told as soon as it is decided.
pub(super) async fn reserved(
    app: &App,
    body: ReserveBody,
    admitted: Option<Admitted>,
) -> Result<ReservedView, Problem> {
    let ttl = match body.ttl_seconds {
        None => app.rules.reservation_ttl,
        Some(seconds) if (1..=MAX_TTL_SECONDS).contains(&seconds) => Duration::from_secs(seconds),
        Some(_) => return Err(wrong("ttlSeconds", format!("must be 1 to {MAX_TTL_SECONDS}"))),
    };
    let ask = ask(body.user_id, body.amount, body.reason, &body.idempotency_key)?;
    Ok(app.ledger.reserve(ask, &body.idempotency_key, ttl, clock::now(), admitted).await?.into())
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ResolveBody {
    user_id: Uuid,
    reservation_id: Uuid,
    /// For settling: how much of it is spent; all where absent.
    amount: Option<Credits>,
}

/// Spends what was reserved, or less of it.
#[utoipa::path(post, path = "/api/internal/credits/settle", tag = "internal", request_body = ResolveBody,
    security(("serviceToken" = [])), responses((status = 200, body = StandingView), (status = 401, body = ProblemBody),
    (status = 404, body = ProblemBody), (status = 409, body = ProblemBody, description = "Released before"),
    (status = 422, body = ProblemBody)))]
async fn settle(
    _: ServiceCaller,
    State(app): State<Arc<App>>,
    Json(body): Json<ResolveBody>,
) -> Result<Json<StandingView>, Problem> {
    settled(&app, body).await.map(Json)
}

pub(super) async fn settled(app: &App, body: ResolveBody) -> Result<StandingView, Problem> {
    if body.amount.is_some_and(|amount| amount < Credits::ZERO) {
        return Err(wrong("amount", "must not be negative".to_owned()));
    }
    let now = clock::now();
    let standing = app.ledger.settle(body.user_id, body.reservation_id, body.amount, now).await?;
    Ok(standing.into())
}

/// Gives back what was reserved.
#[utoipa::path(post, path = "/api/internal/credits/release", tag = "internal", request_body = ResolveBody,
    security(("serviceToken" = [])), responses((status = 200, body = StandingView), (status = 401, body = ProblemBody),
    (status = 404, body = ProblemBody), (status = 409, body = ProblemBody, description = "Settled before"),
    (status = 422, body = ProblemBody)))]
async fn release(
    _: ServiceCaller,
    State(app): State<Arc<App>>,
    Json(body): Json<ResolveBody>,
) -> Result<Json<StandingView>, Problem> {
    let standing = app.ledger.release(body.user_id, body.reservation_id, clock::now()).await?;
    Ok(Json(standing.into()))
}

fn ask(user: Uuid, amount: Credits, reason: String, key: &str) -> Result<Ask, Problem> {
    if amount <= Credits::ZERO {
        return Err(wrong("amount", "must be more than 0".to_owned()));
    }
    check_key(key)?;
    check_reason(&reason)?;
    Ok(Ask { user, amount, reason, funds: Funds::Free, actor: Some("service".to_owned()) })
}

pub(crate) fn check_key(key: &str) -> Result<(), Problem> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES || key.chars().any(char::is_control) {
        return Err(wrong("idempotencyKey", format!("must have 1 to {MAX_KEY_BYTES} bytes, no control characters")));
    }
    Ok(())
}

/// A reason that has to be given.
pub(crate) fn check_said(reason: &str) -> Result<(), Problem> {
    check_reason(reason)?;
    if reason.trim().is_empty() { Err(wrong("reason", "must say why".to_owned())) } else { Ok(()) }
}

/// A reason is a line of text.
fn check_reason(reason: &str) -> Result<(), Problem> {
    if reason.chars().count() > MAX_REASON_CHARS || reason.chars().any(char::is_control) {
        return Err(wrong("reason", format!("must have at most {MAX_REASON_CHARS} characters, all on one line")));
    }
    Ok(())
}

pub(crate) fn wrong(field: &str, message: String) -> Problem {
    Problem::invalid(vec![FieldError::new(field, message)])
}
