//! `POST /api/auth/login`, `GET /api/auth/me`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use kit::auth::User;
use kit::{Json, Problem, ProblemBody};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{by_token, roles, store, validate};
use crate::app::App;
use crate::entity::user::Model;
use crate::password::Verdict;
use crate::second_factor::{self, SecondStep};
use crate::sessions::{self, TokenPair};
use crate::throttle::Attempt;
use crate::time;

/// What needs no access token.
pub(crate) fn public() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(login))
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(me))
}

/// A person, as told to themselves.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserView {
    id: Uuid,
    email: String,
    name: String,
    /// `user` or `admin`.
    role: String,
    /// What the account may do beside that.
    #[serde(default)]
    roles: Vec<String>,
    /// RFC 3339, UTC.
    created_at: String,
    /// Whether the person has shown that the address is theirs.
    email_verified: bool,
}

impl From<&Model> for UserView {
    fn from(user: &Model) -> Self {
        Self {
            id: user.id,
            email: user.email.clone(),
            name: user.name.clone(),
            role: user.role.clone(),
            roles: roles::read(&user.roles).into_iter().collect(),
            created_at: time::rfc3339(user.created_at),
            email_verified: user.email_verified_at.is_some(),
        }
    }
}

/// Who is signed in, also by the names that OpenID Connect has for it: this is the userinfo endpoint of its metadata.
#[derive(Serialize, ToSchema)]
struct Me {
    #[serde(flatten)]
    user: UserView,
    /// As `id`.
    sub: Uuid,
    /// As `emailVerified`.
    email_verified: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Login {
    email: String,
    #[schema(value_type = String)]
    password: SecretString,
    /// The app that signs the person in; told in the token as `app_id`.
    app_id: Option<String>,
}

/// Signs in. An unknown account and a wrong password get the same answer after the same work.
#[utoipa::path(post, path = "/api/auth/login", tag = "auth", request_body = Login, responses(
    (status = 200, body = TokenPair),
    (status = 202, body = SecondStep, description = "The password is right; a code of the second factor is asked for"),
    (status = 401, body = ProblemBody, description = "Address or password is wrong"),
    (status = 403, body = ProblemBody, description = "The account is closed; told to who knows its password"),
    (status = 422, body = ProblemBody),
    (status = 429, body = ProblemBody, description = "Too many failed attempts; see Retry-After"),
))]
async fn login(State(app): State<Arc<App>>, headers: HeaderMap, Json(input): Json<Login>) -> Result<Response, Problem> {
    let app_id = sessions::require_app_id(input.app_id)?;
    // What is no address has no account; it takes the same way as any other.
    let email = validate::email(&input.email).unwrap_or_default();
    let attempt = Attempt::begin(&app, &email, &headers).await?;
    let user = store::by_email(&*app.database, &email).await?;
    let stored = user.as_ref().map(|user| user.password_hash.as_str());
    let verdict = app.passwords.verify(input.password.clone(), stored).await?;
    let Some(mut user) = user.filter(|_| verdict != Verdict::Wrong) else {
        metrics::counter!("logins_failed_total").increment(1);
        return Err(Problem::unauthorized("The e-mail address or the password is wrong."));
    };
    attempt.succeeded(&app).await;
    if verdict == Verdict::RightButOld {
        rehash(&app, &mut user, input.password).await?;
    }
    second_factor::admit(&app, &user, &app_id, &headers).await
}

/// Hashes a password with today's parameters: only its owner's signing in gives the chance.
async fn rehash(app: &App, user: &mut Model, password: SecretString) -> Result<(), Problem> {
    let hash = app.passwords.hash(password).await?;
    if store::replace_password(&*app.database, user.id, &user.password_hash, &hash).await? {
        user.password_hash = hash;
        metrics::counter!("passwords_hashed_anew_total").increment(1);
    }
    Ok(())
}

/// Who is signed in.
#[utoipa::path(get, path = "/api/auth/me", tag = "auth", security(("accessToken" = [])), responses(
    (status = 200, body = Me),
    (status = 401, body = ProblemBody),
))]
async fn me(State(app): State<Arc<App>>, user: User) -> Result<Json<Me>, Problem> {
    let user = UserView::from(&by_token(&app, &user).await?);
    Ok(Json(Me { sub: user.id, email_verified: user.email_verified, user }))
}
