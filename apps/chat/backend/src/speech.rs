//! Lets the model speak and the client listen, until one of them stops. No credits and no database here, but that a stream begins only once what pays for it is durable.

use std::collections::VecDeque;

use ai::router::Admission;
use ai::{Delta, Ending, Finish, Gathered, Offer, Request};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::sleep;

use crate::app::App;
use crate::caller::Caller;
use crate::delivery::{Client, Event, Gone, Lead};
use crate::failure::Failure;
use crate::held::Held;
use crate::ids::MessageId;
use crate::pace;
use crate::telemetry::ModelCall;

/// How an answer ended that its reader did not wait for.
const CANCELLED: &str = "cancelled";

/// What the model said, as far as it counts.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) text: String,
    /// The whole of it, where it is more than one text.
    pub(crate) choices: Option<Vec<Value>>,
    pub(crate) finish: &'static str,
    pub(crate) usage: Option<ai::Usage>,
    /// How many choices there are; of an answer that was cut short, how many had begun.
    pub(crate) given: usize,
    /// Who said it.
    pub(crate) offer: Offer,
}

/// A call on its way to the model.
pub(crate) struct Ask<'a> {
    pub(crate) app: &'a App,
    pub(crate) caller: &'a Caller,
    pub(crate) client: &'a Client,
    pub(crate) offer: &'a Offer,
    pub(crate) request: &'a Request,
    pub(crate) message: MessageId,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
    /// Characters that what is held back pays for; `None` where the price does not grow with the answer.
    pub(crate) room: Option<usize>,
    /// What pays for it.
    pub(crate) held: &'a Held,
}

impl Ask<'_> {
    /// Asks the model. Gives what is to be stored and charged, or why nothing is. Whenever this returns, the call to the
    /// provider is over: returning drops it, and that closes its connection.
    pub(crate) async fn speak(&self, admission: Admission) -> Result<Said, Failure> {
        let call = ModelCall::begin(self.offer);
        let said = if self.client.streams { self.stream(admission).await } else { self.whole(admission).await };
        call.end(&said);
        said
    }

    fn who(&self) -> u128 {
        self.caller.user.as_u128()
    }

    async fn whole(&self, admission: Admission) -> Result<Said, Failure> {
        tokio::select! {
            answer = self.app.router.complete(admission, self.who(), self.request) => {
                let (answer, offer) = answer.map_err(Failure::Model)?;
                let Ending { finish, usage } = answer.ending;
                let (text, choices) = (answer.content, answer.choices);
                let given = choices.as_ref().map_or(1, Vec::len);
                Ok(Said { text, choices, finish: finish.as_str(), usage, given, offer })
            }
            Gone = self.client.gone() => Err(Failure::ClientGone),
        }
    }

    async fn stream(&self, admission: Admission) -> Result<Said, Failure> {
        let (mut deltas, offer) = tokio::select! {
            begun = self.app.router.stream(admission, self.who(), self.request) => begun.map_err(Failure::Model)?,
            Gone = self.client.gone() => return Err(Failure::ClientGone),
        };
        // Nobody is given what is not paid for.
        self.held.durable().await?;
        self.client.leads(Lead { message: self.message, model: offer.model.clone(), created_at: self.created_at });
        let paced = self.app.pace.join();
        let mut pieces = VecDeque::new();
        let mut room = self.room;
        let mut heard = Heard::default();
        let gone = self.client.gone();
        tokio::pin!(gone);
        loop {
            let delta = if let Some(delta) = pieces.pop_front() {
                Some(delta)
            } else {
                tokio::select! {
                    biased;
                    Gone = &mut gone => return heard.cut(self.client, offer),
                    delta = deltas.next() => delta,
                }
            };
            let piece = match delta {
                Some(Ok(Delta::End(ending))) => return heard.end(self.client, ending, offer),
                Some(Ok(piece)) => piece,
                Some(Err(error)) if error.is_limit() => {
                    tracing::info!(%error, "an answer ends at a limit");
                    metrics::counter!("chat_answers_limited_total", "code" => error.code()).increment(1);
                    return heard.limited(self.client, offer);
                }
                Some(Err(error)) => return Err(Failure::Model(error)),
                None => {
                    let provider = offer.provider.name().to_owned();
                    return Err(Failure::Model(ai::Error::Broken {
                        provider,
                        reason: "it ended without an end".into(),
                    }));
                }
            };
            let chars = room.map_or(0, |_| ai::price::said_chars(&piece));
            if heard.say(piece, self.client).await == Err(Gone) {
                return heard.cut(self.client, offer);
            }
            if let Some(left) = &mut room {
                *left = left.saturating_sub(chars);
                if *left == 0 {
                    metrics::counter!("chat_answers_limited_total", "code" => "price").increment(1);
                    return heard.limited(self.client, offer);
                }
            }
            if pieces.is_empty()
                && let Some(pause) = paced.pause()
            {
                tokio::select! {
                    Gone = &mut gone => return heard.cut(self.client, offer),
                    () = sleep(pause) => pieces = pace::gather(&mut deltas).await,
                }
            }
        }
    }
}

