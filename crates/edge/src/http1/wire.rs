//! A client's connection: what is read from it, request by request, and what is written to it.
//!
//! The request's body is read through it while the answer is written to it, all by one task: cells are enough. Between
//! requests it holds no buffer.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http_body::{Frame, SizeHint};
use tokio::io::AsyncWrite as _;

use super::chunks::{Chunks, Piece};
use super::fields::{self, Length};
use super::input;
use super::request::{self, Head, Refusal};
use crate::body::Cut;
use crate::client_socket::ClientSocket;
use crate::static_site::FileBody;
use crate::table::Limits;

/// Tells a client to send its body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How much of a body that nobody wants is read, if it is there already, to keep the connection.
const DRAINED_BYTES: usize = 64 * 1024;

pub(crate) struct Wire(RefCell<Inner>);

struct Inner {
    socket: ClientSocket,
    /// Read, and not used yet.
    rest: Bytes,
    /// Bytes of `rest` that are known not to be a whole head.
    searched: usize,
    reading: Reading,
    /// What of [`CONTINUE`] is to be written before the body is read.
    invitation: &'static [u8],
    /// How much may be read ahead.
    ahead_bytes: usize,
}

/// What of the present request is still to be read.
#[derive(Debug)]
enum Reading {
    Exactly(u64),
    Chunks(Chunks),
    Done,
    /// It is malformed, or ended too early.
    Broken,
}

/// What is to be written next.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) head: Vec<u8>,
    pub(super) head_written: usize,
    pub(super) data: Bytes,
    pub(super) tail: &'static [u8],
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.head_written == self.head.len() && self.data.is_empty() && self.tail.is_empty()
    }

    fn advance(&mut self, mut written: usize) {
        let of_head = written.min(self.head.len() - self.head_written);
        self.head_written += of_head;
        written -= of_head;
        let of_data = written.min(self.data.len());
        self.data.advance(of_data);
        self.tail = &self.tail[written - of_data..];
        if self.head_written == self.head.len() {
            self.head.clear();
            self.head_written = 0;
        }
    }
}

impl Wire {
    pub(crate) fn new(socket: ClientSocket, limits: &Limits) -> Rc<Self> {
        Rc::new(Self(RefCell::new(Inner {
            socket,
            rest: Bytes::new(),
            searched: 0,
            reading: Reading::Done,
            invitation: &[],
            ahead_bytes: limits.max_header_bytes,
        })))
    }

    /// The bare socket, and what was read from it beyond what was used.
    pub(crate) fn into_parts(self) -> (ClientSocket, Bytes) {
        let inner = self.0.into_inner();
        (inner.socket, inner.rest)
    }

