//! One client connection from its first byte to its last: a PROXY header where the listener asks for one, TLS where it
//! speaks that, then HTTP/2 where the client chose it, or HTTP/1: the task that drives hyper, with the timeouts of its stages.

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::HandshakeKind;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::body::ClientBody;
use crate::client_socket::ClientSocket;
use crate::conn_state::{ConnState, Stage};
use crate::metrics::{Handshake, Refused};
use crate::preamble::{self, Arrival};
use crate::serve::serve;
use crate::table::Limits;
use crate::tls::config::H2;
use crate::tls::store::ACME_TLS;
use crate::transport::Transport;
use crate::worker::{Admission, Worker};
use crate::{http2, http3};

/// hyper parses up to this many header fields without allocating; it takes a bound of its own only where ours is above.
const HYPER_HEADERS: usize = 100;

/// Least memory a connection's buffer may grow to.
const MIN_BUFFER_BYTES: usize = 64 * 1024;

/// To a client whose head did not arrive in time.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// To a client whose request can be read in two ways.
const AMBIGUOUS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// To a client that is one too many.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Why hyper's part of a connection ended.
enum End {
    Done,
    Malformed,
    Ambiguous,
    Overdue,
}

/// Answers a connection's requests until it closes.
pub(crate) async fn drive(
    worker: Rc<Worker>,
    mut socket: TcpStream,
    peer: SocketAddr,
    listener: SocketAddr,
    admission: Admission,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%peer, %error, "nodelay failed: the client is gone already");
    }
    let declared = worker.view().table.listeners.get(&listener).copied();
    let secure = declared.is_some_and(|listener| listener.tls);
    let mut arrival = Arrival { peer, anonymous: false };
    if declared.is_some_and(|listener| listener.proxy_protocol) {
        // Boxed, as all that few connections need: those that do not are no larger for it.
        let received = Box::pin(preamble::receive(&worker, &mut socket, peer, listener)).await;
        let Some(received) = received else { return };
        arrival = received;
    }
    let mut state = ConnState::new(arrival.peer, listener, secure, &worker.ticker);
    if declared.is_some_and(|listener| listener.http3) {
        state.alternative = http3::alternative(&socket);
    }
    let state = Rc::new(state);
    state.anonymous.set(arrival.anonymous);
    let watch = worker.ticker.watch(&state);
    if secure {
        Box::pin(drive_secure(worker, socket, state)).await;
    } else {
        drive_http1(worker, Transport::Plain(socket), state).await;
    }
    drop(watch);
    drop(admission);
}

/// Shakes hands, and goes on with what was agreed on.
async fn drive_secure(worker: Rc<Worker>, socket: TcpStream, state: Rc<ConnState>) {
    let cells = &worker.registry.thread;
    let acceptor = TlsAcceptor::from(Arc::clone(&worker.shared.tls));
    let within = worker.view().table.limits.handshake_timeout;
    let stream = match tokio::time::timeout(within, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(peer = %state.peer, %error, "no TLS");
            return cells.handshake(Handshake::Failed);
        }
        Err(_elapsed) => return cells.handshake(Handshake::TimedOut),
    };
    let (_, session) = stream.get_ref();
    let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    cells.handshake(if resumed { Handshake::Resumed } else { Handshake::Full });
    let http2 = match session.alpn_protocol() {
        // The authority has seen what it wanted to see (RFC 8737): nothing is said in this protocol.
        Some(ACME_TLS) => return,
        protocol => protocol == Some(H2),
    };
    let transport = Transport::Secure(Box::new(stream));
    if http2 {
        http2::drive(worker, transport, state).await;
    } else {
        drive_http1(worker, transport, state).await;
    }
}

/// HTTP/1, one request after the other.
async fn drive_http1(worker: Rc<Worker>, socket: Transport, state: Rc<ConnState>) {
    let view = worker.view();
    let limits = &view.table.limits;
    let service = service_fn(|request: Request<Incoming>| serve(&worker, &state, request.map(ClientBody::Hyper)));
    let io = TokioIo::new(ClientSocket::new(socket, Rc::clone(&state)));
    let mut http = builder(limits).serve_connection(io, service);

    let mut closing = false;
    let end = std::future::poll_fn(|cx| {
        if !closing && (worker.is_draining() || state.closing.get()) {
            closing = true;
            Pin::new(&mut http).graceful_shutdown();
        }
        match Pin::new(&mut http).poll(cx) {
            Poll::Ready(Err(error)) if error.is_parse() => return Poll::Ready(End::Malformed),
            // Whatever else went wrong was the client going away, or is told where it happened.
            Poll::Ready(_) => return Poll::Ready(End::Done),
            Poll::Pending => {}
        }
        // In the middle of a body the request itself is answered so, and the connection is closing.
        if state.ambiguous.get() && state.stage() == Stage::Idle && !state.unread.get() {
            return Poll::Ready(End::Ambiguous);
        }
        let due = state.due(limits.header_timeout, limits.idle_timeout);
        if due <= worker.ticker.now() {
            return Poll::Ready(End::Overdue);
        }
        state.wake_at(due, cx);
        Poll::Pending
    })
    .await;

    // Taken whatever the end: it holds the request, which holds the state it lies in.
    let tunnel = state.tunnel.borrow_mut().take();
    match end {
        End::Done => {
            if let Some(tunnel) = tunnel {
                let parts = http.into_parts();
                Box::pin(tunnel.run(parts.io.into_inner(), parts.read_buf, Rc::clone(&state))).await;
            }
        }
        End::Malformed => worker.registry.thread.refuse(Refused::BadRequest),
        End::Ambiguous => {
            worker.registry.thread.refuse(Refused::BadRequest);
            Box::pin(http.into_parts().io.into_inner().say_last(AMBIGUOUS)).await;
        }
        End::Overdue => {
            worker.registry.thread.refuse(Refused::Timeout);
            if state.stage() == Stage::Idle && state.is_in_head() {
                Box::pin(http.into_parts().io.into_inner().say_last(TOO_SLOW)).await;
            }
        }
    }
}

/// Tells a client that there are too many, as far as that is possible without waiting for it.
pub(crate) fn turn_away(socket: &TcpStream) {
    // A client that cannot take a hundred bytes at once gets none: it is turned away either way, and counted.
    let _sent = socket.try_write(TOO_MANY);
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_header_size(limits.max_header_bytes)
        .max_buf_size(limits.max_header_bytes.max(MIN_BUFFER_BYTES));
    if limits.max_headers > HYPER_HEADERS {
        builder.max_headers(limits.max_headers);
    }
    builder
}
