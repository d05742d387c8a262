//! The typed client of the operator API, over `control.sock` or at the operators' door of another machine.
//!
//! Each call opens its own connection to `control.sock`: calls are rare, and a connection that was idle while the control
//! plane was replaced would only bring errors of its own.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use mana_edge::admin::socket;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::api::{
    AlertRequest, Alerting, Apply, AuditCheck, AuditEntry, Deploy, EdgeChange, Event, IncidentRequest, IncidentView,
    JournalEntry, MadeToken, NewOperator, NewToken, OperatorAfter, OperatorChange, OperatorView, Output, Problem,
    PutBack, Restart, RolloutCommand, RolloutDetail, RolloutView, RunRequest, RunSpec, Serving, SessionView,
    SmokeReport, SmokeRequest, Status, TokenView, Uploaded,
};
use crate::rules::{IDENTITIES, There};
use crate::{audit, paths};

mod server;

use server::Server;

/// Longest wait for the answer to a question (not for a stream of progress): the control plane answers from memory.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for smoke tests: each of them has a time of its own.
const SMOKE_TIMEOUT: Duration = Duration::from_mins(10);
/// Largest answer that is read into memory: a status of some hundred services stays far below.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Longest line of progress: one event with its log tail.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// Why a call did not work out.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("no control plane runs on {} (start it with `mana up`)", data.display())]
    NotRunning {
        /// The data folder asked.
        data: PathBuf,
    },
    /// The control plane refused, and says why.
    #[error("{}{}", .0.title, if .0.detail.is_empty() { String::new() } else { format!(": {}", .0.detail) })]
    Refused(Problem),
    /// At the door of another machine: nobody could say, or it was asked too often. The same question may be answered later.
    #[error("{}{}", .problem.title, if .problem.detail.is_empty() { String::new() } else { format!(": {}", .problem.detail) })]
    NotNow {
        /// What was said.
        problem: Problem,
        /// How long to wait, where that was said.
        after: Option<Duration>,
    },
    /// The connection broke or the answer did not come.
    #[error("cannot talk to the control plane: {what}")]
    Talk {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is not what this version of `mana` understands.
    #[error(
        "the control plane's answer is not understood: {what} (is it of another version? `mana down`, then `mana up`)"
    )]
    Answer {
        /// What was being read.
        what: String,
    },
}

fn talk(what: &'static str) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> ClientError {
    move |source| ClientError::Talk { what, source }
}

/// One control plane.
#[derive(Debug, Clone)]
pub struct Client {
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    /// By its data folder, speaking for somebody.
    Socket(PathBuf, Option<String>),
    /// At its door.
    Server(Server),
}

impl Client {
    /// Checks that a control plane answers on this data folder.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] when none does.
    pub async fn connect(data: &Path) -> Result<Self, ClientError> {
        open(data).await?;
        Ok(Self { way: Way::Socket(data.to_owned(), None) })
    }

    /// Says for whom it speaks, for the audit log; at a door the token says it.
    #[must_use]
    pub fn speaking_for(self, name: &str) -> Self {
        match self.way {
            Way::Socket(data, _) => Self { way: Way::Socket(data, Some(name.to_owned())) },
            way @ Way::Server(_) => Self { way },
        }
    }

    /// One of another machine: `https://ops.example.com`, and a token that lets in there. Nothing is asked yet.
    ///
    /// # Errors
    /// Where no TLS can be spoken.
    pub fn server(url: &str, token: SecretString) -> Result<Self, ClientError> {
        Ok(Self { way: Way::Server(Server::new(url, token)?) })
    }

    /// Brings a packed release there; only to another machine.
    pub async fn upload(&self, service: &str, file: &Path) -> Result<Uploaded, ClientError> {
        let Way::Server(server) = &self.way else { return Err(not_here()) };
        let bytes = server.upload(&format!("/v1/releases/{service}"), file).await?;
        parsed("a release", &bytes)
    }

