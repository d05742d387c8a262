//! Connections to one place that are kept from one question to the next, in HTTP/1, one question at a time on each.
//!
//! Hundreds of questions every ten seconds are most of what watching costs. Each goes to a place that is known, so there is no address to be
//! read and nobody to be redirected to. What is asked of the same place at different moments shares a connection, which takes 25 kB of memory.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Failure, REST_BYTES, REST_PATIENCE};

type Question = Request<Empty<Bytes>>;
pub(super) type Sender = SendRequest<Empty<Bytes>>;

/// How old a connection becomes: a client that comes anew finds another certificate, another address behind a name.
const RENEWED_EVERY: Duration = Duration::from_mins(1);
/// Connections that are kept: more are only there while so many are asked at the same moment.
const MOST_KEPT: usize = 4;

/// A place that is asked again and again.
#[derive(Debug)]
pub(in super::super) struct Line {
    /// Those that nobody uses now, the one that was used last at the end.
    kept: Mutex<Vec<Kept>>,
    renewed_every: Duration,
}

#[derive(Debug)]
struct Kept {
    sender: Sender,
    made: Instant,
}

/// The beginning of an answer. Its connection is kept once its end was read.
pub(super) struct Answer<'l> {
    pub(super) response: Response<Incoming>,
    line: &'l Line,
    kept: Kept,
}

impl Default for Line {
    fn default() -> Self {
        Self::renewed_every(RENEWED_EVERY)
    }
}

impl Line {
    /// One whose connections are made anew when they are that old: what is between here and there (a name, a certificate) may have changed.
    pub(super) fn renewed_every(age: Duration) -> Self {
        Self { kept: Mutex::default(), renewed_every: age }
    }

    /// Asks; over what comes of `connect` where there is no connection, or the one that was kept turns out to be closed.
    pub(super) async fn ask(
        &self,
        question: Question,
        connect: impl Future<Output = Result<Sender, Failure>>,
    ) -> Result<Answer<'_>, Failure> {
        // One that was closed while nobody used it says nothing of who is asked.
        if let Some(mut kept) = self.take()
            && let Ok(response) = sent(&mut kept.sender, question.clone()).await
        {
            return Ok(Answer { response, line: self, kept });
        }
        let mut kept = Kept { sender: connect.await?, made: Instant::now() };
        let response = sent(&mut kept.sender, question).await.map_err(|error| broken(&error))?;
        Ok(Answer { response, line: self, kept })
    }

    fn take(&self) -> Option<Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| one.made.elapsed() < self.renewed_every && !one.sender.is_closed());
        kept.pop()
    }

    fn keep(&self, kept: Kept) {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MOST_KEPT {
            all.push(kept);
        }
    }
}

impl Answer<'_> {
    /// Its body, of at most so many bytes.
    pub(super) async fn body(self, most: usize) -> Result<Vec<u8>, Failure> {
        let Self { response, line, kept } = self;
        let mut body = response.into_body();
        let said = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if said > most {
            return Err(Failure::Size(most));
        }
        let mut bytes = Vec::with_capacity(said);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(&error))?;
            let Some(piece) = frame.data_ref() else { continue };
            if bytes.len() + piece.len() > most {
                return Err(Failure::Size(most));
            }
            bytes.extend_from_slice(piece);
        }
        line.keep(kept);
        Ok(bytes)
    }

    /// Reads the rest away. Where that is long, or does not come, the connection ends.
    pub(super) async fn rest(self) {
        // What was asked is answered.
        let _ = tokio::time::timeout(REST_PATIENCE, self.body(REST_BYTES)).await;
    }
}

/// HTTP over a stream. It ends when its sender is dropped; what breaks it is told to that.
pub(super) async fn begin<S>(stream: S) -> Result<Sender, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn sent(sender: &mut Sender, question: Question) -> hyper::Result<Response<Incoming>> {
    sender.ready().await?;
    sender.send_request(question).await
}

fn broken(error: &hyper::Error) -> Failure {
    Failure::Connection(in_words(error))
}

fn in_words(error: &dyn std::error::Error) -> String {
    let behind = std::iter::successors(error.source(), |error| error.source());
    behind.fold(error.to_string(), |text, error| format!("{text}: {error}"))
}
