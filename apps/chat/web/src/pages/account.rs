//! `/login`, `/register`, `/logout`.

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use kit::clock;
use secrecy::SecretString;
use serde::Deserialize;

use super::account_entry::second_step;
use super::{Shell, Theme, html};
use crate::app::{App, Shared};
use crate::error::Error;
use crate::sessions::{BrowserId, Cookies, cookie};
use crate::upstream::{Entry, Failure, Refusal, Registered, SignedIn};
use crate::visitor::Visitor;

/// What was typed, and what is wrong with it.
#[derive(Default)]
struct Entered {
    email: String,
    name: String,
    email_error: Option<String>,
    name_error: Option<String>,
    password_error: Option<String>,
    /// About the form as a whole.
    problem: Option<String>,
    status: StatusCode,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    shell: Shell,
    entered: Entered,
    /// Why the person is here, when there is something to say.
    notice: Option<&'static str>,
    /// What the provider is called that people can sign in with.
    provider: Option<String>,
}

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage {
    shell: Shell,
    entered: Entered,
}

/// Marks in the address of the sign-in page.
#[derive(Deserialize)]
pub(crate) struct Reason {
    ended: Option<String>,
    out: Option<String>,
    deleted: Option<String>,
    provider: Option<String>,
}

impl Reason {
    fn notice(&self) -> Option<&'static str> {
        let marks = [
            (&self.ended, "You are signed out. Sign in to go on."),
            (&self.out, "You have signed out."),
            (&self.deleted, "Your account is deleted."),
            (&self.provider, "Signing in there took too long or was not confirmed. Try again."),
        ];
        marks.into_iter().find(|(mark, _)| mark.is_some()).map(|(_, text)| text)
    }
}

/// A browser before it has signed in: what its forms need.
pub(super) struct Guest {
    pub(super) shell: Shell,
    /// Set when it has shown no id yet.
    pub(super) new_visit: Option<BrowserId>,
}

impl Guest {
    pub(super) fn of(app: &App, headers: &HeaderMap) -> Self {
        let cookies = Cookies::read(headers, &app.site);
        let new_visit = cookies.of_forms().is_none().then(BrowserId::random);
        let id = cookies.of_forms().or(new_visit.as_ref());
        let csrf = id.map(|id| app.keys.form_token(id)).unwrap_or_default();
        Self { shell: Shell { theme: Theme::read(headers), csrf }, new_visit }
    }

    pub(super) fn with_visit(new_visit: Option<BrowserId>, app: &App, mut response: Response) -> Response {
        if let Some(id) = new_visit {
            response.headers_mut().append(header::SET_COOKIE, cookie::visit(&id, &app.site));
        }
        response
    }
}

/// `GET /login`
pub(crate) async fn login_form(
    State(app): State<Shared>,
    headers: HeaderMap,
    Query(reason): Query<Reason>,
) -> Result<Response, Error> {
    if is_signed_in(&app, &headers).await {
        return Ok(Redirect::to("/").into_response());
    }
    Ok(login_page(&app, &headers, Entered::default(), reason.notice()).await)
}

/// `GET /register`
pub(crate) async fn register_form(State(app): State<Shared>, headers: HeaderMap) -> Result<Response, Error> {
    if is_signed_in(&app, &headers).await {
        return Ok(Redirect::to("/").into_response());
    }
    Ok(register_page(&app, &headers, Entered::default()))
}

#[derive(Deserialize)]
pub(crate) struct Login {
    #[serde(default)]
    email: String,
    password: SecretString,
}

