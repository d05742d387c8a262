//! Reads one streamed answer: connection → events → pieces, under the time limits.

use std::collections::VecDeque;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
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
    ready: VecDeque<Delta>,
    /// Found behind the pieces in `ready`; told after them.
    failure: Option<Error>,
    timeouts: Timeouts,
    started: Instant,
    /// Rings no later than the next deadline. One for the whole stream: a timer a piece costs more than the piece.
    alarm: Pin<Box<Sleep>>,
    /// When the last token came; before the first one, `None`.
    last_token: Option<Instant>,
    over: bool,
}

/// The pieces of `response`, whose request was sent at `started`.
pub(super) fn read(provider: &str, response: reqwest::Response, timeouts: Timeouts, started: Instant) -> Deltas {
    let reader = Reader {
        provider: provider.to_owned(),
        bytes: response.bytes_stream().boxed(),
        decoder: Decoder::default(),
        progress: Progress::new(provider),
        ready: VecDeque::new(),
        failure: None,
        timeouts,
        started,
        alarm: Box::pin(sleep_until(started + timeouts.first_byte)),
        last_token: None,
        over: false,
    };
    Box::pin(stream::unfold(reader, |mut reader| async move { reader.next().await.map(|item| (item, reader)) }))
}

impl Reader {
    /// The next piece; `None` once the end or an error was told.
    async fn next(&mut self) -> Option<Result<Delta, Error>> {
        // The silence counts from when we listen again: a slow reader on our side is not the provider's fault.
        self.last_token = self.last_token.map(|_| Instant::now());
        loop {
            if self.over {
                return None;
            }
            if let Some(delta) = self.ready.pop_front() {
                self.over = matches!(delta, Delta::End(_));
                return Some(Ok(delta));
            }
            let failure = match self.failure.take() {
                Some(error) => Err(error),
                None => self.receive().await,
            };
            if let Err(error) = failure {
                self.over = true;
                return Some(Err(error));
            }
        }
    }

    /// Waits for bytes and turns them into pieces. An error waits until the pieces before it are told.
    async fn receive(&mut self) -> Result<(), Error> {
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
            match self.progress.event(&event) {
                Ok(None) => {}
                Ok(Some(delta)) => {
                    let is_end = matches!(delta, Delta::End(_));
                    self.last_token = Some(Instant::now());
                    self.ready.push_back(delta);
                    if is_end {
                        // The last piece of the chunked body is usually here already: taking it lets the connection be
                        // used again. Not waited for.
                        let _ = self.bytes.next().now_or_never();
                        break;
                    }
                }
                Err(error) => {
                    self.failure = Some(error);
                    break;
                }
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
