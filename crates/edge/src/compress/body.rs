//! A body that is compressed while it passes.
//!
//! Nothing is held back: whenever the source has nothing more to give at once, all that was put in is brought out, so a
//! stream of small events arrives event by event. The thread is shared with other connections: after each
//! [`PIECE_BYTES`] of input the task goes to the back of the queue.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame};

use super::Coding;
use super::encoder::Encoder;
use super::packed::Packed;
use crate::body::{Body, BodyError};

/// Input that is compressed without letting others have a turn.
pub(super) const PIECE_BYTES: usize = 32 * 1024;

/// Output is handed on from this size; less waits for more, or for the source to pause.
const OUTPUT_BYTES: usize = 8 * 1024;

/// Bodies that a thread compresses piece by piece at the same time; each keeps up to 4 MiB. What is more passes as it
/// is: a client that reads slowly must not cost others their memory.
const MAX_STREAMS: usize = 64;

thread_local! {
    static STREAMS: Cell<usize> = const { Cell::new(0) };
}

/// The right to be one of [`MAX_STREAMS`].
pub(super) struct Permit(());

impl Permit {
    pub(super) fn take() -> Option<Self> {
        let streams = STREAMS.get();
        (streams < MAX_STREAMS).then(|| {
            STREAMS.set(streams + 1);
            Self(())
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        STREAMS.set(STREAMS.get() - 1);
    }
}

/// What came out so far, for those who ask later.
struct Keeping {
    packed: Arc<Packed>,
    coding: Coding,
    form: Vec<u8>,
}

pub(crate) struct Compressed {
    source: Body,
    /// `None` once its end is out.
    encoder: Option<(Encoder, Permit)>,
    /// Came from the source and did not go in yet.
    rest: Bytes,
    /// Went in since others had a turn.
    went_in: usize,
    /// Something went in and may not have come out.
    unflushed: bool,
    trailers: Option<Frame<Bytes>>,
    /// Why it ends early, told once nothing is on its way any more.
    failed: Option<BodyError>,
    /// The last poll had a result.
    handed_on: bool,
    /// `None`: nobody else will ask for the same.
    keeping: Option<Keeping>,
}

impl Compressed {
    pub(super) fn new(source: Body, encoder: Encoder, permit: Permit, packed: Option<(Arc<Packed>, Coding)>) -> Self {
        Self {
            source,
            encoder: Some((encoder, permit)),
            rest: Bytes::new(),
            went_in: 0,
            unflushed: false,
            trailers: None,
            failed: None,
            handed_on: false,
            keeping: packed.map(|(packed, coding)| Keeping { packed, coding, form: Vec::new() }),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = self.poll_next(cx);
        self.handed_on = polled.is_ready();
        if let Poll::Ready(came) = &polled {
            self.keep(came.as_ref());
        }
        polled
    }

    /// Remembers what came out; at the end all of it is kept.
    fn keep(&mut self, came: Option<&Result<Frame<Bytes>, BodyError>>) {
        let Some(keeping) = &mut self.keeping else { return };
        match came {
            None => {}
            Some(Ok(frame)) if frame.is_data() => {
                keeping.form.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            }
            Some(_) => self.keeping = None,
        }
        let Some(keeping) =
            self.keeping.take_if(|keeping| self.encoder.is_none() || keeping.form.len() > keeping.packed.left())
        else {
            return;
        };
        if self.encoder.is_none() {
            keeping.packed.keep(keeping.coding, &keeping.form.into());
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if self.failed.is_some() && self.handed_on {
                // An error drops what hyper has not written yet: what came before it has to be out first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(failed) = self.failed.take() {
                self.encoder = None;
                return Poll::Ready(Some(Err(failed)));
            }
            let Some((encoder, _)) = &mut self.encoder else { return Poll::Ready(self.trailers.take().map(Ok)) };
            if !self.rest.is_empty() {
                if self.went_in >= PIECE_BYTES {
                    self.went_in = 0;
                    // A task that just wakes itself is run many times before the runtime looks at its sockets.
                    if pin!(tokio::task::yield_now()).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES - self.went_in));
                self.went_in += piece.len();
                self.unflushed = true;
                if let Err(error) = encoder.write(&piece) {
                    self.failed = Some(BodyError::NotCompressed(error));
                } else if encoder.output().len() >= OUTPUT_BYTES {
                    return Poll::Ready(Some(Ok(taken(encoder))));
                }
                continue;
            }
            match Pin::new(&mut self.source).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        self.rest = data;
                        continue;
                    }
                    Err(trailers) => {
                        self.trailers = Some(trailers);
                        return self.finish();
                    }
                },
                Poll::Ready(None) => return self.finish(),
                Poll::Ready(Some(Err(error))) => self.failed = Some(error),
                Poll::Pending => {
                    self.went_in = 0;
                    if !self.unflushed {
                        return Poll::Pending;
                    }
                }
            }
            // The source pauses or is broken: out with all there is.
            if std::mem::take(&mut self.unflushed) {
                if let Err(error) = encoder.flush() {
                    self.failed = Some(BodyError::NotCompressed(error));
                } else if !encoder.output().is_empty() {
                    return Poll::Ready(Some(Ok(taken(encoder))));
                }
            }
        }
    }

    fn finish(&mut self) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.encoder.take().map(|(encoder, _)| encoder.finish()) {
            Some(Ok(last)) if !last.is_empty() => Poll::Ready(Some(Ok(Frame::data(last.into())))),
            Some(Err(error)) => Poll::Ready(Some(Err(BodyError::NotCompressed(error)))),
            _ => Poll::Ready(self.trailers.take().map(Ok)),
        }
    }
}

fn taken(encoder: &mut Encoder) -> Frame<Bytes> {
    Frame::data(std::mem::take(encoder.output()).into())
}
