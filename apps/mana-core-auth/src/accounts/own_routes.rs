//! `GET /api/auth/account/export`, `POST /api/auth/account/delete`: what people do with all that is theirs.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, StatusCode, header};
use kit::auth::User;
use kit::{Json, Problem, ProblemBody, clock};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::owner::{NotTheOwner, Proof, owner};
use super::routes::UserView;
use super::{by_token, store};
use crate::app::App;
use crate::entity::{identity, passkey, recovery_code, second_factor, session};
use crate::{ledger, letters, sessions, time};

/// Sessions that are read at a time for an export.
const SESSIONS_AT_ONCE: u64 = 500;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(export)).routes(routes!(delete))
}

/// Everything that is kept of the account, but for secrets and what they hash to; written as it is read. A transfer that breaks off is not whole.
#[utoipa::path(get, path = "/api/auth/account/export", tag = "account", security(("accessToken" = [])), responses(
    (status = 200, body = Value, description = "`account`, `sessions`, `passkeys`, `identities`, `secondFactor`, `transactions`"),
    (status = 401, body = ProblemBody),
))]
async fn export(State(app): State<Arc<App>>, caller: User) -> Result<Response, Problem> {
    let user = by_token(&app, &caller).await?;
    let database = &*app.database;
    let passkeys = passkey::Entity::find().filter(passkey::Column::UserId.eq(user.id)).all(database).await?;
    let identities = identity::Entity::find().filter(identity::Column::UserId.eq(user.id)).all(database).await?;
    let factor = second_factor::Entity::find_by_id(user.id).one(database).await?;
    let told = json!({
        "exportedAt": clock::now().to_string(),
        "account": UserView::from(&user),
        "passkeys": passkeys.iter().map(|key| json!({
            "name": key.name, "createdAt": time::rfc3339(key.created_at), "lastUsedAt": key.last_used_at.map(time::rfc3339),
        })).collect::<Vec<_>>(),
        "identities": identities.iter().map(|it| json!({ "issuer": it.issuer, "subject": it.subject })).collect::<Vec<_>>(),
        "secondFactor": factor.and_then(|factor| factor.confirmed_at).map(time::rfc3339),
    });
    // What goes wrong at the beginning of either list is still an ordinary error.
    let lines = listed(ledger::routes::in_pieces(Arc::clone(&app), user.id, transactions).await?);
    let sessions = listed(sessions_in_pieces(app, user.id).await?);
    // Without its end: the two long lists are its last fields.
    let mut head = told.to_string();
    head.truncate(head.len() - 1);
    let head = piece(head).chain(piece(",\"sessions\":[")).chain(sessions);
    let body = Body::from_stream(head.chain(piece("],\"transactions\":[")).chain(lines).chain(piece("]}")));
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"account.json\""),
    ];
    Ok((headers, body).into_response())
}

fn piece(text: impl Into<String>) -> impl Stream<Item = Result<String, DbErr>> {
    let text = text.into();
    stream::once(async { Ok(text) })
}

/// A list of which each item begins with a comma, without the first of them.
fn listed(
    pieces: impl Stream<Item = Result<String, DbErr>> + Send + 'static,
) -> impl Stream<Item = Result<String, DbErr>> + Send + 'static {
    pieces
        .enumerate()
        .map(|(page, piece)| piece.map(|text| if page == 0 { text.trim_start_matches(',').to_owned() } else { text }))
}

/// A person's sessions, the oldest first, written page by page as they are read.
async fn sessions_in_pieces(
    app: Arc<App>,
    user: Uuid,
) -> Result<impl Stream<Item = Result<String, DbErr>> + use<>, DbErr> {
    let first = sessions::store::in_order(&*app.database, user, None, SESSIONS_AT_ONCE).await?;
    let rest = stream::try_unfold(next_after(&first), move |after| {
        let app = Arc::clone(&app);
        async move {
            let Some(after) = after else { return Ok(None) };
            let page = sessions::store::in_order(&*app.database, user, Some(after), SESSIONS_AT_ONCE).await;
            let page = page.inspect_err(|error| tracing::warn!(error = kit::chain(error), "an export breaks off"))?;
            Ok::<_, DbErr>(Some((told_sessions(&page), next_after(&page))))
        }
    });
    let first = told_sessions(&first);
    Ok(stream::once(async { Ok(first) }).chain(rest))
}

/// Where the next page begins, unless this was the last.
fn next_after(page: &[session::Model]) -> Option<Uuid> {
    let full = u64::try_from(page.len()).unwrap_or(u64::MAX) == SESSIONS_AT_ONCE;
    page.last().filter(|_| full).map(|session| session.id)
}

fn told_sessions(page: &[session::Model]) -> String {
    let told = |session: &session::Model| {
        let told = json!({
            "app": session.app_id, "browser": session.user_agent, "createdAt": time::rfc3339(session.created_at),
            "lastUsedAt": time::rfc3339(session.last_used_at), "endedAt": session.ended_at.map(time::rfc3339),
        });
        format!(",{told}")
    };
    page.iter().map(told).collect()
}

fn transactions(lines: &[ledger::Line]) -> String {
    let line = |line: &ledger::Line| {
        let told = json!({
            "kind": line.posting.kind, "reason": line.posting.reason, "amount": line.change,
            "balance": kit::Credits::from_units(line.posting.balance_after),
            "at": time::rfc3339(line.posting.created_at),
        });
        format!(",{told}")
    };
    lines.iter().map(line).collect()
}

/// Deletes the account for good, here and, within a short time, in the other services. What stays is the ledger, which names nobody; credits that are left are lost.
#[utoipa::path(post, path = "/api/auth/account/delete", tag = "account", request_body = Proof,
    security(("accessToken" = [])), responses(
        (status = 204),
        NotTheOwner,
    ))]
async fn delete(
    State(app): State<Arc<App>>,
    caller: User,
    headers: HeaderMap,
    Json(proof): Json<Proof>,
) -> Result<StatusCode, Problem> {
    let user = owner(&app, &caller, proof, &headers).await?;
    // First, and the same again changes nothing: whoever is interrupted here can still sign in and delete once more.
    app.ledger.close(user.id, clock::now()).await?;
    let transaction = app.database.begin_write().await?;
    store::empty(&*transaction, user.id, clock::now().as_millisecond()).await?;
    app.told.write(&*transaction, user.id, clock::now()).await?;
    sessions::store::forget_of(&*transaction, user.id, clock::now().as_millisecond()).await?;
    letters::store::forget_of(&*transaction, user.id).await?;
    let of = user.id;
    passkey::Entity::delete_many().filter(passkey::Column::UserId.eq(of)).exec(&*transaction).await?;
    identity::Entity::delete_many().filter(identity::Column::UserId.eq(of)).exec(&*transaction).await?;
    recovery_code::Entity::delete_many().filter(recovery_code::Column::UserId.eq(of)).exec(&*transaction).await?;
    second_factor::Entity::delete_by_id(of).exec(&*transaction).await?;
    transaction.commit().await?;
    metrics::counter!("accounts_deleted_total").increment(1);
    Ok(StatusCode::NO_CONTENT)
}
