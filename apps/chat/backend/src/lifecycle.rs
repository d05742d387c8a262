//! One answer, from the question to the charge: the seed's request lifecycle as a straight line.
//!
//! Every paid path of both protocols, plain and streamed, is this one function. It runs in a task of its own: what it
//! has begun it finishes, whether or not the client waits for it.
//!
//! Who pays for what, when something goes wrong (nothing else in the service decides this):
//! - The ledger's reserve admits or refuses, nothing else. No answer from the ledger: no model call. It answers once it has decided, before that is durable; a
//!   stream begins, and any answer is given, only once it is. If it is not to be (the ledger died over it), the model call is cancelled and nothing is
//!   stored; an answer that is stored already is given, and charged by the outbox.
//! - The model fails, or its stream breaks or stalls: nothing is stored, the reservation is released. Before the first piece
//!   it was asked again and its fallbacks were asked, as far as configured; all of that is one call. What came of a broken
//!   stream is no answer, and the provider's fault: it costs nothing.
//! - A limit of ours ends the stream (its whole time, its length) after the client was given text: that is an answer with
//!   `finish` = `length`, stored and charged. Whoever asks for much reaches such a limit at will.
//! - What an answer costs is the price of the model that gave it, at most what was held back. By tokens: those that the
//!   provider counted, else an estimate of what was said and delivered (`ai::price`); the rest is given back.
//! - The model says nothing and why it ended: that is an answer, stored and charged like any other.
//! - The client leaves before it was given any text: the model call is cancelled, the reservation released.
//! - The client leaves after it was given text: the model call is cancelled; the text it was given is stored, with
//!   `finish` = `cancelled`, and charged: a started answer costs what a whole one does, and of several choices each that has
//!   begun. (A plain answer is given whole,
//!   so for it only the rule above applies; once the model has answered it is stored and charged, and the person finds
//!   it in the conversation.)
//! - The conversation is deleted meanwhile: what was said is not stored. If the client was given any of it, it is charged as
//!   ever, and the instruction to settle is all that is stored; else the reservation is released. (A plain answer is given
//!   when it is stored, so it is not charged.)
//! - The process must end before the model has finished: as if the model had failed.
//! - The answer cannot be stored: the reservation is released. If it is unknown whether it was stored (the commit itself
//!   failed), the reservation is left alone: the outbox settles it if it was, it expires if it was not.
//! - The call carries an `Idempotency-Key`: see `idempotency.rs`. A day's budget of the person or the key is held back before
//!   the ledger is asked, and given back like the reservation (`budgets.rs`).
//! - The reserve's answer is lost: no model is called; whether anything is held back is found out aside, and given back (`held.rs`).
//! - An answer is given once it is stored. Its settle is delivered behind it (`settling.rs`), and repeated by the outbox until it is.

use std::sync::Arc;
use std::time::Instant;

use ai::Request;
use ai::router::Admission;
use kit::{Credits, clock, failpoint, trace};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::caller::Caller;
use crate::conversations::{
    Answer, Attachment, Exchange, Origin, Place, RecordError, Recorded, Spot, Target, is_to_be_named,
};
use crate::delivery::{Client, Event, Lead};
use crate::failure::Failure;
use crate::held::Held;
use crate::idempotency::{Claim, Execution, Keep, Key};
use crate::ids::{ConversationId, MessageId};
use crate::outbox::{Action, Instruction};
use crate::speech::{Ask, Said};
use crate::time::now_ms;
use crate::validate::{self, Input, Valid};

/// A call as a protocol hands it over.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) input: Input,
    pub(crate) origin: Origin,
    /// Where in its conversation it goes.
    pub(crate) place: Place,
    /// Texts that come with the question.
    pub(crate) attachments: Vec<Attachment>,
    /// What makes it the same call when it comes again.
    pub(crate) key: Option<Key>,
    /// Taken before that of the answer: messages are read back in the order of their ids.
    question_id: MessageId,
    answer_id: MessageId,
    /// Milliseconds since 1970.
    created_at: i64,
}

