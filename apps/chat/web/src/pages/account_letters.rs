//! `/verify`, `/forgot`, `/reset`: what letters lead to. The code stands behind the `#` of a letter's link; a script puts it into
//! the form, and without one it is copied from the letter.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::account::Guest;
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
    notice: Option<&'static str>,
    problem: Option<String>,
}

/// What the form asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    Email,
    Code,
    CodeAndPassword,
}

/// One of the three pages.
#[derive(Clone, Copy)]
struct Kind {
    heading: &'static str,
    action: &'static str,
    button: &'static str,
    asks: Asks,
    done: &'static str,
}

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
    done: "If this address has an account, a letter is on its way. It is good for 30 minutes.",
};

const RESET: Kind = Kind {
    heading: "Choose another password",
    action: "/reset",
    button: "Change the password",
    asks: Asks::CodeAndPassword,
    done: "Your password is changed, and every device is signed out. Sign in with the new one.",
};

fn page(app: &App, headers: &HeaderMap, kind: Kind, came: Option<Result<Value, Failure>>) -> Response {
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
    let page = LetterPage { shell, heading, action, button, asks, notice, problem };
    Guest::with_visit(new_visit, app, html(status, &page))
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
