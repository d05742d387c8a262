//! One's own account: password, second factor, sessions. What would let somebody else in later asks for the password again.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::super::person::{Person, Session, stranger};
use super::login::{later, unavailable};
use super::{Visit, html, shell, words};
use crate::api::SessionView;
use crate::clock;
use crate::people::passkey::Party;
use crate::people::{Tries, fault, second_factor};
use crate::server::{App, Refused, ask, people::view, problem, remember};
use crate::store::{Changed, PasskeyRow};
use crate::supervisor::Call;

#[derive(Template)]
#[template(path = "people/account.html")]
struct AccountPage<'a> {
    form_token: &'a str,
    name: &'a str,
    role: &'a str,
    has_second_factor: bool,
    recovery_codes: u32,
    /// `None`: browsers have none for a site of this name.
    passkeys: Option<Vec<Passkey>>,
    sessions: Vec<SessionView>,
    own: String,
    notice: Option<&'a str>,
    fault: Option<&'a str>,
}

/// One as it is shown.
struct Passkey {
    id: String,
    name: String,
    made_at: String,
    used_at: Option<String>,
}

impl From<PasskeyRow> for Passkey {
    fn from(row: PasskeyRow) -> Self {
        let time = |seconds| Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default();
        Self { id: row.id, name: row.name, made_at: time(row.made_at), used_at: row.used_at.map(time) }
    }
}

#[derive(Template)]
#[template(path = "people/factor.html")]
struct FactorPage<'a> {
    form_token: &'a str,
    secret: &'a str,
    spaced: String,
    link: String,
    fault: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "people/codes.html")]
struct CodesPage<'a> {
    codes: &'a [String],
}

/// What was done, after the page was loaded anew.
#[derive(Debug, Deserialize)]
pub(super) struct Told {
    done: Option<String>,
}

/// Somebody who is logged in, with what they have there.
pub(super) fn session(person: &Person) -> Result<&Session, Refused> {
    person.session().ok_or_else(stranger)
}

/// `GET /account`
pub(super) async fn page(
    State(app): State<App>,
    person: Person,
    Query(Told { done }): Query<Told>,
) -> Result<Response, Refused> {
    let notice = match done.as_deref() {
        Some("password") => Some("The password is changed, and you are logged out everywhere else."),
        Some("factor") => Some("The second factor is removed."),
        Some("passkey") => Some("The passkey is there; you can log in with it from now on."),
        Some("no-passkey") => Some("The passkey is removed: it opens nothing any more."),
        Some("sessions") => Some("Done: it is logged out."),
        _ => None,
    };
    shown(&app, &person, StatusCode::OK, notice, None).await
}

pub(super) async fn shown(
    app: &App,
    person: &Person,
    status: StatusCode,
    notice: Option<&str>,
    fault: Option<&str>,
) -> Result<Response, Refused> {
    let Session { row, form_token } = session(person)?;
    let (name, now) = (person.name.clone(), clock::timestamp().as_second());
    let found = remember(app, move |store| {
        let known = (store.operator(&name)?, store.recovery_codes(&name)?, store.passkeys(&name)?);
        Ok((known, store.sessions(&name, now)?))
    });
    let ((operator, recovery_codes, passkeys), sessions) = found.await?;
    let site = ask(app, Call::Site).await?;
    let passkeys = Party::of(&site.origin).map(|_| passkeys.into_iter().map(Passkey::from).collect());
    let page = AccountPage {
        form_token,
        name: &person.name,
        role: person.role().as_str(),
        has_second_factor: operator.is_some_and(|operator| operator.view.has_second_factor),
        recovery_codes,
        passkeys,
        sessions: sessions.into_iter().map(view).collect(),
        own: view(row.clone()).id,
        notice,
        fault,
    };
    Ok(html(status, &page))
}

/// Why a password is not that of whoever is logged in.
pub(crate) enum Unconfirmed {
    Wrong,
    Later(u64),
}

/// Whether this is the password of whoever is logged in: what would let somebody else in later asks for it again.
pub(crate) async fn confirm(
    app: &App,
    person: &Person,
    password: SecretString,
) -> Result<Result<(), Unconfirmed>, Refused> {
    let tries = Tries::confirmation(&session(person)?.row.sha256);
    if let Err(wait_s) = app.gate.take(&tries) {
        return Ok(Err(Unconfirmed::Later(wait_s)));
    }
    let name = person.name.clone();
    let operator = remember(app, move |store| store.operator(&name)).await?;
    let kept = operator.and_then(|operator| operator.password);
    let good = app.gate.passwords.verify(password, kept).await.map_err(|busy| unavailable(&busy))?;
    if good {
        app.gate.give_back(&tries);
    }
    Ok(if good { Ok(()) } else { Err(Unconfirmed::Wrong) })
}

