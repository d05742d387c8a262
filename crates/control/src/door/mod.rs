//! The operators' door: what the edge lets in at the host `ops`. It listens on loopback, and believes nobody there either.
//!
//! | at | who | what |
//! |---|---|---|
//! | `/api/v1/…` | a token, as `Authorization: Bearer` or as a signature ([`access`]); somebody logged in, by a cookie and a form's token ([`guard`]) | the calls of `control.sock` that are not for its owner alone |
//! | `/api/v1/{operators,tokens,audit}…` | an admin who is logged in | who comes in, and who did what |
//! | `PUT /api/v1/releases/SERVICE` | likewise | a release from another machine |
//! | `/federate` | likewise | the stored series, for another Prometheus |
//! | `/`, … | somebody logged in, or a token; `/operators…`, `/tokens…`, `/audit` an admin who is logged in | the pages of the [dashboard](crate::dashboard) |
//! | `POST /hooks/push` | the repository's host, by its signature ([`push`]) | deploys what was pushed |
//! | `/login`, `/invite`, `/logout`, `/account` | anybody; what changes something, by a form's token | logging in, and one's own account ([`pages`]) |
//!
//! A page for people who are logged in: a handler that takes a [`person::Person`], in a router behind [`pages::visit`]. What
//! it changes is written to the audit log without it ([`crate::audit`]).

pub(crate) mod access;
pub(crate) mod cookies;
pub(crate) mod guard;
pub(crate) mod pages;
pub(crate) mod person;
mod push;
mod upload;

use std::sync::Mutex;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use tokio::net::TcpListener;
use tower::limit::ConcurrencyLimitLayer;

use crate::audit::{self, Source};
use crate::clock::{self, Clock};
use crate::dashboard;
use crate::key::Key;
use crate::people::{Challenges, Limits, Passwords, Tries};
use crate::server::{App, MAX_REQUEST_BYTES, Refused, ask, managing, problem, remember, shared};
use crate::store::TokenRow;
use crate::supervisor::Call;
use crate::watching::prometheus;
use cookies::Cookies;
use person::{Action, Person, stranger};
pub(crate) use push::Watched;

const API: &str = "/api";
/// Others wait.
const PUSHES_AT_ONCE: usize = 2;

/// The door as people's browsers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    /// `https://ops.example.com`.
    pub(crate) origin: String,
    /// Whether browsers speak TLS with it.
    pub(crate) secure: bool,
}

/// What logging in needs.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) passwords: Passwords,
    /// Seals second factors.
    pub(crate) seal: Key,
    limits: Mutex<Limits>,
    challenges: Mutex<Challenges>,
    challenges_key: [u8; 32],
    clock: Clock,
}

impl Gate {
    pub(crate) fn new(seal: Key) -> Self {
        Self {
            passwords: Passwords::new(),
            seal,
            limits: Mutex::default(),
            challenges: Mutex::default(),
            challenges_key: rand::random(),
            clock: Clock::start(),
        }
    }

    /// Something to be signed by a passkey, for what `purpose` says.
    pub(crate) fn challenge(&self, purpose: &[&str]) -> String {
        Challenges::make(&self.challenges_key, rand::random(), purpose, self.now_ms())
    }

    /// Whether this is one of those, which was not answered before and is from now on.
    pub(crate) fn answered(&self, challenge: &str, purpose: &[&str]) -> bool {
        let mut challenges = self.challenges.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        challenges.answer(&self.challenges_key, challenge, purpose, self.now_ms())
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.now().0.as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes a try, or says after how many seconds there is one.
    fn take(&self, tries: &Tries) -> Result<(), u64> {
        self.limits().take(tries, self.now_ms()).map_err(|wait_ms| wait_ms.div_ceil(1_000))
    }

    fn give_back(&self, tries: &Tries) {
        self.limits().give_back(tries);
    }

    fn limits(&self) -> std::sync::MutexGuard<'_, Limits> {
        // Whoever panicked with it left whole numbers.
        self.limits.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Answers until the process ends.
pub(crate) async fn serve(listener: TcpListener, app: App) -> std::io::Result<()> {
    axum::serve(listener, router(app)).await
}

fn router(app: App) -> Router {
    let uploads =
        Router::new().route("/v1/releases/{service}", put(upload::release)).layer(DefaultBodyLimit::disable());
    let managing = managing().route_layer(middleware::from_fn(admins));
    let api = shared().merge(managing).layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES)).merge(uploads);
    let api = api.layer(middleware::from_fn_with_state(app.clone(), admit));
    let federation = prometheus::federation().layer(middleware::from_fn_with_state(app.clone(), admit));
    Router::new()
        .nest(API, api)
        .merge(federation)
        // What strangers send is held in memory until its signature was looked at.
        .route("/hooks/push", post(push::pushed).layer(ConcurrencyLimitLayer::new(PUSHES_AT_ONCE)))
        .layer(DefaultBodyLimit::max(push::MAX_BYTES))
        .merge(pages::router(&app))
        .merge(dashboard::router(&app).layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES)))
        .fallback(async || Refused(problem(404, "there is nothing here", String::new())))
        .layer(middleware::from_fn_with_state((app.clone(), Source::Door), audit::record))
        .with_state(app)
}

