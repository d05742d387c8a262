//! What the parts of one client connection know of each other: its socket, its driver and the request on it.
//!
//! All of them run in one task on one thread, so cells are enough. Invariant: `stage` is [`Stage::Idle`] exactly when
//! no request is being answered; the request's [`Busy`] guard sees to it, however the request ends.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use http::HeaderValue;
use hyper::upgrade::OnUpgrade;

use crate::streams::Open;
use crate::table::Role;
use crate::ticker::{Millis, NEVER, Ticker};
use crate::upgrade::Tunnel;

pub(crate) struct ConnState {
    /// The other end: as the socket says, or as a trusted proxy says in the PROXY header.
    pub(crate) peer: SocketAddr,
    /// Its address as a header value, made once.
    pub(crate) peer_text: HeaderValue,
    /// The other end is a proxy that does not say for whom it asks: whoever that is, what it claims is not believed.
    pub(crate) anonymous: Cell<bool>,
    /// It came over TLS.
    pub(crate) secure: bool,
    /// Where the same is to be had over HTTP/3.
    pub(crate) alternative: Option<HeaderValue>,
    /// The listener it came through, as the snapshot declares it.
    pub(crate) listener: SocketAddr,
    /// What the current table says of listener and peer; worked out again when the table changes.
    pub(crate) standing: Cell<Standing>,
    /// Set by a request that was answered with 101: what goes on after HTTP.
    pub(crate) tunnel: RefCell<Option<Tunnel>>,
    /// What its stream becomes after a request for a tunnel, in HTTP/2.
    pub(crate) upgrade: RefCell<Option<OnUpgrade>>,
    /// Keeps the connection that it is a stream of from being idle.
    open: Option<Open>,
    /// The connection shall end after the request in progress.
    pub(crate) closing: Cell<bool>,
    /// HTTP is over on this connection.
    pub(crate) tunnelling: Cell<bool>,
    /// A request's body was not read to its end: closing must not reset the answer away.
    pub(crate) unread: Cell<bool>,
    pub(crate) ticker: Rc<Ticker>,
    stage: Cell<Stage>,
    /// When the answer that passes has to be at its end.
    ends: Cell<Millis>,
    /// When a byte last moved, either way.
    progress: Cell<Millis>,
    /// When the first byte of a request's head came, while the head is incomplete.
    head_since: Cell<Option<Millis>>,
    /// A request of several at once has begun: what comes between requests need not be a head.
    is_shared: Cell<bool>,
    /// The client does not take what is written.
    blocked: Cell<bool>,
    deadline: Cell<Millis>,
    waker: RefCell<Option<Waker>>,
}

/// What a request is doing; it decides which timeout applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Between requests, or reading a head.
    Idle,
    /// An answer is being worked out; it has to be there at this time.
    Answering { until: Millis },
    /// The answer's body is passing; silence is bounded by this.
    Streaming { silence: Duration },
}

/// A connection's standing under one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) epoch: u64,
    pub(crate) role: Role,
    pub(crate) trusted: bool,
}

impl ConnState {
    pub(crate) fn new(peer: SocketAddr, listener: SocketAddr, secure: bool, ticker: &Rc<Ticker>) -> Self {
        let text = peer.ip().to_canonical().to_string();
        let peer_text = HeaderValue::try_from(text).expect("an address has no control characters");
        Self::of(peer, peer_text, listener, secure, ticker)
    }

    /// Of one of several requests on this connection.
    pub(crate) fn for_stream(&self, open: Open) -> Self {
        let mut state = Self::of(self.peer, self.peer_text.clone(), self.listener, self.secure, &self.ticker);
        state.anonymous.set(self.anonymous.get());
        state.standing.set(self.standing.get());
        state.alternative.clone_from(&self.alternative);
        state.open = Some(open);
        state
    }

