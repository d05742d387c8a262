//! The admin API as typed calls, for a control plane.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

use super::message::{Applied, Certificate, Health, Purge, Purged, Refusal, Renew, Renewed, Retired, Since, Window};
use super::socket;
use crate::snapshot::Snapshot;

/// How long one call may take in all. An edge answers in milliseconds; syncing a snapshot to a slow disk takes longest.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer read: metrics of a thousand slots stay far below.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Speaks to one edge over its admin socket. Each call opens a connection of its own, so an edge that was restarted
/// in between is no error.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    timeout: Duration,
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody answers on the socket.
    #[error("no edge answers on {}", socket.display())]
    Unreachable {
        /// The socket's path.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No answer in time.
    #[error("the edge on {} did not answer within {timeout:?}", socket.display())]
    Timeout {
        /// The socket's path.
        socket: PathBuf,
        /// How long was waited.
        timeout: Duration,
    },
    /// The snapshot is not newer than the one served.
    #[error("the edge serves generation {current} already and refuses {offered}")]
    Stale {
        /// What it serves.
        current: u64,
        /// What was offered.
        offered: u64,
    },
    /// What was asked is wrong, or cannot be put into effect; nothing has changed.
    #[error("the edge refuses: {}", refusal_text(.0))]
    Refused(Refusal),
    /// The edge is about to end; another one may take over, and can be asked then.
    #[error("the edge on {} is about to end", socket.display())]
    Draining {
        /// The socket's path.
        socket: PathBuf,
    },
    /// Something that is no edge, or one of another version.
    #[error("the edge on {} answered in an unexpected way: {what}", socket.display())]
    Protocol {
        /// The socket's path.
        socket: PathBuf,
        /// What was odd.
        what: String,
    },
}

