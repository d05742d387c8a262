//! Sends calls to an OpenAI-speaking provider and turns whatever comes back into an answer or a typed error.

use std::error::Error as _;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use reqwest::{RequestBuilder, Response, StatusCode, header};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::address::Address;
use super::{reader, wire};
use crate::limits::{MAX_ANSWER_BYTES, MAX_ERROR_BYTES, MAX_ERROR_CHARS};
use crate::provider::{Completion, Deltas, Provider, Request};
use crate::timeouts::Timeouts;
use crate::{Error, Phase};

/// Everything a client needs.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The provider's name in logs, errors and metrics.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// The models to offer from it.
    pub models: Vec<String>,
    /// How long it may take.
    pub timeouts: Timeouts,
}

/// A provider that speaks OpenAI's protocol.
#[derive(Debug)]
pub struct Client {
    setup: Setup,
    completions: Url,
    http: reqwest::Client,
}

impl Client {
    /// Prepares the client; no connection is made yet.
    pub fn new(setup: Setup) -> Result<Self, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(setup.timeouts.connect)
            // A redirect would carry the key to a place that nobody configured.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("mana-ai/", env!("CARGO_PKG_VERSION")));
        if setup.address.is_loopback() {
            builder = builder.no_proxy();
        }
        Ok(Self { http: builder.build()?, completions: setup.address.completions(), setup })
    }

    /// Sends a call and waits for its status line, until `deadline`.
    async fn send(
        &self,
        request: &Request,
        stream: bool,
        deadline: (Phase, Duration, Instant),
    ) -> Result<Response, Error> {
        let (phase, limit, at) = deadline;
        let mut call = self.http.post(self.completions.clone()).json(&wire::Body { request, stream });
        call = self.setup.address.authorize(call);
        if let Some(id) = &request.request_id {
            call = call.header("x-request-id", id);
        }
        // Whoever is beside us tells what they do as part of the same request; nobody else learns of its trace.
        if self.setup.address.is_loopback()
            && let Some(trace) = kit::context::current().and_then(|context| context.traceparent)
        {
            call = call.header(kit::context::TRACEPARENT, trace);
        }
        let response = timeout_at(at, call.send()).await.map_err(|_| self.timed_out(phase, limit))?;
        self.accepted(response.map_err(|e| self.network(&e))?, at).await
    }

    /// The response if its status is good, the matching error if not.
    async fn accepted(&self, response: Response, deadline: Instant) -> Result<Response, Error> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = retry_after(&response);
        // A slow or broken error body costs us its text, not the error.
        let body = timeout_at(deadline, bounded(response, MAX_ERROR_BYTES))
            .await
            .ok()
            .and_then(Result::ok)
            .unwrap_or_default();
        let failure = serde_json::from_slice::<wire::Failure>(&body).map(|f| f.error).unwrap_or_default();
        let provider = self.setup.name.clone();
        let message = || shortened(failure.message.as_deref().unwrap_or("it gave no reason"));
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS => {
                Error::RateLimited { provider, retry_after, message: message(), code: failure.code() }
            }
            // Providers repeat parts of the key here.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Refused {
                provider,
                status: status.as_u16(),
                message: "it does not accept our credentials; check the key that this provider is configured with"
                    .into(),
                code: failure.code(),
            },
            _ if status.is_client_error() => {
                Error::Refused { provider, status: status.as_u16(), message: message(), code: failure.code() }
            }
            _ => Error::Failed { provider, status: status.as_u16(), message: message() },
        })
    }

    async fn complete(&self, request: &Request) -> Result<Completion, Error> {
        let limit = self.setup.timeouts.total;
        let deadline = Instant::now() + limit;
        let response = self.send(request, false, (Phase::Total, limit, deadline)).await?;
        let body = timeout_at(deadline, bounded(response, MAX_ANSWER_BYTES))
            .await
            .map_err(|_| self.timed_out(Phase::Total, limit))?
            .map_err(|e| self.body_error(e))?;
        wire::completion(&body, &self.setup.name)
    }

    async fn stream(&self, request: &Request) -> Result<Deltas, Error> {
        let started = Instant::now();
        let limit = self.setup.timeouts.first_byte;
        let response = self.send(request, true, (Phase::FirstByte, limit, started + limit)).await?;
        let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        if !content_type.starts_with("text/event-stream") {
            return Err(self.bad(format!("asked for a stream, it sent {content_type:?}")));
        }
        Ok(reader::read(&self.setup.name, response, self.setup.timeouts, started))
    }

    async fn models(&self) -> Result<Vec<String>, Error> {
        let limit = self.setup.timeouts.first_byte;
        let deadline = Instant::now() + limit;
        let call: RequestBuilder = self.setup.address.authorize(self.http.get(self.setup.address.models()));
        let response = timeout_at(deadline, call.send())
            .await
            .map_err(|_| self.timed_out(Phase::FirstByte, limit))?
            .map_err(|e| self.network(&e))?;
        let response = self.accepted(response, deadline).await?;
        let body = timeout_at(deadline, bounded(response, MAX_ANSWER_BYTES))
            .await
            .map_err(|_| self.timed_out(Phase::FirstByte, limit))?
            .map_err(|e| self.body_error(e))?;
        if !self.setup.address.lists_what_it_serves() {
            // It answered and took our key: what is configured is there as far as can be known.
            return Ok(self.setup.models.clone());
        }
        let list: wire::Models =
            serde_json::from_slice(&body).map_err(|e| self.bad(format!("not a list of models: {e}")))?;
        let served = |id: &String| list.data.iter().any(|entry| entry.id == *id);
        Ok(self.setup.models.iter().filter(|id| served(id)).cloned().collect())
    }

    fn timed_out(&self, phase: Phase, limit: Duration) -> Error {
        Error::TimedOut { provider: self.setup.name.clone(), phase, limit }
    }

    fn bad(&self, reason: String) -> Error {
        Error::BadAnswer { provider: self.setup.name.clone(), reason }
    }

    fn body_error(&self, error: BodyError) -> Error {
        match error {
            BodyError::TooLong => Error::TooLong { provider: self.setup.name.clone(), limit: MAX_ANSWER_BYTES },
            BodyError::Network(error) => {
                Error::Broken { provider: self.setup.name.clone(), reason: network_reason(&error) }
            }
        }
    }

    fn network(&self, error: &reqwest::Error) -> Error {
        if error.is_connect() && error.is_timeout() {
            return self.timed_out(Phase::Connect, self.setup.timeouts.connect);
        }
        let (provider, reason) = (self.setup.name.clone(), network_reason(error));
        if error.is_connect() { Error::Unreachable { provider, reason } } else { Error::Broken { provider, reason } }
    }
}

impl Provider for Client {
    fn name(&self) -> &str {
        &self.setup.name
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        self.models().boxed()
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Completion, Error>> {
        self.complete(request).boxed()
    }

    fn stream<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Deltas, Error>> {
        self.stream(request).boxed()
    }
}

/// Why a body could not be read.
enum BodyError {
    TooLong,
    Network(reqwest::Error),
}

/// The body, refused as soon as it grows past `limit`.
async fn bounded(response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    let mut bytes = response.bytes_stream();
    while let Some(piece) = bytes.next().await {
        body.extend_from_slice(&piece.map_err(BodyError::Network)?);
        if body.len() > limit {
            return Err(BodyError::TooLong);
        }
    }
    Ok(body)
}

/// The innermost cause, without the URL (which may hold what logs should not).
pub(super) fn network_reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if error.source().is_none() { "the connection failed".to_owned() } else { shortened(&cause.to_string()) }
}

/// `text` on one line, cut to [`MAX_ERROR_CHARS`].
pub(super) fn shortened(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_ERROR_CHARS).collect()
}

/// `Retry-After` in seconds; its date form is not used by model providers.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}
