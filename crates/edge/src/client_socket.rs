//! A client's socket, telling its connection's state what moves, and closing so that the last answer arrives.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::conn_state::ConnState;
use crate::static_site::FileBody;
use crate::ticker::Millis;
use crate::transport::Transport;

/// How long and how much is read from a client whose body was refused. A socket closed with unread input sends RST,
/// and RST discards an answer that the client has not read yet.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

pub(crate) struct ClientSocket {
    socket: Transport,
    state: Rc<ConnState>,
    linger: Option<Linger>,
}

struct Linger {
    until: Millis,
    left: usize,
}

impl ClientSocket {
    pub(crate) fn new(socket: Transport, state: Rc<ConnState>) -> Self {
        Self { socket, state, linger: None }
    }

    /// The time of the last tick.
    pub(crate) fn now(&self) -> Millis {
        self.state.ticker.now()
    }

    /// What is there already counts as read now.
    pub(crate) fn did_read(&self) {
        self.state.did_read();
    }

    /// Sends a piece of a file as it lies in memory; `None`: that cannot be done.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, file: &mut FileBody) -> Option<Poll<io::Result<usize>>> {
        let Transport::Plain(socket) = &self.socket else { return None };
        let sent = file.poll_send(cx, socket)?;
        self.note(&sent);
        Some(sent)
    }

    /// Whether bytes are sent as they are.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.socket, Transport::Plain(_))
    }

    /// Says a few last bytes, if the client takes them at once, and closes so that they arrive.
    pub(crate) async fn say_last(mut self, bytes: &[u8]) {
        // A client that does not take a hundred bytes learns it from the close.
        let _sent = Pin::new(&mut self.socket).poll_write(&mut Context::from_waker(Waker::noop()), bytes);
        self.state.unread.set(true);
        self.close().await;
    }

    /// Closes so that what was said last arrives.
    pub(crate) async fn close(mut self) {
        let watched = Rc::clone(&self.state);
        let until = watched.ticker.after(LINGER);
        let _closed = std::future::poll_fn(|cx| {
            watched.wake_at(until, cx);
            Pin::new(&mut self).poll_shutdown(cx)
        })
        .await;
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(_)) => self.state.did_write(),
            Poll::Pending => self.state.is_blocked(),
            Poll::Ready(Err(_)) => {}
        }
    }

    /// Reads and forgets, within bounds, until the client has closed its side too.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.state.ticker.now();
        let until = self.state.ticker.after(LINGER);
        let linger = self.linger.get_or_insert(Linger { until, left: LINGER_BYTES });
        let mut scratch = [0_u8; 8 * 1024];
        loop {
            if now >= linger.until || linger.left == 0 {
                return Poll::Ready(());
            }
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => linger.left = linger.left.saturating_sub(buf.filled().len()),
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.state.did_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
        }
        if self.state.unread.get() {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}
