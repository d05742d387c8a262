//! Posts spans to the collector, a batch at a time.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{self, HeaderValue};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use super::Batch;
use crate::table::Traces;
use crate::worker::Shared;

/// Longest time for a batch, the connection included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

const BEFORE: &[u8] = b"{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"mana-edge\"}}]},\
    \"scopeSpans\":[{\"scope\":{\"name\":\"mana-edge\"},\"spans\":[";
const AFTER: &[u8] = b"]}]}]}";

/// Spans that the collector did not take.
#[derive(Default)]
pub(crate) struct Lost(AtomicU64);

impl Lost {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

type Connection = SendRequest<Full<Bytes>>;

/// Posts what comes, and at the end what is left.
pub(crate) async fn run(shared: Arc<Shared>, mut batches: mpsc::Receiver<Batch>, end: Rc<Notify>) {
    let mut kept = None;
    let mut told = false;
    loop {
        let batch = tokio::select! {
            batch = batches.recv() => batch,
            () = end.notified() => {
                batches.close();
                continue;
            }
        };
        let Some(batch) = batch else { return };
        let table = shared.table();
        let Some(traces) = &table.traces else { continue };
        let body = Bytes::from([BEFORE, &batch.spans, AFTER].concat());
        let posted = tokio::time::timeout(PATIENCE, post(traces, body, kept.take())).await;
        match posted.unwrap_or_else(|_elapsed| Err("it does not answer in time".into())) {
            Ok(connection) => (kept, told) = (connection, false),
            Err(error) => {
                shared.spans_lost.0.fetch_add(batch.count, Ordering::Relaxed);
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(endpoint = %traces.endpoint, error, "the collector does not take spans; they are dropped");
                }
            }
        }
    }
}

/// Posts a batch. Gives the connection, if it can be used again.
async fn post(traces: &Traces, body: Bytes, kept: Option<Connection>) -> Result<Option<Connection>, String> {
    let endpoint = &traces.endpoint;
    let authority = endpoint.authority().ok_or("it has no host")?;
    let kept = kept.filter(SendRequest::is_ready);
    let mut connection = match kept {
        Some(connection) => connection,
        None => open(authority.host(), authority.port_u16().unwrap_or(80)).await?,
    };
    let mut request = Request::post(endpoint.path());
    if let Some(headers) = request.headers_mut() {
        let host = HeaderValue::try_from(authority.as_str()).map_err(|error| error.to_string())?;
        headers.insert(header::HOST, host);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &traces.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
    }
    let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
    let answer = connection.send_request(request).await.map_err(|error| error.to_string())?;
    let status = answer.status();
    if !status.is_success() {
        return Err(format!("it answers {status}"));
    }
    let read = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
    Ok(read.is_ok().then_some(connection))
}

async fn open(host: &str, port: u16) -> Result<Connection, String> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let socket = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
    let (connection, driver) = http1::handshake(TokioIo::new(socket)).await.map_err(|error| error.to_string())?;
    tokio::task::spawn_local(async move {
        // How it ended is told to the request on it.
        let _ended = driver.await;
    });
    Ok(connection)
}
