//! One client connection from its first byte to its last: a PROXY header where the listener asks for one, TLS where it
//! speaks that, then HTTP/2 where the client chose it, or HTTP/1, with the timeouts of its stages.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use rustls::HandshakeKind;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::client_socket::ClientSocket;
use crate::conn_state::{ConnState, Stage};
use crate::http1::conversation::{End, converse};
use crate::http1::request::Refusal;
use crate::http1::wire::Wire;
use crate::metrics::{Handshake, Refused};
use crate::preamble::{self, Arrival};
use crate::tls::config::H2;
use crate::tls::store::ACME_TLS;
use crate::transport::Transport;
use crate::worker::{Admission, Worker};
use crate::{http2, http3};

/// How much the system takes for a client beyond what is on its way. With more, a slow client would take what it was given long ago
/// while nothing seems to move, and its answers would lie in memory.
const UNSENT_BYTES: u32 = 128 * 1024;

/// To a client whose head did not arrive in time.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// To a client whose request is none, or can be read in two ways.
const MALFORMED: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// To a client whose head is longer than it may be, or has too many fields.
const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// To a client that is one too many.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

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
    if let Err(error) = SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_BYTES) {
        tracing::debug!(%peer, %error, "no bound of what is not sent yet");
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
    let wire = Wire::new(ClientSocket::new(socket, Rc::clone(&state)), limits);
    let end = {
        let mut conversation = pin!(converse(&worker, &state, &wire, limits));
        std::future::poll_fn(|cx| {
            if worker.is_draining() || state.closing.get() {
                state.closing.set(true);
                if state.stage() == Stage::Idle && !state.is_in_head() {
                    return Poll::Ready(Some(End::Done));
                }
            }
            if let Poll::Ready(end) = conversation.as_mut().poll(cx) {
                return Poll::Ready(Some(end));
            }
            let due = state.due(limits.header_timeout, limits.idle_timeout);
            if due <= worker.ticker.now() {
                return Poll::Ready(None);
            }
            state.wake_at(due, cx);
            Poll::Pending
        })
        .await
    };
    // Taken whatever the end: it holds the request, which holds the state it lies in.
    let tunnel = state.tunnel.borrow_mut().take();
    // All that shared it ended with the conversation.
    let Some((socket, rest)) = Rc::into_inner(wire).map(Wire::into_parts) else { return };
    match (end, tunnel) {
        (Some(End::Tunnel), Some(tunnel)) => Box::pin(tunnel.run(socket, rest, state)).await,
        (Some(End::Done | End::Tunnel), _) => Box::pin(socket.close()).await,
        (Some(End::Cut), _) => {}
        (Some(End::Refused(refusal)), _) => {
            worker.registry.thread.refuse(Refused::BadRequest);
            let words = if refusal == Refusal::TooLarge { TOO_LARGE } else { MALFORMED };
            Box::pin(socket.say_last(words)).await;
        }
        (None, _) => {
            worker.registry.thread.refuse(Refused::Timeout);
            if state.stage() == Stage::Idle && state.is_in_head() {
                Box::pin(socket.say_last(TOO_SLOW)).await;
            }
        }
    }
}

/// Tells a client that there are too many, as far as that is possible without waiting for it.
pub(crate) fn turn_away(socket: &TcpStream) {
    // A client that cannot take a hundred bytes at once gets none: it is turned away either way, and counted.
    let _sent = socket.try_write(TOO_MANY);
}
