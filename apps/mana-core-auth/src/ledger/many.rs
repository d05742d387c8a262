//! Several calls in one request, for services that have many under way: below the address of the single call, so that the same
//! scope opens both. Each call has its own outcome, the same that it would have had alone; what comes together is carried out in
//! as few transactions as the queue makes of it.

use std::sync::Arc;

use axum::extract::State;
use futures_util::future::join_all;
use kit::auth::ServiceCaller;
use kit::{Json, Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::internal_routes::{ReserveBody, ReservedView, ResolveBody, StandingView, reserved, settled, wrong};
use crate::app::App;

/// Calls in one request: as many as one transaction carries out.
const MOST: usize = 128;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReserveManyBody {
    /// Each with a key of its own.
    #[schema(min_items = 1, max_items = 128)]
    calls: Vec<ReserveBody>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SettleManyBody {
    /// Each about another reservation.
    #[schema(min_items = 1, max_items = 128)]
    calls: Vec<ResolveBody>,
}

/// What came of one call.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum ReserveOutcome {
    /// What the call alone would have been answered with.
    Done(ReservedView),
    /// Why it was not done.
    Problem(ProblemBody),
}

/// What came of one call.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum SettleOutcome {
    /// What the call alone would have been answered with.
    Done(StandingView),
    /// Why it was not done.
    Problem(ProblemBody),
}

#[derive(Serialize, ToSchema)]
pub(super) struct ReserveOutcomes {
    /// In the order of the calls.
    outcomes: Vec<ReserveOutcome>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct SettleOutcomes {
    /// In the order of the calls.
    outcomes: Vec<SettleOutcome>,
}

/// Holds credits back, several times.
#[utoipa::path(post, path = "/api/internal/credits/reserve/many", tag = "internal", request_body = ReserveManyBody,
    description = "Up to 128 calls, each with the outcome it would have had alone: `done`, or the `problem` with its status.",
    security(("serviceToken" = [])), responses((status = 200, body = ReserveOutcomes), (status = 401, body = ProblemBody),
    (status = 403, body = ProblemBody, description = "The token is not for this"), (status = 422, body = ProblemBody)))]
pub(super) async fn reserve_many(
    _: ServiceCaller,
    State(app): State<Arc<App>>,
    Json(body): Json<ReserveManyBody>,
) -> Result<Json<ReserveOutcomes>, Problem> {
    check_number(body.calls.len())?;
    let outcomes = join_all(body.calls.into_iter().map(|call| reserved(&app, call))).await;
    let outcome = |outcome: Result<ReservedView, Problem>| match outcome {
        Ok(view) => ReserveOutcome::Done(view),
        Err(problem) => ReserveOutcome::Problem(problem.body()),
    };
    Ok(Json(ReserveOutcomes { outcomes: outcomes.into_iter().map(outcome).collect() }))
}

/// Spends what was reserved, several times.
#[utoipa::path(post, path = "/api/internal/credits/settle/many", tag = "internal", request_body = SettleManyBody,
    description = "Up to 128 calls, each with the outcome it would have had alone: `done`, or the `problem` with its status.",
    security(("serviceToken" = [])), responses((status = 200, body = SettleOutcomes), (status = 401, body = ProblemBody),
    (status = 403, body = ProblemBody, description = "The token is not for this"), (status = 422, body = ProblemBody)))]
pub(super) async fn settle_many(
    _: ServiceCaller,
    State(app): State<Arc<App>>,
    Json(body): Json<SettleManyBody>,
) -> Result<Json<SettleOutcomes>, Problem> {
    check_number(body.calls.len())?;
    let outcomes = join_all(body.calls.into_iter().map(|call| settled(&app, call))).await;
    let outcome = |outcome: Result<StandingView, Problem>| match outcome {
        Ok(view) => SettleOutcome::Done(view),
        Err(problem) => SettleOutcome::Problem(problem.body()),
    };
    Ok(Json(SettleOutcomes { outcomes: outcomes.into_iter().map(outcome).collect() }))
}

fn check_number(calls: usize) -> Result<(), Problem> {
    if (1..=MOST).contains(&calls) { Ok(()) } else { Err(wrong("calls", format!("must hold 1 to {MOST}"))) }
}
