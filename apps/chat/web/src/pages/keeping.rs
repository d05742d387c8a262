//! What is done with conversations beside talking: put away, shared, taken away, found, instructed, shown on another branch.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{Redirect, Response};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{Shell, Theme, html};
use crate::app::Shared as App;
use crate::error::Error;
use crate::person::Person;
use crate::upstream::{Hit, Share, Shared};
use crate::visitor::Visitor;
use crate::words::Words;

/// `POST /c/{id}/branch`
pub(crate) async fn branch(
    State(app): State<App>,
    person: Person,
    Path(id): Path<Uuid>,
    Form(form): Form<Branch>,
) -> Result<Redirect, Error> {
    let (backend, message) = (&app.backend, form.message);
    person.call(&app, |access| async move { backend.show_branch(&access, id, message).await }).await?;
    Ok(Redirect::to(&format!("/c/{id}#m-{message}")))
}

#[derive(Deserialize)]
pub(crate) struct Branch {
    message: Uuid,
}

/// `POST /c/{id}/archive`
pub(crate) async fn archive(
    State(app): State<App>,
    person: Person,
    Path(id): Path<Uuid>,
    Form(form): Form<Archive>,
) -> Result<Redirect, Error> {
    let (backend, change) = (&app.backend, &json!({ "archived": form.archived }));
    person.call(&app, |access| async move { backend.change(&access, id, change).await }).await?;
    Ok(Redirect::to(if form.archived { "/" } else { "/archived" }))
}

#[derive(Deserialize)]
pub(crate) struct Archive {
    archived: bool,
}

/// `POST /c/{id}/instructions`; empty: the person's own again.
pub(crate) async fn instruct(
    State(app): State<App>,
    person: Person,
    Path(id): Path<Uuid>,
    Form(form): Form<Instructions>,
) -> Result<Redirect, Error> {
    let own = Some(form.text()).filter(|text| !text.is_empty());
    let (backend, change) = (&app.backend, &json!({ "systemPrompt": own }));
    person.call(&app, |access| async move { backend.change(&access, id, change).await }).await?;
    Ok(Redirect::to(&format!("/c/{id}")))
}

#[derive(Deserialize)]
pub(crate) struct Instructions {
    #[serde(default)]
    instructions: String,
}

impl Instructions {
    /// Browsers send line breaks as CR LF; what was typed is a line feed.
    pub(super) fn text(&self) -> String {
        self.instructions.replace("\r\n", "\n").trim().to_owned()
    }
}

#[derive(Template)]
#[template(path = "links.html")]
struct LinksPage {
    shell: Shell,
    id: Uuid,
    title: String,
    origin: String,
    shares: Vec<Share>,
}

/// `GET /c/{id}/links`
pub(crate) async fn links(State(app): State<App>, person: Person, Path(id): Path<Uuid>) -> Result<Response, Error> {
    let backend = &app.backend;
    let thread = person.call(&app, |access| async move { backend.thread(&access, id, None).await }).await?;
    let shares = person.call(&app, |access| async move { backend.shares(&access, id).await }).await?;
    let (shell, origin) = (person.shell(&app), app.site.origin.clone());
    Ok(html(StatusCode::OK, &LinksPage { shell, id, title: thread.conversation.title, origin, shares }))
}

/// `POST /c/{id}/links`
pub(crate) async fn share(State(app): State<App>, person: Person, Path(id): Path<Uuid>) -> Result<Redirect, Error> {
    let backend = &app.backend;
    person.call(&app, |access| async move { backend.share(&access, id).await }).await?;
    Ok(Redirect::to(&format!("/c/{id}/links")))
}

/// `POST /c/{id}/links/{share}/revoke`
pub(crate) async fn unshare(
    State(app): State<App>,
    person: Person,
    Path((id, share)): Path<(Uuid, Uuid)>,
) -> Result<Redirect, Error> {
    let backend = &app.backend;
    person.call(&app, |access| async move { backend.unshare(&access, id, share).await }).await?;
    Ok(Redirect::to(&format!("/c/{id}/links")))
}

#[derive(Template)]
#[template(path = "shared.html")]
struct SharedPage {
    shell: Shell,
    token: String,
    shared: Shared,
}

/// `GET /s/{token}`: what a link shows, to anybody. It tells nothing of who made it, and search engines leave it out.
pub(crate) async fn shared(
    State(app): State<App>,
    visitor: Visitor,
    headers: axum::http::HeaderMap,
    Path(token): Path<String>,
    Query(query): Query<Before>,
) -> Result<Response, Error> {
    let shared =
        app.backend.shared(&visitor, &token, query.cursor.as_deref()).await.map_err(|failure| {
            match failure.refusal().map(|refusal| refusal.status) {
                Some(StatusCode::NOT_FOUND) => {
                    let says = "This link shows nothing: it was revoked, or part of it is missing.";
                    Error::Told(Words::new(StatusCode::NOT_FOUND, "not_found", says))
                }
                _ => failure.into(),
            }
        })?;
    let shell = Shell { theme: Theme::read(&headers), csrf: String::new() };
    let mut response = html(StatusCode::OK, &SharedPage { shell, token, shared });
    let robots = HeaderName::from_static("x-robots-tag");
    response.headers_mut().insert(robots, HeaderValue::from_static("noindex, nofollow"));
    Ok(response)
}

#[derive(Deserialize)]
pub(crate) struct Before {
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    shell: Shell,
    words: String,
    hits: Vec<Hit>,
    problem: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Search {
    #[serde(default)]
    q: String,
}

/// `GET /search`
pub(crate) async fn search(
    State(app): State<App>,
    person: Person,
    Query(query): Query<Search>,
) -> Result<Response, Error> {
    let (backend, words) = (&app.backend, query.q.trim());
    let mut page = SearchPage { shell: person.shell(&app), words: words.to_owned(), hits: Vec::new(), problem: None };
    if words.is_empty() {
        return Ok(html(StatusCode::OK, &page));
    }
    match person.call(&app, |access| async move { backend.search(&access, words).await }).await {
        Ok(hits) => page.hits = hits,
        Err(Error::Told(words)) if words.status == StatusCode::UNPROCESSABLE_ENTITY => {
            page.problem = Some("Search for words: letters or digits, at most 200 characters.".to_owned());
        }
        Err(error) => return Err(error),
    }
    Ok(html(StatusCode::OK, &page))
}

#[derive(Deserialize)]
pub(crate) struct Export {
    #[serde(default)]
    format: String,
}

/// `GET /c/{id}/export`
pub(crate) async fn export(
    State(app): State<App>,
    person: Person,
    Path(id): Path<Uuid>,
    Query(query): Query<Export>,
) -> Result<Response, Error> {
    file(&app, &person, Some(id), &query).await
}

/// `GET /export`
pub(crate) async fn export_all(
    State(app): State<App>,
    person: Person,
    Query(query): Query<Export>,
) -> Result<Response, Error> {
    file(&app, &person, None, &query).await
}

/// Passes a file through while chat-backend makes it.
async fn file(app: &App, person: &Person, id: Option<Uuid>, query: &Export) -> Result<Response, Error> {
    let (backend, format) = (&app.backend, if query.format == "json" { "json" } else { "markdown" });
    let made = person.call(app, |access| async move { backend.export(&access, id, format).await }).await?;
    Ok(match format {
        "json" => super::file(made, "application/json", "chat.json"),
        _ => super::file(made, "text/markdown; charset=utf-8", "chat.md"),
    })
}
