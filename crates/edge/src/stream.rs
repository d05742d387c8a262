//! A service's answer on its way to the client, frame by frame, as it comes.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::body::BodyError;
use crate::conn_state::ConnState;
use crate::http1::link::Link;
use crate::pool::Lease;

/// The body of a proxied answer. Drives the connection it comes from; dropping it before its end drops the connection,
/// which tells the service that nobody listens any more.
pub(crate) struct Streamed {
    /// Came together with the head.
    pub(crate) first: Option<Frame<Bytes>>,
    /// `None` once the connection went back to the pool.
    pub(crate) link: Option<Box<Link>>,
    pub(crate) lease: Lease,
    pub(crate) state: Rc<ConnState>,
    /// Longest time without anything moving.
    pub(crate) silence: Duration,
    /// Why it ends early, told one poll later than it was known.
    pub(crate) failed: Option<BodyError>,
}

impl Streamed {
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if let Some(failed) = self.failed.take() {
            return Poll::Ready(Some(Err(failed)));
        }
        let Some(link) = &mut self.link else { return Poll::Ready(None) };
        match link.poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => {
                // An error drops what hyper has not written yet. Told a poll later, the client gets what there was, and
                // sees a cut answer rather than none, which it would take for leave to ask again.
                self.failed = Some(BodyError::BrokenOff(error));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(frame) => {
                self.state.touch();
                if link.is_done() {
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
        if let Some(link) = self.link.take() {
            self.lease.upstream.keep(link, &self.state.ticker);
        }
    }

    /// Takes what came together with the head. If that is the whole body, as it is for most answers, the connection is
    /// free at once and nothing needs to be streamed.
    pub(crate) fn read_ahead(&mut self) -> Option<Bytes> {
        let link = self.link.as_mut()?;
        let mut came = Bytes::new();
        if !link.is_done() {
            if !link.has_more() {
                return None;
            }
            match link.poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if link.is_done() => came = data,
                    Ok(data) => self.first = Some(Frame::data(data)),
                    Err(frame) => self.first = Some(frame),
                },
                Poll::Ready(Some(Err(error))) => self.failed = Some(BodyError::BrokenOff(error)),
                Poll::Ready(None) | Poll::Pending => {}
            }
        }
        if self.first.is_some() || !self.link.as_ref().is_some_and(|link| link.is_done()) {
            return None;
        }
        self.give_back();
        Some(came)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.failed.is_none() && self.link.as_ref().is_none_or(|link| link.is_done())
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
        let rest = self.link.as_ref().map_or(Some(0), |link| link.left());
        rest.map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest + first))
    }
}
