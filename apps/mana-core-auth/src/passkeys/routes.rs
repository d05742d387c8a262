//! `/api/auth/passkeys…`, `/api/auth/login/passkey…`.

use std::sync::Arc;

use axum::extract::{Path, State};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode};
use kit::auth::User;
use kit::database::is_unique_violation;
use kit::{FieldError, Json, Problem, ProblemBody, clock};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::ceremony::{self, ALGORITHMS, Assertion, Creation};
use super::store;
use crate::accounts::owner::{NotTheOwner, Proof, owner};
use crate::accounts::{self, by_token, validate};
use crate::app::App;
use crate::entity::passkey::Model;
use crate::sessions::{self, TokenPair};
use crate::{tickets, time};

/// Passkeys of one account: one for each device, and some.
const MAX_PASSKEYS: usize = 20;

/// What tickets of the two ceremonies are called.
const MAKING: &str = "passkey of";
const USING: &str = "passkey";

/// What needs no access token.
pub(crate) fn public() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(begin_login)).routes(routes!(finish_login))
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(begin)).routes(routes!(finish)).routes(routes!(list)).routes(routes!(remove))
}

/// What the browser is to do.
#[derive(Serialize, ToSchema)]
struct Asked {
    /// To be sent back with what comes of it.
    ticket: String,
    /// For `navigator.credentials`: the options as JSON (`parseCreationOptionsFromJSON`, `parseRequestOptionsFromJSON`).
    options: Value,
}

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

fn milliseconds() -> u64 {
    tickets::TICKET_LIFE.as_secs() * 1_000
}

#[derive(Serialize, Deserialize)]
struct Making {
    user: Uuid,
    challenge: String,
}

/// Begins to make a passkey.
#[utoipa::path(post, path = "/api/auth/passkeys/begin", tag = "account", request_body = Proof, security(("accessToken" = [])),
    responses(
        (status = 200, body = Asked),
        (status = 409, body = ProblemBody, description = "There are as many as an account can have"),
        NotTheOwner,
    ))]
async fn begin(
    State(app): State<Arc<App>>,
    caller: User,
    headers: HeaderMap,
    Json(proof): Json<Proof>,
) -> Result<Json<Asked>, Problem> {
    let user = owner(&app, &caller, proof, &headers).await?;
    let known = store::of(&*app.database, user.id).await?;
    if known.len() >= MAX_PASSKEYS {
        return Err(Problem::conflict(format!("There are {MAX_PASSKEYS} passkeys already; remove one first.")));
    }
    let challenge = challenge();
    let options = json!({
        "challenge": challenge,
        "rp": { "id": app.party.id, "name": app.party.id },
        "user": { "id": URL_SAFE_NO_PAD.encode(user.id.as_bytes()), "name": user.email, "displayName": user.name },
        "pubKeyCredParams": ALGORITHMS.map(|alg| json!({ "type": "public-key", "alg": alg })),
        "timeout": milliseconds(),
        "excludeCredentials": known.iter().map(|key| json!({ "type": "public-key", "id": key.id })).collect::<Vec<_>>(),
        "authenticatorSelection": { "residentKey": "required", "requireResidentKey": true, "userVerification": "required" },
        "attestation": "none",
    });
    let making = Making { user: user.id, challenge };
    Ok(Json(Asked { ticket: tickets::issue(&app.secrets, MAKING, making, clock::now()), options }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Finished {
    ticket: String,
    /// What to call it, such as the device's name.
    name: String,
    /// `credential.toJSON()`.
    credential: Creation,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PasskeyView {
    id: String,
    name: String,
    /// RFC 3339, UTC.
    created_at: String,
    /// RFC 3339, UTC.
    last_used_at: Option<String>,
}

impl From<Model> for PasskeyView {
    fn from(key: Model) -> Self {
        Self {
            id: key.id,
            name: key.name,
            created_at: time::rfc3339(key.created_at),
            last_used_at: key.last_used_at.map(time::rfc3339),
        }
    }
}

fn refused() -> Problem {
    Problem::invalid(vec![FieldError::new("credential", "does not fit what was asked for; begin again")])
}

/// Keeps the passkey that the browser made.
#[utoipa::path(post, path = "/api/auth/passkeys/finish", tag = "account", request_body = Finished,
    security(("accessToken" = [])), responses(
        (status = 201, body = PasskeyView),
        (status = 401, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "It is known already"),
        (status = 422, body = ProblemBody, description = "It does not fit what was asked for"),
    ))]
async fn finish(
    State(app): State<Arc<App>>,
    caller: User,
    Json(input): Json<Finished>,
) -> Result<(StatusCode, Json<PasskeyView>), Problem> {
    let user = by_token(&app, &caller).await?;
    let name = validate::name(&input.name).map_err(|why| Problem::invalid(vec![FieldError::new("name", why)]))?;
    let now = clock::now();
    let opened = tickets::open::<Making>(&app.secrets, MAKING, &input.ticket, now);
    let (id, making) = opened.filter(|(_, making)| making.user == user.id).ok_or_else(refused)?;
    require_first_use(&app, id).await?;
    let made = ceremony::created(&input.credential, &making.challenge, &app.party).map_err(|fault| {
        tracing::info!(%fault, "a new passkey was refused");
        refused()
    })?;
    let told = PasskeyView {
        id: made.id.clone(),
        name: name.clone(),
        created_at: time::rfc3339(now.as_millisecond()),
        last_used_at: None,
    };
    match store::insert(&*app.database, user.id, name, made, now.as_millisecond()).await {
        Err(error) if is_unique_violation(&error) => return Err(Problem::conflict("This passkey is known already.")),
        inserted => inserted?,
    }
    Ok((StatusCode::CREATED, Json(told)))
}

async fn require_first_use(app: &App, ticket: Uuid) -> Result<(), Problem> {
    let first = app.counters.is_first_use(&format!("ticket:{ticket}"), tickets::TICKET_LIFE).await;
    if first { Ok(()) } else { Err(refused()) }
}

#[derive(Serialize, ToSchema)]
struct PasskeyList {
    passkeys: Vec<PasskeyView>,
}

/// One's own passkeys, the oldest first.
#[utoipa::path(get, path = "/api/auth/passkeys", tag = "account", security(("accessToken" = [])), responses(
    (status = 200, body = PasskeyList),
    (status = 401, body = ProblemBody),
))]
async fn list(State(app): State<Arc<App>>, caller: User) -> Result<Json<PasskeyList>, Problem> {
    let user = by_token(&app, &caller).await?;
    let passkeys = store::of(&*app.database, user.id).await?.into_iter().map(PasskeyView::from).collect();
    Ok(Json(PasskeyList { passkeys }))
}