/// `POST /login`
pub(crate) async fn login(
    State(app): State<Shared>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<Login>,
) -> Result<Response, Error> {
    match app.auth.login(&visitor, &form.email, &form.password).await {
        Ok(Entry::In(signed_in)) => enter(&app, &headers, signed_in, "/").await,
        Ok(Entry::SecondStep(ticket)) => Ok(second_step(&app, &headers, ticket, None)),
        Err(failure) => {
            let entered = Entered { email: form.email, ..Entered::after(failure, Which::Login) };
            Ok(login_page(&app, &headers, entered, None).await)
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Registration {
    #[serde(default)]
    email: String,
    password: SecretString,
    #[serde(default)]
    name: String,
}

/// `POST /register`
pub(crate) async fn register(
    State(app): State<Shared>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<Registration>,
) -> Result<Response, Error> {
    match app.auth.register(&visitor, &form.email, &form.password, &form.name).await {
        Ok(Registered::In(signed_in)) => enter(&app, &headers, signed_in, "/").await,
        Ok(Registered::Letter) => Ok(Redirect::to("/confirm?sent").into_response()),
        Err(failure) => {
            let entered = Entered { email: form.email, name: form.name, ..Entered::after(failure, Which::Register) };
            Ok(register_page(&app, &headers, entered))
        }
    }
}

/// `POST /logout`
pub(crate) async fn logout(State(app): State<Shared>, headers: HeaderMap) -> Result<Response, Error> {
    if let Some(id) = Cookies::read(&headers, &app.site).session {
        app.sessions.end(&id).await?;
    }
    let cookies = AppendHeaders([(header::SET_COOKIE, cookie::end(&app.site))]);
    Ok((cookies, Redirect::to("/login?out")).into_response())
}

/// Begins a session under a new id; whatever this browser was before has ended.
pub(super) async fn enter(app: &App, headers: &HeaderMap, signed_in: SignedIn, to: &str) -> Result<Response, Error> {
    if let Some(before) = Cookies::read(headers, &app.site).session {
        app.sessions.end(&before).await?;
    }
    let id = app.sessions.begin(signed_in, clock::now()).await?;
    let cookies = AppendHeaders([(header::SET_COOKIE, cookie::begin(&id, &app.site))]);
    Ok((cookies, Redirect::to(to)).into_response())
}

async fn is_signed_in(app: &App, headers: &HeaderMap) -> bool {
    match Cookies::read(headers, &app.site).session {
        Some(id) => app.sessions.current(&id).await.is_ok(),
        None => false,
    }
}

async fn login_page(app: &App, headers: &HeaderMap, entered: Entered, notice: Option<&'static str>) -> Response {
    let provider = app.auth.provider_name().await;
    let Guest { shell, new_visit } = Guest::of(app, headers);
    let status = entered.status;
    Guest::with_visit(new_visit, app, html(status, &LoginPage { shell, entered, notice, provider }))
}

fn register_page(app: &App, headers: &HeaderMap, entered: Entered) -> Response {
    let Guest { shell, new_visit } = Guest::of(app, headers);
    let status = entered.status;
    Guest::with_visit(new_visit, app, html(status, &RegisterPage { shell, entered }))
}

/// Which of the two forms was refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Login,
    Register,
}

impl Entered {
    /// What to say about a form that mana-core-auth did not accept.
    fn after(failure: Failure, form: Which) -> Self {
        let refusal = failure.refusal().cloned();
        let status = refusal.as_ref().map_or(StatusCode::SERVICE_UNAVAILABLE, |refusal| refusal.status);
        let mut entered = Self { status, ..Self::default() };
        match refusal {
            Some(refusal) if refusal.status == StatusCode::UNAUTHORIZED && form == Which::Login => {
                entered.problem = Some("The e-mail address or the password is wrong.".to_owned());
            }
            Some(refusal) if refusal.status == StatusCode::CONFLICT => {
                entered.email_error = Some("This e-mail address has an account already. Sign in instead.".to_owned());
            }
            Some(refusal) if !refusal.errors.is_empty() => entered.take_fields(&refusal),
            _ => entered.problem = Some(Error::from(failure).words().text),
        }
        entered
    }

    fn take_fields(&mut self, refusal: &Refusal) {
        for error in &refusal.errors {
            let (place, label) = match error.field.as_str() {
                "email" => (&mut self.email_error, "The e-mail address"),
                "name" => (&mut self.name_error, "The name"),
                "password" => (&mut self.password_error, "The password"),
                _ => (&mut self.problem, "The form"),
            };
            *place = Some(format!("{label} {}.", error.message.trim_end_matches('.')));
        }
    }
}