impl Call {
    pub(crate) fn new(input: Input, origin: Origin, key: Option<Key>) -> Self {
        Self {
            input,
            origin,
            place: Place::End,
            attachments: Vec::new(),
            key,
            question_id: MessageId(clock::new_id()),
            answer_id: MessageId(clock::new_id()),
            created_at: now_ms(),
        }
    }

    /// The same call, somewhere else in its conversation, with texts.
    pub(crate) fn at(self, place: Place, attachments: Vec<Attachment>) -> Self {
        Self { place, attachments, ..self }
    }
}

/// An answer that is stored and paid for, or will be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) text: String,
    /// The whole of it in OpenAI's protocol, where it is more than one text.
    pub(crate) choices: Option<Vec<serde_json::Value>>,
    /// What is left.
    pub(crate) credits: Credits,
    pub(crate) conversation: ConversationId,
    pub(crate) message: MessageId,
    pub(crate) model: String,
    pub(crate) finish: String,
    pub(crate) usage: Option<ai::Usage>,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
}

/// Answers a call and tells the client how it ended.
pub(crate) async fn run(app: Arc<App>, caller: Caller, call: Call, client: Client) {
    let started = Instant::now();
    let outcome = once(&app, &caller, call, &client).await;
    crate::telemetry::answered(&outcome, started.elapsed());
    client.finish(outcome).await;
}

/// Carries the call out, or gives its answer again.
async fn once(app: &Arc<App>, caller: &Caller, call: Call, client: &Client) -> Result<Answered, Failure> {
    app.budgets.count(caller, now_ms()).await?;
    let execution = match &call.key {
        None => None,
        Some(key) => {
            let claim = tokio::select! {
                claim = app.idempotency.claim(key) => claim?,
                _ = client.gone() => return Err(Failure::ClientGone),
            };
            match claim {
                Claim::Run(execution) => Some(execution),
                Claim::Replay(answered) => {
                    replay(&answered, client).await;
                    return Ok(*answered);
                }
            }
        }
    };
    failpoint::here("chat: call claimed");
    let outcome = tokio::select! {
        outcome = answer(app, caller, call, client, execution) => outcome,
        () = app.idempotency.keep_alive(execution) => Err(Failure::Storage),
    };
    // Whether it was stored is not known after a failed commit: then the claim stays, and ends by itself.
    if let (Some(execution), Err(failure)) = (execution, &outcome)
        && !matches!(failure, Failure::Storage)
    {
        app.idempotency.give_up(execution).await;
    }
    outcome
}

/// Streams what was streamed before, in one piece. Whether the client still listens does not matter.
async fn replay(answered: &Answered, client: &Client) {
    if !client.streams {
        return;
    }
    let Answered { message, created_at, .. } = *answered;
    client.leads(Lead { message, model: answered.model.clone(), created_at });
    let piece = match &answered.choices {
        None if answered.text.is_empty() => return,
        None => Event::Text(answered.text.clone()),
        Some(choices) => Event::Choices(choices.iter().map(as_piece).collect()),
    };
    let _ = client.piece(piece).await;
}

/// A whole choice as one piece of a stream. The first one's `finish_reason` comes with the end.
fn as_piece(choice: &serde_json::Value) -> serde_json::Value {
    let mut piece = choice.clone();
    if let Some(fields) = piece.as_object_mut() {
        let mut delta = fields.remove("message").unwrap_or_default();
        let calls = delta.get_mut("tool_calls").and_then(serde_json::Value::as_array_mut);
        for (n, call) in calls.into_iter().flatten().enumerate() {
            call["index"] = n.into();
        }
        fields.insert("delta".into(), delta);
        if fields.get("index").and_then(serde_json::Value::as_u64).unwrap_or(0) == 0 {
            fields.insert("finish_reason".into(), serde_json::Value::Null);
        }
    }
    piece
}

