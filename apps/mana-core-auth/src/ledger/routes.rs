//! What people see of their credits: `GET /api/credits/balance`, `GET /api/credits/transactions`.

use std::sync::Arc;

use axum::extract::State;
use kit::auth::User;
use kit::{Credits, FieldError, Json, Problem, ProblemBody, Query};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::App;
use crate::time;

/// Transactions on a page where the caller says nothing.
const DEFAULT_PAGE: u64 = 50;

/// Most transactions on a page.
const MAX_PAGE: u64 = 200;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(balance)).routes(routes!(transactions))
}

/// What can be spent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BalanceView {
    pub(crate) balance: Credits,
}

/// One's own balance.
#[utoipa::path(get, path = "/api/credits/balance", tag = "credits", security(("accessToken" = [])), responses(
    (status = 200, body = BalanceView),
    (status = 401, body = ProblemBody),
))]
async fn balance(State(app): State<Arc<App>>, user: User) -> Result<Json<BalanceView>, Problem> {
    let balance = super::balance(&*app.database, user.claims.sub).await?;
    let balance = balance.ok_or_else(|| Problem::not_found("account"))?;
    Ok(Json(BalanceView { balance }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Page {
    /// 1 to 200; 50 where absent.
    limit: Option<u64>,
    /// The `nextCursor` of the page before.
    cursor: Option<Uuid>,
}

/// One line of the history.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TransactionView {
    id: Uuid,
    /// `grant`, `reserve`, `settle` or `release`.
    kind: String,
    /// What it added to (or, negative, took from) what can be spent.
    amount: Credits,
    /// What could be spent after it.
    balance: Credits,
    reason: String,
    reservation_id: Option<Uuid>,
    /// RFC 3339, UTC.
    created_at: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TransactionPage {
    transactions: Vec<TransactionView>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<Uuid>,
}

/// One's own history, the newest first.
#[utoipa::path(get, path = "/api/credits/transactions", tag = "credits", params(Page), security(("accessToken" = [])), responses(
    (status = 200, body = TransactionPage),
    (status = 401, body = ProblemBody),
    (status = 422, body = ProblemBody),
))]
async fn transactions(
    State(app): State<Arc<App>>,
    user: User,
    Query(page): Query<Page>,
) -> Result<Json<TransactionPage>, Problem> {
    let limit = page.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::invalid(vec![FieldError::new("limit", format!("must be 1 to {MAX_PAGE}"))]));
    }
    // One more than asked for tells whether there is a next page.
    let mut lines = super::by_user(&*app.database, user.claims.sub, page.cursor, limit + 1).await?;
    let more = u64::try_from(lines.len()).unwrap_or(u64::MAX) > limit;
    if more {
        lines.pop();
    }
    let next_cursor = lines.last().filter(|_| more).map(|line| line.posting.id);
    let transactions = lines.into_iter().map(|line| TransactionView {
        id: line.posting.id,
        kind: line.posting.kind,
        amount: line.change,
        balance: Credits::from_units(line.posting.balance_after),
        reason: line.posting.reason,
        reservation_id: line.posting.reservation_id,
        created_at: time::rfc3339(line.posting.created_at),
    });
    Ok(Json(TransactionPage { transactions: transactions.collect(), next_cursor }))
}
