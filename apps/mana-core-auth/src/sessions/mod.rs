//! Sessions: one for each sign-in, with an access token that every service verifies itself and a refresh token that is
//! exchanged for the next pair, once.
//!
//! Two tabs may ask with the same refresh token at once, so for [`crate::settings::Tokens::refresh_grace`] it gives the same
//! successor again. After that it was copied: the whole session ends. Only hashes of tokens are stored; that the successor can
//! be given again all the same is because it is made of its predecessor, with a key that only the server has.

pub(crate) mod ended;
pub(crate) mod routes;
pub(crate) mod store;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use jiff::Timestamp;
use kit::auth::{Claims, User};
use kit::database::WriteTransaction;
use kit::{FieldError, Problem, clock};
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::accounts;
use crate::accounts::routes::UserView;
use crate::app::App;
use crate::entity::{session, user};
use crate::keys::SigningKey;
use crate::secrets::{Purpose, Secrets};
use crate::time;

/// Random bytes of a refresh token.
const REFRESH_BYTES: usize = 32;

/// Longest `User-Agent` that is kept.
const MAX_USER_AGENT_CHARS: usize = 200;

/// Longest app id.
const MAX_APP_ID_BYTES: usize = 40;

/// The app that a token is for, where the caller names none.
const DEFAULT_APP: &str = "mana";

/// What signing in gives.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenPair {
    /// A JWT (EdDSA), good for the services of the app it was got for.
    access_token: String,
    /// Opaque; exchange it once at `/api/auth/refresh`.
    refresh_token: String,
    /// `Bearer`.
    token_type: String,
    /// Seconds until the access token expires.
    expires_in: u64,
    user: UserView,
}

/// A valid app id, or what is wrong with the one given.
pub(crate) fn app_id(given: Option<String>) -> Result<String, String> {
    let Some(app) = given else { return Ok(DEFAULT_APP.to_owned()) };
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if app.is_empty() || app.len() > MAX_APP_ID_BYTES || !app.bytes().all(allowed) {
        return Err(format!("must be 1 to {MAX_APP_ID_BYTES} of a-z, 0-9 and -"));
    }
    Ok(app)
}

/// As [`app_id`], where it is all that can be wrong.
pub(crate) fn require_app_id(given: Option<String>) -> Result<String, Problem> {
    app_id(given).map_err(|message| Problem::invalid(vec![FieldError::new("appId", message)]))
}

/// What the browser calls itself, shortened.
pub(crate) fn user_agent(headers: &HeaderMap) -> Option<String> {
    let agent = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(agent.chars().take(MAX_USER_AGENT_CHARS).collect())
}

/// How an account has to stand for anybody to get in.
pub(crate) fn require_open(user: &user::Model) -> Result<(), Problem> {
    if user.disabled_at.is_some() || user.deleted_at.is_some() {
        metrics::counter!("logins_to_disabled_accounts_total").increment(1);
        return Err(closed());
    }
    Ok(())
}

/// What is said of a closed account.
pub(crate) fn closed() -> Problem {
    let problem = Problem::new(http::StatusCode::FORBIDDEN, "account_disabled", "This account is closed");
    problem.detail("Whoever runs this service has closed it, and can open it again.")
}

/// Signs somebody in who has shown that they are this user: a session of its own, and its first pair of tokens.
pub(crate) async fn sign_in(
    app: &App,
    user: &user::Model,
    app_id: &str,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<TokenPair, Problem> {
    require_open(user)?;
    let key = app.keys.current(&*app.database, now).await?;
    let transaction = app.database.begin_write().await?;
    let pair = begin(&transaction, app, &key, user, app_id, user_agent(headers), now).await?;
    transaction.commit().await?;
    Ok(pair)
}

/// Begins a session and gives its first pair of tokens. The account is looked at once more under a lock: what ends its sessions at this moment ends this one
/// too, or has it refused.
pub(crate) async fn begin(
    transaction: &WriteTransaction,
    app: &App,
    key: &SigningKey,
    user: &user::Model,
    app_id: &str,
    user_agent: Option<String>,
    now: Timestamp,
) -> Result<TokenPair, Problem> {
    let current = accounts::store::lock(&**transaction, user.id).await?.ok_or_else(changed)?;
    require_open(&current)?;
    if current.password_hash != user.password_hash {
        return Err(changed());
    }
    let session = session::Model {
        id: clock::new_id(),
        user_id: user.id,
        app_id: app_id.to_owned(),
        user_agent,
        created_at: now.as_millisecond(),
        last_used_at: now.as_millisecond(),
        ended_at: None,
    };
    store::insert(&**transaction, &session).await?;
    let refresh_token = new_refresh_token();
    keep(transaction, app, &session, &refresh_token, now).await?;
    pair(app, key, user, &session, refresh_token, now)
}

fn changed() -> Problem {
    Problem::unauthorized("The account has changed at this moment; sign in again.")
}

/// Keeps what a refresh token hashes to.
async fn keep(
    transaction: &WriteTransaction,
    app: &App,
    session: &session::Model,
    refresh_token: &str,
    now: Timestamp,
) -> Result<(), Problem> {
    let expires_at = time::later(now, app.tokens.refresh_ttl);
    store::insert_refresh(&**transaction, hash(refresh_token), session.id, now.as_millisecond(), expires_at).await?;
    Ok(())
}

fn pair(
    app: &App,
    key: &SigningKey,
    user: &user::Model,
    session: &session::Model,
    refresh_token: String,
    now: Timestamp,
) -> Result<TokenPair, Problem> {
    let issued = now.as_second();
    let lifetime = app.tokens.access_ttl.as_secs();
    let claims = Claims {
        sub: user.id,
        role: user.role.clone(),
        roles: accounts::roles::read(&user.roles).into_iter().collect(),
        app_id: session.app_id.clone(),
        email: user.email.clone(),
        sid: session.id,
        iss: app.issued.issuer.clone(),
        aud: app.issued.audience.clone(),
        exp: issued.saturating_add_unsigned(lifetime),
        iat: issued,
        jti: clock::new_id(),
    };
    let access_token = key.sign(&claims).map_err(|error| Problem::internal(&error))?;
    let token_type = "Bearer".to_owned();
    Ok(TokenPair { access_token, refresh_token, token_type, expires_in: lifetime, user: UserView::from(user) })
}

/// The one successor of a refresh token. Nobody makes it without the server's key, so the old token alone is worth no more
/// than the exchange it is good for.
fn successor(secrets: &Secrets, token: &str) -> String {
    secrets.tag(Purpose::Successor, token.as_bytes())
}

fn new_refresh_token() -> String {
    let mut bytes = [0; REFRESH_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

/// Refuses the token of a session that has ended, although the token itself has not expired yet.
pub(crate) async fn require_live(app: &App, user: &User) -> Result<(), Problem> {
    let session = store::by_id(&*app.database, user.claims.sid).await?;
    match session {
        Some(session) if session.ended_at.is_none() && session.user_id == user.claims.sub => Ok(()),
        _ => Err(Problem::unauthorized("This session has ended; sign in again.")),
    }
}
