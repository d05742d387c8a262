//! `POST /api/chat/completions`, and `/api/chat`, which is the same.
//!
//! With `stream` the answer is a stream of events: `delta` (`{content}`) for each piece, then one `done` (the object that a
//! plain answer is) or one `error` (a problem, as errors have it everywhere here). A stream that ends without either broke
//! off on the way. Comments (`:`) keep a silent line open.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use kit::{FieldError, Json, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::writer::Writer;
use super::{Beginning, Renderer, begin, respond};
use crate::app::App;
use crate::caller::Caller;
use crate::conversations::{Attachment, Origin, Place};
use crate::delivery::Event;
use crate::idempotency::{self, Key};
use crate::ids::{ConversationId, MessageId};
use crate::lifecycle::{Answered, Call};
use crate::validate::{Input, InputMessage};

/// What an `Idempotency-Key` belongs to, whichever of the two addresses it came to.
const OPERATION: &str = "completion";

/// A question, with what was said before it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CompletionRequest {
    /// The conversation so far, the question last. A single message continues the conversation of `conversationId`: what
    /// is stored there is put before it. Several messages are taken as they are, without what is stored.
    /// With `regenerate` there are none.
    #[serde(default)]
    #[schema(example = json!([{ "role": "user", "content": "Are you there?" }]))]
    messages: Option<Vec<CompletionMessage>>,
    /// One of `/api/models`; absent: the default.
    #[serde(default)]
    model: Option<String>,
    /// The conversation to add the exchange to; absent: a new one.
    #[serde(default)]
    conversation_id: Option<String>,
    /// The answer that the message follows; absent: the last one of the branch that is shown.
    #[serde(default)]
    parent_id: Option<String>,
    /// A question of the conversation: the message is asked in its place, on a branch of its own.
    #[serde(default)]
    edit: Option<String>,
    /// An answer of the conversation: its question is answered again, on a branch of its own.
    #[serde(default)]
    regenerate: Option<String>,
    /// Texts that come with the question, at most 4; the model reads them behind it.
    #[serde(default)]
    attachments: Vec<Attachment>,
    /// Whether the answer is to be a stream of events.
    #[serde(default)]
    stream: Option<bool>,
}

/// One message.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct CompletionMessage {
    /// `user`, `assistant`, `system` or `developer`, which means the same.
    #[schema(pattern = "^(user|assistant|system|developer)$")]
    role: String,
    /// What was said.
    content: String,
}

/// An answer, stored and paid for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CompletionAnswer {
    /// What the model said.
    message: String,
    /// What is left.
    #[schema(example = 49)]
    credits: kit::Credits,
    /// The conversation it is stored in.
    conversation_id: ConversationId,
    /// The stored answer.
    message_id: MessageId,
    /// Who answered.
    model: String,
    /// Why it ended: `stop`; `length` where it reached a limit, so that there is more to say; `content_filter`; `cancelled`
    /// where its reader left before the end and asked for it again.
    #[schema(example = "stop")]
    finish: String,
}

impl From<Answered> for CompletionAnswer {
    fn from(answered: Answered) -> Self {
        Self {
            message: answered.text,
            credits: answered.credits,
            conversation_id: answered.conversation,
            message_id: answered.message,
            model: answered.model,
            finish: answered.finish,
        }
    }
}

/// `POST /api/chat/completions`
#[utoipa::path(
    post, path = "/api/chat/completions", tag = "chat", operation_id = "createCompletion",
    summary = "An answer of the model",
    description = "Reserves the price, asks the model, stores question and answer, and charges. With `stream` the answer comes \
        as server-sent events: `delta` `{content}`, then `done` (this answer's object) or `error` (a problem).",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the same call again the same call: it is carried out and charged once, and gets the same answer for a day")),
    request_body = CompletionRequest,
    responses(
        (status = 200, description = "The answer; with `stream` as server-sent events", content((CompletionAnswer = "application/json"), (String = "text/event-stream"))),
        (status = 400, description = "The body is not JSON", body = kit::ProblemBody),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 402, description = "Out of credits, or the day's budget is spent", body = kit::ProblemBody),
        (status = 403, description = "The account is closed", body = kit::ProblemBody),
        (status = 404, description = "No such conversation", body = kit::ProblemBody),
        (status = 409, description = "The conversation was deleted meanwhile, or the Idempotency-Key belongs to another call or one under way", body = kit::ProblemBody),
        (status = 413, description = "The body is larger than 1 MiB", body = kit::ProblemBody),
        (status = 415, description = "The body is not JSON", body = kit::ProblemBody),
        (status = 422, description = "Fields are not valid", body = kit::ProblemBody),
        (status = 429, description = "More requests a minute than allowed", body = kit::ProblemBody),
        (status = 502, description = "The model failed", body = kit::ProblemBody),
        (status = 503, description = "Ledger, model or database do not answer, or too many answers are being written", body = kit::ProblemBody),
        (status = 504, description = "The model took too long", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Json(body): Json<CompletionRequest>,
) -> Result<Response, Problem> {
    answer(app, caller, &headers, body).await
}

