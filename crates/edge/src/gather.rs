//! What a connection of many requests says in one turn of the event loop, written at once.
//!
//! h2 writes each answer by itself: a system call and a TLS record for every kilobyte. Answers that are there in the same turn
//! are put together here and written in the next one, after the events that are there by then: whoever asks for ten things
//! at once gets ten answers at once, and asks again for ten. Large pieces are not copied; they go straight through.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::client_socket::ClientSocket;
use crate::frames::{Frames, Unfinished};

/// As much as goes into one TLS record.
const ROOM_BYTES: usize = 16 * 1024;

/// A client's socket, shared by who speaks on it and who sees to it that it is written.
#[derive(Clone)]
pub(crate) struct Gather(Rc<RefCell<Inner>>);

struct Inner {
    socket: ClientSocket,
    /// Said, and not written yet. Without memory while there is nothing.
    said: Vec<u8>,
    /// Bytes of it that are written.
    written: usize,
    /// Its turn has passed.
    due: bool,
    /// What the client sends.
    frames: Frames,
}

impl Gather {
    pub(crate) fn new(socket: ClientSocket) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            socket,
            said: Vec::new(),
            written: 0,
            due: false,
            frames: Frames::default(),
        })))
    }

    /// What the client has begun to send.
    pub(crate) fn unfinished(&self) -> Option<Unfinished> {
        self.0.borrow().frames.unfinished()
    }

    /// Writes what was said in an earlier turn. To be called after each time that the connection was polled.
    ///
    /// # Errors
    /// The client is gone.
    pub(crate) fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        if inner.said.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if !std::mem::replace(&mut inner.due, true) {
            // Wakes this task once the events that are there by now have had their turn.
            return pin!(tokio::task::yield_now()).poll(cx).map(Ok);
        }
        inner.poll_write_out(cx)
    }
}

impl Inner {
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.said.len() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, &self.said[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        (self.said, self.written, self.due) = (Vec::new(), 0, false);
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Makes room for that many bytes; `false`: they are too many to be gathered, and nothing is before them.
    fn poll_room(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<io::Result<bool>> {
        if self.said.len() + bytes > ROOM_BYTES {
            ready!(self.poll_write_out(cx))?;
        }
        if self.said.capacity() == 0 && bytes <= ROOM_BYTES {
            self.said.reserve_exact(ROOM_BYTES);
        }
        Poll::Ready(Ok(bytes <= ROOM_BYTES))
    }
}

impl AsyncRead for Gather {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut inner.socket).poll_read(cx, buf))?;
        inner.frames.came(&buf.filled()[before..], inner.socket.now());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gather {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let inner = &mut *self.0.borrow_mut();
        if ready!(inner.poll_room(cx, buf.len()))? {
            inner.said.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut inner.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let inner = &mut *self.0.borrow_mut();
        let bytes = bufs.iter().map(|buf| buf.len()).sum();
        if ready!(inner.poll_room(cx, bytes))? {
            for buf in bufs {
                inner.said.extend_from_slice(buf);
            }
            return Poll::Ready(Ok(bytes));
        }
        Pin::new(&mut inner.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What is gathered is written by [`Gather::poll_turn`], whoever waits for it or not.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        ready!(inner.poll_write_out(cx))?;
        Pin::new(&mut inner.socket).poll_shutdown(cx)
    }
}