    fn of(peer: SocketAddr, peer_text: HeaderValue, listener: SocketAddr, secure: bool, ticker: &Rc<Ticker>) -> Self {
        Self {
            peer,
            peer_text,
            anonymous: Cell::new(false),
            secure,
            alternative: None,
            listener,
            standing: Cell::new(Standing { epoch: 0, role: Role::Gone, trusted: false }),
            tunnel: RefCell::default(),
            upgrade: RefCell::default(),
            open: None,
            closing: Cell::new(false),
            tunnelling: Cell::new(false),
            unread: Cell::new(false),
            ticker: Rc::clone(ticker),
            stage: Cell::new(Stage::Idle),
            ends: Cell::new(NEVER),
            progress: Cell::new(ticker.now()),
            head_since: Cell::new(None),
            is_shared: Cell::new(false),
            blocked: Cell::new(false),
            deadline: Cell::new(NEVER),
            waker: RefCell::default(),
        }
    }

    /// A request begins.
    pub(crate) fn begin(self: &Rc<Self>) -> Busy {
        self.stage.set(Stage::Answering { until: NEVER });
        self.head_since.set(None);
        self.ends.set(NEVER);
        Busy { state: Rc::clone(self) }
    }

    /// One of several requests begins.
    pub(crate) fn share(&self) {
        self.stage.set(Stage::Answering { until: NEVER });
        self.head_since.set(None);
        self.is_shared.set(true);
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage.get()
    }

    pub(crate) fn set_stage(&self, stage: Stage) {
        self.stage.set(stage);
    }

    /// The answer that passes has to be at its end at this time.
    pub(crate) fn end_at(&self, ends: Millis) {
        self.ends.set(ends);
    }

    /// When a byte last moved.
    pub(crate) fn progress(&self) -> Millis {
        self.progress.get()
    }

    /// A byte moved somewhere.
    pub(crate) fn touch(&self) {
        self.progress.set(self.ticker.now());
    }

    /// The client sent something.
    pub(crate) fn did_read(&self) {
        self.touch();
        if self.stage.get() == Stage::Idle && self.head_since.get().is_none() && !self.is_shared.get() {
            self.head_since.set(Some(self.ticker.now()));
        }
    }

    /// The client took something.
    pub(crate) fn did_write(&self) {
        self.touch();
        self.blocked.set(false);
    }

    /// Whether the client takes nothing at present.
    pub(crate) fn waits_for_reader(&self) -> bool {
        self.blocked.get()
    }

    /// The client takes nothing at present.
    pub(crate) fn is_blocked(&self) {
        self.blocked.set(true);
    }

    /// Whether part of a head has come, but not all of it.
    pub(crate) fn is_in_head(&self) -> bool {
        self.head_since.get().is_some()
    }

    /// The time at which the connection's present stage has lasted too long.
    pub(crate) fn due(&self, header_timeout: Duration, idle_timeout: Duration) -> Millis {
        let plus =
            |from: Millis, bound: Duration| from.saturating_add(u64::try_from(bound.as_millis()).unwrap_or(NEVER));
        match (self.stage.get(), self.head_since.get()) {
            (Stage::Answering { until }, _) => until,
            (Stage::Streaming { silence }, _) => plus(self.progress.get(), silence).min(self.ends.get()),
            (Stage::Idle, Some(since)) if !self.blocked.get() => plus(since, header_timeout),
            (Stage::Idle, _) => plus(self.progress.get(), idle_timeout),
        }
    }

    /// Remembers whom to wake, and when.
    pub(crate) fn wake_at(&self, deadline: Millis, cx: &Context<'_>) {
        self.deadline.set(deadline);
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    pub(crate) fn wake_if_overdue(&self, now: Millis) {
        if self.deadline.get() <= now {
            self.wake();
        }
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// A request is being answered while this lives.
pub(crate) struct Busy {
    pub(crate) state: Rc<ConnState>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.state.stage.set(Stage::Idle);
        self.state.touch();
    }
}
