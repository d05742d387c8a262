//! `/api/auth/second-factor…`, and the second step of signing in.

use std::sync::Arc;

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use kit::auth::User;
use kit::{FieldError, Json, Problem, ProblemBody, clock};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Entering, TICKET, as_recovery_code, fingerprint, link, new_recovery_codes, new_secret, step, store};
use crate::accounts::owner::{NotTheOwner, Proof, owner};
use crate::accounts::{self, by_token};
use crate::app::App;
use crate::entity::second_factor::Model;
use crate::secrets::Purpose;
use crate::sessions::{self, TokenPair};
use crate::throttle::Attempt;
use crate::tickets;

/// What needs no access token.
pub(crate) fn public() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(finish))
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(state))
        .routes(routes!(begin))
        .routes(routes!(confirm))
        .routes(routes!(remove))
        .routes(routes!(renew))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Second {
    /// What the first step gave.
    ticket: String,
    /// Of the app, or a recovery code.
    #[schema(value_type = String)]
    code: SecretString,
}

/// The second step of signing in. Each code counts once.
#[utoipa::path(post, path = "/api/auth/login/second-factor", tag = "auth", request_body = Second, responses(
    (status = 200, body = TokenPair),
    (status = 401, body = ProblemBody, description = "The ticket is too old, or the code is wrong or was used"),
    (status = 403, body = ProblemBody, description = "The account is closed"),
    (status = 422, body = ProblemBody),
    (status = 429, body = ProblemBody, description = "Too many failed attempts; see Retry-After"),
))]
async fn finish(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(input): Json<Second>,
) -> Result<Json<TokenPair>, Problem> {
    let stale = || Problem::unauthorized("Signing in took too long; begin again.");
    let now = clock::now();
    let (_, entering) = tickets::open::<Entering>(&app.secrets, TICKET, &input.ticket, now).ok_or_else(stale)?;
    let user = accounts::store::by_id(&*app.database, entering.user).await?;
    let user = user.filter(|user| fingerprint(user) == entering.password).ok_or_else(stale)?;
    let attempt = Attempt::begin(&app, &format!("second factor of {}", user.id), &headers).await?;
    let factor = store::active(&*app.database, user.id).await?.ok_or_else(stale)?;
    if !is_good(&app, &factor, input.code.expose_secret()).await? {
        metrics::counter!("second_factors_refused_total").increment(1);
        return Err(Problem::unauthorized("The code is wrong, or was used before; wait for the next one."));
    }
    attempt.succeeded(&app).await;
    sessions::sign_in(&app, &user, &entering.app_id, &headers, now).await.map(Json)
}

/// Takes a code of the app, or a recovery code.
async fn is_good(app: &App, factor: &Model, typed: &str) -> Result<bool, Problem> {
    let now = clock::now();
    if let Some(step) = step_of(app, factor, typed) {
        return Ok(store::take_step(&*app.database, factor.user_id, step).await?);
    }
    let code = as_recovery_code(typed);
    let taken = store::take_recovery_code(&*app.database, factor.user_id, &code, now.as_millisecond()).await?;
    if taken {
        metrics::counter!("recovery_codes_used_total").increment(1);
        tracing::info!(user = %factor.user_id, "a recovery code was used");
    }
    Ok(taken)
}

fn step_of(app: &App, factor: &Model, typed: &str) -> Option<i64> {
    let secret = app.secrets.open(Purpose::SecondFactors, factor.user_id.as_bytes(), &factor.secret);
    if secret.is_none() {
        tracing::error!(user = %factor.user_id, "a second factor cannot be opened (another AUTH_SIGNING_SEED?)");
    }
    step(&secret?, typed, clock::now().as_second())
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SecondFactorView {
    /// Whether codes of an app are asked for.
    totp: bool,
    /// Codes for when it is lost.
    recovery_codes_left: u64,
}

/// What is asked for beside the password.
#[utoipa::path(get, path = "/api/auth/second-factor", tag = "account", security(("accessToken" = [])), responses(
    (status = 200, body = SecondFactorView),
    (status = 401, body = ProblemBody),
))]
async fn state(State(app): State<Arc<App>>, caller: User) -> Result<Json<SecondFactorView>, Problem> {
    let user = by_token(&app, &caller).await?;
    let totp = store::active(&*app.database, user.id).await?.is_some();
    let recovery_codes_left = store::recovery_codes_left(&*app.database, user.id).await?;
    Ok(Json(SecondFactorView { totp, recovery_codes_left }))
}

#[derive(Serialize, ToSchema)]
struct NewSecret {
    /// To be typed into the app, in base 32.
    secret: String,
    /// The same for apps that take links, or as a picture: `otpauth://totp/…`.
    link: String,
}

