//! `/confirm`, `/verify`, `/forgot`, `/reset`: what letters lead to. The code stands behind the `#` of a letter's link; a script puts it into
//! the form, and without one it is copied from the letter.

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::account::{Guest, enter};
use super::{Shell, html};
use crate::app::{App, Shared};
use crate::error::Error;
use crate::upstream::Failure;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "letter.html")]
struct LetterPage {
    shell: Shell,
    heading: &'static str,
    action: &'static str,
    button: &'static str,
    asks: Asks,
    /// What to do, above the form.
    lead: Option<&'static str>,
    notice: Option<&'static str>,
    problem: Option<String>,
}

/// What the form asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    Email,
    Code,
    CodeAndPassword,
    CodeAndNewPassword,
}

/// One of the pages.
#[derive(Clone, Copy)]
struct Kind {
    heading: &'static str,
    action: &'static str,
    button: &'static str,
    asks: Asks,
    done: &'static str,
}

const CONFIRM: Kind = Kind {
    heading: "Finish making your account",
    action: "/confirm",
    button: "Finish",
    asks: Asks::CodeAndPassword,
    done: "",
};

/// What whoever has just registered is told, whether or not there is such an account.
const SENT: &str = "A letter is on its way to your address. Open its link, or copy its code here, within a day.";

const VERIFY: Kind = Kind {
    heading: "Confirm your e-mail address",
    action: "/verify",
    button: "Confirm",
    asks: Asks::Code,
    done: "Your address is confirmed.",
};

const FORGOT: Kind = Kind {
    heading: "Forgotten your password?",
    action: "/forgot",
    button: "Send me a letter",
    asks: Asks::Email,
    done: "If this address has an account, a letter is on its way. It is good for an hour.",
};

const RESET: Kind = Kind {
    heading: "Choose another password",
    action: "/reset",
    button: "Change the password",
    asks: Asks::CodeAndNewPassword,
    done: "Your password is changed, and every device is signed out. Sign in with the new one.",
};

fn page(app: &App, headers: &HeaderMap, kind: Kind, came: Option<Result<Value, Failure>>) -> Response {
    page_with(app, headers, kind, None, came)
}

fn page_with(
    app: &App,
    headers: &HeaderMap,
    kind: Kind,
    lead: Option<&'static str>,
    came: Option<Result<Value, Failure>>,
) -> Response {
    let Guest { shell, new_visit } = Guest::of(app, headers);
    let (status, notice, problem) = match came {
        None => (StatusCode::OK, None, None),
        Some(Ok(_)) => (StatusCode::OK, Some(kind.done), None),
        Some(Err(failure)) => {
            let words = Error::from(failure).words();
            (words.status, None, Some(words.text))
        }
    };
    let Kind { heading, action, button, asks, .. } = kind;
    let page = LetterPage { shell, heading, action, button, asks, lead, notice, problem };
    Guest::with_visit(new_visit, app, html(status, &page))
}

/// Whether the letter has just been sent.
#[derive(Deserialize)]
pub(crate) struct Came {
    sent: Option<String>,
}

/// `GET /confirm`
pub(crate) async fn confirm_form(State(app): State<Shared>, headers: HeaderMap, Query(came): Query<Came>) -> Response {
    page_with(&app, &headers, CONFIRM, came.sent.map(|_| SENT), None)
}

/// `GET /verify`
pub(crate) async fn verify_form(State(app): State<Shared>, headers: HeaderMap) -> Response {
    page(&app, &headers, VERIFY, None)
}

/// `GET /forgot`
pub(crate) async fn forgot_form(State(app): State<Shared>, headers: HeaderMap) -> Response {
    page(&app, &headers, FORGOT, None)
}

/// `GET /reset`
pub(crate) async fn reset_form(State(app): State<Shared>, headers: HeaderMap) -> Response {
    page(&app, &headers, RESET, None)
}

#[derive(Deserialize)]
pub(crate) struct Given {
    #[serde(default)]
    email: String,
    #[serde(default)]
    code: SecretString,
    #[serde(default)]
    password: SecretString,
}

/// `POST /confirm`
pub(crate) async fn confirm(
    State(app): State<Shared>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<Given>,
) -> Result<Response, Error> {
    match app.auth.confirm(&visitor, &form.code, &form.password).await {
        Ok(signed_in) => enter(&app, &headers, signed_in, "/").await,
        Err(failure) => Ok(page(&app, &headers, CONFIRM, Some(Err(failure)))),
    }
}

/// `POST /verify`
pub(crate) async fn verify(
    State(app): State<Shared>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<Given>,
) -> Response {
    let body = json!({ "code": form.code.expose_secret() });
    let came = app.auth.open(&visitor, "/api/auth/verify-email", Some(body)).await;
    page(&app, &headers, VERIFY, Some(came))
}

/// `POST /forgot`
pub(crate) async fn forgot(
    State(app): State<Shared>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<Given>,
) -> Response {
    let came = app.auth.open(&visitor, "/api/auth/password/forgot", Some(json!({ "email": form.email }))).await;
    page(&app, &headers, FORGOT, Some(came))
}

/// `POST /reset`
pub(crate) async fn reset(
    State(app): State<Shared>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<Given>,
) -> Response {
    let body = json!({ "code": form.code.expose_secret(), "newPassword": form.password.expose_secret() });
    let came = app.auth.open(&visitor, "/api/auth/password/reset", Some(body)).await;
    page(&app, &headers, RESET, Some(came))
}
