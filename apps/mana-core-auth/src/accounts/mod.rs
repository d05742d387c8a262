//! Accounts: who there is, signing in, and what people do with their own.

pub(crate) mod farewells;
pub(crate) mod own_routes;
pub(crate) mod password_routes;
pub(crate) mod roles;
pub(crate) mod routes;
pub(crate) mod store;
pub(crate) mod validate;

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use kit::auth::User;
use kit::{Problem, clock};
use secrecy::SecretString;

use crate::app::App;
use crate::entity::user::Model;
use crate::{password, sessions, time};

/// A new account of somebody.
pub(crate) fn new_user(email: String, name: String, password_hash: String, now: Timestamp) -> Model {
    Model {
        id: clock::new_id(),
        email,
        name,
        role: "user".into(),
        password_hash,
        created_at: now.as_millisecond(),
        email_verified_at: None,
        disabled_at: None,
        deleted_at: None,
        roles: String::new(),
    }
}

/// The account of an access token whose session has not ended.
pub(crate) async fn by_token(app: &App, caller: &User) -> Result<Model, Problem> {
    sessions::require_live(app, caller).await?;
    let user = store::by_id(&*app.database, caller.claims.sub).await?.filter(|user| user.deleted_at.is_none());
    user.ok_or_else(|| Problem::unauthorized("This account is no longer there."))
}

/// What whoever does not know a password is told.
pub(crate) fn wrong_password() -> Problem {
    let problem = Problem::new(http::StatusCode::FORBIDDEN, "wrong_password", "The password is wrong");
    problem.detail("Nothing was changed. Try again with the password you sign in with.")
}

/// How long a sign-in shows that somebody is there who has no password to show.
const FRESH: Duration = Duration::from_mins(10);

/// Refuses whoever has a session of the account but may not be its owner: the password is asked for again, or, where there is
/// none, that the session has just begun.
pub(crate) async fn require_owner(
    app: &App,
    user: &Model,
    caller: &User,
    given: Option<SecretString>,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    if user.password_hash != password::NONE {
        return password_routes::require_password(app, user, given.unwrap_or_default(), headers).await;
    }
    let session = sessions::store::by_id(&*app.database, caller.claims.sid).await?;
    if session.is_some_and(|session| session.created_at >= time::earlier(clock::now(), FRESH)) {
        return Ok(());
    }
    let problem = Problem::new(http::StatusCode::FORBIDDEN, "sign_in_again", "Sign in again first");
    Err(problem.detail("This needs a sign-in of the last ten minutes."))
}
