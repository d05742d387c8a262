//! Pages for people: logging in, and one's own account. Each is a template in `templates/people` and a struct that holds what it
//! shows; text is always escaped. They work without scripts; one spares a person to paste a code, and passkeys need one.
//!
//! [`visit`] stands before pages that know a person or do not; it checks every form ([`super::guard`]) and says how browsers
//! are to treat the answer.

mod account;
mod invite;
mod login;
mod passkeys;
mod words;

use std::sync::LazyLock;

use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use super::cookies::{self, Cookies};
use super::person::Person;
use super::{Site, access, guard, logged_in};
use crate::api::Problem;
use crate::server::{App, MAX_REQUEST_BYTES, Refused, ask, problem};
use crate::supervisor::Call;
use crate::{audit, clock};
pub(crate) use account::{Unconfirmed, confirm};
pub(crate) use words::browser;

/// Where somebody goes who has logged in and said nothing else.
const HOME: &str = "/";
/// Longest path that is gone to after logging in.
const LONGEST_PATH: usize = 512;

const POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const FIXED: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // `no-referrer` would make browsers hide the origin of our own forms.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

const STYLE: &str = include_str!("../../../assets/people.css");
const ICON: &str = include_str!("../../../assets/people.svg");
const SCRIPT: &str = include_str!("../../../assets/invite.js");
const PASSKEYS: &str = include_str!("../../../assets/passkeys.js");
/// Their names hold a hash of what is in them, so they are kept for ever.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const HASH_DIGITS: usize = 12;

static STYLE_NAME: LazyLock<String> = LazyLock::new(|| named(STYLE, "css"));
static ICON_NAME: LazyLock<String> = LazyLock::new(|| named(ICON, "svg"));
static SCRIPT_NAME: LazyLock<String> = LazyLock::new(|| named(SCRIPT, "js"));
static PASSKEYS_NAME: LazyLock<String> = LazyLock::new(|| named(PASSKEYS, "js"));

fn named(content: &str, extension: &str) -> String {
    let hash: String = access::hash(content).chars().take(HASH_DIGITS).collect();
    format!("{hash}.{extension}")
}

pub(super) fn router(app: &App) -> Router<App> {
    Router::new()
        .route("/login", get(login::page).post(login::log_in))
        .route("/login/passkey", get(passkeys::ask).post(passkeys::log_in))
        .route("/invite", get(invite::page).post(invite::accept))
        .route("/logout", post(login::log_out))
        .route("/account", get(account::page))
        .route("/account/password", post(account::set_password))
        .route("/account/second-factor", get(account::offer_factor).post(account::set_factor))
        .route("/account/second-factor/remove", post(account::remove_factor))
        .route("/account/passkeys", get(passkeys::offer).post(passkeys::add))
        .route("/account/passkeys/remove", post(passkeys::remove))
        .route("/account/sessions", post(account::end_sessions))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .layer(middleware::from_fn_with_state(app.clone(), visit))
        .route("/people/{name}", get(asset))
}

/// What is known of whoever looks at a page.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) site: Site,
    pub(crate) cookies: Cookies,
    /// What the forms of this page hold.
    pub(crate) form_token: String,
    /// The client's address.
    pub(crate) address: String,
    /// The browser, as it says itself.
    pub(crate) agent: String,
}

/// Stands before pages: finds out who looks at them, checks what is sent, and says how browsers are to treat the answer.
pub(crate) async fn visit(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let is_get = request.method().is_safe();
    let (mut response, site, cookies) = match visited(&app, request, next).await {
        Ok(visited) => visited,
        Err(refused) => (problem_page(&refused.0), None, None),
    };
    // Somebody who wants to see a page is shown where to log in.
    if response.status() == StatusCode::UNAUTHORIZED && is_get {
        response = to_login(&path);
    }
    let headers = response.headers_mut();
    for (name, value) in FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cookie) = site.zip(cookies).and_then(|(site, id)| cookies::forms(&site, &id)) {
        headers.append(header::SET_COOKIE, cookie);
    }
    response
}

/// Whoever is not known and wants to see this is shown where to log in.
pub(crate) fn to_login(path: &str) -> Response {
    Redirect::to(&format!("/login?next={}", encoded(path))).into_response()
}

