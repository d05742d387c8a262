//! Connections to one place that are kept from one question to the next, in HTTP/1, one question at a time on each.
//!
//! Hundreds of questions every ten seconds are most of what watching costs. Each goes to a place that is known, so there is no address to be
//! read and nobody to be redirected to. What is asked of the same place at different moments shares a connection, which is a stream and
//! nothing more until then; one that is given up is dropped without a word.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::{Request, Response};
use mana_runtime::exchange::{self, Stream};

use super::{Failure, REST_BYTES, REST_PATIENCE};

type Question = Request<Empty<Bytes>>;
pub(super) type Way = Box<dyn Stream>;

/// How old a connection becomes: a client that comes anew finds another certificate, another address behind a name.
const RENEWED_EVERY: Duration = Duration::from_mins(1);
/// Connections that are kept: more are only there while so many are asked at the same moment.
const MOST_KEPT: usize = 4;

/// A place that is asked again and again.
pub(in super::super) struct Line {
    /// Those that nobody uses now, the one that was used last at the end.
    kept: Mutex<Vec<Kept>>,
    renewed_every: Duration,
}

struct Kept {
    way: Way,
    made: Instant,
}

/// The beginning of an answer. Its connection is kept once its end was read.
pub(super) struct Answer<'l> {
    given: exchange::Answer<Way>,
    line: &'l Line,
    made: Instant,
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
        connect: impl Future<Output = Result<Way, Failure>>,
    ) -> Result<Answer<'_>, Failure> {
        // One that was closed while nobody used it says nothing of who is asked.
        if let Some(Kept { way, made }) = self.take()
            && let Ok(given) = exchange::ask(way, question.clone()).await
        {
            return Ok(Answer { given, line: self, made });
        }
        let (way, made) = (connect.await?, Instant::now());
        let given = exchange::ask(way, question).await.map_err(|error| broken(&error))?;
        Ok(Answer { given, line: self, made })
    }

    fn take(&self) -> Option<Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain_mut(|one| one.made.elapsed() < self.renewed_every && exchange::is_open(&mut one.way));
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
    pub(super) fn response(&self) -> &Response<Incoming> {
        &self.given.response
    }

    /// Its body, of at most so many bytes.
    pub(super) async fn body(self, most: usize) -> Result<Vec<u8>, Failure> {
        let Self { mut given, line, made } = self;
        let said = usize::try_from(given.at_least()).unwrap_or(usize::MAX);
        if said > most {
            return Err(Failure::Size(most));
        }
        let mut bytes = Vec::with_capacity(said);
        while let Some(piece) = given.piece().await {
            let piece = piece.map_err(|error| broken(&error))?;
            if bytes.len() + piece.len() > most {
                return Err(Failure::Size(most));
            }
            bytes.extend_from_slice(&piece);
        }
        if let Some(way) = given.stream().await {
            line.keep(Kept { way, made });
        }
        Ok(bytes)
    }

    /// Reads the rest away. Where that is long, or does not come, the connection ends.
    pub(super) async fn rest(self) {
        // What was asked is answered.
        let _ = tokio::time::timeout(REST_PATIENCE, self.body(REST_BYTES)).await;
    }
}

fn broken(error: &hyper::Error) -> Failure {
    Failure::Connection(in_words(error))
}

fn in_words(error: &dyn std::error::Error) -> String {
    let behind = std::iter::successors(error.source(), |error| error.source());
    behind.fold(error.to_string(), |text, error| format!("{text}: {error}"))
}
