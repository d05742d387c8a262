//! HTTP/3: what a listener speaks over UDP beside TLS, if it is told to.
//!
//! An endpoint lives on one thread, the first: connections of QUIC are found by an id in their packets, not by their addresses,
//! so several sockets of one address would get each other's. A request is what it is to HTTP/2: a state and a task of its own.
//!
//! It comes on top: clients find it by `Alt-Svc` on what they get over TCP, and go back there when it is gone. So an address that
//! cannot be bound at this moment, because the edge before this one still answers on it, is asked for again and nobody waits.

pub(crate) mod body;
mod connection;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::metrics::Refused;
use crate::table::Limits;
use crate::worker::Worker;

/// From one try to bind an address to the next.
const AGAIN: Duration = Duration::from_millis(250);

/// What the kernel keeps of packets that are not read yet, as far as it may (`net.core.rmem_max`).
const SOCKET_BUFFER: usize = 2 * 1024 * 1024;

/// How much of a request's body may be on its way before the service takes it; what all of a connection's may.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How much of a connection's answers is kept until the client has it.
const SEND_WINDOW: u64 = 1024 * 1024;

/// Streams that a client opens for itself: control, and QPACK's two.
const OWN_STREAMS: u32 = 8;

/// Binds the UDP port of an address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    // Less is slower, no more.
    let _less = SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER);
    let _less = SockRef::from(&socket).set_send_buffer_size(SOCKET_BUFFER);
    Ok(socket)
}

/// What tells the client of a connection over TCP where HTTP/3 is spoken: at the same address.
pub(crate) fn alternative(socket: &TcpStream) -> Option<HeaderValue> {
    let port = socket.local_addr().ok()?.port();
    HeaderValue::try_from(format!("h3=\":{port}\"; ma=86400")).ok()
}

/// Accepts on an address until told to stop. Connections that are open then go on; others are refused as long as they do.
pub(crate) async fn listen(worker: Rc<Worker>, declared: SocketAddr, address: SocketAddr, stop: Rc<Notify>) {
    let endpoint = tokio::select! {
        endpoint = open(&worker, address) => endpoint,
        () = stop.notified() => return,
    };
    loop {
        tokio::select! {
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => begin(&worker, incoming, declared),
                None => return,
            },
            () = stop.notified() => break,
        }
    }
    let lingering = worker.linger();
    tokio::task::spawn_local(async move {
        // The last thing said on a connection has to be sent too.
        let mut idle = pin!(endpoint.wait_idle());
        loop {
            tokio::select! {
                () = &mut idle => break,
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => incoming.refuse(),
                    None => break,
                },
            }
        }
        drop(lingering);
    });
}

async fn open(worker: &Worker, address: SocketAddr) -> Endpoint {
    let mut told = false;
    loop {
        let opened = bind(address).and_then(|socket| {
            let config = config(worker, &worker.view().table.limits);
            Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))
        });
        match opened {
            Ok(endpoint) => return endpoint,
            Err(error) if told => tracing::debug!(%address, %error, "still no HTTP/3"),
            Err(error) => tracing::warn!(%address, %error, "no HTTP/3 yet: its UDP port cannot be bound; trying on"),
        }
        told = true;
        tokio::time::sleep(AGAIN).await;
    }
}

fn begin(worker: &Rc<Worker>, incoming: Incoming, declared: SocketAddr) {
    let limits = &worker.view().table.limits;
    // Under pressure whoever says to be somewhere has to prove it first.
    if !incoming.remote_address_validated() && worker.shared.connections() > limits.max_connections / 2 {
        // Only one that was validated cannot be told to.
        let _told = incoming.retry();
        return;
    }
    let Some(admission) = worker.admit(incoming.remote_address().ip(), declared) else {
        worker.registry.thread.refuse(Refused::Connection);
        incoming.refuse();
        return;
    };
    match incoming.accept_with(Arc::new(config(worker, limits))) {
        Ok(connecting) => {
            tokio::task::spawn_local(connection::drive(Rc::clone(worker), connecting, declared, admission));
        }
        Err(error) => tracing::debug!(%error, "no QUIC"),
    }
}

/// How QUIC is spoken under these limits.
fn config(worker: &Worker, limits: &Limits) -> ServerConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(limits.max_http2_streams.into())
        .max_concurrent_uni_streams(OWN_STREAMS.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(limits.idle_timeout.max(limits.header_timeout).try_into().ok());
    let mut config = ServerConfig::with_crypto(Arc::clone(&worker.shared.quic) as Arc<QuicServerConfig>);
    config.transport_config(Arc::new(transport));
    config
}

/// Why a stream or a connection is closed, as HTTP/3 says it.
fn code(code: h3::error::Code) -> VarInt {
    VarInt::from_u64(code.value()).unwrap_or(VarInt::MAX)
}
