//! What other services ask of this one, with a service token. No browser comes here, so none of what stands around pages does.
//!
//! `DELETE /api/internal/users/{id}`: somebody's account is deleted, so nothing of theirs stays. For mana-core-auth; asked again it
//! does the same again, and a person it does not know is a person without anything.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::delete;
use kit::Problem;
use kit::auth::ServiceCaller;
use uuid::Uuid;

use crate::app::Shared;

pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/api/internal/users/{id}", delete(forget))
}

async fn forget(State(app): State<Shared>, _: ServiceCaller, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let id = Uuid::parse_str(&id).map_err(|_| Problem::not_found("user"))?;
    let sessions = app.sessions.forget(id).await?;
    tracing::info!(sessions, "a person whose account is deleted was forgotten");
    Ok(StatusCode::NO_CONTENT)
}
