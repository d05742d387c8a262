//! A body as a whole, if it is small enough and comes soon enough; else as it would have come.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};

use crate::body::{Body, BodyError};

/// Longest wait for the whole of it: a page that is written slowly should be seen as it is written.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

pub(super) enum Collected {
    /// In memory of its own, not a byte larger.
    Whole(Bytes),
    Not(Body),
    /// It broke off; nothing of it has been sent on.
    Broken,
}

/// What was read ahead, and then the rest.
pub(crate) struct Ahead {
    frames: VecDeque<Frame<Bytes>>,
    rest: Body,
}

pub(super) async fn collect(mut body: Body, max_bytes: usize) -> Collected {
    if body.size_hint().lower() > max_bytes as u64 {
        return Collected::Not(body);
    }
    let mut frames = VecDeque::new();
    let mut bytes = 0;
    let deadline = tokio::time::sleep(PATIENCE);
    let mut deadline = std::pin::pin!(deadline);
    loop {
        let frame = std::future::poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
            Poll::Pending => deadline.as_mut().poll(cx).map(|()| Err(())),
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
        });
        match frame.await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) if frame.is_data() => {
                bytes += frame.data_ref().map_or(0, Bytes::len);
                frames.push_back(frame);
                if bytes <= max_bytes {
                    continue;
                }
            }
            // Trailers are for this client.
            Ok(Some(Ok(trailers))) => frames.push_back(trailers),
            Ok(Some(Err(_))) => return Collected::Broken,
            Err(()) => {}
        }
        return Collected::Not(Body::ahead(Box::new(Ahead { frames, rest: body })));
    }
    let mut whole = BytesMut::with_capacity(bytes);
    for data in frames.into_iter().filter_map(|frame| frame.into_data().ok()) {
        whole.extend_from_slice(&data);
    }
    Collected::Whole(whole.freeze())
}

impl Ahead {
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.rest.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let ahead = self.frames.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum::<u64>();
        self.rest.size_hint().exact().map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest + ahead))
    }
}
