//! A step on the screen.

use std::time::Instant;

use crate::event::{Event, Events};

/// A step on the screen.
pub(crate) struct Step {
    name: String,
    began: Instant,
}

impl Step {
    pub(crate) async fn begin(events: &Events, name: &str, what: impl Into<String>) -> Self {
        events.tell(Event::Started { step: name.to_owned(), what: what.into() }).await;
        Self { name: name.to_owned(), began: Instant::now() }
    }

    pub(crate) async fn end(self, events: &Events, ok: bool, detail: &str) {
        let took = self.began.elapsed();
        events.tell(Event::Ended { step: self.name, ok, detail: detail.to_owned(), took }).await;
    }
}
