//! The two protocols in which an answer can be asked for. Both do the same: read the call, start the lifecycle in a task
//! of its own, and write what comes out of it in their own words.
//!
//! Until the first word of a stream, every failure is an ordinary HTTP error: the status line is sent with the first word,
//! not before, so a client's retry logic sees what happened. After it, a failure is an event of the stream.
//!
//! To add a protocol: a module that makes a [`Call`] and renders [`Event`]s. Nothing of paying or storing belongs in it.

pub(crate) mod native;
pub(crate) mod openai;
mod openai_schema;
mod openai_wire;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use kit::context;
use tracing::Instrument;

use crate::app::App;
use crate::caller::Caller;
use crate::delivery::{self, Answer, Event};
use crate::failure::Failure;
use crate::lifecycle::{self, Answered, Call};

/// How often a silent stream says that it is alive, so that nothing between us and the client closes it as idle.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What the client gets first.
enum Beginning {
    /// The whole answer.
    Whole(Box<Answered>),
    /// The first piece of a stream, and the rest of it.
    Stream(Event, Answer),
}

/// Starts the lifecycle and waits until it is known whether there is an answer.
async fn begin(app: &Arc<App>, caller: Caller, call: Call, streams: bool) -> Result<Beginning, Failure> {
    let (client, mut answer) = delivery::channel(streams);
    // The task goes on being part of this request: its logs and its calls onward carry the request's id.
    let work = lifecycle::run(app.clone(), caller, call, client).instrument(tracing::Span::current());
    match context::current() {
        Some(context) => app.tasks.spawn(context.scope(work)),
        None => app.tasks.spawn(work),
    };
    match answer.next().await {
        Some(event @ (Event::Text(_) | Event::Choices(_))) => Ok(Beginning::Stream(event, answer)),
        Some(Event::Done(answered)) => Ok(Beginning::Whole(answered)),
        Some(Event::Failed(failure)) => Err(failure),
        // Its task panicked; the reservation was released by its guard.
        None => Err(Failure::Storage),
    }
}

/// Renders the events of a stream, one at a time, until the lifecycle has said its last.
trait Renderer: Send + 'static {
    /// What an event looks like on the wire; may be several events there.
    fn render(&mut self, event: Event) -> Vec<SseEvent>;
}

/// A stream of server-sent events that begins with `first`.
fn respond(first: Event, answer: Answer, renderer: impl Renderer) -> Response {
    let first = Some(first);
    let events =
        stream::unfold((first, answer, renderer, false), |(first, mut answer, mut renderer, over)| async move {
            if over {
                return None;
            }
            let event = match first {
                Some(event) => event,
                None => answer.next().await.unwrap_or(Event::Failed(Failure::Storage)),
            };
            let over = matches!(event, Event::Done(_) | Event::Failed(_));
            Some((stream::iter(renderer.render(event)), (None, answer, renderer, over)))
        });
    let mut response = Sse::new(flat(events)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // Proxies that buffer answers would deliver the words all at once.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    response
}

fn flat(
    events: impl Stream<Item = stream::Iter<std::vec::IntoIter<SseEvent>>>,
) -> impl Stream<Item = Result<SseEvent, Infallible>> {
    use futures_util::StreamExt;
    events.flatten().map(Ok)
}