/// Removes a passkey: it opens nothing any more.
#[utoipa::path(post, path = "/api/auth/passkeys/{id}/remove", tag = "account", request_body = Proof,
    security(("accessToken" = [])), params(("id" = String, Path)), responses(
        (status = 204),
        (status = 404, body = ProblemBody),
        NotTheOwner,
    ))]
async fn remove(
    State(app): State<Arc<App>>,
    caller: User,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(proof): Json<Proof>,
) -> Result<StatusCode, Problem> {
    let user = owner(&app, &caller, proof, &headers).await?;
    let removed = store::remove(&*app.database, user.id, &id).await?;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("passkey")) }
}

/// Begins to sign in with a passkey. Which account it is says the passkey.
#[utoipa::path(post, path = "/api/auth/login/passkey/begin", tag = "auth", responses(
    (status = 200, body = Asked),
    (status = 429, body = ProblemBody, description = "Too many requests; see Retry-After"),
))]
async fn begin_login(State(app): State<Arc<App>>) -> Json<Asked> {
    let challenge = challenge();
    let options = json!({
        "challenge": challenge, "rpId": app.party.id, "timeout": milliseconds(), "userVerification": "required",
        "allowCredentials": [],
    });
    Json(Asked { ticket: tickets::issue(&app.secrets, USING, challenge, clock::now()), options })
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entering {
    ticket: String,
    /// `credential.toJSON()`.
    credential: Assertion,
    /// The app that signs the person in; told in the token as `app_id`.
    app_id: Option<String>,
}

/// Signs in with a passkey. No second factor is asked for: the device has verified its owner.
#[utoipa::path(post, path = "/api/auth/login/passkey", tag = "auth", request_body = Entering, responses(
    (status = 200, body = TokenPair),
    (status = 401, body = ProblemBody, description = "The passkey is not known, or does not fit what was asked for"),
    (status = 403, body = ProblemBody, description = "The account is closed"),
    (status = 422, body = ProblemBody),
    (status = 429, body = ProblemBody, description = "Too many requests; see Retry-After"),
))]
async fn finish_login(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(input): Json<Entering>,
) -> Result<Json<TokenPair>, Problem> {
    let app_id = sessions::require_app_id(input.app_id)?;
    let refused = || {
        metrics::counter!("passkeys_refused_total").increment(1);
        Problem::unauthorized("This passkey does not open an account here, or it took too long; try again.")
    };
    let now = clock::now();
    let (id, challenge) = tickets::open::<String>(&app.secrets, USING, &input.ticket, now).ok_or_else(refused)?;
    require_first_use(&app, id).await.map_err(|_| refused())?;
    let given = &input.credential;
    let key = store::by_id(&*app.database, given.id.trim_end_matches('=')).await?.ok_or_else(refused)?;
    let handle = URL_SAFE_NO_PAD.encode(key.user_id.as_bytes());
    if given.response.user_handle.as_ref().is_some_and(|given| given.trim_end_matches('=') != handle) {
        return Err(refused());
    }
    let known = (key.algorithm, key.public_key.as_str(), key.sign_count);
    let count = ceremony::used(given, &challenge, &app.party, known).map_err(|fault| {
        tracing::info!(user = %key.user_id, %fault, "a passkey was refused");
        refused()
    })?;
    if !store::touch(&*app.database, &key, count, now.as_millisecond()).await? {
        return Err(refused());
    }
    let user = accounts::store::by_id(&*app.database, key.user_id).await?.ok_or_else(refused)?;
    sessions::sign_in(&app, &user, &app_id, &headers, now).await.map(Json)
}