pub(super) async fn unconfirmed(app: &App, person: &Person, why: Unconfirmed) -> Result<Response, Refused> {
    match why {
        Unconfirmed::Wrong => {
            let fault = Some("Your present password is another. Nothing was changed.");
            shown(app, person, StatusCode::FORBIDDEN, None, fault).await
        }
        Unconfirmed::Later(wait_s) => {
            let fault = format!("Too many tries. Try again in {wait_s} s.");
            Ok(later(shown(app, person, StatusCode::TOO_MANY_REQUESTS, None, Some(&fault)).await?, wait_s))
        }
    }
}

#[derive(Deserialize)]
pub(super) struct NewPassword {
    current: SecretString,
    password: SecretString,
    again: SecretString,
}

/// `POST /account/password`
pub(super) async fn set_password(
    State(app): State<App>,
    person: Person,
    Form(entered): Form<NewPassword>,
) -> Result<Response, Refused> {
    if let Err(why) = confirm(&app, &person, entered.current).await? {
        return unconfirmed(&app, &person, why).await;
    }
    let differ = entered.password.expose_secret() != entered.again.expose_secret();
    let differ = differ.then(|| "The two new passwords differ.".to_owned());
    if let Some(fault) = fault(entered.password.expose_secret(), &person.name).or(differ) {
        return shown(&app, &person, StatusCode::UNPROCESSABLE_ENTITY, None, Some(&fault)).await;
    }
    let hash = app.gate.passwords.hash(entered.password).await.map_err(|busy| unavailable(&busy))?;
    let (name, kept) = (person.name.clone(), session(&person)?.row.sha256.clone());
    remember(&app, move |store| store.set_password(&name, &hash, &kept)).await?;
    Ok(Redirect::to("/account?done=password").into_response())
}

fn offered(visit: &Visit, person: &Person, status: StatusCode, secret: &str, fault: Option<&str>) -> Response {
    let host = visit.site.origin.split("://").nth(1).and_then(|rest| rest.split(':').next()).unwrap_or("mana");
    let letters: Vec<char> = secret.chars().collect();
    let spaced = letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ");
    let link = second_factor::link(secret, host, &person.name);
    html(status, &FactorPage { form_token: &visit.form_token, secret, spaced, link, fault })
}

/// `GET /account/second-factor`: a new secret, which counts once a code of it was shown.
pub(super) async fn offer_factor(person: Person, Extension(visit): Extension<Visit>) -> Result<Response, Refused> {
    session(&person)?;
    Ok(offered(&visit, &person, StatusCode::OK, &second_factor::secret(), None))
}

#[derive(Deserialize)]
pub(super) struct NewFactor {
    secret: String,
    code: String,
    password: SecretString,
}

/// `POST /account/second-factor`
pub(super) async fn set_factor(
    State(app): State<App>,
    person: Person,
    Extension(visit): Extension<Visit>,
    Form(entered): Form<NewFactor>,
) -> Result<Response, Refused> {
    if let Err(why) = confirm(&app, &person, entered.password).await? {
        return unconfirmed(&app, &person, why).await;
    }
    let now = clock::timestamp().as_second();
    let Some(step) = second_factor::step(&entered.secret, &entered.code, now) else {
        let fault = "This is not the code that the app shows now. Are the clocks of both right?";
        return Ok(offered(&visit, &person, StatusCode::UNPROCESSABLE_ENTITY, &entered.secret, Some(fault)));
    };
    let codes = second_factor::recovery_codes();
    let (name, kept, told) = (person.name.clone(), session(&person)?.row.sha256.clone(), codes.clone());
    let sealed = app.gate.seal.seal(&name, &entered.secret);
    let set = remember(&app, move |store| store.set_totp(&name, Some((&sealed, step, &told)), &kept));
    if set.await? == Changed::No {
        return Err(Refused(problem(404, "there is no such operator", person.name.clone())));
    }
    Ok(html(StatusCode::OK, &CodesPage { codes: &codes }))
}

#[derive(Deserialize)]
pub(super) struct Confirmed {
    password: SecretString,
}

/// `POST /account/second-factor/remove`
pub(super) async fn remove_factor(
    State(app): State<App>,
    person: Person,
    Form(entered): Form<Confirmed>,
) -> Result<Response, Refused> {
    if let Err(why) = confirm(&app, &person, entered.password).await? {
        return unconfirmed(&app, &person, why).await;
    }
    let (name, kept) = (person.name.clone(), session(&person)?.row.sha256.clone());
    remember(&app, move |store| store.set_totp(&name, None, &kept)).await?;
    Ok(Redirect::to("/account?done=factor").into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct Ended {
    /// Empty: all others.
    #[serde(default)]
    session: String,
}

/// `POST /account/sessions`
pub(super) async fn end_sessions(
    State(app): State<App>,
    person: Person,
    Form(Ended { session: ended }): Form<Ended>,
) -> Result<Response, Refused> {
    let (name, kept) = (person.name.clone(), session(&person)?.row.sha256.clone());
    remember(&app, move |store| match ended.as_str() {
        "" => store.revoke_sessions(&name, &kept),
        ended => store.revoke_session(&name, ended),
    })
    .await?;
    Ok(Redirect::to("/account?done=sessions").into_response())
}
