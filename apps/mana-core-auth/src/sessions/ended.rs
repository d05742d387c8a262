//! Sessions that have ended, for services that verify access tokens by themselves ([`kit::auth::ENDED_SESSIONS_PATH`]).
//!
//! Whatever ends sessions goes through [`note`] in its own transaction, so that none ends without being told. A row is kept for as long as an access token of the
//! session can live.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use jiff::Timestamp;
use kit::auth::{EndedSessions, ServiceCaller};
use kit::{Json, Problem, ProblemBody, Query, clock};
use sea_orm::sea_query::{self, OnConflict};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, QueryTrait};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::App;
use crate::entity::{ended_session, session};
use crate::settings::Tokens;
use crate::time;

/// What is added to a token's life: clocks differ, and verifiers allow for that.
const MARGIN: Duration = Duration::from_mins(1);

/// How far before the time that a service has seen it is told again: what was noted then may have become visible only now, and clocks of instances differ. Longer than a transaction
/// of ours takes; what takes longer still is told with the next whole list.
const OVERLAP: Duration = Duration::from_secs(15);

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

fn kept_for(tokens: &Tokens) -> Duration {
    tokens.access_ttl + MARGIN
}

/// Notes the sessions of a condition that end now: called after they have, so that those are noted that did and no others.
pub(super) async fn note(connection: &impl ConnectionTrait, which: Condition, now: i64) -> Result<(), DbErr> {
    let ended = session::Entity::find()
        .select_only()
        .columns([session::Column::Id, session::Column::EndedAt])
        .filter(which)
        .filter(session::Column::EndedAt.eq(now))
        .into_query();
    let mut insert = sea_query::Query::insert();
    insert
        .into_table(ended_session::Entity)
        .columns([ended_session::Column::SessionId, ended_session::Column::EndedAt])
        .select_from(ended)
        .map_err(|error| DbErr::Custom(error.to_string()))?
        .on_conflict(OnConflict::column(ended_session::Column::SessionId).do_nothing().to_owned());
    connection.execute(&insert).await.map(drop)
}

/// Forgets those whose tokens have all expired.
pub(crate) async fn forget(connection: &impl ConnectionTrait, tokens: &Tokens, now: Timestamp) -> Result<(), DbErr> {
    let before = time::earlier(now, kept_for(tokens));
    let gone = ended_session::Entity::delete_many().filter(ended_session::Column::EndedAt.lt(before));
    gone.exec(connection).await.map(drop)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Since {
    /// The `asOf` of the answer before; absent: all that matter.
    since: Option<i64>,
}

/// The sessions that have ended while a token of theirs may live. What is told with `since` may have been told before.
#[utoipa::path(get, path = "/api/internal/sessions/ended", tag = "internal", params(Since), security(("serviceToken" = [])),
    responses((status = 200, body = EndedSessions), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
    (status = 422, body = ProblemBody)))]
async fn list(
    _: ServiceCaller,
    State(app): State<Arc<App>>,
    Query(Since { since }): Query<Since>,
) -> Result<Json<EndedSessions>, Problem> {
    let now = clock::now();
    let kept_for = kept_for(&app.tokens);
    let overlap = i64::try_from(OVERLAP.as_millis()).unwrap_or(i64::MAX);
    let from = time::earlier(now, kept_for).max(since.map_or(i64::MIN, |since| since.saturating_sub(overlap)));
    let sessions: Vec<Uuid> = ended_session::Entity::find()
        .select_only()
        .column(ended_session::Column::SessionId)
        .filter(ended_session::Column::EndedAt.gte(from))
        .into_tuple()
        .all(&*app.database)
        .await?;
    Ok(Json(EndedSessions { as_of: now.as_millisecond(), kept_for: kept_for.as_secs(), sessions }))
}
