//! `POST /ask`: a question, answered as it is written for who reads streams, or whole for a browser without scripts.
//!
//! A question without a conversation makes one first, so that an answer that is stopped half-way has a place to be found in.
//! If nothing comes of the question, that conversation goes again, unless something else was said in it meanwhile ([`Made`]).
//!
//! A page gives each question a key. The same question with the same key is the same question, sent again by a page that lost its
//! connection or was loaded again: it reads along ([`writing`]) or is given what chat-backend keeps under that key, and pays once.
//! A page that leaves does not end its answer; `POST /ask/stop` does, whichever instance it reaches ([`stops`]).

mod stops;
mod telling;
mod writing;

use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use kit::clock;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::task::JoinHandle;
use tracing::Instrument;
use uuid::Uuid;

pub(crate) use stops::{Stops, watch as watch_for_stops};
pub(crate) use writing::Writings;

use crate::app::{App, Shared};
use crate::error::Error;
use crate::limits::{IN_PROGRESS_PAUSE, IN_PROGRESS_TRIES, MAX_KEY_CHARS, REMOVAL_PATIENCE};
use crate::pages::chat::{self, Unanswered};
use crate::person::Person;
use crate::upstream::{Attachment, Backend, Failure, Place, Question, Said, Stream};
use crate::words::{self, Words};
use writing::{Begun, End, Pen};

/// The form at the foot of a conversation.
#[derive(Deserialize)]
pub(crate) struct Ask {
    #[serde(default)]
    prompt: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    conversation: String,
    /// What makes it the same question when it comes again; absent from forms that are sent without the script.
    #[serde(default)]
    key: String,
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

    fn key(&self) -> Result<Option<&str>, Error> {
        let is_key = self.key.len() <= MAX_KEY_CHARS && self.key.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match self.key.as_str() {
            "" => Ok(None),
            key if is_key => Ok(Some(key)),
            _ => Err(Error::Told(words::unreadable())),
        }
    }

    /// The question, for the conversation it goes to.
    fn question<'a>(&'a self, text: &'a str, conversation: Uuid, attachments: &'a [Attachment]) -> Question<'a> {
        let key = Some(self.key.as_str()).filter(|key| !key.is_empty());
        Question { text, model: self.model(), conversation, place: self.place(), attachments, key }
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
        return streaming(app, person, form, given).await;
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

async fn whole(app: &App, person: &Person, form: &Ask, given: Option<Uuid>) -> Result<Uuid, Error> {
    form.key()?;
    let attachments = form.attachments()?;
    let made = Made::unless(given, app, person).await?;
    let text = form.text();
    let question = &form.question(&text, made.id, &attachments);
    let backend = &app.backend;
    person.call(app, |access| async move { backend.ask(&access, question).await }).await?;
    Ok(made.keep())
}

async fn streaming(app: Shared, person: Person, form: Ask, given: Option<Uuid>) -> Result<Response, Error> {
    let key = form.key()?.map_or_else(|| clock::new_id().to_string(), str::to_owned);
    let who = (person.browser(), key);
    if let Some(writing) = app.writings.find(&who) {
        return Ok(telling::respond(&writing, given));
    }
    let attachments = form.attachments()?;
    let made = Made::unless(given, &app, &person).await?;
    let (pen, writing) = match app.writings.begin(who, made.id) {
        Begun::Mine(pen, writing) => (pen, writing),
        // The same question came twice at once.
        Begun::Known(writing) => return Ok(telling::respond(&writing, given)),
    };
    let response = telling::respond(&writing, given);
    // From here on words may have been delivered, and what was delivered is stored.
    let made = made.stay_when_dropped();
    let work = async move {
        let text = form.text();
        let question = form.question(&text, made.id, &attachments);
        let outcome = answer(&app, &person, &question, &pen).await;
        outcome.told(pen, made).await;
    };
    let work = work.instrument(tracing::Span::current());
    // It goes on being part of this request: its logs and its calls onward carry the request's id.
    match kit::context::current() {
        Some(context) => tokio::spawn(context.scope(work)),
        None => tokio::spawn(work),
    };
    Ok(response)
}

