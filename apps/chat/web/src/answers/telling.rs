//! An answer on its way to a page, as events: `start` `{conversationId}`, `delta` `{keep, html}` for what is new (the first `keep`
//! UTF-16 units of what was given before stay, `html` follows them), then `done` `{credits, model}` or `error` `{code, message, kept}`;
//! `kept` tells whether the conversation is still there. What is written between two frames comes with the second.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::writing::{End, Progress, Writing};
use crate::limits::FRAME;
use crate::markdown::{Growing, Patch};

/// How often a silent stream says that it is alive, so that nothing between us and the browser closes it as idle.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The answer as it is written, from its beginning. `given` is the conversation that the page asks in: one that was there before
/// outlasts an answer that was stopped before it began.
pub(super) fn respond(writing: &Arc<Writing>, given: Option<Uuid>) -> Response {
    let start = writing.conversation.map(|id| event("start", &json!({ "conversationId": id })));
    let stays = writing.conversation.is_none() && given.is_some();
    let reading = Reading { progress: writing.read(), text: Growing::default(), next_frame: Instant::now(), stays };
    let rest = stream::unfold(Some(reading), |reading| async move { Some(reading?.next().await) });
    let events = stream::iter(start).chain(rest.flat_map(stream::iter)).map(Ok::<_, Infallible>);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // Proxies that buffer answers would deliver the words all at once.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// One page that reads along.
struct Reading {
    progress: watch::Receiver<Progress>,
    text: Growing,
    next_frame: Instant,
    /// Whether its conversation stays, however it ends.
    stays: bool,
}

impl Reading {
    /// What is to be told next, and who tells what follows.
    async fn next(mut self) -> (Vec<Event>, Option<Self>) {
        loop {
            // Its writer ends it before it goes; a look at what there is comes first all the same.
            let _ = self.progress.changed().await;
            tokio::time::sleep_until(self.next_frame).await;
            let end = {
                let now = self.progress.borrow_and_update();
                self.text.push(&now.text[self.text.len()..]);
                now.end.clone()
            };
            let delta = if end.is_some() { self.text.whole() } else { self.text.patch() };
            let mut events: Vec<_> = delta.map(|patch| drawn(&patch)).into_iter().collect();
            if let Some(end) = end {
                events.push(ended(&end, self.stays));
                return (events, None);
            }
            if !events.is_empty() {
                self.next_frame = Instant::now() + FRAME;
                return (events, Some(self));
            }
        }
    }
}

fn drawn(patch: &Patch) -> Event {
    event("delta", &json!({ "keep": patch.keep, "html": patch.html }))
}

fn ended(end: &End, stays: bool) -> Event {
    match end {
        End::Done { credits, model } => event("done", &json!({ "credits": credits, "model": model })),
        End::Failed { words, kept } => {
            event("error", &json!({ "code": words.code, "message": words.text, "kept": *kept || stays }))
        }
    }
}

fn event(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}
