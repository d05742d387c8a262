//! The requests of one connection that carries many at once (HTTP/2, HTTP/3).
//!
//! Each is what a connection is to HTTP/1: it has a [`ConnState`] and deadlines of its own, and ends alone. The connection is idle
//! when none is open; how many of them its client takes back is counted (CVE-2023-44487).

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::conn_state::{ConnState, Stage};
use crate::metrics::Refused;
use crate::ticker::Millis;
use crate::worker::Worker;

/// Time over which requests that are taken back are counted.
const RESETS_WITHIN: Duration = Duration::from_mins(1);

/// The requests of one connection.
pub(crate) struct Streams {
    worker: Rc<Worker>,
    connection: Rc<ConnState>,
    open: Cell<u32>,
    /// Requests taken back before they were answered, and since when they are counted.
    resets: Cell<u32>,
    resets_since: Cell<Millis>,
}

impl Streams {
    pub(crate) fn new(worker: &Rc<Worker>, connection: &Rc<ConnState>) -> Rc<Self> {
        Rc::new(Self {
            worker: Rc::clone(worker),
            connection: Rc::clone(connection),
            open: Cell::new(0),
            resets: Cell::new(0),
            resets_since: Cell::new(0),
        })
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// A request begins.
    pub(crate) fn begin(self: &Rc<Self>) -> Rc<ConnState> {
        Rc::new(self.connection.for_stream(self.enter()))
    }

    /// Whether the client takes back too many requests.
    pub(crate) fn has_too_many_resets(&self, most: u32) -> bool {
        self.resets.get() > most
    }

    fn enter(self: &Rc<Self>) -> Open {
        self.open.set(self.open.get() + 1);
        self.connection.share();
        Open(Rc::clone(self))
    }

    /// A request was taken back before it was answered.
    pub(crate) fn count_reset(&self) {
        let now = self.connection.ticker.now();
        let window = u64::try_from(RESETS_WITHIN.as_millis()).unwrap_or(Millis::MAX);
        if now.saturating_sub(self.resets_since.get()) > window {
            self.resets.set(0);
            self.resets_since.set(now);
        }
        self.resets.set(self.resets.get() + 1);
        self.connection.wake();
    }
}

/// A request that is open, its tunnel included.
pub(crate) struct Open(Rc<Streams>);

impl Drop for Open {
    fn drop(&mut self) {
        let streams = &self.0;
        streams.open.set(streams.open.get() - 1);
        if streams.open.get() == 0 {
            streams.connection.set_stage(Stage::Idle);
            streams.connection.touch();
            streams.connection.wake();
        }
    }
}

/// Drives one request; a request that is overdue is dropped, which resets its stream and no other.
pub(crate) async fn run(streams: &Rc<Streams>, state: &Rc<ConnState>, request: impl Future<Output = ()>) {
    let ticker = &streams.worker.ticker;
    let _watch = ticker.watch(state);
    let mut request = pin!(request);
    let timely = std::future::poll_fn(|cx| {
        if request.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        let due = match state.stage() {
            Stage::Idle => Millis::MAX,
            Stage::Answering { until } => until,
            Stage::Streaming { .. } => state.due(Duration::MAX, Duration::MAX),
        };
        if due <= ticker.now() {
            return Poll::Ready(false);
        }
        state.wake_at(due, cx);
        Poll::Pending
    })
    .await;
    if !timely {
        streams.worker.registry.thread.refuse(Refused::Timeout);
    } else if matches!(state.stage(), Stage::Answering { .. }) {
        // It ended, and there is no answer: its client took it back.
        streams.count_reset();
    }
}
