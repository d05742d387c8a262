//! What all pages share: their frame, their headers, and the page that says why there is none.

use std::sync::LazyLock;

use askama::Template;
use axum::extract::{FromRequestParts, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header, request::Parts};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use super::assets;
use super::guard::Visitor;
use super::theme::Theme;
use crate::api::Problem;
use crate::audit;
use crate::door::person::Action;
use crate::server::Refused;

/// Nothing but this site's own files, and nothing inline but what pages look like.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!("default-src 'self'; style-src 'self' {}; {REST}", assets::looks_hash());
    HeaderValue::try_from(policy).expect("a hash is visible ASCII")
});
const REST: &str =
    "img-src 'self' data:; object-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const FIXED: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // `no-referrer` would make browsers hide the origin of our own forms.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
];

/// Adds them. What says nothing else about it is nobody's to keep.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The frame of a page.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// Who looks at it; nobody, where that is not known.
    pub(crate) name: Option<String>,
    pub(crate) csrf: String,
    pub(crate) theme: Theme,
    /// Whether pages that are for admins alone are among those that it leads to.
    pub(crate) manages: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Frame {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let visitor = Visitor::from_request_parts(parts, state).await?;
        let theme = Theme::read(&parts.headers);
        let manages = visitor.may(Action::Manage);
        Ok(Self { name: Some(visitor.name().to_owned()), csrf: visitor.csrf().to_owned(), theme, manages })
    }
}

/// A template as an answer.
pub(crate) fn page(template: &impl Template) -> Response {
    page_with(StatusCode::OK, template)
}

fn page_with(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => unwritten(&error.to_string()),
    }
}

/// Where a page cannot be written, which is a mistake in it.
pub(super) fn unwritten(error: &str) -> Response {
    tracing::error!(error, "a page cannot be written");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

#[derive(Template)]
#[template(path = "dashboard/refused.html")]
struct RefusedPage {
    frame: Frame,
    status: u16,
    title: String,
    detail: String,
}

/// Why something was not done or shown: as a page for people, else as the API says it.
pub(crate) fn refused(refused: Refused, as_page: bool) -> Response {
    if !as_page {
        return refused.into_response();
    }
    let Refused(problem) = refused;
    let why = audit::Why(problem.title.clone());
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let frame = Frame { name: None, csrf: String::new(), theme: Theme::System, manages: false };
    let refused = RefusedPage { frame, status: problem.status, title: problem.title, detail: problem.detail };
    let mut response = page_with(status, &refused);
    response.extensions_mut().insert(why);
    response
}

/// Why there is no page. Whoever did not ask for one is told as the API says it ([`told`]).
pub(crate) struct NoPage(pub(crate) Refused);

impl From<Refused> for NoPage {
    fn from(refused: Refused) -> Self {
        Self(refused)
    }
}

impl IntoResponse for NoPage {
    fn into_response(self) -> Response {
        let problem = self.0.0.clone();
        let mut response = refused(self.0, true);
        response.extensions_mut().insert(problem);
        response
    }
}

/// A page as it is, for people; why there is none as the API says it, for whoever did not ask for a page.
pub(crate) fn told(mut response: Response, wants_page: bool) -> Response {
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) if !wants_page => {
            let mut plain = Refused(problem).into_response();
            // Who asked is known by them.
            plain.extensions_mut().extend(std::mem::take(response.extensions_mut()));
            plain
        }
        _ => response,
    }
}
