//! `/settings` and `/keys`: what holds for all conversations, taking them away or deleting them, and the keys of programs.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use secrecy::ExposeSecret;
use serde::Deserialize;
use uuid::Uuid;

use super::keeping::Instructions;
use super::{Shell, html};
use crate::app::Shared;
use crate::error::Error;
use crate::person::Person;
use crate::upstream::{ApiKey, NewApiKey};

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    shell: Shell,
    instructions: String,
}

/// `GET /settings`
pub(crate) async fn show(State(app): State<Shared>, person: Person) -> Result<Response, Error> {
    let backend = &app.backend;
    let instructions = person.call(&app, |access| async move { backend.system_prompt(&access).await }).await?;
    Ok(html(StatusCode::OK, &SettingsPage { shell: person.shell(&app), instructions }))
}

/// `POST /settings`
pub(crate) async fn change(
    State(app): State<Shared>,
    person: Person,
    Form(form): Form<Instructions>,
) -> Result<Redirect, Error> {
    let (backend, text) = (&app.backend, &form.text());
    person.call(&app, |access| async move { backend.prefer(&access, text).await }).await?;
    Ok(Redirect::to("/settings"))
}

/// `POST /settings/delete-all`
pub(crate) async fn delete_all(State(app): State<Shared>, person: Person) -> Result<Redirect, Error> {
    let backend = &app.backend;
    person.call(&app, |access| async move { backend.delete_all(&access).await }).await?;
    Ok(Redirect::to("/"))
}

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    shell: Shell,
    keys: Vec<ApiKey>,
    /// Shown once, in the answer to the form that made it.
    made: Option<NewApiKey>,
    problem: Option<String>,
}

/// `GET /keys`
pub(crate) async fn keys(State(app): State<Shared>, person: Person) -> Result<Response, Error> {
    page(&app, &person, StatusCode::OK, None, None).await
}

#[derive(Deserialize)]
pub(crate) struct NewKey {
    #[serde(default)]
    name: String,
}

/// `POST /keys`
pub(crate) async fn make_key(
    State(app): State<Shared>,
    person: Person,
    Form(form): Form<NewKey>,
) -> Result<Response, Error> {
    let (backend, name) = (&app.backend, form.name.as_str());
    match person.call(&app, |access| async move { backend.make_key(&access, name).await }).await {
        Ok(made) => page(&app, &person, StatusCode::CREATED, Some(made), None).await,
        Err(Error::Told(words)) if words.status == StatusCode::CONFLICT => {
            let says = "There are as many keys as one may have. Revoke one that is not needed.".to_owned();
            page(&app, &person, words.status, None, Some(says)).await
        }
        Err(Error::Told(words)) if words.status == StatusCode::UNPROCESSABLE_ENTITY => {
            page(&app, &person, words.status, None, Some(words.text)).await
        }
        Err(error) => Err(error),
    }
}

/// `POST /keys/{id}/revoke`
pub(crate) async fn revoke_key(
    State(app): State<Shared>,
    person: Person,
    Path(id): Path<Uuid>,
) -> Result<Redirect, Error> {
    let backend = &app.backend;
    person.call(&app, |access| async move { backend.revoke_key(&access, id).await }).await?;
    Ok(Redirect::to("/keys"))
}

async fn page(
    app: &Shared,
    person: &Person,
    status: StatusCode,
    made: Option<NewApiKey>,
    problem: Option<String>,
) -> Result<Response, Error> {
    let backend = &app.backend;
    let keys = person.call(app, |access| async move { backend.api_keys(&access).await }).await?;
    Ok(html(status, &KeysPage { shell: person.shell(app), keys, made, problem }))
}