/// `POST /ask/stop`: the answer to a question ends with what was said of it.
pub(crate) async fn stop(
    State(app): State<Shared>,
    person: Person,
    Form(form): Form<Ask>,
) -> Result<StatusCode, Error> {
    if let Some(key) = form.key()? {
        let who = (person.browser(), key.to_owned());
        if app.writings.stop(&who) {
            app.stops.add(&who, clock::now()).await.map_err(|error| Error::Internal(error.into()))?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// How writing an answer went.
enum Outcome {
    Done(End),
    /// Nobody was asked, or chat-backend said that nothing was kept.
    Nothing(Words),
    /// It is not known what chat-backend kept.
    Unknown(Words),
    /// Ended early; with whether anything had been said.
    Early(bool),
}

impl Outcome {
    /// Tells it. A conversation made for this question alone goes, where nothing was kept in it.
    async fn told(self, pen: Pen, made: Made) {
        match self {
            Self::Done(end) => pen.end(end),
            Self::Nothing(words) => pen.end(End::Failed { words, kept: made.stays().await }),
            Self::Unknown(words) => pen.lose(End::Failed { words, kept: true }),
            Self::Early(true) => pen.end(End::stopped(true)),
            Self::Early(false) => pen.end(End::stopped(made.stays().await)),
        }
    }
}

/// Asks, and writes down what is said.
async fn answer(app: &App, person: &Person, question: &Question<'_>, pen: &Pen) -> Outcome {
    tokio::select! {
        outcome = hear(app, person, question, pen) => outcome,
        // Dropping what hears stops the model.
        () = pen.to_end_early() => Outcome::Early(pen.has_begun()),
    }
}

async fn hear(app: &App, person: &Person, question: &Question<'_>, pen: &Pen) -> Outcome {
    let mut stream = match open(app, person, question).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(failure)) => return failed(&failure),
        Err(error) => return Outcome::Nothing(error.words()),
    };
    loop {
        match stream.next().await {
            Ok(Said::Delta(content)) => pen.write(&content),
            Ok(Said::Done { credits, model }) => return Outcome::Done(End::Done { credits, model }),
            Err(failure) => return failed(&failure),
        }
    }
}

/// Asks. Where another instance is being answered under the same key, that answer is waited for.
async fn open(app: &App, person: &Person, question: &Question<'_>) -> Result<Result<Stream, Failure>, Error> {
    let backend = &app.backend;
    let mut tries = 0;
    loop {
        let asked =
            person.try_call(app, |access| async move { backend.ask_streaming(&access, question).await }).await?;
        tries += 1;
        match &asked {
            Err(failure) if failure.is_in_progress() && tries < IN_PROGRESS_TRIES => {
                tokio::time::sleep(IN_PROGRESS_PAUSE).await;
            }
            _ => return Ok(asked),
        }
    }
}

fn failed(failure: &Failure) -> Outcome {
    tracing::warn!(error = %failure, "an answer broke off");
    metrics::counter!("answers_broken_off_total").increment(1);
    let words = words::of(failure);
    if failure.refusal().is_some() { Outcome::Nothing(words) } else { Outcome::Unknown(words) }
}

/// The conversation a question goes to. One that was made for it is removed again when dropped, unless told to stay. What was said in it from
/// another page meanwhile was paid for: then it stays.
struct Made {
    id: Uuid,
    /// Set while it is ours to remove.
    ours: Option<(Backend, SecretString)>,
    armed: bool,
}

impl Made {
    async fn unless(given: Option<Uuid>, app: &App, person: &Person) -> Result<Self, Error> {
        if let Some(id) = given {
            return Ok(Self { id, ours: None, armed: false });
        }
        let backend = &app.backend;
        let id = person.call(app, |access| async move { backend.create(&access).await }).await?;
        Ok(Self { id, ours: Some((app.backend.clone(), person.session.access.clone())), armed: true })
    }

    fn keep(mut self) -> Uuid {
        self.armed = false;
        self.id
    }

    fn stay_when_dropped(mut self) -> Self {
        self.armed = false;
        self
    }

    /// Removes it if it was made here; says whether it is still there. One of which that is not known in time counts as there.
    async fn stays(mut self) -> bool {
        let Some(removing) = self.remove() else { return true };
        !matches!(tokio::time::timeout(REMOVAL_PATIENCE, removing).await, Ok(Ok(true)))
    }

    /// Removes it aside, if it was made here and nothing was said in it; gives whether it is gone.
    fn remove(&mut self) -> Option<JoinHandle<bool>> {
        let (backend, access) = self.ours.take()?;
        let id = self.id;
        Some(tokio::spawn(async move {
            match backend.delete_empty(&access, id).await {
                Ok(true) => true,
                Ok(false) => {
                    tracing::debug!("a conversation stays: something was said in it meanwhile, from elsewhere");
                    false
                }
                Err(error) => {
                    metrics::counter!("empty_conversations_left_total").increment(1);
                    tracing::warn!(%error, "a conversation in which nothing was said stays behind");
                    false
                }
            }
        }))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.armed {
            drop(self.remove());
        }
    }
}
