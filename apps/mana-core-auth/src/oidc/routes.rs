//! `GET /api/auth/login/provider`, `POST …/begin`, `POST …/finish`: signing in with somebody else's provider.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use kit::database::is_unique_violation;
use kit::{FieldError, Json, Problem, ProblemBody, clock};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::provider::{Person, Provider, ProviderError, Trip};
use super::store;
use crate::accounts::{self, new_user, validate};
use crate::app::App;
use crate::entity::user::Model;
use crate::second_factor::{self, SecondStep};
use crate::secrets::{Purpose, Secrets};
use crate::sessions::{self, TokenPair};
use crate::{ledger, password, tickets};

const TICKET: &str = "provider";

/// Looks for a person's account, where others make it at the same moment: one that finds it on its way, and one that finds it there.
const LOOKS: usize = 2;

/// What needs no access token.
pub(crate) fn public() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(about)).routes(routes!(begin)).routes(routes!(finish))
}

fn configured(app: &App) -> Result<&Provider, Problem> {
    app.provider.as_ref().ok_or_else(|| Problem::not_found("provider: none is configured"))
}

#[derive(Serialize, ToSchema)]
struct ProviderView {
    /// What it is called.
    name: String,
}

/// The provider that people can sign in with.
#[utoipa::path(get, path = "/api/auth/login/provider", tag = "auth", responses(
    (status = 200, body = ProviderView),
    (status = 404, body = ProblemBody, description = "There is none"),
    (status = 429, body = ProblemBody, description = "Too many requests; see Retry-After"),
))]
async fn about(State(app): State<Arc<App>>) -> Result<Json<ProviderView>, Problem> {
    Ok(Json(ProviderView { name: configured(&app)?.name.clone() }))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Departure {
    /// Where the browser comes back to; one of those that are configured.
    redirect_uri: String,
    /// The app that signs the person in; told in the token as `app_id`.
    app_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Address {
    /// Where to send the browser.
    url: String,
    /// To be kept for this browser until it comes back.
    ticket: String,
}

#[derive(Serialize, Deserialize)]
struct Leaving {
    trip: Uuid,
    redirect: String,
    app_id: String,
}

/// `state`, `nonce` and PKCE's verifier: made of the trip's id with the server's key, so that nobody else knows them before.
fn parts(secrets: &Secrets, trip: Uuid) -> [String; 3] {
    ["state", "nonce", "verifier"]
        .map(|part| secrets.tag(Purpose::Tickets, format!("provider {part} {trip}").as_bytes()))
}

fn told(error: &ProviderError) -> Problem {
    match error {
        ProviderError::Away(_) => {
            metrics::counter!("providers_away_total").increment(1);
            tracing::warn!(%error, "the provider cannot be asked");
            Problem::unavailable(
                "provider_unavailable",
                "The provider cannot be reached at the moment; try again shortly.",
            )
        }
        ProviderError::Refused(_) => {
            metrics::counter!("providers_refused_total").increment(1);
            tracing::warn!(%error, "the provider's answer does not count");
            Problem::unauthorized("The provider did not confirm who you are; begin again.")
        }
    }
}

/// Begins to sign in with the provider.
#[utoipa::path(post, path = "/api/auth/login/provider/begin", tag = "auth", request_body = Departure, responses(
    (status = 200, body = Address),
    (status = 401, body = ProblemBody, description = "The provider refuses"),
    (status = 404, body = ProblemBody, description = "There is none"),
    (status = 422, body = ProblemBody),
    (status = 429, body = ProblemBody, description = "Too many requests; see Retry-After"),
))]
async fn begin(State(app): State<Arc<App>>, Json(input): Json<Departure>) -> Result<Json<Address>, Problem> {
    let provider = configured(&app)?;
    let app_id = sessions::require_app_id(input.app_id)?;
    if !provider.comes_back_to(&input.redirect_uri) {
        let why = "is not one of those that are configured (OIDC_REDIRECTS)";
        return Err(Problem::invalid(vec![FieldError::new("redirectUri", why)]));
    }
    let leaving = Leaving { trip: clock::new_id(), redirect: input.redirect_uri, app_id };
    let [state, nonce, verifier] = parts(&app.secrets, leaving.trip);
    let trip = Trip { redirect: &leaving.redirect, state: &state, nonce: &nonce, verifier: &verifier };
    let url = provider.address(&trip).await.map_err(|error| told(&error))?.to_string();
    Ok(Json(Address { url, ticket: tickets::issue(&app.secrets, TICKET, leaving, clock::now()) }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Return {
    ticket: String,
    /// As in the address that the browser came back to.
    state: String,
    /// As in the address that the browser came back to.
    code: String,
}

/// Signs in whom the provider has sent back. Who is new gets an account; an account of the same address is theirs where both
/// the provider and we know that the address is.
#[utoipa::path(post, path = "/api/auth/login/provider/finish", tag = "auth", request_body = Return, responses(
    (status = 200, body = TokenPair),
    (status = 202, body = SecondStep, description = "A code of the second factor is asked for"),
    (status = 401, body = ProblemBody, description = "It took too long, was done before, or the provider refuses"),
    (status = 403, body = ProblemBody, description = "The account is closed, or the provider does not vouch for the address"),
    (status = 404, body = ProblemBody, description = "There is no provider"),
    (status = 409, body = ProblemBody, description = "The address has an account that nobody has confirmed"),
    (status = 422, body = ProblemBody),
    (status = 429, body = ProblemBody, description = "Too many requests; see Retry-After"),
))]
async fn finish(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(input): Json<Return>,
) -> Result<Response, Problem> {
    let provider = configured(&app)?;
    let over = || Problem::unauthorized("Signing in took too long, or was done before; begin again.");
    let now = clock::now();
    let (id, leaving) = tickets::open::<Leaving>(&app.secrets, TICKET, &input.ticket, now).ok_or_else(over)?;
    let [state, nonce, verifier] = parts(&app.secrets, leaving.trip);
    let same = aws_lc_rs::constant_time::verify_slices_are_equal(state.as_bytes(), input.state.as_bytes()).is_ok();
    if !same || !app.counters.is_first_use(&format!("ticket:{id}"), tickets::TICKET_LIFE).await {
        return Err(over());
    }
    let trip = Trip { redirect: &leaving.redirect, state: &state, nonce: &nonce, verifier: &verifier };
    let person = provider.person(&input.code, &trip).await.map_err(|error| told(&error))?;
    let user = account_of(&app, &person).await?;
    second_factor::admit(&app, &user, &leaving.app_id, &headers).await
}