async fn answer(
    app: &Arc<App>,
    caller: &Caller,
    call: Call,
    client: &Client,
    execution: Option<Execution>,
) -> Result<Answered, Failure> {
    let began = Instant::now();
    // [2] Credits and business logic: validate, find a place, reserve (which alone admits or refuses), ask the model.
    let question = prepare(app, caller, &call).await?;
    let admission = place(app, caller, &question, client).await?;
    let held = Held::reserve(app, caller, question.reserve).await?;
    let ask = Ask {
        app,
        caller,
        client,
        offer: &question.valid.offer,
        request: &question.request,
        message: call.answer_id,
        created_at: call.created_at,
        room: question.room,
        held: &held,
    };
    let asked = Instant::now();
    let said = tokio::select! {
        said = trace::call("model", ask.speak(admission)) => said,
        failure = held.failed() => Err(failure),
        () = app.cut.cancelled() => Err(Failure::Stopping),
    };
    let spoken = Instant::now();
    failpoint::here("chat: answered");
    let said = match said {
        Ok(said) => said,
        Err(failure) => {
            held.release().await;
            return Err(failure);
        }
    };
    if client.delivered() > 0 {
        failpoint::here("chat: delivered");
    }

    // [3] Save: both messages and the instruction to settle, in one transaction. The settle follows behind.
    let is_first = question.is_first;
    let (exchange, answered) = exchange(caller, &call, question, said, &held, execution);
    let delivered = client.streams && (!answered.text.is_empty() || answered.choices.is_some());
    let exchange = Arc::new(Exchange { delivered, ..exchange });
    let stored = trace::step("store", app.conversations.record(&exchange));
    let (recorded, ()) = tokio::join!(stored, held.show(exchange.settle.amount));
    let recorded = match recorded {
        Ok(recorded) => recorded,
        Err(error @ (RecordError::Unknown(_) | RecordError::Lost)) => {
            tracing::error!(error = %chain(&error), reservation = %held.instruction.reservation, "commit failed, reservation left to the outbox or its expiry");
            held.leave();
            return Err(Failure::Storage);
        }
        Err(error) => {
            tracing::warn!(error = %chain(&error), "an answer was not stored");
            held.release().await;
            if let Some(execution) = execution {
                app.idempotency.give_up(execution).await;
            }
            return Err(if matches!(error, RecordError::Gone) { Failure::ConversationGone } else { Failure::Storage });
        }
    };
    held.settle(exchange.settle).await;
    if recorded == Recorded::ChargeOnly {
        return Err(Failure::DeletedUnderway { charged: exchange.settle.amount });
    }
    if is_first {
        let asked = exchange.question.as_deref().unwrap_or_default();
        app.titles.begin(app, caller.user, &exchange.target, asked, &exchange.answer.content);
    }
    crate::telemetry::added(asked - began, spoken.elapsed());

    // [4] Return.
    Ok(answered)
}

/// A place at the model, unless the client leaves before there is one.
async fn place(app: &App, caller: &Caller, question: &Question, client: &Client) -> Result<Admission, Failure> {
    tokio::select! {
        place = app.router.admit(&question.request.model, caller.user.as_u128()) => place.map_err(Failure::Model),
        _ = client.gone() => Err(Failure::ClientGone),
    }
}

/// A call that is worth a reservation.
struct Question {
    valid: Valid,
    target: Target,
    spot: Spot,
    request: Request,
    /// Whether it gives its conversation a name.
    is_first: bool,
    /// How many answers are asked for.
    choices: u32,
    /// What to hold back.
    reserve: Credits,
    /// Characters of an answer that this pays for, where the price grows with it.
    room: Option<usize>,
}

/// Validates the call, finds its conversation, and puts together what the model is to read.
async fn prepare(app: &App, caller: &Caller, call: &Call) -> Result<Question, Failure> {
    let spot = Spot::find(&app.conversations, caller, call).await?;
    let valid = validate::check(&spot.input(&call.input), &app.catalog).map_err(Failure::Invalid)?;
    let choices = call.input.choices.max(1);
    let reserve = valid.offer.price.reserve(choices).ok_or(Failure::OutOfCredits { price: Credits::MAX })?;
    let title = validate::title(valid.question());
    let is_first = call.origin == Origin::App && is_to_be_named(spot.conversation.as_ref());
    let target = match valid.conversation {
        None => Target::New { id: ConversationId(clock::new_id()), title, origin: call.origin },
        Some(id) => Target::Existing { id, title },
    };
    // A single message continues the conversation; several are the caller's own idea of it.
    let messages = match valid.messages.as_slice() {
        [_] if call.origin == Origin::App => spot.messages(&app.conversations, caller, call, valid.question()).await?,
        several => several.to_vec(),
    };
    let request = Request {
        model: valid.offer.model.clone(),
        messages,
        parameters: call.input.parameters.clone(),
        raw_messages: call.input.raw_messages.clone(),
        request_id: kit::context::request_id(),
    };
    let room = valid.offer.price.room(|| ai::price::read_chars(&request), reserve);
    if room == Some(0) {
        let why = format!("cost more to read than the {reserve} credits that an answer of this model may cost");
        return Err(Failure::Invalid(vec![kit::FieldError::new("messages", why)]));
    }
    Ok(Question { valid, target, spot, request, is_first, choices, reserve, room })
}

