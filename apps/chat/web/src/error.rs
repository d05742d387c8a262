//! How a request ends that does not work. Handlers answer with an [`Error`]; [`present`] knows who asked and gives it the
//! form: a page to a person, a problem to a script, the sign-in page to whoever is signed out.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use kit::Problem;

use crate::app::Shared;
use crate::pages::{self, Theme};
use crate::sessions::{SessionError, cookie};
use crate::upstream::Failure;
use crate::words::{self, Words};

/// Why there is no ordinary answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("not signed in")]
    SignedOut,
    #[error("{}", .0.text)]
    Told(Words),
    #[error("a fault of ours, logged where it happened")]
    Internal(Problem),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match &failure {
            Failure::Away { .. } => {
                metrics::counter!("upstream_away_total").increment(1);
                tracing::warn!(error = %failure, "a service does not answer");
            }
            Failure::Refused { .. } if failure.is_about_the_token() => return Self::SignedOut,
            Failure::Refused { .. } => tracing::info!(error = %failure, "a service refused"),
        }
        Self::Told(words::of(&failure))
    }
}

impl From<SessionError> for Error {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::SignedOut => Self::SignedOut,
            SessionError::AuthAway => Self::Told(words::auth_away()),
            SessionError::Storage(error) => Self::Internal(error.into()),
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Internal(problem)
    }
}

impl Error {
    /// What is told.
    pub(crate) fn words(&self) -> Words {
        match self {
            Self::SignedOut => {
                Words::new(StatusCode::UNAUTHORIZED, "signed_out", "You are signed out. Sign in to go on.")
            }
            Self::Told(words) => words.clone(),
            Self::Internal(problem) if problem.status == StatusCode::SERVICE_UNAVAILABLE => words::away(problem.code),
            Self::Internal(problem) => Words::new(
                problem.status,
                problem.code,
                "Something went wrong on our side. It has been noted; trying again may help.",
            ),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let words = self.words();
        let mut response = problem(&words);
        response.extensions_mut().insert(words);
        response
    }
}

/// A problem with a code that is not known at compile time.
fn problem(words: &Words) -> Response {
    let mut body = Problem::new(words.status, "refused", words.text.clone()).detail(words.text.clone()).body();
    body.kind = format!("urn:mana:problem:{}", words.code);
    body.code.clone_from(&words.code);
    let text = serde_json::to_string(&body).expect("strings and numbers become JSON");
    (words.status, [(header::CONTENT_TYPE, "application/problem+json")], text).into_response()
}

/// Gives what failed the form that fits who asked.
pub(crate) async fn present(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let theme = Theme::read(request.headers());
    let wants = Wants::of(request.headers());
    let response = next.run(request).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let told = response.extensions().get::<Words>().cloned();
    let is_page =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if is_page {
        return response;
    }
    let words =
        told.unwrap_or_else(|| Words::new(status, "refused", "This cannot be understood. Go back and try again."));
    let signed_out = words.code == "signed_out";
    let mut response = match wants {
        Wants::Page if signed_out => with_cookie_removed(Redirect::to("/login?ended").into_response(), &app),
        Wants::Page => pages::error(&words, theme),
        Wants::Fragment if signed_out => {
            let mut response = with_cookie_removed(problem(&words), &app);
            response.headers_mut().insert("hx-redirect", HeaderValue::from_static("/login?ended"));
            response
        }
        Wants::Fragment | Wants::Data => problem(&words),
    };
    if words.status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn with_cookie_removed(mut response: Response, app: &Shared) -> Response {
    response.headers_mut().append(header::SET_COOKIE, cookie::end(&app.site));
    response
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// A browser that shows what it gets.
    Page,
    /// htmx, for a part of a page.
    Fragment,
    /// A script.
    Data,
}

impl Wants {
    fn of(headers: &HeaderMap) -> Self {
        let accepts_page = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        match accepts_page {
            _ if headers.contains_key("hx-request") => Self::Fragment,
            Some(list) if list.contains("text/html") => Self::Page,
            _ => Self::Data,
        }
    }
}
