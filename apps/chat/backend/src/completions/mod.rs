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
mod writer;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use kit::context;
use tokio::time::{Instant, Sleep, sleep};
use tracing::Instrument;

use crate::app::App;
use crate::caller::Caller;
use crate::delivery::{self, Answer, Event};
use crate::failure::Failure;
use crate::lifecycle::{self, Answered, Call};
use writer::Writer;

/// How often a silent stream says that it is alive, so that nothing between us and the client closes it as idle.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Once there is so much to be sent, it is: what comes meanwhile comes next.
const FRAME_BYTES: usize = 16 * 1024;

/// What the client gets first.
enum Beginning {
    /// The whole answer.
    Whole(Box<Answered>),
    /// The first piece of a stream (where the model says nothing, its end), and the rest of it.
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
        Some(event @ Event::Done(_)) if streams => Ok(Beginning::Stream(event, answer)),
        Some(Event::Done(answered)) => Ok(Beginning::Whole(answered)),
        Some(Event::Failed(failure)) => Err(failure),
        // Its task panicked; the reservation was released by its guard.
        None => Err(Failure::Storage),
    }
}

/// Renders the events of a stream, one at a time, until the lifecycle has said its last.
trait Renderer: Send + 'static {
    /// Writes what an event looks like on the wire; may be several events there.
    fn render(&mut self, event: Event, to: &mut Writer);
}

/// Proxies that buffer answers would deliver the words all at once.
const STREAM_HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_TYPE, "text/event-stream"),
    (header::CACHE_CONTROL, "no-cache"),
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

/// A stream of server-sent events that begins with `first`.
fn respond(first: Event, answer: Answer, renderer: impl Renderer) -> Response {
    let alarm = Box::pin(sleep(KEEP_ALIVE));
    let stream = Streamed { first: Some(first), answer, renderer, alarm, last: Instant::now(), over: false };
    let frames = stream::unfold(stream, |mut stream| async move {
        let frame = stream.frame().await?;
        Some((Ok::<_, Infallible>(frame), stream))
    });
    (STREAM_HEADERS, Body::from_stream(frames)).into_response()
}

/// An answer on its way.
struct Streamed<R> {
    first: Option<Event>,
    answer: Answer,
    renderer: R,
    /// Rings when nothing was sent for long, or earlier.
    alarm: Pin<Box<Sleep>>,
    last: Instant,
    over: bool,
}

impl<R: Renderer> Streamed<R> {
    /// All that is there to be sent, waiting for it if nothing is; `None` after the last word.
    async fn frame(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let mut writer = Writer::default();
        match self.first.take() {
            Some(event) => self.render(event, &mut writer),
            None => self.wait(&mut writer).await,
        }
        while !self.over
            && writer.len() < FRAME_BYTES
            && let Some(event) = self.answer.ready()
        {
            self.render(event, &mut writer);
        }
        self.last = Instant::now();
        Some(writer.into_bytes())
    }

    /// The next event, or a word that says we are still there.
    async fn wait(&mut self, writer: &mut Writer) {
        loop {
            tokio::select! {
                biased;
                event = self.answer.next() => {
                    return self.render(event.unwrap_or(Event::Failed(Failure::Storage)), writer);
                }
                () = &mut self.alarm => {
                    let due = self.last + KEEP_ALIVE;
                    let is_due = Instant::now() >= due;
                    self.alarm.as_mut().reset(if is_due { Instant::now() + KEEP_ALIVE } else { due });
                    if is_due {
                        return writer.keep_alive();
                    }
                }
            }
        }
    }

    fn render(&mut self, event: Event, writer: &mut Writer) {
        self.over |= matches!(event, Event::Done(_) | Event::Failed(_));
        self.renderer.render(event, writer);
    }
}
