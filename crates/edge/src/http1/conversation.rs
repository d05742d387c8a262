//! Requests and answers of one connection, one after the other.
//!
//! An answer whose body came whole is written together with its head, in one piece, from memory that is hot; what comes
//! later is written as it comes. While a request is answered the client may go away, which ends everything it asked for.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;

use super::encode;
use super::request::Refusal;
use super::response::{self, Framing, Reader};
use super::wire::{Outbox, Receiving, Wire};
use crate::body::{Body, ClientBody};
use crate::conn_state::{ConnState, Stage};
use crate::headers;
use crate::serve::serve;
use crate::static_site::{FileBody, PIECE_BYTES};
use crate::table::Limits;
use crate::worker::Worker;

/// An answer's head seldom takes more.
const HEAD_BYTES: usize = 512;

/// What a chunked body ends with; without and with the end of the chunk before it.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
const END_AND_LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// How a connection's HTTP comes to its end.
pub(crate) enum End {
    /// Nothing more is to be said.
    Done,
    /// In the middle of an answer, or the client is gone: it is to see a cut, and no end.
    Cut,
    Refused(Refusal),
    /// Other bytes follow: see [`ConnState::tunnel`].
    Tunnel,
}

/// Answers requests until there are no more.
pub(crate) async fn converse(worker: &Rc<Worker>, state: &Rc<ConnState>, wire: &Rc<Wire>, limits: &Limits) -> End {
    loop {
        let head = match std::future::poll_fn(|cx| wire.poll_head(cx, limits)).await {
            Ok(Some(head)) => head,
            Ok(None) => return End::Done,
            Err(refusal) => return End::Refused(refusal),
        };
        let reader = Reader {
            version: head.parts.version,
            to_head: head.parts.method == Method::HEAD,
            trailers: head.parts.headers.get(header::TE).is_some_and(|value| headers::has_token(value, "trailers")),
        };
        let wants_more = head.keep;
        let body = Receiving::of(wire).map_or(ClientBody::None, ClientBody::Http1);
        let response = {
            let mut serving = pin!(serve(worker, state, Request::from_parts(head.parts, body)));
            std::future::poll_fn(|cx| match serving.as_mut().poll(cx) {
                Poll::Ready(Ok(response)) => Poll::Ready(Some(response)),
                Poll::Pending => wire.poll_gone(cx).map(|()| None),
            })
            .await
        };
        let Some(response) = response else { return End::Cut };
        // A client that was not told to send its body may send it or the next request: nobody knows.
        let unsaid = wire.disinvite();
        let keep = wants_more && !unsaid && !state.closing.get() && !response::closes(response.headers());
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let mut answer = Answer::new(response, reader, keep, wire.sends_files());
        if answer.ended {
            answer.count(state);
        }
        let keep = answer.keep;
        let written = std::future::poll_fn(|cx| match answer.poll(cx, wire, state) {
            Poll::Pending => wire.poll_gone(cx).map(|()| Err(io::ErrorKind::ConnectionReset.into())),
            written @ Poll::Ready(_) => written,
        })
        .await;
        drop(answer);
        state.set_stage(Stage::Idle);
        if written.is_err() {
            return End::Cut;
        }
        if switches {
            return End::Tunnel;
        }
        let drained = std::future::poll_fn(|cx| Poll::Ready(wire.drain(cx))).await;
        state.unread.set(!drained);
        if !keep || !drained || state.closing.get() {
            return End::Done;
        }
    }
}

/// An answer on its way to the client.
struct Answer {
    body: Body,
    /// The body, where it is a file that goes to the socket as it lies in memory.
    file: Option<FileBody>,
    framing: Framing,
    reader: Reader,
    /// Bytes of a body of known length that are still to come.
    left: u64,
    /// The connection goes on after it.
    keep: bool,
    outbox: Outbox,
    /// Nothing but the head was said.
    fresh: bool,
    ended: bool,
}

