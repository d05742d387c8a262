//! A connection to an instance: one request and its answer at a time.
//!
//! Whoever has the request polls it; dropping it closes it. Nothing of it is used again that did not end as it should: not a
//! byte too few was sent, none too many was read.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::StatusCode;
use http_body::Frame;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;

use super::Broken;
use super::answer::{self, Head};
use super::chunks::{Chunks, Piece};
use super::fields::{self, Length};
use super::input::{self, SCRATCH_BYTES};
use super::outgoing::Outgoing;
use crate::coalesce;
use crate::ticker::Millis;

/// Largest head of an answer.
const MAX_HEAD_BYTES: usize = 256 * 1024;

/// Most answers before the answer (`100 Continue`, `103 Early Hints`).
const MAX_INTERIM: u8 = 16;

/// What is read at once of a body that is known to be longer than [`SCRATCH_BYTES`].
const LARGE_BYTES: usize = 32 * 1024;

pub(crate) struct Link {
    socket: TcpStream,
    /// Read, and not used yet.
    rest: Bytes,
    /// Bytes of `rest` that are known not to be a whole head.
    searched: usize,
    reading: Reading,
    sending: Sending,
    /// The body that is being sent.
    outgoing: Option<Box<Outgoing>>,
    /// Bytes of the request's head that were written.
    written: usize,
    /// The answer will have no body, whatever it says.
    to_head: bool,
    /// It can be used for another request.
    keep: bool,
    interim: u8,
    pub(crate) idle_since: Millis,
}

#[derive(Debug)]
enum Reading {
    Head,
    Exactly(u64),
    Chunks(Chunks),
    ToClose,
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Open,
    Done,
    /// The instance takes nothing any more. It may have answered all the same.
    Closed,
}

