//! What comes on a connection before TLS or HTTP, where its listener asks for it: the PROXY header.
//!
//! Only a trusted proxy may say it, and there is no going on without it: a listener that took both would let everybody
//! choose an address. It is looked at in the socket's buffer and taken to its last byte, so that what follows is found by
//! whoever reads next.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::conn_state::ConnState;
use crate::metrics::Refused;
use crate::proxy_protocol::{self, MAX_BYTES, Malformed, Progress, Source};
use crate::worker::Worker;

/// Whose connection it is.
pub(crate) struct Arrival {
    /// Who asks: the address that everything after is about.
    pub(crate) peer: SocketAddr,
    /// That is a proxy, and it does not say for whom it asks.
    pub(crate) anonymous: bool,
}

/// Why there is nobody to answer.
enum End {
    /// The proxy went away, or nobody waits for it any more.
    Gone,
    Malformed(Malformed),
    Overdue,
}

/// Reads the header; `None`, and counted, where the connection is to be closed.
pub(crate) async fn receive(
    worker: &Rc<Worker>,
    socket: &mut TcpStream,
    proxy: SocketAddr,
    listener: SocketAddr,
) -> Option<Arrival> {
    let cells = &worker.registry.thread;
    if !worker.view().table.trusts(proxy.ip()) {
        tracing::debug!(peer = %proxy, %listener, "refused: not one of `trusted_proxies`, which alone may say the PROXY header");
        cells.refuse(Refused::UntrustedPeer);
        return None;
    }
    match timely(worker, socket, proxy, listener).await {
        Ok(Source::Client(peer)) => Some(Arrival { peer, anonymous: false }),
        Ok(Source::Itself) => Some(Arrival { peer: proxy, anonymous: false }),
        Ok(Source::Unknown) => Some(Arrival { peer: proxy, anonymous: true }),
        Err(End::Gone) => None,
        Err(End::Malformed(error)) => {
            tracing::debug!(peer = %proxy, %listener, %error, "no PROXY header");
            cells.refuse(Refused::ProxyHeader);
            None
        }
        Err(End::Overdue) => {
            cells.refuse(Refused::Timeout);
            None
        }
    }
}

/// Reads the header as long as there is time for it, and the edge and its listener stay.
async fn timely(
    worker: &Rc<Worker>,
    socket: &mut TcpStream,
    proxy: SocketAddr,
    listener: SocketAddr,
) -> Result<Source, End> {
    // Until it is known whose connection this is, it is watched as the proxy's.
    let state = Rc::new(ConnState::new(proxy, listener, false, &worker.ticker));
    let _watch = worker.ticker.watch(&state);
    let due = worker.ticker.after(worker.view().table.limits.header_timeout);
    let mut header = pin!(read(socket));
    std::future::poll_fn(|cx| {
        // First of all: a header that is there already is taken, even by an edge that is about to end.
        if let Poll::Ready(read) = header.as_mut().poll(cx) {
            return Poll::Ready(read);
        }
        if worker.is_draining() || state.closing.get() {
            return Poll::Ready(Err(End::Gone));
        }
        if due <= worker.ticker.now() {
            return Poll::Ready(Err(End::Overdue));
        }
        state.wake_at(due, cx);
        Poll::Pending
    })
    .await
}

/// Takes the header from the socket, and not a byte more.
async fn read(socket: &mut TcpStream) -> Result<Source, End> {
    let gone = |_: io::Error| End::Gone;
    let mut buffer = [0; MAX_BYTES];
    let mut taken = 0;
    loop {
        // A part of a header is shorter than the buffer, so there is room here, and nothing means the end.
        let seen = taken + socket.peek(&mut buffer[taken..]).await.map_err(gone)?;
        if seen == taken {
            return Err(End::Gone);
        }
        let progress = proxy_protocol::parse(&buffer[..seen]).map_err(End::Malformed)?;
        let end = if let Progress::Whole { bytes, .. } = progress { bytes } else { seen };
        // These bytes are there. With a part taken, too, the next look waits for more rather than see the same again.
        socket.read_exact(&mut buffer[taken..end]).await.map_err(gone)?;
        match progress {
            Progress::Whole { source, .. } => return Ok(source),
            Progress::Part => taken = end,
        }
    }
}
