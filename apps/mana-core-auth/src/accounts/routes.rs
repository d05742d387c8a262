//! `POST /api/auth/register`, `POST /api/auth/login`, `GET /api/auth/me`.

use std::sync::Arc;

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use kit::auth::User;
use kit::database::is_unique_violation;
use kit::{FieldError, Json, Problem, ProblemBody, clock};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{store, validate};
use crate::app::App;
use crate::entity::user::Model;
use crate::sessions::{self, TokenPair};
use crate::throttle::Attempt;
use crate::{ledger, password, time};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(register)).routes(routes!(login)).routes(routes!(me))
}

/// A person, as told to themselves.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserView {
    id: Uuid,
    email: String,
    name: String,
    role: String,
    /// RFC 3339, UTC.
    created_at: String,
}

impl From<&Model> for UserView {
    fn from(user: &Model) -> Self {
        Self {
            id: user.id,
            email: user.email.clone(),
            name: user.name.clone(),
            role: user.role.clone(),
            created_at: time::rfc3339(user.created_at),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Registration {
    email: String,
    /// At least 8 characters.
    #[schema(value_type = String)]
    password: SecretString,
    name: String,
    /// The app that signs the person in; told in the token as `app_id`.
    app_id: Option<String>,
}

/// Makes an account with its sign-up credits and signs it in.
#[utoipa::path(post, path = "/api/auth/register", tag = "auth", request_body = Registration, responses(
    (status = 201, body = TokenPair),
    (status = 409, body = ProblemBody, description = "The address has an account"),
    (status = 422, body = ProblemBody),
))]
async fn register(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(input): Json<Registration>,
) -> Result<(StatusCode, Json<TokenPair>), Problem> {
    let mut errors = Vec::new();
    let mut field = |name: &str, result: Result<String, String>| {
        result.inspect_err(|message| errors.push(FieldError::new(name, message))).unwrap_or_default()
    };
    let email = field("email", validate::email(&input.email));
    let name = field("name", validate::name(&input.name));
    field(
        "password",
        password::fault(secrecy::ExposeSecret::expose_secret(&input.password)).map_or(Ok(String::new()), Err),
    );
    let app_id = field("appId", sessions::app_id(input.app_id));
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    let taken = || Problem::conflict("This e-mail address has an account; sign in instead.");
    if store::by_email(&*app.database, &email).await?.is_some() {
        return Err(taken());
    }
    let password_hash = app.passwords.hash(input.password).await?;
    let now = clock::now();
    let created_at = now.as_millisecond();
    let user = Model { id: clock::new_id(), email, name, role: "user".into(), password_hash, created_at };

    let transaction = app.database.begin_write().await?;
    match store::insert(&*transaction, &user).await {
        Err(error) if is_unique_violation(&error) => return Err(taken()),
        inserted => inserted?,
    }
    ledger::open(&transaction, user.id, app.rules.sign_up_grant, now).await?;
    let pair = sessions::begin(&transaction, &app, &user, &app_id, sessions::user_agent(&headers), now).await?;
    transaction.commit().await?;
    metrics::counter!("registrations_total").increment(1);
    Ok((StatusCode::CREATED, Json(pair)))
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
    (status = 401, body = ProblemBody, description = "Address or password is wrong"),
    (status = 422, body = ProblemBody),
    (status = 429, body = ProblemBody, description = "Too many failed attempts; see Retry-After"),
))]
async fn login(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(input): Json<Login>,
) -> Result<Json<TokenPair>, Problem> {
    let app_id =
        sessions::app_id(input.app_id).map_err(|message| Problem::invalid(vec![FieldError::new("appId", message)]))?;
    // What is no address has no account; it takes the same way as any other.
    let email = validate::email(&input.email).unwrap_or_default();
    let attempt = Attempt::begin(&app, &email, &headers).await?;
    let user = store::by_email(&*app.database, &email).await?;
    let stored = user.as_ref().map(|user| user.password_hash.clone());
    let correct = app.passwords.verify(input.password, stored).await?;
    let Some(user) = user.filter(|_| correct) else {
        metrics::counter!("logins_failed_total").increment(1);
        return Err(Problem::unauthorized("The e-mail address or the password is wrong."));
    };
    attempt.succeeded(&app).await;
    let transaction = app.database.begin_write().await?;
    let now = clock::now();
    let pair = sessions::begin(&transaction, &app, &user, &app_id, sessions::user_agent(&headers), now).await?;
    transaction.commit().await?;
    Ok(Json(pair))
}

/// Who is signed in.
#[utoipa::path(get, path = "/api/auth/me", tag = "auth", security(("accessToken" = [])), responses(
    (status = 200, body = UserView),
    (status = 401, body = ProblemBody),
))]
async fn me(State(app): State<Arc<App>>, user: User) -> Result<Json<UserView>, Problem> {
    sessions::require_live(&app, &user).await?;
    let row = store::by_id(&*app.database, user.claims.sub).await?;
    let row = row.ok_or_else(|| Problem::unauthorized("This account is no longer there."))?;
    Ok(Json(UserView::from(&row)))
}