/// Gives a secret for an app. It counts once a code of it has confirmed it.
#[utoipa::path(post, path = "/api/auth/second-factor/totp", tag = "account", request_body = Proof,
    security(("accessToken" = [])), responses(
        (status = 200, body = NewSecret),
        (status = 409, body = ProblemBody, description = "There is one already"),
        NotTheOwner,
    ))]
async fn begin(
    State(app): State<Arc<App>>,
    caller: User,
    headers: HeaderMap,
    Json(proof): Json<Proof>,
) -> Result<Json<NewSecret>, Problem> {
    let user = owner(&app, &caller, proof, &headers).await?;
    let secret = new_secret();
    let sealed = app.secrets.seal(Purpose::SecondFactors, user.id.as_bytes(), &secret);
    let transaction = app.database.begin_write().await?;
    if store::active(&*transaction, user.id).await?.is_some() {
        return Err(Problem::conflict("There is a second factor already; remove it first."));
    }
    store::begin(&transaction, user.id, sealed, clock::now().as_millisecond()).await?;
    transaction.commit().await?;
    Ok(Json(NewSecret { link: link(&secret, &app.issued.issuer, &user.email), secret }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    /// What the app shows.
    #[schema(value_type = String)]
    code: SecretString,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RecoveryCodes {
    /// Each is good once; they are shown here and never again.
    recovery_codes: Vec<String>,
}

/// Confirms the app with a code of it. From now on one is asked for.
#[utoipa::path(post, path = "/api/auth/second-factor/totp/confirm", tag = "account", request_body = Confirmation,
    security(("accessToken" = [])), responses(
        (status = 200, body = RecoveryCodes),
        (status = 401, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "None was begun, or it is confirmed already"),
        (status = 422, body = ProblemBody, description = "The code is wrong"),
        (status = 429, body = ProblemBody, description = "Too many failed attempts; see Retry-After"),
    ))]
async fn confirm(
    State(app): State<Arc<App>>,
    caller: User,
    headers: HeaderMap,
    Json(input): Json<Confirmation>,
) -> Result<Json<RecoveryCodes>, Problem> {
    let user = by_token(&app, &caller).await?;
    let attempt = Attempt::begin(&app, &format!("second factor of {}", user.id), &headers).await?;
    let transaction = app.database.begin_write().await?;
    let begun = store::of(&*transaction, user.id).await?.filter(|factor| factor.confirmed_at.is_none());
    let begun = begun.ok_or_else(|| Problem::conflict("There is nothing to confirm; begin again."))?;
    let wrong = || Problem::invalid(vec![FieldError::new("code", "is not what the app shows now")]);
    let step = step_of(&app, &begun, input.code.expose_secret()).ok_or_else(wrong)?;
    store::take_step(&*transaction, user.id, step).await?;
    store::confirm(&transaction, user.id, clock::now().as_millisecond()).await?;
    let recovery_codes = new_recovery_codes();
    store::replace_recovery_codes(&transaction, user.id, &recovery_codes).await?;
    transaction.commit().await?;
    attempt.succeeded(&app).await;
    Ok(Json(RecoveryCodes { recovery_codes }))
}

/// Removes the second factor, and its recovery codes.
#[utoipa::path(post, path = "/api/auth/second-factor/totp/remove", tag = "account", request_body = Proof,
    security(("accessToken" = [])), responses(
        (status = 204),
        NotTheOwner,
    ))]
async fn remove(
    State(app): State<Arc<App>>,
    caller: User,
    headers: HeaderMap,
    Json(proof): Json<Proof>,
) -> Result<StatusCode, Problem> {
    let user = owner(&app, &caller, proof, &headers).await?;
    let transaction = app.database.begin_write().await?;
    store::remove(&transaction, user.id).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives new recovery codes; those before do not count any more.
#[utoipa::path(post, path = "/api/auth/second-factor/recovery-codes", tag = "account", request_body = Proof,
    security(("accessToken" = [])), responses(
        (status = 200, body = RecoveryCodes),
        (status = 409, body = ProblemBody, description = "There is no second factor"),
        NotTheOwner,
    ))]
async fn renew(
    State(app): State<Arc<App>>,
    caller: User,
    headers: HeaderMap,
    Json(proof): Json<Proof>,
) -> Result<Json<RecoveryCodes>, Problem> {
    let user = owner(&app, &caller, proof, &headers).await?;
    let transaction = app.database.begin_write().await?;
    if store::active(&*transaction, user.id).await?.is_none() {
        return Err(Problem::conflict("There is no second factor that codes would be for."));
    }
    let recovery_codes = new_recovery_codes();
    store::replace_recovery_codes(&transaction, user.id, &recovery_codes).await?;
    transaction.commit().await?;
    Ok(Json(RecoveryCodes { recovery_codes }))
}