    /// Desired against actual.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.ask(Method::GET, "/v1/status", &()).await
    }

    /// Makes the ecosystem what the manifest says; the events tell how that goes.
    pub async fn apply(&self, apply: &Apply) -> Result<Events, ClientError> {
        self.follow("/v1/apply", apply).await
    }

    /// Brings another version of the edge in.
    pub async fn edge(&self, change: EdgeChange) -> Result<Events, ClientError> {
        self.follow("/v1/edge", &change).await
    }

    /// Replaces the instances of one service, without a lost request.
    pub async fn restart(&self, restart: &Restart) -> Result<Events, ClientError> {
        self.follow("/v1/restart", restart).await
    }

    /// Stops everything the control plane started, then the control plane.
    pub async fn down(&self) -> Result<Events, ClientError> {
        self.follow("/v1/down", &()).await
    }

    /// What a one-off command of a service is started with.
    pub async fn run(&self, request: &RunRequest) -> Result<RunSpec, ClientError> {
        self.ask(Method::POST, "/v1/run", request).await
    }

    /// Brings a release into the environment.
    pub async fn deploy(&self, deploy: &Deploy) -> Result<RolloutView, ClientError> {
        self.ask(Method::POST, "/v1/rollouts", deploy).await
    }

    /// Rollouts of a service, or of all, newest first.
    pub async fn rollouts(&self, service: Option<&str>) -> Result<Vec<RolloutView>, ClientError> {
        let query = service.map(|service| format!("?service={service}")).unwrap_or_default();
        self.ask(Method::GET, &format!("/v1/rollouts{query}"), &()).await
    }

    /// How a rollout goes.
    pub async fn rollout_view(&self, number: u64) -> Result<RolloutView, ClientError> {
        self.ask(Method::GET, &format!("/v1/rollouts/{number}/view"), &()).await
    }

    /// Lets somebody in.
    pub async fn make_token(&self, request: &NewToken) -> Result<MadeToken, ClientError> {
        self.ask(Method::POST, "/v1/tokens", request).await
    }

    /// Who is let in.
    pub async fn tokens(&self) -> Result<Vec<TokenView>, ClientError> {
        self.ask(Method::GET, "/v1/tokens", &()).await
    }

    /// Does not let somebody in any more.
    pub async fn remove_token(&self, name: &str) -> Result<(), ClientError> {
        self.ask(Method::DELETE, &format!("/v1/tokens/{name}"), &()).await
    }

    /// Who may log in.
    pub async fn operators(&self) -> Result<Vec<OperatorView>, ClientError> {
        self.ask(Method::GET, "/v1/operators", &()).await
    }

    /// Lets a person log in, once they have set a password by the link.
    pub async fn add_operator(&self, request: &NewOperator) -> Result<OperatorAfter, ClientError> {
        self.ask(Method::POST, "/v1/operators", request).await
    }

    /// Changes what becomes of an operator.
    pub async fn change_operator(&self, name: &str, change: &OperatorChange) -> Result<OperatorAfter, ClientError> {
        self.ask(Method::POST, &format!("/v1/operators/{name}"), change).await
    }

    /// Where an operator is logged in.
    pub async fn operator_sessions(&self, name: &str) -> Result<Vec<SessionView>, ClientError> {
        self.ask(Method::GET, &format!("/v1/operators/{name}/sessions"), &()).await
    }

    /// What people changed last, newest first.
    pub async fn audit(&self, limit: u32) -> Result<Vec<AuditEntry>, ClientError> {
        self.ask(Method::GET, &format!("/v1/audit?limit={limit}"), &()).await
    }

    /// Whether the audit log is as it was written.
    pub async fn check_audit(&self) -> Result<AuditCheck, ClientError> {
        self.ask(Method::GET, "/v1/audit/check", &()).await
    }

    /// What is in force.
    pub async fn serving(&self) -> Result<Serving, ClientError> {
        self.ask(Method::GET, "/v1/serving", &()).await
    }

    /// What its checks and its build say, from that byte on.
    pub async fn rollout_output(&self, number: u64, from: u64) -> Result<Output, ClientError> {
        self.ask(Method::GET, &format!("/v1/rollouts/{number}/output?from={from}"), &()).await
    }

    /// Runs the smoke tests of a service against what serves.
    pub async fn smoke(&self, request: &SmokeRequest) -> Result<SmokeReport, ClientError> {
        let bytes = self.answer(Method::POST, "/v1/smoke", request, SMOKE_TIMEOUT).await?;
        parsed("/v1/smoke", &bytes)
    }

    /// What a query of the stored series (PromQL, docs/QUERY.md) gives now, in Prometheus' shape.
    pub async fn query(&self, text: &str) -> Result<serde_json::Value, ClientError> {
        let text: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        self.ask(Method::GET, &format!("/v1/query?query={text}"), &()).await
    }

    /// What rules can read: names of all series that are stored, and of whom they are.
    pub async fn there(&self) -> Result<There, ClientError> {
        let mut there = There { names: self.label_values("__name__").await?, ..There::default() };
        for label in IDENTITIES {
            there.identities.insert(label.to_owned(), self.label_values(label).await?);
        }
        Ok(there)
    }

    async fn label_values(&self, label: &str) -> Result<BTreeSet<String>, ClientError> {
        let answer: serde_json::Value = self.ask(Method::GET, &format!("/v1/label/{label}/values"), &()).await?;
        let values = answer["data"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
        Ok(values.map(str::to_owned).collect())
    }

    /// How everything is that is watched for.
    pub async fn alerting(&self) -> Result<Alerting, ClientError> {
        self.ask(Method::GET, "/v1/alerting", &()).await
    }

    /// Asks for something about alerts.
    pub async fn alert(&self, request: &AlertRequest) -> Result<Alerting, ClientError> {
        self.ask(Method::POST, "/v1/alerting", request).await
    }

    /// Incidents, newest first.
    pub async fn incidents(&self) -> Result<Vec<IncidentView>, ClientError> {
        self.ask(Method::GET, "/v1/incidents", &()).await
    }

    /// Asks for something about an incident; how it is then.
    pub async fn incident(&self, request: &IncidentRequest) -> Result<IncidentView, ClientError> {
        self.ask(Method::POST, "/v1/incidents", request).await
    }

    /// One rollout, with all that happened to it.
    pub async fn rollout(&self, number: u64) -> Result<RolloutDetail, ClientError> {
        self.ask(Method::GET, &format!("/v1/rollouts/{number}"), &()).await
    }

    /// A person wants something of a rollout.
    pub async fn rollout_command(&self, number: u64, command: &RolloutCommand) -> Result<RolloutView, ClientError> {
        self.ask(Method::POST, &format!("/v1/rollouts/{number}"), command).await
    }

    /// Another version of a service is to serve: the one before, or the one in a slot.
    pub async fn put_back(&self, put_back: &PutBack) -> Result<RolloutView, ClientError> {
        self.ask(Method::POST, "/v1/put-back", put_back).await
    }

    /// The last happenings, newest first.
    pub async fn journal(&self, limit: u32) -> Result<Vec<JournalEntry>, ClientError> {
        self.ask(Method::GET, &format!("/v1/journal?limit={limit}"), &()).await
    }

    async fn ask<B: Serialize + Sync, A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<A, ClientError> {
        let bytes = self.answer(method, path, body, ANSWER_TIMEOUT).await?;
        parsed(path, &bytes)
    }

    /// The whole answer to a question.
    async fn answer<B: Serialize + Sync>(
        &self,
        method: Method,
        path: &str,
        body: &B,
        longest: Duration,
    ) -> Result<Bytes, ClientError> {
        match &self.way {
            Way::Socket(data, by) => collect(call(data, by.as_deref(), method, path, body, longest).await?).await,
            Way::Server(server) => server.answer(method, path, body, longest).await,
        }
    }

    async fn follow<B: Serialize + Sync>(&self, path: &str, body: &B) -> Result<Events, ClientError> {
        let Way::Socket(data, by) = &self.way else { return Err(not_here()) };
        let response = call(data, by.as_deref(), Method::POST, path, body, ANSWER_TIMEOUT).await?;
        Ok(Events { body: response.into_body(), buffer: BytesMut::new() })
    }
}

