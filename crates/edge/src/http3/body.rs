//! A request's body, as its stream brings it.

use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h3::error::Code;
use h3::server::RequestStream;
use h3_quinn::RecvStream;
use http_body::{Frame, SizeHint};

use crate::body::Cut;

pub(crate) struct Receiving {
    stream: RequestStream<RecvStream, Bytes>,
    /// Came before the request was passed on.
    first: Option<Bytes>,
    /// Bytes that are to come, if the client said how many.
    left: Option<u64>,
    done: bool,
}

impl Receiving {
    pub(crate) fn new(stream: RequestStream<RecvStream, Bytes>, length: Option<u64>) -> Self {
        Self { stream, first: None, left: length, done: false }
    }

    /// Waits until it is known whether there is a body at all: a request without one says so only by its stream's end.
    pub(crate) async fn begin(&mut self) -> Result<(), Cut> {
        match std::future::poll_fn(|cx| self.poll_frame(cx)).await {
            Some(frame) => self.first = frame?.into_data().ok(),
            None => self.done = true,
        }
        Ok(())
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if self.done {
            return Poll::Ready(None);
        }
        let received = ready!(self.stream.poll_recv_data(cx)).map_err(|_| Cut);
        let data = received.map(|data| data.map(|mut data| data.copy_to_bytes(data.remaining())));
        match data {
            Ok(Some(data)) => {
                if let Some(left) = &mut self.left {
                    // Longer than it said.
                    *left = left.checked_sub(data.len() as u64).ok_or(Cut)?;
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Ok(None) if self.left.is_some_and(|left| left > 0) => Poll::Ready(Some(Err(Cut))),
            Ok(None) => {
                let trailers = ready!(self.stream.poll_recv_trailers(cx)).map_err(|_| Cut);
                self.done = true;
                Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers)))
            }
            Err(cut) => Poll::Ready(Some(Err(cut))),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.done && self.first.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |data| data.len() as u64);
        match self.left {
            _ if self.done => SizeHint::with_exact(first),
            Some(left) => SizeHint::with_exact(left + first),
            None => SizeHint::default(),
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.done {
            // The rest is not wanted; what was answered holds.
            self.stream.stop_sending(Code::H3_NO_ERROR);
        }
    }
}