    /// The head of the next request; `None`: the client is done.
    pub(super) fn poll_head(&self, cx: &mut Context<'_>, limits: &Limits) -> Poll<Result<Option<Head>, Refusal>> {
        let inner = &mut *self.0.borrow_mut();
        loop {
            if !inner.rest.is_empty() && (inner.searched == 0 || fields::may_be_whole(&inner.rest, inner.searched)) {
                if let Some(head) = request::read(&inner.rest, limits.max_headers)? {
                    if head.bytes > limits.max_header_bytes {
                        return Poll::Ready(Err(Refusal::TooLarge));
                    }
                    inner.begin(&head);
                    return Poll::Ready(Ok(Some(head)));
                }
                // Part of a head came with the request before it: its time runs from now.
                inner.socket.did_read();
            }
            inner.searched = inner.rest.len();
            if inner.rest.len() >= limits.max_header_bytes {
                return Poll::Ready(Err(Refusal::TooLarge));
            }
            match ready!(input::poll_read(&mut inner.socket, cx)) {
                Ok(more) if !more.is_empty() => input::joined(&mut inner.rest, more),
                // In the middle of a head nobody waits for an answer to it either.
                _ => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// Whether the client went away. What it sends meanwhile is kept for later, as much as a head may be.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let inner = &mut *self.0.borrow_mut();
        while matches!(inner.reading, Reading::Done) && inner.rest.len() < inner.ahead_bytes {
            match ready!(input::poll_read(&mut inner.socket, cx)) {
                Ok(more) if !more.is_empty() => input::joined(&mut inner.rest, more),
                _ => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// The body will not be asked for any more: a client that waits to be told to send it is told nothing.
    pub(super) fn disinvite(&self) -> bool {
        let inner = &mut *self.0.borrow_mut();
        !std::mem::take(&mut inner.invitation).is_empty()
    }

    /// Whether the request was read to its end, or is now, since all of it was there.
    pub(super) fn drain(&self, cx: &mut Context<'_>) -> bool {
        let inner = &mut *self.0.borrow_mut();
        let mut left = DRAINED_BYTES;
        while !matches!(inner.reading, Reading::Done) {
            match inner.poll_body(cx) {
                Poll::Ready(Some(Ok(frame))) => match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                    Some(rest) => left = rest,
                    None => return false,
                },
                Poll::Ready(None) => {}
                Poll::Ready(Some(Err(Cut))) | Poll::Pending => return false,
            }
        }
        true
    }

    /// Writes what there is to write.
    pub(super) fn poll_write_out(&self, cx: &mut Context<'_>, outbox: &mut Outbox) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        while !outbox.is_empty() {
            let head = &outbox.head[outbox.head_written..];
            let slices = [IoSlice::new(head), IoSlice::new(&outbox.data), IoSlice::new(outbox.tail)];
            match ready!(Pin::new(&mut inner.socket).poll_write_vectored(cx, &slices))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => outbox.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether files can be sent as they lie in memory.
    pub(super) fn sends_files(&self) -> bool {
        self.0.borrow().socket.is_plain()
    }

    /// Sends a piece of a file; `None`: it is to be read first.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>, file: &mut FileBody) -> Option<Poll<io::Result<usize>>> {
        self.0.borrow_mut().socket.poll_send(cx, file)
    }

    /// Brings out what TLS holds back.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().socket).poll_flush(cx)
    }
}

impl Inner {
    fn begin(&mut self, head: &Head) {
        self.rest.advance(head.bytes);
        self.searched = 0;
        self.reading = match head.length {
            Length::ToClose | Length::Exactly(0) => Reading::Done,
            Length::Exactly(left) => Reading::Exactly(left),
            Length::Chunked => Reading::Chunks(Chunks::default()),
        };
        let waits = head.expects && self.rest.is_empty() && !matches!(self.reading, Reading::Done);
        self.invitation = if waits { CONTINUE } else { &[] };
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        while !self.invitation.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, self.invitation)) {
                Ok(written) if written > 0 => self.invitation = &self.invitation[written..],
                _ => return self.broken(),
            }
            if self.invitation.is_empty() {
                // A client that does not take it shows when its body does not come.
                let _flushed = Pin::new(&mut self.socket).poll_flush(cx);
            }
        }
        loop {
            match &mut self.reading {
                Reading::Done => return Poll::Ready(None),
                Reading::Broken => return self.broken(),
                Reading::Exactly(left) if !self.rest.is_empty() => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(self.rest.len());
                    *left -= taken as u64;
                    if *left == 0 {
                        self.reading = Reading::Done;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(taken)))));
                }
                Reading::Exactly(_) => {}
                Reading::Chunks(chunks) => {
                    let Ok(piece) = chunks.next(&mut self.rest) else { return self.broken() };
                    if chunks.is_done() {
                        self.reading = Reading::Done;
                    }
                    match piece {
                        Some(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                        Some(Piece::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                        None if matches!(self.reading, Reading::Done) => return Poll::Ready(None),
                        None => {}
                    }
                }
            }
            match ready!(input::poll_read(&mut self.socket, cx)) {
                Ok(more) if !more.is_empty() => self.rest = more,
                _ => return self.broken(),
            }
        }
    }

    fn broken(&mut self) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.reading = Reading::Broken;
        Poll::Ready(Some(Err(Cut)))
    }
}

/// A request's body, while it comes.
pub(crate) struct Receiving(Rc<Wire>);

impl Receiving {
    /// Of the request whose head was read last; `None`: it has none.
    pub(super) fn of(wire: &Rc<Wire>) -> Option<Self> {
        let has_one = !matches!(wire.0.borrow().reading, Reading::Done);
        has_one.then(|| Self(Rc::clone(wire)))
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.0.0.borrow_mut().poll_body(cx)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        matches!(self.0.0.borrow().reading, Reading::Done)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.0.0.borrow().reading {
            Reading::Exactly(left) => SizeHint::with_exact(left),
            Reading::Done => SizeHint::with_exact(0),
            Reading::Chunks(_) | Reading::Broken => SizeHint::default(),
        }
    }
}
