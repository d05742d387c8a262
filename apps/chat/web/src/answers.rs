//! `POST /ask`: a question, answered as it is written for who reads streams, or whole for a browser without scripts.
//!
//! A question without a conversation makes one first, so that an answer that is stopped half-way has a place to be found in.
//! If nothing comes of the question, that conversation goes again ([`Made`]).
//!
//! Events: `start` `{conversationId}`, `delta` `{content}` for each piece, then `done` `{credits, model}` or `error` `{code,
//! message, kept}`; `kept` tells whether the conversation is still there.

use std::convert::Infallible;
use std::time::Duration;

use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use futures_util::stream;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::Shared;
use crate::error::Error;
use crate::pages::chat::{self, Unanswered};
use crate::person::Person;
use crate::upstream::{Attachment, Backend, Failure, Place, Question, Said, Stream};
use crate::words::{self, Words};

/// How often a silent stream says that it is alive, so that nothing between us and the browser closes it as idle.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The form at the foot of a conversation.
#[derive(Deserialize)]
pub(crate) struct Ask {
    #[serde(default)]
    prompt: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    conversation: String,
    /// A question that this one takes the place of.
    edit: Option<Uuid>,
    /// An answer beside which another is wanted.
    regenerate: Option<Uuid>,
    /// Texts that come with it, as the script puts them: a list of `{name, content}`.
    #[serde(default)]
    attachments: String,
}

impl Ask {
    fn model(&self) -> Option<&str> {
        Some(self.model.as_str()).filter(|model| !model.is_empty())
    }

    /// Browsers send line breaks as CR LF; what was typed is a line feed.
    fn text(&self) -> String {
        self.prompt.replace("\r\n", "\n").trim().to_owned()
    }

    fn place(&self) -> Place {
        match (self.edit, self.regenerate) {
            (_, Some(answer)) => Place::Again(answer),
            (Some(question), None) => Place::InsteadOf(question),
            (None, None) => Place::End,
        }
    }

    fn attachments(&self) -> Result<Vec<Attachment>, Error> {
        if self.attachments.is_empty() {
            return Ok(Vec::new());
        }
        let wrong = |_| {
            let says = "The attached files cannot be read. Nothing was charged; reload the page and attach them again.";
            Error::Told(Words::new(StatusCode::UNPROCESSABLE_ENTITY, "attachments", says))
        };
        serde_json::from_str(&self.attachments).map_err(wrong)
    }

    /// `None` for a conversation that is to be made.
    fn conversation(&self) -> Result<Option<Uuid>, Error> {
        if self.conversation.is_empty() {
            return Ok(None);
        }
        let none = || Words::new(StatusCode::NOT_FOUND, "not_found", "This conversation does not exist.");
        Uuid::parse_str(&self.conversation).map(Some).map_err(|_| Error::Told(none()))
    }
}

/// `POST /ask`
pub(crate) async fn ask(
    State(app): State<Shared>,
    person: Person,
    headers: HeaderMap,
    Form(form): Form<Ask>,
) -> Result<Response, Error> {
    let given = form.conversation()?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_some_and(|list| list.contains("text/event-stream")) {
        return streaming(&app, &person, &form, given).await;
    }
    match whole(&app, &person, &form, given).await {
        Ok(id) => Ok(Redirect::to(&format!("/c/{id}")).into_response()),
        Err(Error::SignedOut) => Err(Error::SignedOut),
        Err(error) => {
            let model = form.model().map(str::to_owned);
            let unanswered = Unanswered { prompt: form.text(), model, words: &error.words() };
            let place = chat::Place { conversation: given, before: None };
            chat::page(&app, &person, place, Some(unanswered)).await
        }
    }
}

