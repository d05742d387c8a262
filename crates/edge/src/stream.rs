//! A service's answer on its way to the client, frame by frame, as it comes.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use crate::body::BodyError;
use crate::conn_state::ConnState;
use crate::http1::Broken;
use crate::http1::link::Link;
use crate::pool::Lease;

/// The body of a proxied answer. Drives the connection it comes from; dropping it before its end drops the connection,
/// which tells the service that nobody listens any more.
pub(crate) struct Streamed {
    /// Came together with the head.
    pub(crate) first: Option<Frame<Bytes>>,
    pub(crate) source: Source,
    pub(crate) lease: Lease,
    pub(crate) state: Rc<ConnState>,
    /// Longest time without anything moving.
    pub(crate) silence: Duration,
    /// Why it ends early, told one poll later than it was known.
    pub(crate) failed: Option<BodyError>,
}

/// Where it comes from.
pub(crate) enum Source {
    Http1(Box<Link>),
    Http2(Incoming),
    /// It came to its end: the connection went back to the pool.
    Gone,
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self {
            Self::Http1(link) => link.poll_frame(cx),
            Self::Http2(incoming) => match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
                // hyper takes a stream that was cancelled for one that came to its end.
                None if !incoming.is_end_stream() => Poll::Ready(Some(Err(Broken::Ended))),
                frame => Poll::Ready(frame.map(|frame| frame.map_err(Broken::Stream))),
            },
            Self::Gone => Poll::Ready(None),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Http1(link) => link.is_done(),
            Self::Http2(incoming) => incoming.is_end_stream(),
            Self::Gone => true,
        }
    }

    /// Whether there is more to be had without waiting, as far as can be known.
    fn has_more(&self) -> bool {
        match self {
            Self::Http1(link) => link.has_more(),
            Self::Http2(_) => true,
            Self::Gone => false,
        }
    }

    /// Bytes that are to come, where that is known.
    fn left(&self) -> Option<u64> {
        match self {
            Self::Http1(link) => link.left(),
            Self::Http2(incoming) => incoming.size_hint().exact(),
            Self::Gone => Some(0),
        }
    }
}

impl Streamed {
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if let Some(failed) = self.failed.take() {
            return Poll::Ready(Some(Err(failed)));
        }
        match self.source.poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => {
                // An error drops what hyper has not written yet. Told a poll later, the client gets what there was, and
                // sees a cut answer rather than none, which it would take for leave to ask again.
                self.failed = Some(BodyError::BrokenOff(error));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(frame) => {
                self.state.touch();
                if self.source.is_done() {
                    self.give_back();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::BrokenOff)))
            }
            Poll::Pending if self.is_silent() => Poll::Ready(Some(Err(BodyError::Silent))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_silent(&self) -> bool {
        let silence = u64::try_from(self.silence.as_millis()).unwrap_or(u64::MAX);
        self.state.ticker.now().saturating_sub(self.state.progress()) >= silence
    }

    /// The answer is complete: the connection is free for the next request.
    fn give_back(&mut self) {
        if let Source::Http1(link) = std::mem::replace(&mut self.source, Source::Gone) {
            self.lease.upstream.keep(link, &self.state.ticker);
        }
    }

    /// Takes what came together with the head. If that is the whole body, as it is for most answers, the connection is
    /// free at once and nothing needs to be streamed.
    ///
    /// # Errors
    /// What came is malformed from its first byte on: the client, who has nothing of it yet, can be told.
    pub(crate) fn read_ahead(&mut self) -> Result<Option<Bytes>, Broken> {
        let source = &mut self.source;
        let mut came = Bytes::new();
        if !source.is_done() {
            if !source.has_more() {
                return Ok(None);
            }
            match source.poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if source.is_done() => came = data,
                    Ok(data) => self.first = Some(Frame::data(data)),
                    Err(frame) => self.first = Some(frame),
                },
                Poll::Ready(Some(Err(error))) => return Err(error),
                Poll::Ready(None) | Poll::Pending => {}
            }
        }
        if self.first.is_some() || !self.source.is_done() {
            return Ok(None);
        }
        self.give_back();
        Ok(Some(came))
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.failed.is_none() && self.source.is_done()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
        self.source.left().map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest + first))
    }
}
