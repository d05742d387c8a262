//! Logging in and out.
//!
//! Name, password and code are asked for at once, and a wrong one of them is answered alike, after the same work: nobody
//! learns which names there are, or whether a password was right.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use secrecy::SecretString;
use serde::Deserialize;

use super::super::cookies;
use super::super::person::Person;
use super::{HOME, Visit, html, local, shell};
use crate::audit::{self, Said};
use crate::clock;
use crate::people::passkey::Party;
use crate::people::{Busy, Tries, second_factor};
use crate::server::{App, Refused, problem, remember};
use crate::store::{Changed, NewSession, OperatorRow, Store, StoreError};

/// What a try to log in is called in the audit log.
pub(super) const LOGIN: &str = "login";
/// Whom the audit log names where nobody has that name: people type passwords there.
pub(super) const UNKNOWN: &str = "unknown";
/// How soon to try again where others are being let in.
const SOON_S: u64 = 2;

#[derive(Debug, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Entered {
    name: String,
    password: SecretString,
    #[serde(default)]
    code: String,
    #[serde(default)]
    next: String,
}

#[derive(Template)]
#[template(path = "people/login.html")]
struct LoginPage<'a> {
    form_token: &'a str,
    name: &'a str,
    next: &'a str,
    fault: Option<&'a str>,
    /// Whether browsers have passkeys for a site of this name.
    passkeys: bool,
}

/// `GET /login`
pub(super) async fn page(
    person: Option<Extension<Person>>,
    Extension(visit): Extension<Visit>,
    Query(Next { next }): Query<Next>,
) -> Response {
    if person.is_some() {
        return Redirect::to(local(&next)).into_response();
    }
    shown(&visit, StatusCode::OK, "", &next, None)
}

pub(super) fn shown(visit: &Visit, status: StatusCode, name: &str, next: &str, fault: Option<&str>) -> Response {
    let passkeys = Party::of(&visit.site.origin).is_some();
    html(status, &LoginPage { form_token: &visit.form_token, name, next, fault, passkeys })
}

/// `POST /login`
pub(super) async fn log_in(
    State(app): State<App>,
    Extension(visit): Extension<Visit>,
    Form(entered): Form<Entered>,
) -> Result<Response, Refused> {
    let name = entered.name.trim().to_owned();
    let (sought, address) = (name.clone(), visit.address.clone());
    let found = remember(&app, move |store| Ok((store.operator(&sought)?, store.has_done(&sought, LOGIN, &address)?)));
    let (operator, familiar) = found.await?;
    let tries = Tries::login(&name, &visit.address, familiar);
    if let Err(wait_s) = app.gate.take(&tries) {
        tracing::warn!(address = visit.address, wait_s, "too many tries to log in");
        return Ok(too_many(&visit, &name, &entered.next, wait_s));
    }
    let kept = operator.as_ref().and_then(|operator| operator.password.clone());
    let verified = match app.gate.passwords.verify(entered.password, kept).await {
        Ok(verified) => verified,
        Err(Busy) => return Ok(busy(&visit, &name, &entered.next)),
    };
    let now = clock::timestamp().as_second();
    let new = NewSession {
        id: clock::secret(),
        operator: name.clone(),
        address: visit.address.clone(),
        agent: visit.agent.clone(),
    };
    let who = operator.as_ref().map_or_else(|| UNKNOWN.to_owned(), |operator| operator.view.name.clone());
    let failed = |why: &str| {
        let outcome = Some(format!("refused: {why}"));
        let said = Said { who: who.clone(), target: None, outcome };
        let fault = "Name, password or code is not right.";
        (Extension(said), shown(&visit, StatusCode::UNAUTHORIZED, &name, &entered.next, Some(fault))).into_response()
    };
    let Some(operator) = operator.filter(|_| verified) else { return Ok(failed("wrong name or password")) };
    if operator.view.disabled {
        return Ok(failed("kept out"));
    }
    let (id, before) = (new.id.clone(), visit.cookies.session.clone());
    let Ok(secret) = opened(&app, &operator) else { return Ok(failed("its second factor cannot be opened")) };
    audit::begins(&app, &who).await?;
    let let_in = remember(&app, move |store| {
        if !second_factor_holds(store, &operator.view.name, secret.as_deref(), &entered.code, now)? {
            return Ok(false);
        }
        begin(store, &new, before.as_deref(), now).map(|()| true)
    });
    if !let_in.await? {
        return Ok(failed("wrong code"));
    }
    app.gate.give_back(&tries);
    Ok(begun(&visit, &id, who, local(&entered.next)))
}

/// A session for this browser.
pub(super) fn begin(store: &mut Store, new: &NewSession, before: Option<&str>, now: i64) -> Result<(), StoreError> {
    // Whoever knew the id that this browser had before does not know the new one.
    if let Some(before) = before {
        store.end_session(before)?;
    }
    store.begin_session(new, now)
}

/// The second factor's secret, if there is one; an error: it was sealed with another key.
fn opened(app: &App, operator: &OperatorRow) -> Result<Option<String>, ()> {
    let Some(sealed) = &operator.totp else { return Ok(None) };
    let name = &operator.view.name;
    app.gate.seal.open(name, sealed).map(Some).ok_or_else(|| {
        tracing::error!(operator = name, "the second factor was sealed with another key than that of this data folder");
    })
}

/// Whether the code is one of now or a recovery code, neither used before; or none is asked for.
fn second_factor_holds(
    store: &mut Store,
    name: &str,
    secret: Option<&str>,
    typed: &str,
    now: i64,
) -> Result<bool, StoreError> {
    let Some(secret) = secret else { return Ok(true) };
    let used = match second_factor::step(secret, typed, now) {
        Some(step) => store.use_step(name, step)?,
        None => store.use_recovery_code(name, &second_factor::as_recovery_code(typed))?,
    };
    Ok(used == Changed::Yes)
}

/// The answer that logs a browser in.
pub(super) fn begun(visit: &Visit, id: &str, who: String, next: &str) -> Response {
    let said = Said { who, target: None, outcome: None };
    let mut response = (Extension(said), Redirect::to(next)).into_response();
    if let Some(cookie) = cookies::session(&visit.site, id) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

pub(super) fn too_many(visit: &Visit, name: &str, next: &str, wait_s: u64) -> Response {
    let fault = format!("Too many tries. Try again in {wait_s} s.");
    later(shown(visit, StatusCode::TOO_MANY_REQUESTS, name, next, Some(&fault)), wait_s)
}

fn busy(visit: &Visit, name: &str, next: &str) -> Response {
    let fault = "Many log in at this moment. Try again shortly.";
    later(shown(visit, StatusCode::SERVICE_UNAVAILABLE, name, next, Some(fault)), SOON_S)
}

/// Says when to ask again.
pub(super) fn later(mut response: Response, wait_s: u64) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
    response
}

/// What is answered where passwords cannot be looked at now.
pub(super) fn unavailable(busy: &Busy) -> Refused {
    Refused(problem(503, "not now", busy.to_string()))
}

/// `POST /logout`
pub(super) async fn log_out(State(app): State<App>, Extension(visit): Extension<Visit>) -> Result<Response, Refused> {
    if let Some(id) = visit.cookies.session.clone() {
        remember(&app, move |store| store.end_session(&id)).await?;
    }
    let mut response = Redirect::to(&format!("/login?next={HOME}")).into_response();
    if let Some(cookie) = cookies::no_session(&visit.site) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
