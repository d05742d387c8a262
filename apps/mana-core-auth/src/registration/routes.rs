//! `POST /api/auth/register`, `…/confirm`, and `POST /api/internal/accounts` for services.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use kit::auth::ServiceCaller;
use kit::database::is_unique_violation;
use kit::visitors::client_network;
use kit::{FieldError, Json, Problem, ProblemBody, clock};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{Registration, store};
use crate::accounts::owner::wrong_password;
use crate::accounts::{self, new_user, validate};
use crate::app::App;
use crate::entity::{registration, user};
use crate::ledger;
use crate::letters::{self, Kind};
use crate::password::{self, Verdict};
use crate::secrets::Purpose;
use crate::sessions::{self, TokenPair};
use crate::throttle::{Attempt, vouch};
use crate::time;

/// What needs no access token.
pub(crate) fn public() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(register)).routes(routes!(confirm))
}

pub(crate) fn internal() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(make))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewAccount {
    email: String,
    /// At least 8 characters.
    #[schema(value_type = String)]
    password: SecretString,
    name: String,
    /// The app that signs the person in; told in the token as `app_id`.
    app_id: Option<String>,
}

/// The account will be there once the letter is answered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LetterSent {
    /// Seconds until the letter's code is too old.
    expires_in: u64,
}

/// Makes an account with its sign-up credits. Where the service is set to confirm addresses first, the answer is the same for every address, taken or not: 202,
/// and a letter tells how to go on; where an address was sent several in the last hour, one of those. Else it signs in at once.
#[utoipa::path(post, path = "/api/auth/register", tag = "auth", request_body = NewAccount, responses(
    (status = 201, body = TokenPair),
    (status = 202, body = LetterSent, description = "A letter is on its way to the address"),
    (status = 409, body = ProblemBody, description = "The address has an account; told only where accounts are made at once"),
    (status = 422, body = ProblemBody),
    (status = 429, body = ProblemBody, description = "Too many requests; see Retry-After"),
    (status = 503, body = ProblemBody, description = "Addresses are to be confirmed, and no letter can be sent"),
))]
async fn register(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(input): Json<NewAccount>,
) -> Result<Response, Problem> {
    if app.registration == Registration::Confirmed {
        letters::require_way(&app)?;
        let asked = read(&app, input).await?;
        let (now, most) = (clock::now(), app.limits.letters_per_hour);
        let recent = store::recent(&*app.database, &asked.email, time::earlier(now, letters::WINDOW), most).await?;
        if letters::may_go(&app, &asked.email, Kind::Register, recent).await {
            store::write(&*app.database, asked, now).await?;
            app.letter_written.notify_one();
        } else {
            let from = asked_from(&app, &asked.email, &headers);
            store::write_without_letter(&app.database, asked, from, now).await?;
        }
        metrics::counter!("registrations_asked_total").increment(1);
        let told = LetterSent { expires_in: Kind::Register.life().as_secs() };
        return Ok((StatusCode::ACCEPTED, Json(told)).into_response());
    }
    let asked = read(&app, input).await?;
    let email = asked.email.clone();
    let pair = begin(&app, asked, None, app.mail.can_send(), &headers, clock::now()).await?;
    vouch(&app, &email, &headers).await;
    app.letter_written.notify_one();
    Ok((StatusCode::CREATED, Json(pair)).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    /// From the letter.
    #[schema(value_type = String)]
    code: SecretString,
    /// The one that was chosen when registering: whoever only reads the letter makes nobody an account.
    #[schema(value_type = String)]
    password: SecretString,
}

/// Makes the account that was asked for, with the code of the letter, and signs it in.
#[utoipa::path(post, path = "/api/auth/register/confirm", tag = "auth", request_body = Confirmation, responses(
    (status = 201, body = TokenPair),
    (status = 403, body = ProblemBody, description = "The password is not the one that was chosen"),
    (status = 409, body = ProblemBody, description = "The address has got an account meanwhile"),
    (status = 422, body = ProblemBody, description = "The code does not count (any more)"),
    (status = 429, body = ProblemBody, description = "Too many failed attempts; see Retry-After"),
))]
async fn confirm(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(input): Json<Confirmation>,
) -> Result<(StatusCode, Json<TokenPair>), Problem> {
    let wrong_code = letters::wrong_code;
    let now = clock::now();
    let id = letters::of_code(&app.secrets, Kind::Register, input.code.expose_secret()).ok_or_else(wrong_code)?;
    let asked = store::open(&*app.database, id, now.as_millisecond()).await?.ok_or_else(wrong_code)?;
    let attempt = Attempt::begin(&app, &format!("registration {id}"), &headers).await?;
    let asked = chosen(&app, asked, input.password, &headers).await?.ok_or_else(wrong_password)?;
    attempt.succeeded(&app).await;
    let asked =
        store::Asked { email: asked.email, name: asked.name, password_hash: asked.password_hash, app_id: asked.app_id };
    let email = asked.email.clone();
    let pair = begin(&app, asked, Some(id), false, &headers, now).await?;
    // Strangers who try it keep nobody out where the account was made.
    vouch(&app, &email, &headers).await;
    Ok((StatusCode::CREATED, Json(pair)))
}

