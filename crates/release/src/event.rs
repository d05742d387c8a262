//! What happens while a release is made, for whoever watches.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// Lines on their way to the screen. A slow reader slows the build down rather than filling memory.
pub const QUEUE: usize = 256;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A step begins.
    Started {
        /// `checkout`, `build`, `check lint`, …
        step: String,
        /// What is done in it.
        what: String,
    },
    /// A line of output.
    Line {
        /// Of which step.
        step: String,
        /// Without its end; control characters are taken out.
        text: String,
    },
    /// A step has ended.
    Ended {
        /// Which one.
        step: String,
        /// Whether it succeeded.
        ok: bool,
        /// Why not, or what came of it.
        detail: String,
        /// How long it took.
        #[serde(rename = "took_ms", serialize_with = "as_millis", deserialize_with = "of_millis")]
        took: Duration,
    },
    /// Something a person should know.
    Note {
        /// What.
        text: String,
    },
}

fn as_millis<S: serde::Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
}

fn of_millis<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

/// Tells whoever watches. Nobody has to.
#[derive(Debug, Clone)]
pub struct Events(Option<mpsc::Sender<Event>>);

impl Events {
    /// Events and their reader.
    pub fn channel() -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(Some(sender)), receiver)
    }

    /// Nobody watches.
    pub fn nowhere() -> Self {
        Self(None)
    }

    pub(crate) async fn tell(&self, event: Event) {
        if let Some(sender) = &self.0 {
            // Whoever has gone does not want to know any more.
            let _ = sender.send(event).await;
        }
    }

    /// Tells a person something.
    pub async fn note(&self, text: impl Into<String>) {
        self.tell(Event::Note { text: text.into() }).await;
    }
}