impl Answer {
    fn new(response: Response<Body>, reader: Reader, keep: bool, sends_files: bool) -> Self {
        let (mut parts, mut body) = response.into_parts();
        let exact = body.size_hint().exact();
        let framing = Framing::of(parts.status, exact, reader);
        let keep = keep && framing != Framing::ToClose;
        if let (true, Some(length @ 1..)) = (reader.to_head, exact) {
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let mut head = Vec::with_capacity(HEAD_BYTES);
        response::head(&mut head, parts.status, &parts.headers, framing, reader, keep);
        let file = if sends_files && matches!(framing, Framing::Exactly(_)) { body.take_file() } else { None };
        Self {
            body,
            file,
            framing,
            reader,
            left: exact.unwrap_or(0),
            keep,
            outbox: Outbox { head, ..Outbox::default() },
            fresh: true,
            ended: matches!(framing, Framing::None | Framing::Exactly(0)),
        }
    }

    /// Ends the request's record once its answer is known to the end: whoever has the answer finds it counted. What is left to be
    /// written is watched as before.
    fn count(&mut self, state: &ConnState) {
        let as_before = state.stage();
        self.body = Body::empty();
        state.set_stage(as_before);
    }

    /// Sends a file, up to its end.
    fn poll_file(&mut self, cx: &mut Context<'_>, wire: &Wire, state: &ConnState) -> Poll<io::Result<()>> {
        while let Some(left) = self.file.as_ref().map(FileBody::left) {
            ready!(wire.poll_write_out(cx, &mut self.outbox))?;
            if left <= PIECE_BYTES {
                // The last piece.
                self.body.handed_on(usize::try_from(left).unwrap_or(usize::MAX));
                self.count(state);
            }
            let Some(file) = &mut self.file else { break };
            let sent = match wire.poll_send(cx, file) {
                Some(sent) => ready!(sent),
                None => match ready!(file.poll_frame(cx)) {
                    Some(Ok(data)) => {
                        let length = data.len();
                        self.outbox.data = data;
                        Ok(length)
                    }
                    Some(Err(error)) => Err(error),
                    None => Ok(0),
                },
            };
            match sent {
                Ok(bytes) if left > PIECE_BYTES => self.body.handed_on(bytes),
                Ok(_) => {}
                Err(error) => {
                    // Else it is the client that is gone.
                    if error.kind() == io::ErrorKind::UnexpectedEof {
                        tracing::warn!(%error, "a file is shorter than it was");
                        self.body.broke_off();
                    }
                    return Poll::Ready(Err(error));
                }
            }
            if file.left() == 0 {
                self.file = None;
                self.ended = true;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll(&mut self, cx: &mut Context<'_>, wire: &Wire, state: &ConnState) -> Poll<io::Result<()>> {
        ready!(self.poll_file(cx, wire, state))?;
        loop {
            let mut waits = false;
            // What comes with the head goes with the head.
            if !self.ended && (self.outbox.is_empty() || std::mem::take(&mut self.fresh)) {
                match std::pin::Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => self.data(data)?,
                        Err(frame) => self.end(frame.into_trailers().ok().as_ref())?,
                    },
                    // It was counted and logged where it happened. The client sees a cut.
                    Poll::Ready(Some(Err(_told))) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                    Poll::Ready(None) => self.end(None)?,
                    Poll::Pending => waits = true,
                }
                if self.ended {
                    self.count(state);
                }
            }
            if wire.poll_write_out(cx, &mut self.outbox)?.is_pending() {
                return Poll::Pending;
            }
            if self.ended || waits {
                let flushed = wire.poll_flush(cx)?;
                return if self.ended { flushed.map(Ok) } else { Poll::Pending };
            }
        }
    }

    fn data(&mut self, data: Bytes) -> io::Result<()> {
        match self.framing {
            _ if data.is_empty() => {}
            Framing::Exactly(_) => {
                // Bytes too many would be taken for another answer.
                self.left = self.left.checked_sub(data.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
                self.ended = self.left == 0;
                self.outbox.data = data;
            }
            Framing::Chunked => {
                self.outbox.head.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                self.outbox.data = data;
                self.ended = self.body.is_end_stream();
                self.outbox.tail = if self.ended { END_AND_LAST_CHUNK } else { b"\r\n" };
            }
            Framing::ToClose => {
                self.outbox.data = data;
                self.ended = self.body.is_end_stream();
            }
            Framing::None => {}
        }
        Ok(())
    }

    /// The body is over.
    fn end(&mut self, trailers: Option<&http::HeaderMap>) -> io::Result<()> {
        self.ended = true;
        match (self.framing, trailers) {
            (Framing::Exactly(_), _) if self.left > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            (Framing::Chunked, Some(trailers)) if self.reader.trailers => {
                let mut trailers = trailers.clone();
                headers::strip_hop_by_hop(&mut trailers);
                self.outbox.head.extend_from_slice(&encode::trailers(&trailers));
            }
            (Framing::Chunked, _) => self.outbox.tail = LAST_CHUNK,
            _ => {}
        }
        Ok(())
    }
}
