//! The services this one calls, each behind a client that knows their addresses and answers.
//!
//! A call ends in its answer or in a [`Failure`]; what a person is told about one is in [`crate::words`].

mod auth;
mod backend;
mod credits;
mod keeping;
mod sse;
mod stream;

use axum::http::StatusCode;
use futures_util::StreamExt;
use kit::FieldError;
use reqwest::{RequestBuilder, Response, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub(crate) use auth::{Auth, Entry, Registered, SignedIn};
pub(crate) use backend::{Attachment, Backend, ConversationPage, Message, Model, Place, Question, Thread};
pub(crate) use credits::{History, Standing, Transaction};
pub(crate) use keeping::{ApiKey, Hit, NewApiKey, Share, Shared};
pub(crate) use stream::{Said, Stream};

use crate::limits::MAX_ANSWER_BYTES;

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The service does not answer, or not in a way that makes sense.
    #[error("{service} does not answer: {reason}")]
    Away {
        /// Which one.
        service: &'static str,
        /// Why, for the log.
        reason: String,
    },
    /// It answered, and that was no.
    #[error("{service} refused: {refusal:?}")]
    Refused {
        /// Which one.
        service: &'static str,
        /// What it said.
        refusal: Refusal,
    },
}

/// A problem that another service answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) errors: Vec<FieldError>,
    pub(crate) retry_after_seconds: Option<u64>,
}

/// The parts of a problem that are used.
#[derive(Deserialize)]
pub(crate) struct WireProblem {
    #[serde(default)]
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    errors: Vec<FieldError>,
}

impl WireProblem {
    pub(crate) fn refusal(self, status: StatusCode, retry_after_seconds: Option<u64>) -> Refusal {
        Refusal { status, code: self.code, errors: self.errors, retry_after_seconds }
    }
}

impl Failure {
    pub(crate) fn away(service: &'static str, reason: &dyn std::error::Error) -> Self {
        let mut text = reason.to_string();
        let mut source = reason.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        Self::Away { service, reason: text }
    }

    /// What the service said, where it said anything.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Away { .. } => None,
            Self::Refused { refusal, .. } => Some(refusal),
        }
    }

    /// Whether the same call is under way already.
    pub(crate) fn is_in_progress(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.code == "idempotency_in_progress")
    }

    /// Whether something else is so than what the call went by.
    pub(crate) fn is_conflict(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.status == StatusCode::CONFLICT)
    }

    /// Whether the token that was shown is not, or no longer, good.
    pub(crate) fn is_about_the_token(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.status == StatusCode::UNAUTHORIZED)
    }
}

/// Makes a call; gives its answer when it is a success.
async fn call(service: &'static str, request: RequestBuilder) -> Result<Response, Failure> {
    use kit::client::InContext;
    let asked =
        kit::trace::call(service, async { request.in_context().send().await.map_err(reqwest::Error::without_url) });
    let response = asked.await.map_err(|error| Failure::away(service, &error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    // Server errors without a problem in them are no answer of the service itself, rather of what is in between.
    let problem: Result<WireProblem, Failure> = json(service, response).await;
    match problem {
        Ok(problem) => Err(Failure::Refused { service, refusal: problem.refusal(status, retry_after) }),
        Err(_) => Err(Failure::Away { service, reason: format!("status {status} without a problem") }),
    }
}

/// Reads an answer, up to a bound.
async fn json<T: DeserializeOwned>(service: &'static str, response: Response) -> Result<T, Failure> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk.map_err(|error| Failure::away(service, &error.without_url()))?);
        if body.len() > MAX_ANSWER_BYTES {
            return Err(Failure::Away { service, reason: format!("an answer above {MAX_ANSWER_BYTES} bytes") });
        }
    }
    serde_json::from_slice(&body).map_err(|error| Failure::away(service, &error))
}
