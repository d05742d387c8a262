//! `/` and `/c/{id}`: a conversation, new or old, with the form to go on.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use kit::Credits;
use serde::Deserialize;
use uuid::Uuid;

use super::conversations::List;
use super::{Shell, credits, html};
use crate::app::{App, Shared};
use crate::error::Error;
use crate::person::Person;
use crate::upstream::{Message, Model, Thread};
use crate::words::Words;

#[derive(Template)]
#[template(path = "chat.html")]
struct ChatPage {
    shell: Shell,
    name: String,
    email: String,
    list: List,
    thread: Option<Thread>,
    messages: Messages,
    models: Vec<Model>,
    /// The model to go on with.
    chosen: Option<String>,
    credits: Option<Credits>,
    /// A question that was not answered, to be sent again.
    prompt: String,
    problem: Option<String>,
}

impl ChatPage {
    fn title(&self) -> &str {
        self.thread.as_ref().map_or("New chat", |thread| &thread.conversation.title)
    }

    /// The id of the conversation, in addresses and in the form; empty before there is one.
    fn place(&self) -> String {
        self.thread.as_ref().map_or_else(String::new, |thread| thread.conversation.id.to_string())
    }

    /// What the model is told in this conversation; empty where it has nothing of its own.
    fn instructions(&self) -> &str {
        self.thread.as_ref().and_then(|thread| thread.conversation.system_prompt.as_deref()).unwrap_or_default()
    }

    fn is_archived(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| thread.conversation.archived)
    }

    fn is_chosen(&self, model: &Model) -> bool {
        self.chosen.as_ref().map_or(model.default, |chosen| *chosen == model.id)
    }

    /// Whether what is left does not cover the chosen model; unknown counts as covered, since the ledger decides.
    fn is_out_of_credits(&self) -> bool {
        let price = self.models.iter().find(|model| self.is_chosen(model)).map_or(Credits::ZERO, |model| model.credits);
        self.credits.is_some_and(|left| left < price || left <= Credits::ZERO)
    }

    fn credits_in_words(&self) -> String {
        self.credits.map_or_else(|| "Credits unknown".to_owned(), credits)
    }
}

/// What happened to a question that this page is the answer to.
pub(crate) struct Unanswered<'a> {
    pub(crate) prompt: String,
    pub(crate) model: Option<String>,
    pub(crate) words: &'a Words,
}

/// `GET /`
pub(crate) async fn new(State(app): State<Shared>, person: Person) -> Result<Response, Error> {
    page(&app, &person, Place::default(), None).await
}

/// `GET /c/{id}`
pub(crate) async fn open(
    State(app): State<Shared>,
    person: Person,
    Path(id): Path<String>,
    Query(before): Query<Before>,
) -> Result<Response, Error> {
    let Ok(id) = Uuid::parse_str(&id) else { return Ok(super::not_found()) };
    page(&app, &person, Place { conversation: Some(id), before: before.cursor.as_deref() }, None).await
}

/// What a page shows.
#[derive(Default)]
pub(crate) struct Place<'a> {
    /// `None` for a conversation that is yet to begin.
    pub(crate) conversation: Option<Uuid>,
    /// Messages before this cursor, for browsers without scripts; otherwise the newest.
    pub(crate) before: Option<&'a str>,
}

/// The page of a conversation. Each part that cannot be had leaves its place empty and says so once, so that a service that
/// is away takes only its own part with it.
pub(crate) async fn page(
    app: &App,
    person: &Person,
    place: Place<'_>,
    unanswered: Option<Unanswered<'_>>,
) -> Result<Response, Error> {
    let (backend, auth) = (&app.backend, &app.auth);
    let thread = async {
        let Some(id) = place.conversation else { return Ok(None) };
        let before = place.before;
        person.call(app, |access| async move { backend.thread(&access, id, before).await }).await.map(Some)
    };
    let list = person.call(app, |access| async move { backend.conversations(&access, false, None).await });
    let models = person.call(app, |access| async move { backend.models(&access).await });
    let balance = person.call(app, |access| async move { auth.balance(&access).await });
    let (thread, list, models, balance) = tokio::join!(thread, list, models, balance);
    let mut thread = thread?;

    let mut problem = unanswered.as_ref().map(|unanswered| unanswered.words.text.clone());
    let page = part(list, &mut problem)?.unwrap_or_default();
    let models = part(models, &mut problem)?.unwrap_or_default();
    let credits = part(balance, &mut problem)?;
    let status = unanswered.as_ref().map_or(StatusCode::OK, |unanswered| unanswered.words.status);
    let (prompt, asked_for) = unanswered.map(|it| (it.prompt, it.model)).unwrap_or_default();
    let before =
        thread.as_ref().and_then(|thread| thread.messages.iter().rev().find_map(|message| message.model.clone()));
    let chosen = asked_for.or(before).filter(|chosen| models.iter().any(|model| model.id == *chosen));
    let messages = Messages::of(thread.as_mut(), person.shell(app).csrf);
    let page = ChatPage {
        shell: person.shell(app),
        messages,
        name: person.session.name.clone(),
        email: person.session.email.clone(),
        list: List { page, open: place.conversation, first: true, archived: false },
        thread,
        models,
        chosen,
        credits,
        prompt,
        problem,
    };
    Ok(html(status, &page))
}

