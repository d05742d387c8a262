//! Several calls in one request, for services that have many under way: below the address of the single call, so that the same
//! scope opens both. Each call has its own outcome, the same that it would have had alone; what comes together is carried out in
//! as few transactions as the queue makes of it.
//!
//! Who asks for lines (`Accept: application/x-ndjson`) is told of each reserve twice: that it is admitted, as soon as that is decided, and what came of it once that
//! is durable. So a caller can begin its work while the ledger's disk does its own; it must hand out nothing before the second line.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, header};
use kit::auth::ServiceCaller;
use kit::{Json, Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::internal_routes::{ReserveBody, ReservedView, ResolveBody, StandingView, reserved, settled, wrong};
use crate::app::App;

/// Answers as they come, each an object on a line of its own.
const LINES: &str = "application/x-ndjson";

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

/// What is told of one of the calls.
#[derive(Serialize, ToSchema)]
pub(super) struct ReserveLine {
    /// Which, counted from 0.
    call: usize,
    #[serde(flatten)]
    says: ReserveWord,
}

/// A word about one call. After `done` or `problem` there is none that counts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum ReserveWord {
    /// It is decided, and not durable yet: what it is about to be.
    Admitted(ReservedView),
    /// It is durable: what the call alone would have been answered with.
    Done(ReservedView),
    /// Why it was not done.
    Problem(ProblemBody),
}

/// Holds credits back, several times.
#[utoipa::path(post, path = "/api/internal/credits/reserve/many", tag = "internal", request_body = ReserveManyBody,
    description = "Up to 128 calls, each with the outcome it would have had alone: `done`, or the `problem` with its status. With `Accept: application/x-ndjson` \
        an object on a line of its own for each as it comes: `admitted` once it is decided (where it is), then `done` once it is durable, or `problem`.",
    security(("serviceToken" = [])), responses((status = 200, content((ReserveOutcomes = "application/json"), (ReserveLine = "application/x-ndjson"))), (status = 401, body = ProblemBody),
    (status = 403, body = ProblemBody, description = "The token is not for this"), (status = 422, body = ProblemBody)))]
pub(super) async fn reserve_many(
    _: ServiceCaller,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(body): Json<ReserveManyBody>,
) -> Result<Response, Problem> {
    check_number(body.calls.len())?;
    if headers.get(header::ACCEPT).is_some_and(|accept| accept == LINES) {
        return Ok(in_lines(&app, body.calls).await);
    }
    let outcomes = join_all(body.calls.into_iter().map(|call| reserved(&app, call, None))).await;
    let outcome = |outcome: Result<ReservedView, Problem>| match outcome {
        Ok(view) => ReserveOutcome::Done(view),
        Err(problem) => ReserveOutcome::Problem(problem.body()),
    };
    Ok(Json(ReserveOutcomes { outcomes: outcomes.into_iter().map(outcome).collect() }).into_response())
}

/// Answers with a line for each word about each call. Who hangs up asks no more: what has not been begun is not.
async fn in_lines(app: &Arc<App>, calls: Vec<ReserveBody>) -> Response {
    let most = 2 * calls.len();
    let calls = calls.into_iter().enumerate().map(|(call, body)| {
        let words = words(app.clone(), body).map(move |says| ReserveLine { call, says });
        Box::pin(words)
    });
    // What is there at once goes at once.
    let chunks = stream::select_all(calls).ready_chunks(most).map(|lines| {
        let mut text = Vec::with_capacity(256 * lines.len());
        for line in lines {
            serde_json::to_writer(&mut text, &line).expect("a line is strings and numbers");
            text.push(b'\n');
        }
        Ok::<_, Infallible>(Bytes::from(text))
    });
    let mut chunks = Box::pin(chunks.peekable());
    // The answer's head goes with the first of them.
    chunks.as_mut().peek().await;
    ([(header::CONTENT_TYPE, LINES)], Body::from_stream(chunks)).into_response()
}

/// What is told of one call: that it is admitted, if it is; then what came of it.
fn words(app: Arc<App>, body: ReserveBody) -> impl Stream<Item = ReserveWord> {
    let (early, admitted) = oneshot::channel();
    let outcome = async move {
        match reserved(&app, body, Some(early)).await {
            Ok(view) => ReserveWord::Done(view),
            Err(problem) => ReserveWord::Problem(problem.body()),
        }
    };
    // Nobody is admitted where it is dropped.
    let admitted =
        stream::once(admitted).filter_map(async |told| told.ok().map(|told| ReserveWord::Admitted(told.into())));
    stream::select_with_strategy(admitted, stream::once(outcome), |(): &mut ()| stream::PollNext::Left)
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
