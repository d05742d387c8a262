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
use crate::pool::{Lease, Link};

/// The body of a proxied answer. Drives the connection it comes from; dropping it before its end drops the connection,
/// which tells the service that nobody listens any more.
pub(crate) struct Streamed {
    /// Came together with the head.
    pub(crate) first: Option<Frame<Bytes>>,
    pub(crate) incoming: Incoming,
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
        let frame = match self.poll_incoming(cx) {
            Poll::Ready(frame) => frame.transpose(),
            Poll::Pending if self.is_silent() => return Poll::Ready(Some(Err(BodyError::Silent))),
            Poll::Pending => return Poll::Pending,
        };
        match frame {
            Ok(frame) => {
                self.state.touch();
                if frame.is_none() || self.incoming.is_end_stream() {
                    self.give_back();
                }
                Poll::Ready(frame.map(Ok))
            }
            Err(error) => {
                // An error drops what hyper has not written yet. Told a poll later, the client gets what there was, and
                // sees a cut answer rather than none, which it would take for leave to ask again.
                self.failed = Some(BodyError::BrokenOff(error));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let ready = Pin::new(&mut self.incoming).poll_frame(cx);
        if ready.is_ready() {
            return ready;
        }
        // Nothing has been read ahead: let the connection read, and look again.
        if let Some(link) = &mut self.link {
            let _ended = link.poll(cx);
        }
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        Poll::Ready(frame)
    }

    fn is_silent(&self) -> bool {
        let silence = u64::try_from(self.silence.as_millis()).unwrap_or(u64::MAX);
        self.state.ticker.now().saturating_sub(self.state.progress()) >= silence
    }

    /// The answer is complete: the connection is free for the next request.
    pub(crate) fn give_back(&mut self) {
        if let Some(mut link) = self.link.take() {
            if !link.sender.is_ready() {
                // The end of the message may have been read but not yet acted on. What is still to be sent or read
                // after that makes the connection useless for others, so nobody has to be woken for it.
                let _ended = link.poll(&mut Context::from_waker(Waker::noop()));
            }
            self.lease.upstream.keep(link, &self.state.ticker);
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.incoming.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let rest = self.incoming.size_hint();
        let first = self.first.as_ref().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
        rest.exact().map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest + first))
    }
}