/// A part of the page, or what to say about its absence. Being signed out is no matter of parts.
fn part<T>(result: Result<T, Error>, problem: &mut Option<String>) -> Result<Option<T>, Error> {
    match result {
        Ok(part) => Ok(Some(part)),
        Err(Error::SignedOut) => Err(Error::SignedOut),
        Err(error) => {
            problem.get_or_insert_with(|| error.words().text);
            Ok(None)
        }
    }
}

/// Messages: in the page of their conversation, or alone.
#[derive(Default, Template)]
#[template(path = "messages.html")]
struct Messages {
    id: Uuid,
    csrf: String,
    said: Vec<Message>,
    next_cursor: Option<String>,
}

impl Messages {
    /// Takes them out of a thread.
    fn of(thread: Option<&mut Thread>, csrf: String) -> Self {
        let Some(thread) = thread else { return Self::default() };
        Self {
            id: thread.conversation.id,
            csrf,
            said: std::mem::take(&mut thread.messages),
            next_cursor: thread.next_cursor.take(),
        }
    }
}

/// Which of the messages that stand side by side one is.
struct Version<'a> {
    all: &'a [Uuid],
    /// From 1.
    number: usize,
}

impl Message {
    /// `None` where it stands alone.
    fn version(&self) -> Option<Version<'_>> {
        let at = self.versions.iter().position(|id| *id == self.id)?;
        (self.versions.len() > 1).then(|| Version { all: &self.versions, number: at + 1 })
    }
}

impl Version<'_> {
    fn count(&self) -> usize {
        self.all.len()
    }

    fn is_first(&self) -> bool {
        self.number == 1
    }

    fn is_last(&self) -> bool {
        self.number == self.all.len()
    }

    /// The one before, itself where it is the first.
    fn before(&self) -> Uuid {
        self.all[self.number.saturating_sub(2)]
    }

    /// The one after, itself where it is the last.
    fn after(&self) -> Uuid {
        self.all[self.number.min(self.all.len() - 1)]
    }
}

#[derive(Deserialize)]
pub(crate) struct Before {
    cursor: Option<String>,
}

/// `GET /c/{id}/older`
pub(crate) async fn older(
    State(app): State<Shared>,
    person: Person,
    Path(id): Path<Uuid>,
    Query(before): Query<Before>,
) -> Result<Response, Error> {
    excerpt(&app, &person, id, before.cursor.as_deref()).await
}

/// `GET /c/{id}/messages`: the newest, as they are kept, for the script after an answer.
pub(crate) async fn newest(State(app): State<Shared>, person: Person, Path(id): Path<Uuid>) -> Result<Response, Error> {
    excerpt(&app, &person, id, None).await
}

async fn excerpt(app: &Shared, person: &Person, id: Uuid, cursor: Option<&str>) -> Result<Response, Error> {
    let backend = &app.backend;
    let mut thread = person.call(app, |access| async move { backend.thread(&access, id, cursor).await }).await?;
    Ok(html(StatusCode::OK, &Messages::of(Some(&mut thread), person.shell(app).csrf)))
}

/// `GET /credits`: what is left, for the script.
pub(crate) async fn balance(State(app): State<Shared>, person: Person) -> Result<axum::Json<serde_json::Value>, Error> {
    let auth = &app.auth;
    let left = person.call(&app, |access| async move { auth.balance(&access).await }).await?;
    Ok(axum::Json(serde_json::json!({ "credits": left })))
}
