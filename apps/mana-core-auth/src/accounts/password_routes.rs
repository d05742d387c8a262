//! `POST /api/auth/password`: another password, by whoever knows the one there is.

use std::sync::Arc;

use axum::extract::State;
use http::HeaderMap;
use kit::auth::User;
use kit::{FieldError, Json, Problem, ProblemBody, clock};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::owner::require_password;
use super::{by_token, store};
use crate::app::App;
use crate::entity::user::Model;
use crate::password;
use crate::sessions::{self, TokenPair};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(change))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    #[schema(value_type = String)]
    current_password: SecretString,
    /// At least 8 characters.
    #[schema(value_type = String)]
    new_password: SecretString,
}

/// Changes the password. All sessions end, on every device; the answer is a new one for this device.
#[utoipa::path(post, path = "/api/auth/password", tag = "account", request_body = Change, security(("accessToken" = [])),
    responses(
        (status = 200, body = TokenPair),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody, description = "The current password is wrong, or the account is closed"),
        (status = 422, body = ProblemBody),
        (status = 429, body = ProblemBody, description = "Too many failed attempts; see Retry-After"),
    ))]
async fn change(
    State(app): State<Arc<App>>,
    caller: User,
    headers: HeaderMap,
    Json(input): Json<Change>,
) -> Result<Json<TokenPair>, Problem> {
    let user = by_token(&app, &caller).await?;
    if let Some(why) = password::fault(input.new_password.expose_secret()) {
        return Err(Problem::invalid(vec![FieldError::new("newPassword", why)]));
    }
    require_password(&app, &user, input.current_password, &headers).await?;
    let pair = set_password(&app, &user, input.new_password, &caller.claims.app_id, &headers).await?;
    metrics::counter!("passwords_changed_total").increment(1);
    Ok(Json(pair))
}

/// Gives the account another password and ends all its sessions at once; signs this device in anew.
pub(crate) async fn set_password(
    app: &App,
    user: &Model,
    new: SecretString,
    app_id: &str,
    headers: &HeaderMap,
) -> Result<TokenPair, Problem> {
    sessions::require_open(user)?;
    let hash = app.passwords.hash(new).await?;
    let now = clock::now();
    let key = app.keys.current(&*app.database, now).await?;
    let transaction = app.database.begin_write().await?;
    if !store::replace_password(&*transaction, user.id, &user.password_hash, &hash).await? {
        return Err(Problem::conflict("The password was changed by somebody else at this moment; sign in again."));
    }
    sessions::store::end_all(&*transaction, user.id, now.as_millisecond()).await?;
    let user = Model { password_hash: hash, ..user.clone() };
    let agent = sessions::user_agent(headers);
    let pair = sessions::begin(&transaction, app, &key, &user, app_id, agent, now).await?;
    transaction.commit().await?;
    Ok(pair)
}
