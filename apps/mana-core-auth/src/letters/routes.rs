//! `POST /api/auth/verify-email`, `…/send`, `POST /api/auth/password/forgot`, `…/reset`.

use std::sync::Arc;

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use kit::auth::User;
use kit::{FieldError, Json, Problem, ProblemBody, clock};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Kind, WINDOW, may_go, of_code, require_way, store, wrong_code};
use crate::accounts::{self, by_token, validate};
use crate::app::App;
use crate::entity::user::Model;
use crate::{password, sessions, throttle, time};

/// What needs no access token.
pub(crate) fn public() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(verify)).routes(routes!(forgot)).routes(routes!(reset))
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(send_verification))
}

/// Writes a letter unless its receiver has had many; whoever asked is told the same either way.
async fn write(app: &App, user: &Model, kind: Kind) -> Result<(), Problem> {
    let (now, most) = (clock::now(), app.limits.letters_per_hour);
    let recent = store::recent(&*app.database, user.id, kind, time::earlier(now, WINDOW), most).await?;
    if may_go(app, &user.email, kind, recent).await {
        store::write(&*app.database, user, kind, now).await?;
        app.letter_written.notify_one();
    }
    Ok(())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Code {
    /// From the letter.
    #[schema(value_type = String)]
    code: SecretString,
}

/// Confirms an e-mail address with the code of a letter.
#[utoipa::path(post, path = "/api/auth/verify-email", tag = "account", request_body = Code, responses(
    (status = 204),
    (status = 422, body = ProblemBody, description = "The code does not count (any more)"),
    (status = 429, body = ProblemBody, description = "Too many requests; see Retry-After"),
))]
async fn verify(State(app): State<Arc<App>>, Json(input): Json<Code>) -> Result<StatusCode, Problem> {
    let id = of_code(&app.secrets, Kind::Verify, input.code.expose_secret()).ok_or_else(wrong_code)?;
    let now = clock::now().as_millisecond();
    let transaction = app.database.begin_write().await?;
    let letter = store::use_code(&*transaction, id, Kind::Verify, now).await?.ok_or_else(wrong_code)?;
    if !accounts::store::set_verified(&*transaction, letter.user_id, &letter.email, now).await? {
        return Err(wrong_code());
    }
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends the letter that confirms one's e-mail address once more.
#[utoipa::path(post, path = "/api/auth/verify-email/send", tag = "account", security(("accessToken" = [])), responses(
    (status = 202, description = "It is on its way, unless it was asked for too often"),
    (status = 401, body = ProblemBody),
))]
async fn send_verification(State(app): State<Arc<App>>, caller: User) -> Result<StatusCode, Problem> {
    let user = by_token(&app, &caller).await?;
    require_way(&app)?;
    if user.email_verified_at.is_none() {
        write(&app, &user, Kind::Verify).await?;
    }
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Forgotten {
    email: String,
}

/// Sends a letter with which its receiver chooses another password. The answer is the same where there is no such account.
#[utoipa::path(post, path = "/api/auth/password/forgot", tag = "account", request_body = Forgotten, responses(
    (status = 202, description = "If there is such an account, a letter is on its way"),
    (status = 422, body = ProblemBody),
    (status = 429, body = ProblemBody, description = "Too many requests; see Retry-After"),
))]
async fn forgot(State(app): State<Arc<App>>, Json(input): Json<Forgotten>) -> Result<StatusCode, Problem> {
    require_way(&app)?;
    let email = validate::email(&input.email).unwrap_or_default();
    let busy = || Problem::unavailable("busy", "Too many requests at the moment; try again shortly.");
    let place = Arc::clone(&app.forgetting).try_acquire_owned().map_err(|_| busy())?;
    // Aside, so that the time to the answer says nothing about whether there is such an account.
    tokio::spawn(async move {
        let _place = place;
        let user = accounts::store::by_email(&*app.database, &email).await.map_err(Problem::from);
        let done = match user {
            Ok(Some(user)) if sessions::require_open(&user).is_ok() => write(&app, &user, Kind::Reset).await,
            Ok(_) => Ok(()),
            Err(problem) => Err(problem),
        };
        if done.is_err() {
            metrics::counter!("letters_not_written_total").increment(1);
        }
    });
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Reset {
    /// From the letter.
    #[schema(value_type = String)]
    code: SecretString,
    /// At least 8 characters.
    #[schema(value_type = String)]
    new_password: SecretString,
}

/// Chooses another password with the code of a letter. All sessions end, and the address is confirmed by it. Whoever does it can sign in from
/// where they do, however often others have failed to. A second factor stays in force.
#[utoipa::path(post, path = "/api/auth/password/reset", tag = "account", request_body = Reset, responses(
    (status = 204),
    (status = 422, body = ProblemBody, description = "The code does not count (any more), or the password is not accepted"),
    (status = 429, body = ProblemBody, description = "Too many requests; see Retry-After"),
))]
async fn reset(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(input): Json<Reset>,
) -> Result<StatusCode, Problem> {
    if let Some(why) = password::fault(input.new_password.expose_secret()) {
        return Err(Problem::invalid(vec![FieldError::new("newPassword", why)]));
    }
    let id = of_code(&app.secrets, Kind::Reset, input.code.expose_secret()).ok_or_else(wrong_code)?;
    let hash = app.passwords.hash(input.new_password).await?;
    let now = clock::now().as_millisecond();
    let transaction = app.database.begin_write().await?;
    let letter = store::use_code(&*transaction, id, Kind::Reset, now).await?.ok_or_else(wrong_code)?;
    let user = accounts::store::by_id(&*transaction, letter.user_id).await?.filter(|user| user.email == letter.email);
    let user = user.filter(|user| sessions::require_open(user).is_ok()).ok_or_else(wrong_code)?;
    accounts::store::replace_password(&*transaction, user.id, &user.password_hash, &hash).await?;
    accounts::store::set_verified(&*transaction, user.id, &user.email, now).await?;
    store::use_up(&*transaction, user.id, Kind::Reset, now).await?;
    sessions::store::end_all(&*transaction, user.id, now).await?;
    transaction.commit().await?;
    throttle::vouch(&app, &user.email, &headers).await;
    metrics::counter!("passwords_reset_total").increment(1);
    Ok(StatusCode::NO_CONTENT)
}
