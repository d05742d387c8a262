//! Who looks at the pages: the one place that knows how people are let in.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, header, request::Parts};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::pages::{self, NoPage};
use crate::door;
use crate::door::person::{Action, Person};
use crate::server::{App, Refused, problem};

/// Somebody who was let in.
#[derive(Debug, Clone)]
pub(crate) struct Visitor(Person);

impl Visitor {
    /// The operator's name.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether buttons of this kind are for them.
    pub(crate) fn may(&self, action: Action) -> bool {
        self.0.may(action)
    }

    /// Refuses what is not for them.
    pub(crate) fn require(&self, action: Action) -> Result<(), Refused> {
        self.0.require(action)
    }

    /// What the forms of this visitor's pages hold in the field `csrf`. A token of the API is not sent by a browser on its own, so there
    /// is nothing to prove with it.
    pub(crate) fn csrf(&self) -> &str {
        self.0.session().map_or("", |session| session.form_token.as_str())
    }
}

/// Lets in whom the door lets in, and only what a page of this site asked for. Who is not let in is told so in a page.
pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let (wants_page, is_safe) = (accepts_html(request.headers()), request.method().is_safe());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    if !request.method().is_safe() && is_foreign(request.headers()) {
        let detail = "it was asked for by a page of another site".to_owned();
        return pages::refused(Refused(problem(403, "this was not done", detail)), wants_page);
    }
    match door::admit(State(app), request, next).await {
        Ok(response) => pages::told(response, wants_page),
        Err(Refused(problem)) if problem.status == 401 && wants_page && is_safe => door::pages::to_login(&path),
        Err(refused) => pages::refused(refused, wants_page),
    }
}

/// Lets through only who says who comes in, and sees what everybody did.
pub(crate) async fn admins(visitor: Visitor, request: Request, next: Next) -> Result<Response, NoPage> {
    visitor.require(Action::Manage)?;
    Ok(next.run(request).await)
}

/// Browsers say where a request was made.
fn is_foreign(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
}

fn accepts_html(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("text/html"))
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let person = parts.extensions.get::<Person>().cloned();
        person.map(Self).ok_or_else(|| Refused(problem(401, "who are you?", String::new())).into_response())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn what_another_site_asks_for_is_foreign() {
        let check = |site: Option<&'static str>, foreign: bool| {
            let headers = site
                .into_iter()
                .map(|site| ("sec-fetch-site".parse().expect("a name"), HeaderValue::from_static(site)));
            assert_eq!(is_foreign(&headers.collect()), foreign, "{site:?}");
        };
        check(None, false);
        check(Some("same-origin"), false);
        check(Some("none"), false);
        check(Some("same-site"), true);
        check(Some("cross-site"), true);
    }
}