/// The answer, and where the browser's forms were not marked yet, what they are marked by from now on.
async fn visited(
    app: &App,
    mut request: Request,
    next: Next,
) -> Result<(Response, Option<Site>, Option<String>), Refused> {
    let site = ask(app, Call::Site).await?;
    let cookies = Cookies::read(request.headers(), &site);
    let person = logged_in(app, request.headers()).await?;
    let address = audit::address(request.headers());
    let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let agent = agent.to_owned();
    if !request.method().is_safe() {
        request = match guard::check(request, &site, &cookies.all()).await {
            Ok(request) => request,
            Err(refused) => {
                let mut response = problem_page(&refused.0);
                person.map(|person| response.extensions_mut().insert(person));
                return Ok((response, None, None));
            }
        };
    }
    let new = cookies.forms.is_none().then(clock::secret);
    let forms = cookies.forms.clone().or_else(|| new.clone()).unwrap_or_default();
    let form_token = match person.as_ref().and_then(Person::session) {
        Some(session) => session.form_token.clone(),
        None => guard::form_token(&forms),
    };
    request.extensions_mut().insert(Visit { site: site.clone(), cookies, form_token, address, agent });
    if let Some(person) = &person {
        request.extensions_mut().insert(person.clone());
        audit::begins(app, &person.name).await?;
    }
    let mut response = next.run(request).await;
    if response.extensions().get::<audit::Why>().is_some() && is_problem(&response) {
        response = into_page(response).await;
    }
    if let Some(person) = person {
        response.extensions_mut().insert(person);
    }
    Ok((response, Some(site), new))
}

fn is_problem(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json")
}

/// A refusal as people read it.
async fn into_page(response: Response) -> Response {
    let status = response.status();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, MAX_REQUEST_BYTES).await.unwrap_or_default();
    let unread = |_| problem(status.as_u16(), "that did not work", String::new());
    let problem: Problem = serde_json::from_slice(&body).unwrap_or_else(unread);
    let mut page = problem_page(&problem);
    *page.extensions_mut() = parts.extensions;
    page
}

#[derive(Template)]
#[template(path = "people/problem.html")]
struct ProblemPage<'a> {
    problem: &'a Problem,
}

fn problem_page(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut page = html(status, &ProblemPage { problem });
    page.extensions_mut().insert(audit::Why(problem.title.clone()));
    page
}

/// A page as an answer.
fn html(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be written");
            Refused(problem(500, "the page cannot be shown", String::new())).into_response()
        }
    }
}

/// What every page names.
mod shell {
    pub(super) fn style() -> String {
        format!("/people/{}", *super::STYLE_NAME)
    }

    pub(super) fn icon() -> String {
        format!("/people/{}", *super::ICON_NAME)
    }

    pub(super) fn script() -> String {
        format!("/people/{}", *super::SCRIPT_NAME)
    }

    pub(super) fn passkeys() -> String {
        format!("/people/{}", *super::PASSKEYS_NAME)
    }
}

async fn asset(Path(name): Path<String>) -> Response {
    let (kind, content) = match name {
        name if name == *STYLE_NAME => ("text/css; charset=utf-8", STYLE),
        name if name == *ICON_NAME => ("image/svg+xml", ICON),
        name if name == *SCRIPT_NAME => ("text/javascript; charset=utf-8", SCRIPT),
        name if name == *PASSKEYS_NAME => ("text/javascript; charset=utf-8", PASSKEYS),
        _ => return Refused(problem(404, "there is nothing here", String::new())).into_response(),
    };
    let headers =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, FOR_EVER), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, content).into_response()
}

/// Where to go on after logging in: a path of this site, whatever was asked for.
fn local(path: &str) -> &str {
    let mut letters = path.chars();
    let good = letters.next() == Some('/')
        && !matches!(letters.next(), Some('/' | '\\'))
        && path.len() <= LONGEST_PATH
        && path.chars().all(|letter| letter.is_ascii_graphic())
        && !["/login", "/login/passkey", "/logout", "/invite"].iter().any(|own| path.split('?').next() == Some(own));
    if good { path } else { HOME }
}

fn encoded(path: &str) -> String {
    url::form_urlencoded::byte_serialize(path.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_on_to_this_site_alone() {
        for (asked, gone_to) in [
            ("/", "/"),
            ("/services/chat?from=-1h#cpu", "/services/chat?from=-1h#cpu"),
            ("//evil.example", HOME),
            ("/\\evil.example", HOME),
            ("https://evil.example", HOME),
            ("", HOME),
            ("/a\nb", HOME),
            ("/login?next=/login", HOME),
            ("/logout", HOME),
        ] {
            assert_eq!(local(asked), gone_to, "{asked}");
        }
        assert_eq!(local(&format!("/{}", "x".repeat(LONGEST_PATH))), HOME);
        assert_eq!(encoded("/a?b=c&d"), "%2Fa%3Fb%3Dc%26d");
    }
}