fn not_here() -> ClientError {
    ClientError::Answer { what: "this is not asked of another machine".into() }
}

fn parsed<A: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<A, ClientError> {
    serde_json::from_slice(bytes).map_err(|error| ClientError::Answer { what: format!("{what}: {error}") })
}

/// How Prometheus' API says what is wrong; queries are answered in its shapes.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unanswered {
    error_type: String,
    error: String,
}

fn refused(status: hyper::StatusCode, bytes: &[u8]) -> ClientError {
    if let Ok(problem) = serde_json::from_slice::<Problem>(bytes) {
        return ClientError::Refused(problem);
    }
    match serde_json::from_slice::<Unanswered>(bytes) {
        Ok(Unanswered { error_type, error }) => ClientError::Refused(Problem {
            title: format!("the query has no answer ({error_type})"),
            status: status.as_u16(),
            detail: error,
            problems: Vec::new(),
        }),
        Err(_) => ClientError::Answer { what: format!("status {status} without a problem document") },
    }
}

async fn open(data: &Path) -> Result<UnixStream, ClientError> {
    socket::connect(&paths::control_socket(data)).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning { data: data.to_owned() },
        _ => talk("connecting to control.sock")(error.into()),
    })
}

async fn call<B: Serialize + Sync>(
    data: &Path,
    by: Option<&str>,
    method: Method,
    path: &str,
    body: &B,
    longest: Duration,
) -> Result<Response<Incoming>, ClientError> {
    let stream = open(data).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| talk("opening the connection")(error.into()))?;
    // The connection's own errors reach the caller through the answer or its body.
    tokio::spawn(connection);
    let bytes = serde_json::to_vec(body).map_err(|error| talk("writing the question")(error.into()))?;
    // A name that no header can hold is not said.
    let by = by.and_then(|by| HeaderValue::from_str(by).ok());
    let request = by.into_iter().fold(Request::builder(), |request, by| request.header(audit::BY, by));
    let request = request
        .method(method)
        .uri(path)
        .header("host", "control")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(bytes)))
        .map_err(|error| talk("writing the question")(error.into()))?;
    let response = tokio::time::timeout(longest, sender.send_request(request))
        .await
        .map_err(|error| talk("waiting for the answer")(error.into()))?
        .map_err(|error| talk("asking")(error.into()))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let bytes = collect(response).await?;
    Err(refused(status, &bytes))
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect();
    let body = tokio::time::timeout(ANSWER_TIMEOUT, body)
        .await
        .map_err(|error| talk("reading the answer")(error.into()))?
        .map_err(talk("reading the answer"))?;
    Ok(body.to_bytes())
}

