//! One HTTP/2 connection: many requests at once, each with a state and a task of its own.
//!
//! A request here is what a connection is to HTTP/1: it has its own [`ConnState`], its own deadlines, and ends alone. What
//! the connection itself is left to watch is that it does not lie idle, that what its client begins to send comes to an end
//! (`frames`), and that it does not keep the edge busy with requests that it takes back at once (CVE-2023-44487).

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::body::{Body, ClientBody};
use crate::client_socket::ClientSocket;
use crate::clock;
use crate::conn_state::{ConnState, Stage};
use crate::frames::Unfinished;
use crate::gather::Gather;
use crate::metrics::Refused;
use crate::record::Record;
use crate::serve::serve;
use crate::streams::{self, Streams};
use crate::table::Limits;
use crate::ticker::{Millis, NEVER};
use crate::transport::Transport;
use crate::upgrade::Tunnel;
use crate::worker::Worker;

/// How much of a request's body may be on its way before the service takes it; what all of a connection's may.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How much of an answer is taken from a service before the client takes it.
const SEND_BUFFER: usize = 64 * 1024;

/// Answers a connection's requests until it closes.
pub(crate) async fn drive(worker: Rc<Worker>, socket: Transport, state: Rc<ConnState>) {
    let limits = worker.view().table.limits.clone();
    let streams = Streams::new(&worker, &state);
    let begun = Rc::new(RefCell::default());
    let service = service_fn(|mut request: Request<Incoming>| {
        let state = streams.begin();
        begun.replace(Some(Rc::clone(&state)));
        extended_connect(&mut request, &state);
        serve(&worker, &state, request.map(ClientBody::Http2))
    });
    // Its requests may become tunnels, which are looked after together.
    state.tunnelling.set(true);
    let socket = Gather::new(ClientSocket::new(socket, Rc::clone(&state)));
    let io = TokioIo::new(socket.clone());
    let mut http = builder(&limits, Tasks { streams: Rc::clone(&streams), begun: Rc::clone(&begun) })
        .serve_connection(io, service);
    let mut closing = false;
    let overdue = std::future::poll_fn(|cx| {
        if !closing && (worker.is_draining() || state.closing.get()) {
            closing = true;
            Pin::new(&mut http).graceful_shutdown();
        }
        if Pin::new(&mut http).poll(cx).is_ready() || matches!(socket.poll_turn(cx), Poll::Ready(Err(_))) {
            return Poll::Ready(false);
        }
        if streams.has_too_many_resets(limits.max_http2_resets) {
            worker.registry.thread.refuse(Refused::Resets);
            return Poll::Ready(false);
        }
        // What is begun and not finished has its own bound below; nothing begun is idle, before the first request too.
        let due = state.due(limits.idle_timeout, limits.idle_timeout);
        // While the client does not take what it is answered, what it sent on may lie unread here: that is not its fault.
        let unread =
            |unfinished: &Unfinished| matches!(unfinished, Unfinished::Head { .. }) && state.waits_for_reader();
        let unfinished = socket.unfinished().filter(|unfinished| !unread(unfinished));
        let ends = ends(unfinished, state.stage(), &limits);
        if ends <= worker.ticker.now() {
            worker.registry.thread.refuse(Refused::Timeout);
            return Poll::Ready(true);
        }
        let due = due.min(ends);
        if due <= worker.ticker.now() {
            return Poll::Ready(true);
        }
        state.wake_at(due, cx);
        Poll::Pending
    })
    .await;
    if overdue && !closing {
        // Idle for long enough. The client is told, so that it does not take the close for a failure.
        Pin::new(&mut http).graceful_shutdown();
        let told = std::future::poll_fn(|cx| {
            let ended = Pin::new(&mut http).poll(cx).is_ready() || matches!(socket.poll_turn(cx), Poll::Ready(Err(_)));
            if ended { Poll::Ready(()) } else { Poll::Pending }
        });
        // A client that does not even take this is not there any more.
        let _gone = tokio::time::timeout(GOODBYE, told).await;
    }
}

/// When what a client has begun to send has to be at its end, whatever else is open: until then nothing of these can come either.
fn ends(unfinished: Option<Unfinished>, stage: Stage, limits: &Limits) -> Millis {
    let (since, bound) = match unfinished {
        Some(Unfinished::Head { since }) => (since, limits.header_timeout),
        // Of a request that is over: nobody reads it.
        Some(Unfinished::Data { since }) if stage == Stage::Idle => (since, limits.idle_timeout),
        Some(Unfinished::Data { .. }) | None => return NEVER,
    };
    since.saturating_add(u64::try_from(bound.as_millis()).unwrap_or(NEVER))
}

/// How long a client has to take the last frame.
const GOODBYE: Duration = Duration::from_secs(2);

fn builder(limits: &Limits, tasks: Tasks) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(tasks);
    builder
        .max_concurrent_streams(limits.max_http2_streams)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .enable_connect_protocol();
    builder
}

/// Turns a request for a WebSocket (RFC 8441) into what it is in HTTP/1: `GET` with an upgrade.
fn extended_connect(request: &mut Request<Incoming>, state: &ConnState) {
    let Some(protocol) = request.extensions_mut().remove::<Protocol>() else { return };
    let Ok(protocol) = HeaderValue::from_str(protocol.as_str()) else { return };
    state.upgrade.replace(Some(hyper::upgrade::on(&mut *request)));
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
    // The key proves to a client of HTTP/1 that it was understood; here the edge is that client.
    let key = [clock::random().to_be_bytes(), clock::random().to_be_bytes()].concat();
    if let Ok(key) = HeaderValue::try_from(STANDARD.encode(key)) {
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
    }
}

/// Answers a request that became a tunnel: with 200, and the tunnel in a task of its own, which begins when that is out.
pub(crate) fn tunnel(mut tunnel: Tunnel, record: Box<Record>, upgrade: OnUpgrade, response: &mut Response<Body>) {
    *response.status_mut() = StatusCode::OK;
    for name in [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_ACCEPT] {
        response.headers_mut().remove(name);
    }
    let state = Rc::clone(&record.busy.state);
    tunnel.record = Some(record);
    tokio::task::spawn_local(async move {
        let _watch = state.ticker.watch(&state);
        // A client that goes away before has nothing to be told.
        if let Ok(upgraded) = upgrade.await {
            tunnel.run(TokioIo::new(upgraded), Bytes::new(), state).await;
        }
    });
}

/// Runs each request as a task of this thread.
#[derive(Clone)]
struct Tasks {
    streams: Rc<Streams>,
    /// The state of the request that began last, on its way to the task that hyper is about to spawn for it.
    begun: Rc<RefCell<Option<Rc<ConnState>>>>,
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, request: F) {
        let streams = Rc::clone(&self.streams);
        let begun = self.begun.take();
        tokio::task::spawn_local(async move {
            match begun {
                Some(state) => streams::run(&streams, &state, request).await,
                None => request.await,
            }
        });
    }
}