impl Client {
    /// A client of the edge that listens on `socket`. Nothing is opened before the first call.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), timeout: CALL_TIMEOUT }
    }

    /// Waits this long for each answer instead of ten seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Puts a snapshot into effect: when this returns `Ok`, it is on disk and every new request is served by it.
    pub async fn put(&self, snapshot: &Snapshot) -> Result<Applied, ClientError> {
        let body = serde_json::to_vec(snapshot).map_err(|error| self.protocol(&error))?;
        let (status, body) = self.call(Method::PUT, "/snapshot", body.into()).await?;
        if status == StatusCode::OK {
            return self.parse(&body);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Err(ClientError::Draining { socket: self.socket.clone() });
        }
        let refusal: Refusal = self.parse(&body)?;
        match refusal.current {
            Some(current) if status == StatusCode::CONFLICT => {
                Err(ClientError::Stale { current, offered: snapshot.generation })
            }
            _ => Err(ClientError::Refused(refusal)),
        }
    }

    /// The snapshot that is served now.
    pub async fn get(&self) -> Result<Snapshot, ClientError> {
        let body = self.ok(Method::GET, "/snapshot").await?;
        self.parse(&body)
    }

    /// Prometheus text.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let body = self.ok(Method::GET, "/metrics").await?;
        String::from_utf8(body.into()).map_err(|error| self.protocol(&error))
    }

    /// What happened since a moment, of one route or of all. With `slow`, answers whose head took longer are counted.
    pub async fn window(
        &self,
        since: Since,
        route: Option<&str>,
        slow: Option<Duration>,
    ) -> Result<Window, ClientError> {
        let (status, body) = self.call(Method::GET, &window_query(since, route, slow), Bytes::new()).await?;
        if status == StatusCode::OK { self.parse(&body) } else { Err(ClientError::Refused(self.parse(&body)?)) }
    }

    /// The certificates, host by host.
    pub async fn certificates(&self) -> Result<Vec<Certificate>, ClientError> {
        let body = self.ok(Method::GET, "/certificates").await?;
        self.parse(&body)
    }

    /// Instances that get nothing new, and that requests are still with.
    pub async fn retired(&self) -> Result<Vec<Retired>, ClientError> {
        let (status, body) = self.call(Method::GET, "/retired", Bytes::new()).await?;
        match status {
            StatusCode::OK => self.parse(&body),
            StatusCode::SERVICE_UNAVAILABLE => Err(ClientError::Draining { socket: self.socket.clone() }),
            status => Err(self.protocol(&status)),
        }
    }

    /// Renews the lease of a route's weight. [`ClientError::Refused`]: it has none, or it has run out.
    pub async fn renew(&self, route: &str) -> Result<Renewed, ClientError> {
        let body = serde_json::to_vec(&Renew { route: route.to_owned() }).map_err(|error| self.protocol(&error))?;
        let (status, body) = self.call(Method::POST, "/lease", body.into()).await?;
        match status {
            StatusCode::OK => self.parse(&body),
            StatusCode::SERVICE_UNAVAILABLE => Err(ClientError::Draining { socket: self.socket.clone() }),
            _ => Err(ClientError::Refused(self.parse(&body)?)),
        }
    }

    /// Forgets kept answers.
    pub async fn purge(&self, what: &Purge) -> Result<Purged, ClientError> {
        let body = serde_json::to_vec(what).map_err(|error| self.protocol(&error))?;
        let (status, body) = self.call(Method::POST, "/cache/purge", body.into()).await?;
        if status == StatusCode::OK { self.parse(&body) } else { Err(ClientError::Refused(self.parse(&body)?)) }
    }

    /// How the edge is.
    pub async fn health(&self) -> Result<Health, ClientError> {
        let body = self.ok(Method::GET, "/health").await?;
        self.parse(&body)
    }

    /// Begins a graceful stop; the process ends when the last request did, or at the snapshot's `drain_timeout_ms`.
    pub async fn drain(&self) -> Result<(), ClientError> {
        let (status, _) = self.call(Method::POST, "/drain", Bytes::new()).await?;
        if status == StatusCode::ACCEPTED { Ok(()) } else { Err(self.protocol(&status)) }
    }

    async fn ok(&self, method: Method, path: &str) -> Result<Bytes, ClientError> {
        let (status, body) = self.call(method, path, Bytes::new()).await?;
        if status == StatusCode::OK { Ok(body) } else { Err(self.protocol(&status)) }
    }

    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), ClientError> {
        match tokio::time::timeout(self.timeout, self.exchange(method, path, body)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(ClientError::Timeout { socket: self.socket.clone(), timeout: self.timeout }),
        }
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = socket::connect(&self.socket)
            .await
            .map_err(|source| ClientError::Unreachable { socket: self.socket.clone(), source })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.protocol(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "edge")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.protocol(&error))?;
        let answer = async {
            let answer = sender.send_request(request).await.map_err(|error| self.protocol(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
            Ok((status, body.map_err(|error| self.protocol(&error))?.to_bytes()))
        };
        // The connection is driven here rather than by a task of its own: dropping the call ends it, and nothing leaks.
        tokio::pin!(answer, connection);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            ended = &mut connection => match ended {
                Ok(()) => answer.await,
                Err(error) => Err(self.protocol(&error)),
            },
        }
    }

    fn parse<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.protocol(&error))
    }

    fn protocol(&self, what: &dyn std::fmt::Display) -> ClientError {
        ClientError::Protocol { socket: self.socket.clone(), what: what.to_string() }
    }
}

fn refusal_text(refusal: &Refusal) -> String {
    let mut text = refusal.detail.clone();
    for problem in &refusal.problems {
        text.push_str("\n  - ");
        text.push_str(problem);
    }
    text
}

fn window_query(since: Since, route: Option<&str>, slow: Option<Duration>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::from("/window?"));
    match since {
        Since::SecondsAgo(seconds) => query.append_pair("since", &seconds.to_string()),
        Since::Generation(generation) => query.append_pair("generation", &generation.to_string()),
    };
    if let Some(route) = route {
        query.append_pair("route", route);
    }
    if let Some(slow) = slow {
        query.append_pair("slow_ms", &slow.as_millis().to_string());
    }
    query.finish()
}