/// What is stored, and what is told, of an answer.
fn exchange(
    caller: &Caller,
    call: &Call,
    question: Question,
    said: Said,
    held: &Held,
    execution: Option<Execution>,
) -> (Exchange, Answered) {
    let mut answered = Answered {
        text: said.text,
        choices: said.choices,
        credits: Credits::ZERO,
        conversation: question.target.id(),
        message: call.answer_id,
        model: said.offer.model.clone(),
        finish: said.finish.to_owned(),
        usage: said.usage,
        created_at: call.created_at,
    };
    let usage = answered.usage.unwrap_or_else(|| estimated(&question, &answered));
    answered.usage = Some(usage);
    let amount = charge(&question, &said.offer, usage, said.given, held.instruction.amount);
    answered.credits = held.left_after(amount);
    // What a person deletes is told to nobody: the answer to give again goes with its conversation.
    let keep = execution.map(|execution| Keep { execution, answer: json_text(&answered) });
    let exchange = Exchange {
        owner: caller.user,
        question_id: call.question_id,
        parent: question.spot.parent,
        question: (!question.spot.is_asked()).then(|| question.valid.question().to_owned()),
        attachments: call.attachments.clone(),
        answer: Answer {
            id: call.answer_id,
            content: stored_text(&answered),
            model: answered.model.clone(),
            finish: said.finish,
            usage: answered.usage,
        },
        target: question.target,
        settle: Instruction { action: Action::Settle, amount, ..held.instruction },
        keep,
        delivered: false,
        begun: call.created_at,
        now: now_ms(),
    };
    (exchange, answered)
}

/// The price of the model that answered; a fallback's is never more than that of the model that was asked. Choices that were asked for and
/// not given cost nothing.
fn charge(question: &Question, offer: &ai::Offer, usage: ai::Usage, given: usize, held: Credits) -> Credits {
    let choices = u32::try_from(given).unwrap_or(u32::MAX).clamp(1, question.choices);
    let cost = offer.price.charge(usage, choices, held);
    if matches!(offer.price, ai::Price::Tokens { .. }) && cost == held {
        metrics::counter!("chat_price_capped_total").increment(1);
    }
    cost
}

/// The tokens of what nobody counted: a provider that does not, or one whose answer was cut short before it did.
fn estimated(question: &Question, answered: &Answered) -> ai::Usage {
    ai::price::estimate(ai::price::read_chars(&question.request), stored_text(answered).chars().count())
}

/// What a conversation shows: the text; further answers and calls of tools below it. PostgreSQL keeps no U+0000, and CommonMark reads
/// U+FFFD for it.
fn stored_text(answered: &Answered) -> String {
    let mut parts = vec![answered.text.clone()];
    for (n, choice) in answered.choices.iter().flatten().enumerate() {
        let message = &choice["message"];
        if n > 0 {
            parts.extend(message["content"].as_str().map(str::to_owned));
        }
        parts.extend(message["tool_calls"].as_array().map(json_text));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n").replace('\0', "\u{fffd}")
}

fn json_text<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("strings, ids, amounts and JSON become JSON")
}

/// The database did not do what it was asked. That it is away is said where it is asked, once.
pub(crate) fn storage(error: &sea_orm::DbErr) -> Failure {
    if kit::database::is_unavailable(error) {
        tracing::debug!(error = %chain(error), "the database does not answer");
    } else {
        tracing::error!(error = %chain(error), "the database refuses a statement");
    }
    Failure::Storage
}

/// An error with its causes, for the one log line it gets.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
