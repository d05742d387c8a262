//! `/account`: what people do with their own: password, sessions, second factor, passkeys, all of it taken along or deleted.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::account::enter;
use super::{Shell, file, html};
use crate::app::{App, Shared};
use crate::error::Error;
use crate::person::Person;
use crate::sessions::{Cookies, cookie};
use crate::visitor::Visitor;
use crate::words::Words;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    shell: Shell,
    name: String,
    email: String,
    verified: bool,
    sessions: Vec<Line>,
    passkeys: Vec<Line>,
    second_factor: bool,
    codes_left: u64,
    /// A secret that is to be confirmed: the secret, and the link for apps.
    secret: Option<(String, String)>,
    /// New recovery codes, shown this once.
    codes: Vec<String>,
    notice: Option<&'static str>,
    problem: Option<String>,
}

/// One of a list: a session, or a passkey.
struct Line {
    id: String,
    what: String,
    since: String,
    current: bool,
}

/// What the page shows besides what is so.
#[derive(Default)]
struct Shown {
    secret: Option<(String, String)>,
    codes: Vec<String>,
    notice: Option<&'static str>,
    problem: Option<Words>,
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

/// Calls mana-core-auth in the person's name.
async fn call(
    app: &App,
    visitor: &Visitor,
    person: &Person,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Value, Error> {
    let (auth, method, body) = (&app.auth, &method, &body);
    let one =
        |access: SecretString| async move { auth.own(visitor, &access, method.clone(), path, body.as_ref()).await };
    person.call(app, one).await
}

async fn page(app: &App, visitor: &Visitor, person: &Person, shown: Shown) -> Result<Response, Error> {
    let get = |path: &'static str| call(app, visitor, person, Method::GET, path, None);
    let me = get("/api/auth/me");
    let (sessions, passkeys) = (get("/api/auth/sessions"), get("/api/auth/passkeys"));
    let (me, sessions, passkeys, factor) = tokio::join!(me, sessions, passkeys, get("/api/auth/second-factor"));
    let (me, sessions, passkeys, factor) = (me?, sessions?, passkeys?, factor?);
    let lines = |list: &Value, what: fn(&Value) -> String| -> Vec<Line> {
        let line = |it: &Value| Line {
            id: text(it, "id"),
            what: what(it),
            since: text(it, "createdAt").chars().take(10).collect(),
            current: it["current"] == true,
        };
        list.as_array().into_iter().flatten().map(line).collect()
    };
    let browser = |it: &Value| it["userAgent"].as_str().unwrap_or("An unknown browser").to_owned();
    let status = shown.problem.as_ref().map_or(StatusCode::OK, |problem| problem.status);
    let page = AccountPage {
        shell: person.shell(app),
        name: text(&me, "name"),
        email: text(&me, "email"),
        verified: me["emailVerified"] == true,
        sessions: lines(&sessions["sessions"], browser),
        passkeys: lines(&passkeys["passkeys"], |it| text(it, "name")),
        second_factor: factor["totp"] == true,
        codes_left: factor["recoveryCodesLeft"].as_u64().unwrap_or_default(),
        secret: shown.secret,
        codes: shown.codes,
        notice: shown.notice,
        problem: shown.problem.map(|problem| problem.text),
    };
    Ok(html(status, &page))
}

/// The page with what did not work; who is signed out goes to the sign-in page.
async fn failed(app: &App, visitor: &Visitor, person: &Person, error: Error) -> Result<Response, Error> {
    match error {
        Error::SignedOut => Err(Error::SignedOut),
        error => page(app, visitor, person, Shown { problem: Some(error.words()), ..Shown::default() }).await,
    }
}

/// Marks in the address of the page.
#[derive(Deserialize)]
pub(crate) struct Mark {
    done: Option<String>,
}

/// `GET /account`
pub(crate) async fn show(
    State(app): State<Shared>,
    visitor: Visitor,
    person: Person,
    Query(mark): Query<Mark>,
) -> Result<Response, Error> {
    let notice = mark.done.as_deref().and_then(|done| match done {
        "password" => Some("Your password is changed. Every other device is signed out."),
        "sessions" => Some("Signed out there."),
        "letter" => Some("A letter is on its way to you."),
        "factor" => Some("Codes are not asked for any more."),
        "passkey" => Some("Your passkeys are changed."),
        _ => None,
    });
    page(&app, &visitor, &person, Shown { notice, ..Shown::default() }).await
}

#[derive(Deserialize)]
pub(crate) struct Passwords {
    password: SecretString,
    new_password: SecretString,
}

/// `POST /account/password`
pub(crate) async fn password(
    State(app): State<Shared>,
    visitor: Visitor,
    person: Person,
    headers: HeaderMap,
    Form(form): Form<Passwords>,
) -> Result<Response, Error> {
    let (auth, visitor, form) = (&app.auth, &visitor, &form);
    let changed = person.call(&app, |access| async move {
        auth.change_password(visitor, &access, &form.password, &form.new_password).await
    });
    match changed.await {
        Ok(signed_in) => enter(&app, &headers, signed_in, "/account?done=password").await,
        Err(error) => failed(&app, visitor, &person, error).await,
    }
}

/// Does something, then shows the page again with a mark.
async fn then_show(
    app: &App,
    visitor: &Visitor,
    person: &Person,
    (method, path): (Method, &str),
    body: Option<Value>,
    mark: &str,
) -> Result<Response, Error> {
    match call(app, visitor, person, method, path, body).await {
        Ok(_) => Ok(Redirect::to(&format!("/account?done={mark}")).into_response()),
        Err(error) => failed(app, visitor, person, error).await,
    }
}

/// `POST /account/sessions/{id}/end`
pub(crate) async fn end_session(
    State(app): State<Shared>,
    visitor: Visitor,
    person: Person,
    Path(id): Path<Uuid>,
) -> Result<Response, Error> {
    let path = format!("/api/auth/sessions/{id}");
    then_show(&app, &visitor, &person, (Method::DELETE, &path), None, "sessions").await
}

/// `POST /account/sessions/end-others`
pub(crate) async fn end_others(State(app): State<Shared>, visitor: Visitor, person: Person) -> Result<Response, Error> {
    then_show(&app, &visitor, &person, (Method::DELETE, "/api/auth/sessions"), None, "sessions").await
}

/// `POST /account/verify`
pub(crate) async fn send_letter(
    State(app): State<Shared>,
    visitor: Visitor,
    person: Person,
) -> Result<Response, Error> {
    then_show(&app, &visitor, &person, (Method::POST, "/api/auth/verify-email/send"), None, "letter").await
}

#[derive(Deserialize)]
pub(crate) struct Password {
    #[serde(default)]
    password: SecretString,
}

impl Password {
    /// Somebody without a password leaves the field empty.
    fn body(&self) -> Value {
        match self.password.expose_secret() {
            "" => json!({}),
            password => json!({ "password": password }),
        }
    }
}

/// `POST /account/second-factor`: a secret, to be confirmed.
pub(crate) async fn begin_factor(
    State(app): State<Shared>,
    visitor: Visitor,
    person: Person,
    Form(form): Form<Password>,
) -> Result<Response, Error> {
    let path = "/api/auth/second-factor/totp";
    match call(&app, &visitor, &person, Method::POST, path, Some(form.body())).await {
        Ok(told) => {
            let secret = Some((text(&told, "secret"), text(&told, "link")));
            page(&app, &visitor, &person, Shown { secret, ..Shown::default() }).await
        }
        Err(error) => failed(&app, &visitor, &person, error).await,
    }
}

#[derive(Deserialize)]
pub(crate) struct Code {
    code: SecretString,
}

/// `POST /account/second-factor/confirm`
pub(crate) async fn confirm_factor(
    State(app): State<Shared>,
    visitor: Visitor,
    person: Person,
    Form(form): Form<Code>,
) -> Result<Response, Error> {
    let body = json!({ "code": form.code.expose_secret() });
    codes(&app, &visitor, &person, "/api/auth/second-factor/totp/confirm", body).await
}

/// `POST /account/second-factor/codes`: new recovery codes.
pub(crate) async fn new_codes(
    State(app): State<Shared>,
    visitor: Visitor,
    person: Person,
    Form(form): Form<Password>,
) -> Result<Response, Error> {
    codes(&app, &visitor, &person, "/api/auth/second-factor/recovery-codes", form.body()).await
}

async fn codes(app: &App, visitor: &Visitor, person: &Person, path: &str, body: Value) -> Result<Response, Error> {
    match call(app, visitor, person, Method::POST, path, Some(body)).await {
        Ok(told) => {
            let codes = told["recoveryCodes"].as_array().into_iter().flatten();
            let codes = codes.filter_map(|code| code.as_str().map(str::to_owned)).collect();
            page(app, visitor, person, Shown { codes, ..Shown::default() }).await
        }
        Err(error) => failed(app, visitor, person, error).await,
    }
}

/// `POST /account/second-factor/remove`
pub(crate) async fn remove_factor(
    State(app): State<Shared>,
    visitor: Visitor,
    person: Person,
    Form(form): Form<Password>,
) -> Result<Response, Error> {
    let path = "/api/auth/second-factor/totp/remove";
    then_show(&app, &visitor, &person, (Method::POST, path), Some(form.body()), "factor").await
}

/// `POST /account/passkeys/{id}/remove`
pub(crate) async fn remove_passkey(
    State(app): State<Shared>,
    visitor: Visitor,
    person: Person,
    Path(id): Path<String>,
    Form(form): Form<Password>,
) -> Result<Response, Error> {
    // Of base64url, so that it is nothing but one part of an address.
    let id: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    let path = format!("/api/auth/passkeys/{id}/remove");
    then_show(&app, &visitor, &person, (Method::POST, &path), Some(form.body()), "passkey").await
}

/// `POST /account/passkeys/begin`, for the script.
pub(crate) async fn begin_passkey(
    State(app): State<Shared>,
    visitor: Visitor,
    person: Person,
    axum::Json(body): axum::Json<Value>,
) -> Result<axum::Json<Value>, Error> {
    call(&app, &visitor, &person, Method::POST, "/api/auth/passkeys/begin", Some(body)).await.map(axum::Json)
}

/// `POST /account/passkeys/finish`, for the script.
pub(crate) async fn finish_passkey(
    State(app): State<Shared>,
    visitor: Visitor,
    person: Person,
    axum::Json(body): axum::Json<Value>,
) -> Result<axum::Json<Value>, Error> {
    call(&app, &visitor, &person, Method::POST, "/api/auth/passkeys/finish", Some(body)).await?;
    Ok(axum::Json(json!({ "next": "/account?done=passkey" })))
}

/// `GET /account/export`: passed on as it comes.
pub(crate) async fn export(State(app): State<Shared>, person: Person) -> Result<Response, Error> {
    let auth = &app.auth;
    let answer = person.call(&app, |access| async move { auth.export_account(&access).await }).await?;
    Ok(file(answer, "application/json", "account.json"))
}

/// `POST /account/delete`
pub(crate) async fn delete(
    State(app): State<Shared>,
    visitor: Visitor,
    person: Person,
    headers: HeaderMap,
    Form(form): Form<Password>,
) -> Result<Response, Error> {
    let path = "/api/auth/account/delete";
    if let Err(error) = call(&app, &visitor, &person, Method::POST, path, Some(form.body())).await {
        return failed(&app, &visitor, &person, error).await;
    }
    if let Some(id) = Cookies::read(&headers, &app.site).session {
        app.sessions.end_all(&id).await?;
    }
    let cookies = AppendHeaders([(header::SET_COOKIE, cookie::end(&app.site))]);
    Ok((cookies, Redirect::to("/login?deleted")).into_response())
}
