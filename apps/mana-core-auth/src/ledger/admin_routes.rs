//! What administrators may do with credits: `/api/admin/credits/…`. Who gave and why stays with the posting.

use std::sync::Arc;

use axum::extract::State;
use kit::auth::User;
use kit::{Credits, Json, Problem, ProblemBody, Query, clock};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::internal_routes::{check_key, check_said, wrong};
use super::routes::{Page, TransactionPage, page_of};
use super::{Ask, Funds, Undo, changed};
use crate::accounts::store;
use crate::app::App;
use crate::sessions;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(grant)).routes(routes!(reverse)).routes(routes!(transactions))
}

/// Refuses whoever is not an administrator now, whatever the token still says; gives who it is, as postings name them.
pub(crate) async fn require_admin(app: &App, user: &User) -> Result<String, Problem> {
    sessions::require_live(app, user).await?;
    let row = store::by_id(&*app.database, user.claims.sub).await?;
    match row {
        Some(row) if row.role == "admin" => Ok(format!("admin {}", row.id)),
        _ => Err(Problem::forbidden("This is for administrators.")),
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AdminGrantBody {
    user_id: Uuid,
    /// More than nothing.
    amount: Credits,
    /// Why: shown in the user's history, and kept for good.
    reason: String,
    /// Whether they were paid for; `free` where absent.
    #[serde(default)]
    funds: Funds,
    /// The same call again needs the same key; 1 to 200 bytes.
    idempotency_key: String,
}

#[derive(Serialize, ToSchema)]
struct Granted {
    /// What the user can spend now.
    balance: Credits,
}

/// Gives credits to a user.
#[utoipa::path(post, path = "/api/admin/credits/grant", tag = "admin", request_body = AdminGrantBody,
    security(("accessToken" = [])), responses((status = 200, body = Granted), (status = 401, body = ProblemBody),
    (status = 403, body = ProblemBody), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
    (status = 422, body = ProblemBody)))]
async fn grant(
    user: User,
    State(app): State<Arc<App>>,
    Json(body): Json<AdminGrantBody>,
) -> Result<Json<Granted>, Problem> {
    let actor = require_admin(&app, &user).await?;
    if body.amount <= Credits::ZERO {
        return Err(wrong("amount", "must be more than 0".to_owned()));
    }
    check_key(&body.idempotency_key)?;
    check_said(&body.reason)?;
    let AdminGrantBody { user_id: to, amount, reason, funds, idempotency_key } = body;
    tracing::info!(%actor, user = %to, %amount, funds = funds.as_str(), "an administrator gives credits");
    let ask = Ask { user: to, amount, reason, funds, actor: Some(actor) };
    let balance = app.ledger.grant(ask, &idempotency_key, clock::now()).await?;
    changed(&app, to).await;
    Ok(Json(Granted { balance }))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReverseBody {
    user_id: Uuid,
    /// The `id` of the transaction.
    posting_id: Uuid,
    /// Why: shown in the user's history, and kept for good.
    reason: String,
}

/// Undoes a grant, a gift or a charge by a posting that points to it: once, and never into the negative.
#[utoipa::path(post, path = "/api/admin/credits/reverse", tag = "admin", request_body = ReverseBody,
    security(("accessToken" = [])), responses((status = 200, body = Granted), (status = 401, body = ProblemBody),
    (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
    (status = 409, body = ProblemBody, description = "Reversed before, of another kind, or what it gave is spent"),
    (status = 422, body = ProblemBody)))]
async fn reverse(
    user: User,
    State(app): State<Arc<App>>,
    Json(body): Json<ReverseBody>,
) -> Result<Json<Granted>, Problem> {
    let actor = require_admin(&app, &user).await?;
    check_said(&body.reason)?;
    let ReverseBody { user_id: of, posting_id: posting, reason } = body;
    tracing::info!(%actor, user = %of, %posting, "an administrator reverses a posting");
    let balance = app.ledger.reverse(Undo { user: of, posting, reason, actor }, clock::now()).await?;
    changed(&app, of).await;
    Ok(Json(Granted { balance }))
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct Whose {
    user_id: Uuid,
    /// 1 to 200; 50 where absent.
    limit: Option<u64>,
    /// The `nextCursor` of the page before.
    cursor: Option<Uuid>,
}

/// A user's history, with who gave.
#[utoipa::path(get, path = "/api/admin/credits/transactions", tag = "admin", params(Whose), security(("accessToken" = [])),
    responses((status = 200, body = TransactionPage), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
    (status = 422, body = ProblemBody)))]
async fn transactions(
    user: User,
    State(app): State<Arc<App>>,
    Query(whose): Query<Whose>,
) -> Result<Json<TransactionPage>, Problem> {
    require_admin(&app, &user).await?;
    let page = Page { limit: whose.limit, cursor: whose.cursor };
    page_of(&app, whose.user_id, &page, true).await.map(Json)
}
