//! The way from the lifecycle to the client: bounded, and each side notices when the other leaves.
//!
//! The lifecycle runs in a task of its own, so that credits are settled or released whatever happens to the connection.
//! It holds a [`Client`], the request's handler an [`Answer`]. When the connection ends, the handler or the body is
//! dropped, the `Answer` with it, and the lifecycle's next word (or its waiting for one) finds the client gone.
//!
//! "Delivered" is what the server took out of the channel to write it to the socket: a piece still in the channel was not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::ids::MessageId;
use crate::lifecycle::Answered;

/// Words on their way to one client. A model writes in bursts; more than this in flight only costs memory.
const IN_FLIGHT: usize = 32;

/// A client that takes nothing for so long counts as gone: it holds a model call open.
const CLIENT_STALL: Duration = Duration::from_secs(30);

/// What comes to the client, in this order: texts (streamed answers only), then one of the other two.
#[derive(Debug)]
pub(crate) enum Event {
    Text(String),
    /// What is more than one text: choices as a chunk of OpenAI's protocol has them.
    Choices(Vec<serde_json::Value>),
    Done(Box<Answered>),
    Failed(Failure),
}

/// What is known of an answer before its first piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lead {
    pub(crate) message: MessageId,
    pub(crate) model: String,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
}

/// The client is no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// The lifecycle's end.
#[derive(Debug)]
pub(crate) struct Client {
    events: mpsc::Sender<Event>,
    delivered: Arc<AtomicUsize>,
    lead: Arc<OnceLock<Lead>>,
    /// Whether the client wants the text as it is written.
    pub(crate) streams: bool,
}

/// The handler's end.
#[derive(Debug)]
pub(crate) struct Answer {
    events: mpsc::Receiver<Event>,
    delivered: Arc<AtomicUsize>,
    lead: Arc<OnceLock<Lead>>,
}

/// Both ends of one answer's way.
pub(crate) fn channel(streams: bool) -> (Client, Answer) {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let (delivered, lead) = (Arc::new(AtomicUsize::new(0)), Arc::new(OnceLock::new()));
    (
        Client { events: sender, delivered: delivered.clone(), lead: lead.clone(), streams },
        Answer { events: receiver, delivered, lead },
    )
}

impl Client {
    /// Says whose answer it is; before the first piece.
    pub(crate) fn leads(&self, lead: Lead) {
        let _ = self.lead.set(lead);
    }

    /// Sends a piece, as fast as the client reads.
    pub(crate) async fn piece(&self, piece: Event) -> Result<(), Gone> {
        let piece = match self.events.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Gone),
            Err(TrySendError::Full(piece)) => piece,
        };
        match timeout(CLIENT_STALL, self.events.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }

    /// Resolves when the client leaves.
    pub(crate) async fn gone(&self) -> Gone {
        self.events.closed().await;
        Gone
    }

    /// Whether the client has left.
    pub(crate) fn is_gone(&self) -> bool {
        self.events.is_closed()
    }

    /// How many pieces the client was given.
    pub(crate) fn delivered(&self) -> usize {
        self.delivered.load(Ordering::SeqCst)
    }

    /// The last event. Whether anyone still reads it no longer matters: what it tells has happened.
    pub(crate) async fn finish(self, outcome: Result<Answered, Failure>) {
        let event = match outcome {
            Ok(answered) => Event::Done(Box::new(answered)),
            Err(failure) => Event::Failed(failure),
        };
        let _ = timeout(CLIENT_STALL, self.events.send(event)).await;
    }
}

impl Answer {
    /// The next event; `None` only if the lifecycle died without a last word.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await?;
        self.count(&event);
        Some(event)
    }

    /// The next event, if it is there already.
    pub(crate) fn ready(&mut self) -> Option<Event> {
        let event = self.events.try_recv().ok()?;
        self.count(&event);
        Some(event)
    }

    fn count(&self, event: &Event) {
        if matches!(event, Event::Text(_) | Event::Choices(_)) {
            self.delivered.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Whose answer it is; known once there is a piece of it.
    pub(crate) fn lead(&self) -> Option<&Lead> {
        self.lead.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_was_taken_counts_as_delivered() {
        let (client, mut answer) = channel(true);
        client.piece(Event::Text("one".into())).await.unwrap();
        client.piece(Event::Text("two".into())).await.unwrap();
        answer.next().await.unwrap();
        drop(answer);
        assert_eq!(client.gone().await, Gone);
        assert_eq!(client.delivered(), 1);
        assert_eq!(client.piece(Event::Text("three".into())).await, Err(Gone));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_reading_counts_as_gone() {
        let (client, _answer) = channel(true);
        for _ in 0..IN_FLIGHT {
            client.piece(Event::Text("x".into())).await.unwrap();
        }
        assert_eq!(client.piece(Event::Text("x".into())).await, Err(Gone));
        assert_eq!(client.delivered(), 0);
    }
}
