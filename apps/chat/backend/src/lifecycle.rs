//! One answer, from the question to the charge: the seed's request lifecycle as a straight line.
//!
//! Every paid path of both protocols, plain and streamed, is this one function. It runs in a task of its own: what it
//! has begun it finishes, whether or not the client waits for it.
//!
//! Who pays for what, when something goes wrong (nothing else in the service decides this):
//! - The ledger's reserve admits or refuses, nothing else. No answer from the ledger: no model call.
//! - The model fails, or its stream breaks: nothing is stored, the reservation is released.
//! - The client leaves before it was given any text: the model call is cancelled, the reservation released.
//! - The client leaves after it was given text: the model call is cancelled; the text it was given is stored, with
//!   `finish` = `cancelled`, and charged: a started answer costs what a whole one does. (A plain answer is given whole,
//!   so for it only the rule above applies; once the model has answered it is stored and charged, and the person finds
//!   it in the conversation.)
//! - The process must end before the model has finished: as if the model had failed.
//! - The answer cannot be stored: the reservation is released. If it is unknown whether it was stored (the commit itself
//!   failed), the reservation is left alone: the outbox settles it if it was, it expires if it was not.
//! - The settle cannot be delivered: the answer is given all the same; the outbox repeats the settle until it is.

use std::sync::Arc;
use std::time::Instant;

use ai::Request;
use kit::{Credits, clock};

use crate::app::App;
use crate::caller::Caller;
use crate::conversations::{Answer, Attachment, Exchange, Origin, Place, RecordError, Spot, Target, is_to_be_named};
use crate::delivery::Client;
use crate::failure::Failure;
use crate::ids::{ConversationId, MessageId};
use crate::outbox::{Action, Instruction};
use crate::speech::{self, Said};
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
    /// Taken before that of the answer: messages are read back in the order of their ids.
    question_id: MessageId,
    /// Known before the answer is, so that the pieces of a stream can name it.
    pub(crate) answer_id: MessageId,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
}

impl Call {
    pub(crate) fn new(input: Input, origin: Origin) -> Self {
        Self {
            input,
            origin,
            place: Place::End,
            attachments: Vec::new(),
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
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) text: String,
    /// What is left.
    pub(crate) credits: Credits,
    pub(crate) conversation: ConversationId,
    pub(crate) message: MessageId,
    pub(crate) model: String,
    pub(crate) finish: &'static str,
    pub(crate) usage: Option<ai::Usage>,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
}

/// Answers a call and tells the client how it ended.
pub(crate) async fn run(app: Arc<App>, caller: Caller, call: Call, client: Client) {
    let started = Instant::now();
    let outcome = answer(&app, &caller, call, &client).await;
    crate::telemetry::answered(&outcome, started.elapsed());
    client.finish(outcome).await;
}

async fn answer(app: &Arc<App>, caller: &Caller, call: Call, client: &Client) -> Result<Answered, Failure> {
    // [2] Credits: what the client is shown. It neither admits nor refuses.
    app.balances.balance(caller.user).await?;

    // [3] Business logic: validate, reserve, ask the model.
    let question = prepare(app, caller, &call).await?;
    let _place = app.places.take().await?;
    let held = Held::reserve(app, caller, question.valid.offer.price).await?;
    let said = tokio::select! {
        said = speech::speak(&question.valid.offer, &question.request, client) => said,
        () = app.cut.cancelled() => Err(Failure::Stopping),
    };
    let said = match said {
        Ok(said) => said,
        Err(failure) => {
            held.release().await;
            return Err(failure);
        }
    };

    // [4] Save: both messages and the instruction to settle, in one transaction; then settle.
    let is_first = question.is_first;
    let exchange = exchange(caller, &call, question, said, &held, now_ms());
    match app.conversations.record(&exchange).await {
        Ok(()) => {}
        Err(error @ RecordError::Unknown(_)) => {
            tracing::error!(error = %chain(&error), reservation = %held.instruction.reservation, "commit failed, reservation left to the outbox or its expiry");
            held.leave();
            return Err(Failure::Storage);
        }
        Err(error) => {
            tracing::warn!(error = %chain(&error), "an answer was not stored");
            held.release().await;
            return Err(if matches!(error, RecordError::Gone) { Failure::ConversationGone } else { Failure::Storage });
        }
    }
    let credits = held.settle(exchange.settle).await;
    if is_first {
        let asked = exchange.question.as_deref().unwrap_or_default();
        app.titles.begin(app, caller.user, &exchange.target, asked, &exchange.answer.content);
    }

    // [5] Return.
    Ok(Answered {
        text: exchange.answer.content,
        credits,
        conversation: exchange.target.id(),
        message: exchange.answer.id,
        model: exchange.answer.model,
        finish: exchange.answer.finish,
        usage: exchange.answer.usage,
        created_at: call.created_at,
    })
}

/// A call that is worth a reservation.
struct Question {
    valid: Valid,
    target: Target,
    spot: Spot,
    request: Request,
    /// Whether it gives its conversation a name.
    is_first: bool,
}

/// Validates the call, finds its conversation, and puts together what the model is to read.
async fn prepare(app: &App, caller: &Caller, call: &Call) -> Result<Question, Failure> {
    let spot = Spot::find(&app.conversations, caller, call).await?;
    let valid = validate::check(&spot.input(&call.input), &app.catalog).map_err(Failure::Invalid)?;
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
        request_id: kit::context::request_id(),
    };
    Ok(Question { valid, target, spot, request, is_first })
}