/// Whose password it is: that of the letter's registration, or of another one of its address, which has no letter of its own since strangers had used
/// them up. The letter shows that the address is theirs, and the password which of the two was asked for by them.
async fn chosen(
    app: &App,
    asked: registration::Model,
    password: SecretString,
    headers: &HeaderMap,
) -> Result<Option<registration::Model>, Problem> {
    if app.passwords.verify(password.clone(), Some(&asked.password_hash)).await? != Verdict::Wrong {
        return Ok(Some(asked));
    }
    let (from, now) = (asked_from(app, &asked.email, headers), clock::now().as_millisecond());
    let Some(other) = store::without_letter(&*app.database, &asked.email, &from, now).await? else { return Ok(None) };
    let verdict = app.passwords.verify(password, Some(&other.password_hash)).await?;
    Ok((verdict != Verdict::Wrong).then_some(other))
}

/// Who asks for an account with an address, as it is kept.
fn asked_from(app: &App, email: &str, headers: &HeaderMap) -> String {
    let network = client_network(headers);
    app.secrets.tag(Purpose::Letters, format!("asked from {network} for {email}").as_bytes())
}

/// Makes an account for a service, and signs it in: for smoke tests, and for accounts that come from elsewhere. Nobody is written to.
#[utoipa::path(post, path = "/api/internal/accounts", tag = "internal", request_body = NewAccount,
    security(("serviceToken" = [])), responses(
        (status = 201, body = TokenPair),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody, description = "The token is not for this"),
        (status = 409, body = ProblemBody, description = "The address has an account"),
        (status = 422, body = ProblemBody),
    ))]
async fn make(
    caller: ServiceCaller,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(input): Json<NewAccount>,
) -> Result<(StatusCode, Json<TokenPair>), Problem> {
    let asked = read(&app, input).await?;
    let pair = begin(&app, asked, None, false, &headers, clock::now()).await?;
    tracing::info!(by = caller.name, "a service has made an account");
    Ok((StatusCode::CREATED, Json(pair)))
}

/// Checks what was typed, and hashes the password: the same work for every address.
async fn read(app: &App, input: NewAccount) -> Result<store::Asked, Problem> {
    let mut errors = Vec::new();
    let mut field = |name: &str, result: Result<String, String>| {
        result.inspect_err(|message| errors.push(FieldError::new(name, message))).unwrap_or_default()
    };
    let email = field("email", validate::email(&input.email));
    let name = field("name", validate::name(&input.name));
    field("password", password::fault(input.password.expose_secret()).map_or(Ok(String::new()), Err));
    let app_id = field("appId", sessions::app_id(input.app_id));
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    let password_hash = app.passwords.hash(input.password).await?;
    Ok(store::Asked { email, name, password_hash, app_id })
}

/// Makes the account, with its credits and its first session, in one transaction. `confirmed` is the registration that a letter's code has confirmed: it is taken
/// by it.
async fn begin(
    app: &App,
    asked: store::Asked,
    confirmed: Option<Uuid>,
    letter: bool,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<TokenPair, Problem> {
    let store::Asked { email, name, password_hash, app_id } = asked;
    let verified = confirmed.map(|_| now.as_millisecond());
    let user = user::Model { email_verified_at: verified, ..new_user(email, name, password_hash, now) };
    let key = app.keys.current(&*app.database, now).await?;
    let transaction = app.database.begin_write().await?;
    if let Some(id) = confirmed {
        if !store::take(&*transaction, id).await? {
            return Err(letters::wrong_code());
        }
        store::forget_of(&*transaction, &user.email).await?;
    }
    match accounts::store::insert(&*transaction, &user).await {
        Err(error) if is_unique_violation(&error) => {
            return Err(Problem::conflict("This e-mail address has an account; sign in instead."));
        }
        inserted => inserted?,
    }
    if letter {
        letters::store::write(&*transaction, &user, Kind::Verify, now).await?;
    }
    ledger::open(&transaction, user.id, app.rules.sign_up_grant, now).await?;
    let pair = sessions::begin(&transaction, app, &key, &user, &app_id, sessions::user_agent(headers), now).await?;
    transaction.commit().await?;
    metrics::counter!("registrations_total").increment(1);
    Ok(pair)
}
