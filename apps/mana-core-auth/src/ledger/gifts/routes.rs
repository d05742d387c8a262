//! Redeeming a code (`POST /api/credits/redeem`), and making, listing and withdrawing codes (`/api/admin/gift-codes`).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use kit::auth::User;
use kit::{Credits, FieldError, Json, Problem, ProblemBody, Query, clock};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{Code, MAX_AMOUNT, MAX_USES, allow, store};
use crate::app::App;
use crate::entity::gift_code::Model;
use crate::ledger::admin_routes::require_admin;
use crate::ledger::internal_routes::{check_said, wrong};
use crate::ledger::{Funds, changed};
use crate::{sessions, time};

/// Codes on a page.
const PAGE: u64 = 100;

/// Longest time a code may be valid for where it expires at all: ten years.
const MAX_DAYS: u16 = 3_650;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(redeem)).routes(routes!(make, list)).routes(routes!(withdraw))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RedeemBody {
    /// Six letters and digits, in any case; blanks and hyphens do not matter.
    #[schema(example = "ABC-234")]
    code: String,
}

#[derive(Serialize, ToSchema)]
struct Redeemed {
    /// What can be spent now.
    balance: Credits,
}

/// Turns a gift code into credits, once.
#[utoipa::path(post, path = "/api/credits/redeem", tag = "credits", request_body = RedeemBody, security(("accessToken" = [])),
    responses((status = 200, body = Redeemed), (status = 401, body = ProblemBody),
    (status = 404, body = ProblemBody, description = "No such code, or it is no longer valid"),
    (status = 409, body = ProblemBody, description = "You have redeemed it before"), (status = 422, body = ProblemBody),
    (status = 429, body = ProblemBody, description = "Too many tries; see Retry-After"), (status = 503, body = ProblemBody)))]
async fn redeem(
    user: User,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(body): Json<RedeemBody>,
) -> Result<Json<Redeemed>, Problem> {
    sessions::require_live(&app, &user).await?;
    let code: Code = body.code.parse().map_err(|why: &str| Problem::invalid(vec![FieldError::new("code", why)]))?;
    let user = user.claims.sub;
    allow(&app, user, &headers).await?;
    let standing = app.ledger.redeem(user, code, clock::now()).await?;
    changed(&app, user).await;
    Ok(Json(Redeemed { balance: standing.balance }))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewCode {
    /// What it gives: more than nothing.
    amount: Credits,
    /// How many people can redeem it, once each; 1 where absent.
    #[serde(default = "one")]
    uses: u32,
    /// After how many days it is no longer valid; absent: it stays valid.
    expires_in_days: Option<u16>,
    /// Why.
    reason: String,
    /// Whether its credits count as paid for; `free` where absent.
    #[serde(default)]
    funds: Funds,
}

fn one() -> u32 {
    1
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CodeView {
    id: Uuid,
    code: String,
    amount: Credits,
    /// `free` or `paid`.
    funds: String,
    uses: i64,
    /// By how many people it was redeemed.
    used: i64,
    /// RFC 3339, UTC; absent: it stays valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    reason: String,
    made_by: String,
    /// RFC 3339, UTC.
    created_at: String,
    /// RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn_at: Option<String>,
}

impl From<Model> for CodeView {
    fn from(model: Model) -> Self {
        Self {
            id: model.id,
            code: model.code,
            amount: Credits::from_units(model.amount),
            funds: model.funds,
            uses: model.uses,
            used: model.used,
            expires_at: model.expires_at.map(time::rfc3339),
            reason: model.reason,
            made_by: model.made_by,
            created_at: time::rfc3339(model.created_at),
            withdrawn_at: model.withdrawn_at.map(time::rfc3339),
        }
    }
}

/// Makes a code.
#[utoipa::path(post, path = "/api/admin/gift-codes", tag = "admin", request_body = NewCode, security(("accessToken" = [])),
    responses((status = 201, body = CodeView), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
    (status = 422, body = ProblemBody)))]
async fn make(
    user: User,
    State(app): State<Arc<App>>,
    Json(body): Json<NewCode>,
) -> Result<(StatusCode, Json<CodeView>), Problem> {
    let made_by = require_admin(&app, &user).await?;
    if body.amount <= Credits::ZERO || body.amount > MAX_AMOUNT {
        return Err(wrong("amount", format!("must be more than 0 and at most {MAX_AMOUNT}")));
    }
    if !(1..=MAX_USES).contains(&body.uses) {
        return Err(wrong("uses", format!("must be 1 to {MAX_USES}")));
    }
    if body.expires_in_days.is_some_and(|days| !(1..=MAX_DAYS).contains(&days)) {
        return Err(wrong("expiresInDays", format!("must be 1 to {MAX_DAYS}")));
    }
    check_said(&body.reason)?;
    let now = clock::now();
    let days = |days: u16| time::later(now, Duration::from_hours(24 * u64::from(days)));
    let NewCode { amount, uses, reason, funds, .. } = body;
    let expires_at = body.expires_in_days.map(days);
    let made =
        store::make(&app.database, &store::New { amount, funds, uses, expires_at, reason, made_by }, now).await?;
    tracing::info!(by = made.made_by, id = %made.id, %amount, uses, "a gift code was made");
    Ok((StatusCode::CREATED, Json(made.into())))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Page {
    /// The `nextCursor` of the page before.
    cursor: Option<Uuid>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CodePage {
    codes: Vec<CodeView>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<Uuid>,
}

/// All codes, the newest first.
#[utoipa::path(get, path = "/api/admin/gift-codes", tag = "admin", params(Page), security(("accessToken" = [])),
    responses((status = 200, body = CodePage), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
    (status = 422, body = ProblemBody)))]
async fn list(user: User, State(app): State<Arc<App>>, Query(page): Query<Page>) -> Result<Json<CodePage>, Problem> {
    require_admin(&app, &user).await?;
    let mut codes = store::list(&app.database, page.cursor, PAGE + 1).await?;
    let more = u64::try_from(codes.len()).unwrap_or(u64::MAX) > PAGE;
    if more {
        codes.pop();
    }
    let next_cursor = codes.last().filter(|_| more).map(|code| code.id);
    Ok(Json(CodePage { codes: codes.into_iter().map(CodeView::from).collect(), next_cursor }))
}

/// Takes a code out of use. What was redeemed stays.
#[utoipa::path(delete, path = "/api/admin/gift-codes/{id}", tag = "admin", params(("id" = Uuid, Path)),
    security(("accessToken" = [])), responses((status = 204), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
    (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
async fn withdraw(user: User, State(app): State<Arc<App>>, Path(id): Path<Uuid>) -> Result<StatusCode, Problem> {
    let by = require_admin(&app, &user).await?;
    if !store::withdraw(&app.database, id, clock::now()).await? {
        return Err(Problem::not_found("gift code"));
    }
    tracing::info!(by, %id, "a gift code was withdrawn");
    Ok(StatusCode::NO_CONTENT)
}