/// A stream of progress. It ends after [`Event::Settled`] or [`Event::Failed`].
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    buffer: BytesMut,
}

impl Events {
    /// The next event; `None` when the control plane closed the stream. Safe to drop while waiting (`select!`).
    ///
    /// # Errors
    /// When the connection breaks, or a line is not an event.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                if line.len() == 1 {
                    continue;
                }
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|error| ClientError::Answer { what: format!("a line of progress: {error}") });
            }
            if self.buffer.len() > MAX_EVENT_BYTES {
                return Err(ClientError::Answer { what: "a line of progress without an end".into() });
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(talk("reading progress")(error.into())),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(data.chunk());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_query_is_told_as_it_was_answered() {
        let answer = br#"{"status":"error","errorType":"unavailable","error":"the stored series are being read"}"#;
        let said = refused(hyper::StatusCode::SERVICE_UNAVAILABLE, answer);
        let ClientError::Refused(problem) = said else { panic!("{said}") };
        assert_eq!((problem.status, problem.detail.as_str()), (503, "the stored series are being read"));
        assert_eq!(problem.title, "the query has no answer (unavailable)");
        let said = refused(hyper::StatusCode::BAD_GATEWAY, b"<html>");
        assert!(matches!(&said, ClientError::Answer { what } if what.contains("502")), "{said}");
    }
}
