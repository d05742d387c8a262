//! A proxy between chat-backend and the real ledger that a test can close: everything passes until told otherwise.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use kit::testing::Running;
use serde_json::json;

/// What happens to calls whose path has a word in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 500 without reaching the ledger.
    Error,
    /// The connection breaks without reaching the ledger.
    Break,
    /// The ledger does it, but its answer is lost.
    LoseAnswer,
    /// No answer, and the ledger is not reached.
    Stall,
    /// Each reserve is admitted, without reaching the ledger, and after so many milliseconds the answer breaks off: a ledger that dies before what it has decided
    /// is durable.
    AdmitAndDie(u64),
    /// The ledger does it; what comes behind the first line, that it is durable, so many milliseconds later.
    Late(u64),
}

#[derive(Default)]
struct Inner {
    faults: Vec<(String, Fault)>,
    /// Paths whose next call meets [`Fault::Error`], once each.
    once: Vec<String>,
    seen: Vec<String>,
}

/// The proxy.
pub(crate) struct Gate {
    inner: Arc<Mutex<Inner>>,
    running: Running,
}

#[derive(Clone)]
struct Through {
    inner: Arc<Mutex<Inner>>,
    target: String,
    http: reqwest::Client,
}

impl Gate {
    pub(crate) async fn before(target: &str) -> Self {
        let inner = Arc::<Mutex<Inner>>::default();
        let through = Through { inner: inner.clone(), target: target.to_owned(), http: reqwest::Client::new() };
        let running = Running::start(Router::new().fallback(pass).with_state(through)).await;
        Self { inner, running }
    }

    pub(crate) fn url(&self) -> &str {
        &self.running.url
    }

    /// From now on, calls to paths with `word` meet `fault`.
    pub(crate) fn fault(&self, word: &str, fault: Fault) {
        self.inner.lock().unwrap().faults.push((word.to_owned(), fault));
    }

    /// An address for programs of a test: a POST there lets the next call to a path with `word` meet [`Fault::Error`].
    pub(crate) async fn control(&self, word: &'static str) -> Running {
        let inner = self.inner.clone();
        let once = move || async move { inner.lock().unwrap().once.push(word.to_owned()) };
        Running::start(Router::new().route("/", axum::routing::post(once))).await
    }

    /// Calls to paths with `word` pass again.
    pub(crate) fn heal_of(&self, word: &str) {
        self.inner.lock().unwrap().faults.retain(|(faulty, _)| faulty != word);
    }

    /// Everything passes again.
    pub(crate) fn heal(&self) {
        self.inner.lock().unwrap().faults.clear();
    }

    /// How many calls came to paths with `word`, passed or not.
    pub(crate) fn seen(&self, word: &str) -> usize {
        self.inner.lock().unwrap().seen.iter().filter(|path| is_about(path, word)).count()
    }
}

/// Whether a part of the path is the word: `settle` is in `credits/settle` and in `credits/settle/many`.
fn is_about(path: &str, word: &str) -> bool {
    path.split('/').any(|part| part == word)
}

async fn pass(State(through): State<Through>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let fault = {
        let mut inner = through.inner.lock().unwrap();
        inner.seen.push(path.clone());
        match inner.once.iter().position(|word| is_about(&path, word)) {
            Some(at) => {
                inner.once.remove(at);
                Some(Fault::Error)
            }
            None => inner.faults.iter().find(|(word, _)| is_about(&path, word)).map(|(_, fault)| *fault),
        }
    };
    match fault {
        Some(Fault::Error) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Fault::Break) => return broken(),
        Some(Fault::Stall) => std::future::pending().await,
        _ => {}
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    if let Some(Fault::AdmitAndDie(after)) = fault {
        return in_parts(admitted(&body), after, Err(std::io::Error::other("broken")));
    }
    let url = format!("{}{}", through.target, parts.uri);
    let answer = through.http.request(parts.method, url).headers(parts.headers).body(body).send().await;
    let Ok(answer) = answer else { return StatusCode::BAD_GATEWAY.into_response() };
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await.unwrap();
    if fault == Some(Fault::LoseAnswer) {
        return broken();
    }
    if let Some(Fault::Late(after)) = fault {
        let admitted = 1 + body.iter().position(|byte| *byte == b'\n').expect("lines were asked for");
        return in_parts(body.slice(..admitted), after, Ok(body.slice(admitted..)));
    }
    let mut response = (status, body).into_response();
    *response.headers_mut() = headers;
    // Its body is whole here.
    response.headers_mut().remove("transfer-encoding");
    response
}

/// What the ledger says first where it admits all that is asked for.
fn admitted(body: &Bytes) -> Bytes {
    let asked: serde_json::Value = serde_json::from_slice(body).unwrap();
    let calls = asked["calls"].as_array().map_or(1, Vec::len);
    let line = |call| {
        let reserved = json!({"reservationId": kit::clock::new_id(), "balance": 49, "version": 1_000_000});
        format!("{}\n", json!({"call": call, "admitted": reserved}))
    };
    (0..calls).map(line).collect::<String>().into()
}

/// An answer in lines whose second part comes later.
fn in_parts(first: Bytes, after: u64, second: std::io::Result<Bytes>) -> Response {
    let later = async move {
        tokio::time::sleep(Duration::from_millis(after)).await;
        second
    };
    let body = futures_util::stream::iter([Ok(first)]).chain(futures_util::stream::once(later));
    ([("content-type", "application/x-ndjson")], Body::from_stream(body)).into_response()
}

/// An answer whose body breaks off at once.
fn broken() -> Response {
    let body = futures_util::stream::once(async { Err::<axum::body::Bytes, _>(std::io::Error::other("broken")) });
    Response::new(Body::from_stream(body))
}
