//! Taking up an invitation: somebody sets a password, and is logged in with it.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::login::{begun, later, unavailable};
use super::{HOME, Visit, html, shell};
use crate::audit::Said;
use crate::clock;
use crate::people::{Tries, fault};
use crate::server::{App, Refused, remember};
use crate::store::NewSession;

#[derive(Deserialize)]
pub(super) struct Entered {
    code: SecretString,
    password: SecretString,
    again: SecretString,
}

#[derive(Template)]
#[template(path = "people/invite.html")]
struct InvitePage<'a> {
    form_token: &'a str,
    code: &'a str,
    fault: Option<&'a str>,
}

/// `GET /invite`: the code is behind the `#`, which browsers keep to themselves; a script puts it into the form.
pub(super) async fn page(Extension(visit): Extension<Visit>) -> Response {
    html(StatusCode::OK, &InvitePage { form_token: &visit.form_token, code: "", fault: None })
}

/// `POST /invite`
pub(super) async fn accept(
    State(app): State<App>,
    Extension(visit): Extension<Visit>,
    Form(entered): Form<Entered>,
) -> Result<Response, Refused> {
    let code = entered.code.expose_secret().trim().to_owned();
    let again = |status, fault: &str, code: &str| {
        html(status, &InvitePage { form_token: &visit.form_token, code, fault: Some(fault) })
    };
    let tries = Tries::invitation(&visit.address);
    if let Err(wait_s) = app.gate.take(&tries) {
        let fault = format!("Too many tries. Try again in {wait_s} s.");
        return Ok(later(again(StatusCode::TOO_MANY_REQUESTS, &fault, &code), wait_s));
    }
    let gone = || {
        let said =
            Said { who: "unknown".to_owned(), target: None, outcome: Some("refused: no such invitation".to_owned()) };
        let fault = "This invitation is used up or over. An admin can make another: mana operator reset NAME.";
        (Extension(said), again(StatusCode::GONE, fault, "")).into_response()
    };
    let (sought, now) = (code.clone(), clock::timestamp().as_second());
    let invited = remember(&app, move |store| store.invited(&sought, now)).await?;
    let Some(name) = invited else { return Ok(gone()) };
    app.gate.give_back(&tries);
    if let Some(fault) = fault(entered.password.expose_secret(), &name) {
        return Ok(again(StatusCode::UNPROCESSABLE_ENTITY, &fault, &code));
    }
    if entered.password.expose_secret() != entered.again.expose_secret() {
        let fault = "The two passwords differ.";
        return Ok(again(StatusCode::UNPROCESSABLE_ENTITY, fault, &code));
    }
    let hash = app.gate.passwords.hash(entered.password).await.map_err(|busy| unavailable(&busy))?;
    let new =
        NewSession { id: clock::secret(), operator: name, address: visit.address.clone(), agent: visit.agent.clone() };
    let id = new.id.clone();
    let accepted = remember(&app, move |store| {
        let accepted = store.accept(&code, &hash, now)?;
        if accepted.is_some() {
            store.begin_session(&new, now)?;
        }
        Ok(accepted)
    });
    Ok(match accepted.await? {
        Some(name) => begun(&visit, &id, name, HOME),
        None => gone(),
    })
}