/// `POST /api/chat`
#[utoipa::path(
    post, path = "/api/chat", tag = "chat", operation_id = "createCompletionShort",
    summary = "The same as `/api/chat/completions`",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the same call again the same call: it is carried out and charged once, and gets the same answer for a day")),
    request_body = CompletionRequest,
    responses(
        (status = 200, description = "The answer; with `stream` as server-sent events", content((CompletionAnswer = "application/json"), (String = "text/event-stream"))),
        (status = "default", description = "As at `/api/chat/completions`", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn create_short(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Json(body): Json<CompletionRequest>,
) -> Result<Response, Problem> {
    answer(app, caller, &headers, body).await
}

async fn answer(
    app: Arc<App>,
    caller: Caller,
    headers: &HeaderMap,
    body: CompletionRequest,
) -> Result<Response, Problem> {
    let key = headers.get(idempotency::HEADER).map(HeaderValue::as_bytes);
    let key = Key::read(key, caller.user, OPERATION, || json_text(&body)).map_err(|failure| failure.problem())?;
    let streams = body.stream.unwrap_or(false);
    let place = body.place()?;
    let again = matches!(place, Place::Again(_));
    let messages = match body.messages {
        Some(messages) if again && !messages.is_empty() => {
            return Err(refused("messages", "must be empty with regenerate: the question is there already"));
        }
        None if !again => return Err(refused("messages", "is missing")),
        messages => messages.unwrap_or_default(),
    };
    if again && !body.attachments.is_empty() {
        return Err(refused("attachments", "must be empty with regenerate: the question has its own"));
    }
    let messages = messages.into_iter().map(|m| InputMessage { role: m.role, content: m.content }).collect();
    let input = Input { messages, model: body.model, conversation_id: body.conversation_id, ..Input::default() };
    let call = Call::new(input, Origin::App, key).at(place, body.attachments);
    match begin(&app, caller, call, streams).await {
        Ok(Beginning::Whole(answered)) => Ok(Json(CompletionAnswer::from(*answered)).into_response()),
        Ok(Beginning::Stream(first, answer)) => {
            Ok(respond(first, answer, Events { request_id: kit::context::request_id() }))
        }
        Err(failure) => Err(failure.problem()),
    }
}

impl CompletionRequest {
    fn place(&self) -> Result<Place, Problem> {
        let id = |field: &str, text: &str| Uuid::parse_str(text).map_err(|_| refused(field, "must be a UUID"));
        match (&self.parent_id, &self.edit, &self.regenerate) {
            (None, None, None) => Ok(Place::End),
            (Some(text), None, None) => id("parentId", text).map(Place::After),
            (None, Some(text), None) => id("edit", text).map(Place::InsteadOf),
            (None, None, Some(text)) => id("regenerate", text).map(Place::Again),
            _ => Err(refused("edit", "goes with neither parentId nor regenerate: give one of the three")),
        }
    }
}

fn refused(field: &str, says: &str) -> Problem {
    Problem::invalid(vec![FieldError::new(field, says)])
}

/// The events of the native stream.
struct Events {
    /// Written into problems; a stream is sent when its request is no longer at hand.
    request_id: Option<String>,
}

impl Renderer for Events {
    fn render(&mut self, event: Event, to: &mut Writer) {
        match event {
            // Nothing that this protocol can ask for is answered with more than one text; should it be, that is in `done`.
            Event::Choices(_) => {}
            Event::Text(content) => to.named("delta", &Delta { content: &content }),
            Event::Done(answered) => to.named("done", &CompletionAnswer::from(*answered)),
            Event::Failed(failure) => {
                let mut problem = failure.problem().body();
                problem.request_id.clone_from(&self.request_id);
                to.named("error", &problem);
            }
        }
    }
}

#[derive(Serialize)]
struct Delta<'a> {
    content: &'a str,
}

fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings, ids and amounts become JSON")
}
