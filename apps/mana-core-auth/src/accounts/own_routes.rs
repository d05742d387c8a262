//! `GET /api/auth/account/export`, `POST /api/auth/account/delete`: what people do with all that is theirs.

use std::sync::Arc;

use axum::extract::State;
use http::{HeaderMap, StatusCode, header};
use kit::auth::User;
use kit::{Json, Problem, ProblemBody, clock};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::owner::{NotTheOwner, Proof, owner};
use super::routes::UserView;
use super::{by_token, store};
use crate::app::App;
use crate::entity::{identity, passkey, recovery_code, second_factor, session};
use crate::{ledger, letters, sessions, time};

/// Lines of the ledger that are read at once.
const LINES_AT_ONCE: u64 = 1_000;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(export)).routes(routes!(delete))
}

/// Everything that is kept of the account, but for secrets and what they hash to.
#[utoipa::path(get, path = "/api/auth/account/export", tag = "account", security(("accessToken" = [])), responses(
    (status = 200, body = Value, description = "`account`, `sessions`, `passkeys`, `identities`, `secondFactor`, `transactions`"),
    (status = 401, body = ProblemBody),
))]
async fn export(
    State(app): State<Arc<App>>,
    caller: User,
) -> Result<([(header::HeaderName, &'static str); 1], axum::Json<Value>), Problem> {
    let user = by_token(&app, &caller).await?;
    let database = &*app.database;
    let sessions = session::Entity::find().filter(session::Column::UserId.eq(user.id)).all(database).await?;
    let passkeys = passkey::Entity::find().filter(passkey::Column::UserId.eq(user.id)).all(database).await?;
    let identities = identity::Entity::find().filter(identity::Column::UserId.eq(user.id)).all(database).await?;
    let factor = second_factor::Entity::find_by_id(user.id).one(database).await?;
    let told = json!({
        "exportedAt": clock::now().to_string(),
        "account": UserView::from(&user),
        "sessions": sessions.iter().map(|session| json!({
            "app": session.app_id, "browser": session.user_agent, "createdAt": time::rfc3339(session.created_at),
            "lastUsedAt": time::rfc3339(session.last_used_at), "endedAt": session.ended_at.map(time::rfc3339),
        })).collect::<Vec<_>>(),
        "passkeys": passkeys.iter().map(|key| json!({
            "name": key.name, "createdAt": time::rfc3339(key.created_at), "lastUsedAt": key.last_used_at.map(time::rfc3339),
        })).collect::<Vec<_>>(),
        "identities": identities.iter().map(|it| json!({ "issuer": it.issuer, "subject": it.subject })).collect::<Vec<_>>(),
        "secondFactor": factor.and_then(|factor| factor.confirmed_at).map(time::rfc3339),
        "transactions": transactions(&app, user.id).await?,
    });
    Ok(([(header::CONTENT_DISPOSITION, "attachment; filename=\"account.json\"")], axum::Json(told)))
}

async fn transactions(app: &App, user: uuid::Uuid) -> Result<Vec<Value>, DbErr> {
    let (mut told, mut before) = (Vec::new(), None);
    loop {
        let lines = ledger::by_user(&*app.database, user, before, LINES_AT_ONCE).await?;
        let Some(last) = lines.last() else { return Ok(told) };
        before = Some(last.posting.id);
        told.extend(lines.iter().map(|line| {
            json!({
                "kind": line.posting.kind, "reason": line.posting.reason, "amount": line.change,
                "balance": kit::Credits::from_units(line.posting.balance_after),
                "at": time::rfc3339(line.posting.created_at),
            })
        }));
    }
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