fn exchange(caller: &Caller, call: &Call, question: Question, said: Said, held: &Held, now: i64) -> Exchange {
    Exchange {
        owner: caller.user,
        question_id: call.question_id,
        parent: question.spot.parent,
        question: (!question.spot.is_asked()).then(|| question.valid.question().to_owned()),
        attachments: call.attachments.clone(),
        answer: Answer {
            id: call.answer_id,
            content: said.text,
            model: question.request.model,
            finish: said.finish,
            usage: said.usage,
        },
        target: question.target,
        settle: Instruction { action: Action::Settle, ..held.instruction },
        begun: call.created_at,
        now,
    }
}

/// Credits the ledger holds back for this answer. Dropped unresolved (which only a bug or a panic does), they are released.
struct Held {
    app: Arc<App>,
    instruction: Instruction,
    /// What is left beside them.
    left: Credits,
    resolved: bool,
}

impl Held {
    async fn reserve(app: &Arc<App>, caller: &Caller, price: Credits) -> Result<Self, Failure> {
        let reserved = app.ledger.reserve(caller.user, price, clock::new_id()).await?;
        Ok(Self {
            app: app.clone(),
            instruction: Instruction {
                reservation: reserved.id,
                user: caller.user,
                action: Action::Release,
                amount: price,
            },
            left: reserved.left,
            resolved: false,
        })
    }

    async fn release(mut self) {
        self.resolved = true;
        self.app.outbox.release(self.instruction).await;
    }

    /// Delivers the instruction that is in the outbox already; gives what is left.
    async fn settle(mut self, settle: Instruction) -> Credits {
        self.resolved = true;
        self.app.outbox.settle_now(settle).await.unwrap_or(self.left)
    }

    /// Leaves the reservation to whoever resolves it later.
    fn leave(mut self) {
        self.resolved = true;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.resolved {
            let (app, instruction) = (self.app.clone(), self.instruction);
            tracing::error!(reservation = %instruction.reservation, "an answer ended without resolving its reservation, releasing it");
            self.app.tasks.spawn(async move { app.outbox.release(instruction).await });
        }
    }
}

pub(crate) fn storage(error: &sea_orm::DbErr) -> Failure {
    tracing::error!(error = %chain(error), "the database does not answer");
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