/// Only who is known, and may do such a thing at all. What exactly is for the call to look at.
pub(crate) async fn admit(State(app): State<App>, request: Request, next: Next) -> Result<Response, Refused> {
    let (person, request) = known(&app, request).await?;
    let mut response = match allowed(&app, &person, request).await {
        Ok(mut request) => {
            request.extensions_mut().insert(person.clone());
            match audit::begins(&app, &person.name).await {
                Ok(()) => next.run(request).await,
                Err(refused) => refused.into_response(),
            }
        }
        Err(refused) => refused.into_response(),
    };
    response.extensions_mut().insert(person);
    Ok(response)
}

async fn allowed(app: &App, person: &Person, request: Request) -> Result<Request, Refused> {
    if prometheus::only_asks(request.method(), request.uri().path()) {
        person.require(Action::See)?;
        return Ok(request);
    }
    if !person.may(Action::Approve) {
        person.require(Action::Deploy)?;
    }
    if person.session().is_none() {
        return Ok(request);
    }
    // A cookie is sent by the browser, whoever made it send the request.
    let site = ask(app, Call::Site).await?;
    let cookies = Cookies::read(request.headers(), &site);
    guard::check(request, &site, &cookies.session.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// Only admins, of those who are known.
async fn admins(person: Person, request: Request, next: Next) -> Result<Response, Refused> {
    person.require(Action::Manage)?;
    Ok(next.run(request).await)
}

async fn known(app: &App, request: Request) -> Result<(Person, Request), Refused> {
    let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(token) = bearer.and_then(|value| value.strip_prefix("Bearer ")) {
        let sha256 = access::hash(token);
        let row = remember(app, move |store| store.token_by_hash(&sha256)).await?.ok_or_else(stranger)?;
        return Ok((comes_in(app, row).await?, request));
    }
    let Some(claim) = access::Claim::of(request.headers()) else {
        let person = logged_in(app, request.headers()).await?.ok_or_else(stranger)?;
        return Ok((person, request));
    };
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_REQUEST_BYTES).await;
    let body = body.map_err(|_| Refused(problem(413, "the request is too large", String::new())))?;
    let name = claim.name.clone();
    let row = remember(app, move |store| store.token_by_name(&name)).await?.ok_or_else(stranger)?;
    // As it was asked for: what is nested does not see where.
    let path = format!("{API}{}", parts.uri);
    if !claim.holds(&row.sha256, parts.method.as_str(), &path, &body, clock::timestamp()) {
        return Err(stranger());
    }
    Ok((comes_in(app, row).await?, Request::from_parts(parts, body.into())))
}

/// Whoever shows a token that lets in, which is written down of it.
async fn comes_in(app: &App, row: TokenRow) -> Result<Person, Refused> {
    let (sha256, now) = (row.sha256.clone(), clock::timestamp().as_second());
    let anew = row.is_used_anew(now);
    let person = by_token(app, row).await?;
    // Whoever looks at a full disk is not kept out by it.
    if anew && let Err(Refused(why)) = remember(app, move |store| store.use_token(&sha256, now)).await {
        tracing::warn!(why = why.detail, "it cannot be written down that a token is used");
    }
    Ok(person)
}

/// Who shows a token: nobody, where its time is over or an operator of its name is kept out.
async fn by_token(app: &App, row: TokenRow) -> Result<Person, Refused> {
    let name = row.view.name.clone();
    let operator = remember(app, move |store| store.operator(&name)).await?;
    let kept_out = operator.is_some_and(|operator| operator.view.disabled);
    Person::by_token(row.view, clock::timestamp()).filter(|_| !kept_out).ok_or_else(stranger)
}

/// Whether somebody who was let in a while ago may still do this: a stream goes on for longer than a request. What cannot be found out counts
/// as no.
pub(crate) async fn still_may(app: &App, person: &Person, action: Action) -> bool {
    let now = match person.session() {
        None => {
            let name = person.name.clone();
            match remember(app, move |store| store.token_by_name(&name)).await {
                Ok(Some(row)) => by_token(app, row).await.ok(),
                _ => None,
            }
        }
        Some(session) => {
            let (sought, at) = (session.row.sha256.clone(), clock::timestamp().as_second());
            let row = remember(app, move |store| store.session_by_hash(&sought, at)).await.ok().flatten();
            row.map(|row| person.with(row))
        }
    };
    now.is_some_and(|person| person.may(action))
}

/// Who is logged in with these cookies.
async fn logged_in(app: &App, headers: &HeaderMap) -> Result<Option<Person>, Refused> {
    if !headers.contains_key(header::COOKIE) {
        return Ok(None);
    }
    let site = ask(app, Call::Site).await?;
    let Some(id) = Cookies::read(headers, &site).session else { return Ok(None) };
    let (sought, now) = (id.clone(), clock::timestamp().as_second());
    let row = remember(app, move |store| store.session(&sought, now)).await?;
    Ok(row.map(|row| Person::logged_in(row, &id)))
}