async fn whole(app: &Shared, person: &Person, form: &Ask, given: Option<Uuid>) -> Result<Uuid, Error> {
    let attachments = form.attachments()?;
    let made = Made::unless(given, app, person).await?;
    let text = form.text();
    let question = &Question {
        text: &text,
        model: form.model(),
        conversation: made.id,
        place: form.place(),
        attachments: &attachments,
    };
    let backend = &app.backend;
    person.call(app, |access| async move { backend.ask(&access, question).await }).await?;
    Ok(made.keep())
}

async fn streaming(app: &Shared, person: &Person, form: &Ask, given: Option<Uuid>) -> Result<Response, Error> {
    let attachments = form.attachments()?;
    let made = Made::unless(given, app, person).await?;
    let text = form.text();
    let question = &Question {
        text: &text,
        model: form.model(),
        conversation: made.id,
        place: form.place(),
        attachments: &attachments,
    };
    let backend = &app.backend;
    let answer = person.call(app, |access| async move { backend.ask_streaming(&access, question).await }).await?;
    let start = event("start", &json!({ "conversationId": made.id }));
    // From here on words may have been delivered, and what was delivered is stored: the conversation stays when the
    // browser leaves.
    let telling = Telling { answer, made: Some(made.stay_when_dropped()) };
    let rest = stream::unfold(Some(telling), |telling| async move { Some(telling?.next().await) });
    let events = futures_util::StreamExt::chain(stream::iter([Ok(start)]), rest);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // Proxies that buffer answers would deliver the words all at once.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// An answer on its way to the browser. Dropping it stops the model.
struct Telling {
    answer: Stream,
    made: Option<Made>,
}

impl Telling {
    /// The next event, and what tells the one after it.
    async fn next(mut self) -> (Result<Event, Infallible>, Option<Self>) {
        match self.answer.next().await {
            Ok(Said::Delta(content)) => (Ok(event("delta", &json!({ "content": content }))), Some(self)),
            Ok(Said::Done { credits, model }) => {
                (Ok(event("done", &json!({ "credits": credits, "model": model }))), None)
            }
            Err(failure) => (Ok(self.failed(&failure)), None),
        }
    }

    fn failed(&mut self, failure: &Failure) -> Event {
        tracing::warn!(error = %failure, "an answer broke off");
        metrics::counter!("answers_broken_off_total").increment(1);
        // chat-backend said that nothing was stored; a conversation made for this question alone goes.
        let refused = failure.refusal().is_some();
        let kept = !(refused && self.made.take().is_some_and(Made::discard));
        let words = words::of(failure);
        event("error", &json!({ "code": words.code, "message": words.text, "kept": kept }))
    }
}

fn event(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

/// The conversation a question goes to. One that was made for it is removed again when dropped, unless told to stay.
struct Made {
    id: Uuid,
    /// Set while it is ours to remove.
    remove: Option<(Backend, SecretString)>,
    armed: bool,
}

impl Made {
    async fn unless(given: Option<Uuid>, app: &Shared, person: &Person) -> Result<Self, Error> {
        if let Some(id) = given {
            return Ok(Self { id, remove: None, armed: false });
        }
        let backend = &app.backend;
        let id = person.call(app, |access| async move { backend.create(&access).await }).await?;
        Ok(Self { id, remove: Some((app.backend.clone(), person.session.access.clone())), armed: true })
    }

    fn keep(mut self) -> Uuid {
        self.armed = false;
        self.id
    }

    fn stay_when_dropped(mut self) -> Self {
        self.armed = false;
        self
    }

    /// Removes it if it was made here; says whether it was.
    fn discard(mut self) -> bool {
        self.armed = true;
        self.remove.is_some()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let Some((backend, access)) = self.remove.take().filter(|_| self.armed) else { return };
        let id = self.id;
        tokio::spawn(async move {
            if let Err(error) = backend.delete(&access, id).await {
                metrics::counter!("empty_conversations_left_total").increment(1);
                tracing::warn!(%error, "a conversation in which nothing was said stays behind");
            }
        });
    }
}
