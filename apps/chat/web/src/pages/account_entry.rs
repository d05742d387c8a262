//! Further ways in: the second step with a code, a passkey, and a provider elsewhere.

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::account::{Guest, enter};
use super::{Shell, html};
use crate::app::{App, Shared};
use crate::error::Error;
use crate::sessions::cookie;
use crate::upstream::Entry;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "second_step.html")]
struct SecondStepPage {
    shell: Shell,
    ticket: String,
    problem: Option<String>,
}

/// The page that asks for a code.
pub(super) fn second_step(app: &App, headers: &HeaderMap, ticket: String, problem: Option<Error>) -> Response {
    let Guest { shell, new_visit } = Guest::of(app, headers);
    let words = problem.map(|problem| problem.words());
    let status = words.as_ref().map_or(StatusCode::OK, |words| words.status);
    let problem = words.map(|words| match words.code.as_str() {
        // Nobody is signed out who has not been in.
        "signed_out" => {
            "The code is wrong or was used, or this took too long. Try the next one, or sign in again.".to_owned()
        }
        _ => words.text,
    });
    Guest::with_visit(new_visit, app, html(status, &SecondStepPage { shell, ticket, problem }))
}

#[derive(Deserialize)]
pub(crate) struct Second {
    ticket: String,
    code: SecretString,
}

/// `POST /login/second`
pub(crate) async fn second(
    State(app): State<Shared>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<Second>,
) -> Result<Response, Error> {
    match app.auth.second(&visitor, &form.ticket, &form.code).await {
        Ok(signed_in) => enter(&app, &headers, signed_in, "/").await,
        Err(failure) => Ok(second_step(&app, &headers, form.ticket, Some(failure.into()))),
    }
}

/// `POST /login/passkey/begin`, for the script.
pub(crate) async fn begin_passkey(State(app): State<Shared>, visitor: Visitor) -> Result<axum::Json<Value>, Error> {
    Ok(axum::Json(app.auth.open(&visitor, "/api/auth/login/passkey/begin", None).await?))
}

/// `POST /login/passkey`, for the script: where to go on.
pub(crate) async fn passkey(
    State(app): State<Shared>,
    visitor: Visitor,
    headers: HeaderMap,
    axum::Json(body): axum::Json<Value>,
) -> Result<Response, Error> {
    let signed_in = app.auth.passkey(&visitor, body).await?;
    let mut response = enter(&app, &headers, signed_in, "/").await?;
    // A script follows no redirect to a page; the cookies are what counts.
    let cookies: Vec<_> =
        response.headers_mut().drain().filter(|(name, _)| *name == Some(header::SET_COOKIE)).collect();
    let cookies = AppendHeaders(cookies.into_iter().map(|(_, value)| (header::SET_COOKIE, value)));
    Ok((cookies, axum::Json(json!({ "next": "/" }))).into_response())
}

/// `GET /login/provider/go`: a link, since browsers let no form lead to another site from here.
pub(crate) async fn leave(State(app): State<Shared>, visitor: Visitor) -> Result<Response, Error> {
    let (url, ticket) = app.auth.begin_provider(&visitor, &redirect_uri(&app)).await?;
    let cookies = AppendHeaders([(header::SET_COOKIE, cookie::trip(&ticket, &app.site))]);
    Ok((cookies, Redirect::to(&url)).into_response())
}

#[derive(Deserialize)]
pub(crate) struct Return {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
}

/// `GET /login/provider`: the browser comes back.
pub(crate) async fn come_back(
    State(app): State<Shared>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(back): Query<Return>,
) -> Result<Response, Error> {
    let ticket = cookie::trip_of(&headers, &app.site).unwrap_or_default();
    let entry = app.auth.finish_provider(&visitor, &ticket, &back.code, &back.state).await;
    let mut response = match entry {
        Ok(Entry::In(signed_in)) => enter(&app, &headers, signed_in, "/").await?,
        Ok(Entry::SecondStep(ticket)) => second_step(&app, &headers, ticket, None),
        Err(failure) if failure.is_about_the_token() => Redirect::to("/login?provider").into_response(),
        Err(failure) => return Err(failure.into()),
    };
    response.headers_mut().append(header::SET_COOKIE, cookie::end_trip(&app.site));
    Ok(response)
}

fn redirect_uri(app: &App) -> String {
    format!("{}/login/provider", app.site.origin)
}
