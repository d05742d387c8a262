//! Reads one streamed answer: connection → events → pieces, under the time limits. What comes in one read is read as one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream};
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, Sleep, sleep_until};

use super::progress::Progress;
use crate::limits::MAX_EVENT_BYTES;
use crate::provider::{Delta, Deltas};
use crate::sse::Decoder;
use crate::timeouts::Timeouts;
use crate::{Error, Phase};

/// What reading one answer needs to know.
struct Reader {
    provider: String,
    bytes: BoxStream<'static, Result<Bytes, reqwest::Error>>,
    decoder: Decoder,
    progress: Progress,
    timeouts: Timeouts,
    started: Instant,
    /// Rings no later than the next deadline. One for the whole stream: a timer a piece costs more than the piece.
    alarm: Pin<Box<Sleep>>,
    /// When the last token came; before the first one, `None`.
    last_token: Option<Instant>,
    over: bool,
}

/// What came in one read.
#[derive(Default)]
struct Batch {
    pieces: VecDeque<Delta>,
    /// Found behind the pieces; told after them.
    failure: Option<Error>,
}

/// The pieces one by one. The lower bound of its size says how many are there already.
struct Pieces {
    batches: BoxStream<'static, Batch>,
    batch: Batch,
}

impl Stream for Pieces {
    type Item = Result<Delta, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(piece) = self.batch.pieces.pop_front() {
                return Poll::Ready(Some(Ok(piece)));
            }
            if let Some(error) = self.batch.failure.take() {
                return Poll::Ready(Some(Err(error)));
            }
            match ready!(self.batches.poll_next_unpin(context)) {
                Some(batch) => self.batch = batch,
                None => return Poll::Ready(None),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.batch.pieces.len() + usize::from(self.batch.failure.is_some()), None)
    }
}

/// The pieces of `response`, whose request was sent at `started`.
pub(super) fn read(provider: &str, response: reqwest::Response, timeouts: Timeouts, started: Instant) -> Deltas {
    let reader = Reader {
        provider: provider.to_owned(),
        bytes: response.bytes_stream().boxed(),
        decoder: Decoder::default(),
        progress: Progress::new(provider),
        timeouts,
        started,
        alarm: Box::pin(sleep_until(started + timeouts.first_byte)),
        last_token: None,
        over: false,
    };
    let batches = stream::unfold(reader, |mut reader| async move { reader.next().await.map(|batch| (batch, reader)) });
    Box::pin(Pieces { batches: batches.boxed(), batch: Batch::default() })
}

impl Reader {
    /// The next pieces; `None` once the end or an error was told.
    async fn next(&mut self) -> Option<Batch> {
        if self.over {
            return None;
        }
        // The silence counts from when we listen again: a slow reader on our side is not the provider's fault.
        self.last_token = self.last_token.map(|_| Instant::now());
        let mut batch = Batch::default();
        while batch.pieces.is_empty() && batch.failure.is_none() {
            if let Err(error) = self.receive(&mut batch.pieces).await {
                batch.failure = Some(error);
            }
        }
        self.over = batch.failure.is_some() || matches!(batch.pieces.back(), Some(Delta::End(_)));
        Some(batch)
    }

    /// Waits for bytes and turns them into pieces. Those before an error count.
    async fn receive(&mut self, pieces: &mut VecDeque<Delta>) -> Result<(), Error> {
        let (phase, limit, deadline) = self.deadline();
        if deadline < self.alarm.deadline() {
            self.alarm.as_mut().reset(deadline);
        }
        let bytes = loop {
            tokio::select! {
                biased;
                bytes = self.bytes.next() => break bytes,
                () = &mut self.alarm => {
                    if Instant::now() >= deadline {
                        return Err(Error::TimedOut { provider: self.provider.clone(), phase, limit });
                    }
                    self.alarm.as_mut().reset(deadline);
                }
            }
        };
        let bytes = match bytes {
            None => return Err(self.progress.end_of_connection(self.decoder.is_mid_event())),
            Some(Err(error)) => return Err(self.progress.broken(super::client::network_reason(&error))),
            Some(Ok(bytes)) => bytes,
        };
        let events = self.decoder.push(&bytes).map_err(|_| self.progress.too_long(MAX_EVENT_BYTES))?;
        for event in events {
            let Some(delta) = self.progress.event(&event)? else { continue };
            let is_end = matches!(delta, Delta::End(_));
            self.last_token = Some(Instant::now());
            pieces.push_back(delta);
            if is_end {
                // The last piece of the chunked body is usually here already: taking it lets the connection be used again.
                // Not waited for.
                let _ = self.bytes.next().now_or_never();
                break;
            }
        }
        Ok(())
    }

    /// Whichever limit passes first, with its name.
    fn deadline(&self) -> (Phase, std::time::Duration, Instant) {
        let total = (Phase::Total, self.timeouts.total, self.started + self.timeouts.total);
        let silence = match self.last_token {
            None => (Phase::FirstByte, self.timeouts.first_byte, self.started + self.timeouts.first_byte),
            Some(at) => (Phase::BetweenTokens, self.timeouts.between_tokens, at + self.timeouts.between_tokens),
        };
        if silence.2 <= total.2 { silence } else { total }
    }
}
