//! The list of conversations, and what is done to one.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::{Shell, html};
use crate::app::Shared;
use crate::error::Error;
use crate::person::Person;
use crate::upstream::ConversationPage;

/// Part of the list. It is shown inside the page, and alone to htmx.
#[derive(Template)]
#[template(path = "conversations.html")]
pub(crate) struct List {
    pub(crate) page: ConversationPage,
    /// The one that is open.
    pub(crate) open: Option<Uuid>,
    /// Whether this is the beginning of the list.
    pub(crate) first: bool,
    /// Whether it is the list of those that are put away.
    pub(crate) archived: bool,
}

impl List {
    fn is_open(&self, id: &Uuid) -> bool {
        self.open.as_ref() == Some(id)
    }

    fn address(&self) -> &'static str {
        if self.archived { "/archived" } else { "/conversations" }
    }
}

/// The list on a page of its own.
#[derive(Template)]
#[template(path = "conversations_page.html")]
struct ListPage {
    shell: Shell,
    list: List,
}

#[derive(Deserialize)]
pub(crate) struct Place {
    cursor: Option<String>,
}

/// `GET /conversations`: part of the list, for htmx; for browsers without scripts, as a page.
pub(crate) async fn list(
    State(app): State<Shared>,
    person: Person,
    headers: HeaderMap,
    Query(place): Query<Place>,
) -> Result<Response, Error> {
    part(&app, &person, &headers, &place, false).await
}

/// `GET /archived`: the same of those that are put away.
pub(crate) async fn archived(
    State(app): State<Shared>,
    person: Person,
    headers: HeaderMap,
    Query(place): Query<Place>,
) -> Result<Response, Error> {
    part(&app, &person, &headers, &place, true).await
}

async fn part(
    app: &Shared,
    person: &Person,
    headers: &HeaderMap,
    place: &Place,
    archived: bool,
) -> Result<Response, Error> {
    let cursor = place.cursor.as_deref();
    let backend = &app.backend;
    let page = person.call(app, |access| async move { backend.conversations(&access, archived, cursor).await }).await?;
    let list = List { page, open: opened(headers), first: cursor.is_none(), archived };
    if headers.contains_key("hx-request") {
        return Ok(html(StatusCode::OK, &list));
    }
    Ok(html(StatusCode::OK, &ListPage { shell: person.shell(app), list }))
}

/// `POST /c/{id}/rename`
pub(crate) async fn rename(
    State(app): State<Shared>,
    person: Person,
    Path(id): Path<Uuid>,
    Form(form): Form<Rename>,
) -> Result<Redirect, Error> {
    let (backend, change) = (&app.backend, &serde_json::json!({ "title": form.title }));
    person.call(&app, |access| async move { backend.change(&access, id, change).await }).await?;
    Ok(Redirect::to(&format!("/c/{id}")))
}

#[derive(Deserialize)]
pub(crate) struct Rename {
    title: String,
}

/// `POST /c/{id}/delete`
pub(crate) async fn delete(
    State(app): State<Shared>,
    person: Person,
    Path(id): Path<Uuid>,
) -> Result<impl IntoResponse, Error> {
    let backend = &app.backend;
    person.call(&app, |access| async move { backend.delete(&access, id).await }).await?;
    Ok(Redirect::to("/"))
}

/// The conversation of the page that asks, which htmx names.
fn opened(headers: &HeaderMap) -> Option<Uuid> {
    let page = headers.get("hx-current-url").or_else(|| headers.get(header::REFERER))?.to_str().ok()?;
    let path = page.split(['?', '#']).next()?;
    path.rsplit_once("/c/").and_then(|(_, id)| Uuid::parse_str(id).ok())
}
