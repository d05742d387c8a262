//! Who has a session of an account may not be its owner. What is worth a theft is asked for with a proof: the password once more, or, of who has none, a session that has just begun.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use kit::auth::User;
use kit::{Problem, ProblemBody, clock};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use super::by_token;
use crate::app::App;
use crate::entity::user::Model;
use crate::password::{self, Verdict};
use crate::throttle::Attempt;
use crate::{sessions, time};

/// How long a sign-in shows that somebody is there who has no password to show.
const FRESH: Duration = Duration::from_mins(10);

/// Shows that it is the owner who asks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proof {
    /// Of an account that has one. Another one must have signed in within the last ten minutes.
    #[schema(value_type = Option<String>)]
    password: Option<SecretString>,
}

/// How whoever has not shown it is answered.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "it describes answers, and is none")]
pub(crate) enum NotTheOwner {
    /// Not signed in
    #[response(status = 401)]
    SignedOut(ProblemBody),
    /// The password is wrong, or there is none and the sign-in is not of the last ten minutes
    #[response(status = 403)]
    NoProof(ProblemBody),
    /// The body is not understood
    #[response(status = 422)]
    Invalid(ProblemBody),
    /// Too many failed attempts; see Retry-After
    #[response(status = 429)]
    TooMany(ProblemBody),
}

/// The account of whoever asks, if they have shown that they are its owner.
pub(crate) async fn owner(app: &App, caller: &User, proof: Proof, headers: &HeaderMap) -> Result<Model, Problem> {
    let user = by_token(app, caller).await?;
    if user.password_hash != password::NONE {
        require_password(app, &user, proof.password.unwrap_or_default(), headers).await?;
        return Ok(user);
    }
    let session = sessions::store::by_id(&*app.database, caller.claims.sid).await?;
    if session.is_some_and(|session| session.created_at >= time::earlier(clock::now(), FRESH)) {
        return Ok(user);
    }
    let problem = Problem::new(StatusCode::FORBIDDEN, "sign_in_again", "Sign in again first");
    Err(problem.detail("This needs a sign-in of the last ten minutes."))
}

/// Refuses whoever does not know the account's password; tries are counted as those of signing in are.
pub(crate) async fn require_password(
    app: &App,
    user: &Model,
    given: SecretString,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let attempt = Attempt::begin(app, &user.email, headers).await?;
    if app.passwords.verify(given, Some(&user.password_hash)).await? == Verdict::Wrong {
        return Err(wrong_password());
    }
    attempt.succeeded(app).await;
    Ok(())
}

/// What whoever does not know a password is told.
pub(crate) fn wrong_password() -> Problem {
    let problem = Problem::new(StatusCode::FORBIDDEN, "wrong_password", "The password is wrong");
    problem.detail("Nothing was changed. Try again with the password you sign in with.")
}