/// The account of somebody whom the provider has named. Of several first sign-ins at once, one makes it and the others find it.
async fn account_of(app: &App, person: &Person) -> Result<Model, Problem> {
    for _ in 0..LOOKS {
        if let Some(user) = known_or_new(app, person).await? {
            return Ok(user);
        }
        metrics::counter!("provider_sign_ins_at_once_total").increment(1);
    }
    Err(Problem::conflict("You are signing in several times at this moment; try again."))
}

/// `None` where another sign-in makes the same account, or has just said whose it is.
async fn known_or_new(app: &App, person: &Person) -> Result<Option<Model>, Problem> {
    if let Some(id) = store::user_of(&*app.database, &person.issuer, &person.subject).await? {
        let user = accounts::store::by_id(&*app.database, id).await?;
        return user.map(Some).ok_or_else(|| Problem::unauthorized("This account is no longer there."));
    }
    let email = person.email.as_deref().filter(|_| person.email_verified).and_then(|email| validate::email(email).ok());
    let Some(email) = email else {
        let title = "The provider does not vouch for your e-mail address";
        return Err(Problem::new(StatusCode::FORBIDDEN, "email_not_vouched_for", title));
    };
    let now = clock::now();
    let transaction = app.database.begin_write().await?;
    let user = match accounts::store::by_email(&*transaction, &email).await? {
        Some(user) if user.email_verified_at.is_some() => user,
        // Whoever made it may have taken somebody else's address in advance.
        Some(_) => {
            let detail = "Sign in with your password and confirm your e-mail address first.";
            return Err(Problem::conflict(format!(
                "This e-mail address has an account that nobody has confirmed. {detail}"
            )));
        }
        None => {
            let name = person.name.as_deref().and_then(|name| validate::name(name).ok());
            let name = name.unwrap_or_else(|| email.split('@').next().unwrap_or_default().to_owned());
            let mut user = new_user(email, name, password::NONE.to_owned(), now);
            user.email_verified_at = Some(now.as_millisecond());
            if !was_first(accounts::store::insert(&*transaction, &user).await)? {
                return Ok(None);
            }
            ledger::open(&transaction, user.id, app.rules.sign_up_grant, now).await?;
            user
        }
    };
    let known = store::insert(&*transaction, &person.issuer, &person.subject, user.id, now.as_millisecond()).await;
    if !was_first(known)? {
        return Ok(None);
    }
    transaction.commit().await?;
    Ok(Some(user))
}

/// Whether a row was written, rather than found to be there already.
fn was_first(written: Result<(), DbErr>) -> Result<bool, DbErr> {
    match written {
        Err(error) if is_unique_violation(&error) => Ok(false),
        written => written.map(|()| true),
    }
}
