//! An answer of chat-backend while it is written.

use std::pin::Pin;

use axum::http::StatusCode;
use bytes::Bytes;
use futures_util::{Stream as Chunks, StreamExt};
use kit::Credits;
use reqwest::{Response, header};
use serde::Deserialize;
use tokio::time::timeout;

use super::backend::SERVICE;
use super::sse::{Event, Reader};
use super::{Failure, WireProblem};
use crate::limits::STREAM_SILENCE;

/// What comes out of it, one at a time.
#[derive(Debug)]
pub(crate) enum Said {
    /// A piece of the answer.
    Delta(String),
    /// The answer is whole, stored and paid for.
    Done {
        /// What is left.
        credits: Credits,
        /// Who answered.
        model: String,
    },
}

/// The answer. Dropping it closes the connection, which stops the model.
pub(crate) struct Stream {
    chunks: Pin<Box<dyn Chunks<Item = reqwest::Result<Bytes>> + Send>>,
    reader: Reader,
}

#[derive(Deserialize)]
struct Delta {
    content: String,
}

#[derive(Deserialize)]
struct Done {
    credits: Credits,
    model: String,
}

/// A whole answer, which chat-backend gives when there was nothing to stream.
#[derive(Deserialize)]
struct Whole {
    message: String,
    #[serde(flatten)]
    done: Done,
}

impl Stream {
    pub(super) async fn of(response: Response) -> Result<Self, Failure> {
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return Ok(Self { chunks: response.bytes_stream().boxed(), reader: Reader::default() });
        }
        // The same answer in events, so that there is one way to go on.
        let whole: Whole = super::json(SERVICE, response).await?;
        let mut reader = Reader::default();
        let delta = serde_json::json!({ "content": whole.message });
        let done = serde_json::json!({ "credits": whole.done.credits, "model": whole.done.model });
        reader.push(format!("event: delta\ndata: {delta}\n\nevent: done\ndata: {done}\n\n").as_bytes());
        Ok(Self { chunks: futures_util::stream::empty().boxed(), reader })
    }

    /// What is said next. After `Done` or an error there is nothing more.
    pub(crate) async fn next(&mut self) -> Result<Said, Failure> {
        loop {
            if let Some(event) = self.reader.next().map_err(|error| Failure::away(SERVICE, &error))? {
                if let Some(said) = read(&event)? {
                    return Ok(said);
                }
                continue;
            }
            let silent = |_| Failure::Away { service: SERVICE, reason: format!("silent for {STREAM_SILENCE:?}") };
            match timeout(STREAM_SILENCE, self.chunks.next()).await.map_err(silent)? {
                Some(Ok(chunk)) => self.reader.push(&chunk),
                Some(Err(error)) => return Err(Failure::away(SERVICE, &error.without_url())),
                None => return Err(Failure::Away { service: SERVICE, reason: "the stream broke off".into() }),
            }
        }
    }
}

fn read(event: &Event) -> Result<Option<Said>, Failure> {
    let wrong = |error: serde_json::Error| Failure::away(SERVICE, &error);
    match event.name.as_str() {
        "delta" => {
            let delta: Delta = serde_json::from_str(&event.data).map_err(wrong)?;
            Ok(Some(Said::Delta(delta.content)))
        }
        "done" => {
            let done: Done = serde_json::from_str(&event.data).map_err(wrong)?;
            Ok(Some(Said::Done { credits: done.credits, model: done.model }))
        }
        "error" => {
            let problem: WireProblem = serde_json::from_str(&event.data).map_err(wrong)?;
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_GATEWAY);
            Err(Failure::Refused { service: SERVICE, refusal: problem.refusal(status, None) })
        }
        // A newer chat-backend may say more than we know.
        _ => Ok(None),
    }
}
