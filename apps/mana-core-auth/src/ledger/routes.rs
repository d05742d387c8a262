//! What people see of their credits: `GET /api/credits/balance`, `GET /api/credits/transactions`, and the same as CSV.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use http::header;
use kit::auth::User;
use kit::{Credits, FieldError, Json, Problem, ProblemBody, Query};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::csv;
use super::history::Line;
use crate::app::App;
use crate::{sessions, time};

/// Transactions on a page where the caller says nothing.
const DEFAULT_PAGE: u64 = 50;

/// Most transactions on a page.
const MAX_PAGE: u64 = 200;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(balance)).routes(routes!(transactions)).routes(routes!(export))
}

/// Transactions that are read at a time for an export.
const EXPORT_PAGE: u64 = 500;

/// What can be spent.
#[derive(Debug, Serialize, ToSchema)]
struct BalanceView {
    /// Both parts together.
    balance: Credits,
    /// What was given; it is spent first.
    free: Credits,
    /// What was paid for.
    paid: Credits,
}

/// One's own balance.
#[utoipa::path(get, path = "/api/credits/balance", tag = "credits", security(("accessToken" = [])), responses(
    (status = 200, body = BalanceView),
    (status = 401, body = ProblemBody),
))]
async fn balance(State(app): State<Arc<App>>, user: User) -> Result<Json<BalanceView>, Problem> {
    sessions::require_live(&app, &user).await?;
    let balance = super::balance(&*app.database, user.claims.sub).await?;
    let balance = balance.ok_or_else(|| Problem::not_found("account"))?;
    Ok(Json(BalanceView { balance: balance.total(), free: balance.free, paid: balance.paid }))
}

/// Part of a history.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// 1 to 200; 50 where absent.
    pub(crate) limit: Option<u64>,
    /// The `nextCursor` of the page before.
    pub(crate) cursor: Option<Uuid>,
}

/// One line of the history.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransactionView {
    id: Uuid,
    /// `grant`, `gift`, `reserve`, `settle`, `release`, `reverse`, `lapse` or `close`.
    kind: String,
    /// What it added to (or, negative, took from) what can be spent.
    amount: Credits,
    /// What could be spent after it.
    balance: Credits,
    reason: String,
    reservation_id: Option<Uuid>,
    /// The transaction that it undoes.
    #[serde(skip_serializing_if = "Option::is_none")]
    reverses: Option<Uuid>,
    /// Who gave it: told to administrators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    /// RFC 3339, UTC.
    created_at: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransactionPage {
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
    sessions::require_live(&app, &user).await?;
    page_of(&app, user.claims.sub, &page, false).await.map(Json)
}

/// A page of a user's history; `told` adds who gave.
pub(crate) async fn page_of(app: &App, user: Uuid, page: &Page, told: bool) -> Result<TransactionPage, Problem> {
    let limit = page.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::invalid(vec![FieldError::new("limit", format!("must be 1 to {MAX_PAGE}"))]));
    }
    // One more than asked for tells whether there is a next page.
    let mut lines = super::by_user(&*app.database, user, page.cursor, limit + 1).await?;
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
        reverses: line.posting.reverses,
        actor: line.posting.actor.filter(|_| told),
        created_at: time::rfc3339(line.posting.created_at),
    });
    Ok(TransactionPage { transactions: transactions.collect(), next_cursor })
}

/// One's own history as CSV, the newest first, written as it is read.
#[utoipa::path(get, path = "/api/credits/transactions.csv", tag = "credits", security(("accessToken" = [])), responses(
    (status = 200, description = "The whole history; a transfer that breaks off is not whole", body = String, content_type = "text/csv"),
    (status = 401, body = ProblemBody),
    (status = 503, body = ProblemBody),
))]
async fn export(State(app): State<Arc<App>>, user: User) -> Result<Response, Problem> {
    sessions::require_live(&app, &user).await?;
    let pieces = in_pieces(app, user.claims.sub, |lines| lines.iter().map(csv::line).collect()).await?;
    let body = Body::from_stream(stream::once(async { Ok(csv::HEAD.to_owned()) }).chain(pieces));
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"credits.csv\""),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, body).into_response())
}

/// A person's whole history, the newest first, written page by page as it is read. What goes wrong at the beginning is still an ordinary error.
pub(crate) async fn in_pieces(
    app: Arc<App>,
    user: Uuid,
    write: fn(&[Line]) -> String,
) -> Result<impl Stream<Item = Result<String, DbErr>> + use<>, DbErr> {
    let first = super::by_user(&*app.database, user, None, EXPORT_PAGE).await?;
    let rest = stream::try_unfold(next_after(&first), move |cursor| {
        let app = Arc::clone(&app);
        async move {
            let Some(cursor) = cursor else { return Ok(None) };
            let lines = super::by_user(&*app.database, user, Some(cursor), EXPORT_PAGE).await.inspect_err(|error| {
                tracing::warn!(error = kit::chain(error), "an export breaks off");
            })?;
            Ok(Some((write(&lines), next_after(&lines))))
        }
    });
    let first = write(&first);
    Ok(stream::once(async { Ok(first) }).chain(rest))
}

/// Where the next page begins, unless this was the last.
fn next_after(lines: &[Line]) -> Option<Uuid> {
    let full = u64::try_from(lines.len()).unwrap_or(u64::MAX) == EXPORT_PAGE;
    lines.last().filter(|_| full).map(|line| line.posting.id)
}