impl Link {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Box<Self>> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Box::new(Self {
            socket,
            rest: Bytes::new(),
            searched: 0,
            reading: Reading::Done,
            sending: Sending::Done,
            outgoing: None,
            written: 0,
            to_head: false,
            keep: true,
            interim: 0,
            idle_since: 0,
        }))
    }

    /// Whether another request may follow on it.
    pub(crate) fn is_free(&self) -> bool {
        self.keep && self.is_done() && self.sending == Sending::Done && self.rest.is_empty()
    }

    /// Whether the instance has neither closed it nor said something that nobody asked for, as far as can be known.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(&mut self.socket).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// Begins a request, whose head is given to [`Self::poll_answer`].
    pub(crate) fn begin(&mut self, outgoing: Option<Box<Outgoing>>, to_head: bool) {
        self.reading = Reading::Head;
        self.sending = Sending::Open;
        self.outgoing = outgoing;
        self.to_head = to_head;
        (self.written, self.searched, self.interim) = (0, 0, 0);
    }

    /// After a failure: whether nothing of the request was sent.
    pub(crate) fn is_unsent(&self) -> bool {
        self.written == 0
    }

    /// The request's body, for another try.
    pub(crate) fn take_outgoing(&mut self) -> Option<Box<Outgoing>> {
        self.outgoing.take()
    }

    /// Sends and reads until the head of an answer is there, an interim one included.
    pub(crate) fn poll_answer(&mut self, cx: &mut Context<'_>, head: &[u8]) -> Poll<Result<Head, Broken>> {
        self.send(cx, head)?;
        let head = ready!(self.poll_head(cx))?;
        if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
            self.interim += 1;
            return Poll::Ready(if self.interim > MAX_INTERIM {
                Err(Broken::Malformed("too many interim answers"))
            } else {
                Ok(head)
            });
        }
        self.keep = head.keep && head.status != StatusCode::SWITCHING_PROTOCOLS;
        self.reading = match head.length {
            Length::Exactly(0) => Reading::Done,
            Length::Exactly(left) => Reading::Exactly(left),
            Length::Chunked => Reading::Chunks(Chunks::default()),
            Length::ToClose => Reading::ToClose,
        };
        Poll::Ready(Ok(head))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Broken>> {
        loop {
            if !self.rest.is_empty()
                && (self.searched == 0 || fields::may_be_whole(&self.rest, self.searched))
                && let Some(head) = answer::read(&self.rest, self.to_head)?
            {
                self.searched = 0;
                self.rest.advance(head.bytes);
                return Poll::Ready(Ok(head));
            }
            self.searched = self.rest.len();
            if self.rest.len() >= MAX_HEAD_BYTES {
                return Poll::Ready(Err(Broken::Malformed("its head is too long")));
            }
            let more = ready!(self.poll_read(cx))?;
            if more.is_empty() {
                return Poll::Ready(Err(Broken::Ended));
            }
            input::joined(&mut self.rest, more);
        }
    }

    /// The next piece of the answer's body. Goes on sending meanwhile: an answer may begin before its request has ended.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.send(cx, &[])?;
        loop {
            match &mut self.reading {
                Reading::Head | Reading::Done => return Poll::Ready(None),
                Reading::Exactly(left) if !self.rest.is_empty() => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(self.rest.len());
                    *left -= taken as u64;
                    if *left == 0 {
                        self.reading = Reading::Done;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(taken)))));
                }
                Reading::Chunks(chunks) => {
                    let piece = chunks.next(&mut self.rest)?;
                    if chunks.is_done() {
                        self.reading = Reading::Done;
                    }
                    match piece {
                        Some(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                        Some(Piece::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                        None if self.is_done() => return Poll::Ready(None),
                        None => {}
                    }
                }
                Reading::ToClose if !self.rest.is_empty() => {
                    return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.rest)))));
                }
                Reading::Exactly(_) | Reading::ToClose => {}
            }
            self.rest = match self.reading {
                Reading::Exactly(left) if left > SCRATCH_BYTES as u64 => ready!(self.poll_read_large(cx, left))?,
                _ => ready!(self.poll_read(cx))?,
            };
            if self.rest.is_empty() {
                if !matches!(self.reading, Reading::ToClose) {
                    return Poll::Ready(Some(Err(Broken::Ended)));
                }
                self.reading = Reading::Done;
            }
        }
    }

    /// Whether the answer was read to its end.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.reading, Reading::Done)
    }

    /// Whether there is more of the answer to be had without reading.
    pub(crate) fn has_more(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Bytes of the answer that are to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.reading {
            Reading::Exactly(left) => Some(left),
            Reading::Done => Some(0),
            _ => None,
        }
    }

    /// The bare socket after an upgrade, and what was read beyond HTTP.
    pub(crate) fn into_parts(self) -> (TcpStream, Bytes) {
        (self.socket, self.rest)
    }

    /// Writes what there is to write.
    fn send(&mut self, cx: &mut Context<'_>, head: &[u8]) -> Result<(), Broken> {
        while self.sending == Sending::Open {
            let mut slices = [
                IoSlice::new(&head[self.written.min(head.len())..]),
                IoSlice::new(&[]),
                IoSlice::new(&[]),
                IoSlice::new(&[]),
            ];
            let mut done = true;
            if let Some(outgoing) = &mut self.outgoing {
                if let Poll::Ready(failed @ Err(_)) = outgoing.poll_ready(cx) {
                    return failed;
                }
                slices[1..].copy_from_slice(&outgoing.slices());
                done = outgoing.is_done();
            }
            let whole: usize = slices.iter().map(|slice| slice.len()).sum();
            if whole == 0 {
                if done {
                    self.sending = Sending::Done;
                    self.outgoing = None;
                }
                return Ok(());
            }
            let written = match write(&mut self.socket, cx, &slices) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(written)) if written > 0 => written,
                Poll::Ready(_) => {
                    self.sending = Sending::Closed;
                    return Ok(());
                }
            };
            let of_head = written.min(slices[0].len());
            self.written += of_head;
            if let Some(outgoing) = &mut self.outgoing {
                outgoing.advance(written - of_head);
            }
        }
        Ok(())
    }

    /// Some bytes, in memory of their own; none at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        input::poll_read(&mut self.socket, cx)
    }

    /// Many bytes, read to where they stay.
    fn poll_read_large(&mut self, cx: &mut Context<'_>, left: u64) -> Poll<io::Result<Bytes>> {
        // Asked first, so that no memory is taken only to find that there is nothing to read.
        ready!(self.socket.poll_read_ready(cx))?;
        let mut bytes = BytesMut::with_capacity(usize::try_from(left).unwrap_or(LARGE_BYTES).min(LARGE_BYTES));
        ready!(tokio_util::io::poll_read_buf(Pin::new(&mut self.socket), cx, &mut bytes))?;
        Poll::Ready(Ok(bytes.freeze()))
    }
}

fn write(socket: &mut TcpStream, cx: &mut Context<'_>, slices: &[IoSlice<'_>; 4]) -> Poll<io::Result<usize>> {
    // Most requests are nothing but a head.
    let many = slices[1..].iter().any(|slice| !slice.is_empty());
    coalesce::poll_write(socket, cx, if many { slices } else { &slices[..1] })
}