/// What was said, told apart by whether the client was given it.
#[derive(Default)]
struct Heard {
    delivered: Gathered,
    delivered_pieces: usize,
    /// Sent, but maybe not taken: no more than what is on its way to a client.
    pending: VecDeque<Delta>,
}

impl Heard {
    /// Sends a piece on.
    async fn say(&mut self, piece: Delta, client: &Client) -> Result<(), Gone> {
        let event = match &piece {
            Delta::Content(text) => Event::Text(text.clone()),
            Delta::Choices(choices) => Event::Choices(choices.clone()),
            // Not a piece.
            Delta::End(_) => return Ok(()),
        };
        self.pending.push_back(piece);
        self.settle(client.delivered());
        client.piece(event).await
    }

    fn settle(&mut self, delivered: usize) {
        while self.delivered_pieces < delivered
            && let Some(piece) = self.pending.pop_front()
        {
            self.delivered.push(&piece);
            self.delivered_pieces += 1;
        }
    }

    /// What counts when the client left: what it was given, if anything.
    fn cut(mut self, client: &Client, offer: Offer) -> Result<Said, Failure> {
        self.settle(client.delivered());
        if self.delivered_pieces == 0 {
            return Err(Failure::ClientGone);
        }
        Ok(cut_short(self.delivered, CANCELLED, offer))
    }

    /// A limit of ours ended it: what was sent is the answer, as if the model had been allowed no more.
    fn limited(mut self, client: &Client, offer: Offer) -> Result<Said, Failure> {
        if self.left_early(client) {
            return self.cut(client, offer);
        }
        self.settle(usize::MAX);
        Ok(cut_short(self.delivered, Finish::Length.as_str(), offer))
    }

    /// The model has said all.
    fn end(mut self, client: &Client, ending: Ending, offer: Offer) -> Result<Said, Failure> {
        if self.left_early(client) {
            // As if it had left before the end: it was not given all of it.
            return self.cut(client, offer);
        }
        self.settle(usize::MAX);
        let given = self.delivered.given();
        Ok(said(self.delivered, ending.finish.as_str(), ending.usage, given, offer))
    }

    /// Whether the client has left without all that was sent.
    fn left_early(&mut self, client: &Client) -> bool {
        self.settle(client.delivered());
        client.is_gone() && (!self.pending.is_empty() || self.delivered_pieces == 0)
    }
}

fn cut_short(gathered: Gathered, finish: &'static str, offer: Offer) -> Said {
    let begun = gathered.begun();
    said(gathered, finish, None, begun, offer)
}

fn said(gathered: Gathered, finish: &'static str, usage: Option<ai::Usage>, given: usize, offer: Offer) -> Said {
    let choices = gathered.choices(finish);
    Said { text: gathered.text, choices, finish, usage, given, offer }
}
