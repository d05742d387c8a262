//! The admin API's own end. Runs on the control thread, beside nothing that serves clients.

use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::UnixStream;
use tokio::sync::{Mutex, Semaphore};

use super::message::{Purge, Purged, Refusal, Renew};
use crate::control::Control;
use crate::metrics::window::{About, Since};
use crate::snapshot::Snapshot;
use crate::{cache, handover, host};

/// Largest snapshot taken: a thousand routes are below a megabyte.
const MAX_SNAPSHOT_BYTES: usize = 16 * 1024 * 1024;

/// Connections at a time. There is one control plane, a scraper and an operator; more is a mistake that should wait.
const MAX_CONNECTIONS: usize = 16;

/// How long a caller may take for the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// After an error of `accept` that would come again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long the edge waits, at its end, for answers on their way.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The connections that are open; each holds one.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Semaphore>);

impl Connections {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_CONNECTIONS)))
    }

    /// Waits until the answers on their way are out: the one to `POST /drain` above all.
    pub(crate) async fn finish(self) {
        // One is held by the acceptor, for the connection that comes next.
        let others = u32::try_from(MAX_CONNECTIONS - 1).unwrap_or(u32::MAX);
        if tokio::time::timeout(LAST_ANSWERS, self.0.acquire_many(others)).await.is_err() {
            tracing::warn!("an admin connection is cut");
        }
    }
}

/// Answers until the future is dropped.
pub(crate) async fn serve(
    listener: UnixListener,
    control: Rc<Mutex<Control>>,
    connections: Connections,
) -> std::io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    loop {
        let Ok(permit) = Arc::clone(&connections.0).acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, _peer)) => {
                let control = Rc::clone(&control);
                tokio::task::spawn_local(async move {
                    let service = service_fn(|request| answer(request, Rc::clone(&control)));
                    let connection = http1::Builder::new()
                        .keep_alive(false)
                        .timer(TokioTimer::new())
                        .header_read_timeout(HEADER_TIMEOUT)
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades();
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "admin connection ended early");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed on the admin socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(request: Request<Incoming>, control: Rc<Mutex<Control>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    Ok(match (request.method(), path.as_str()) {
        (&Method::GET, "/snapshot") => json(StatusCode::OK, &*control.lock().await.snapshot()),
        (&Method::PUT, "/snapshot") => put(request, control).await,
        (&Method::GET, "/metrics") => text("text/plain; version=0.0.4", control.lock().await.metrics()),
        (&Method::GET, "/window") => window(request.uri().query().unwrap_or_default(), &control).await,
        (&Method::GET, "/certificates") => json(StatusCode::OK, &control.lock().await.certificates()),
        (&Method::GET, "/retired") => retired(&control).await,
        (&Method::GET, "/health") => json(StatusCode::OK, &control.lock().await.health()),
        (&Method::POST, "/cache/purge") => purge(request, &control).await,
        (&Method::POST, "/lease") => renew(request, &control).await,
        (&Method::POST, "/drain") => {
            control.lock().await.drain().await;
            json(StatusCode::ACCEPTED, &control.lock().await.health())
        }
        (&Method::POST, "/hand-over") => hand_over(request, control).await,
        (
            _,
            "/hand-over" | "/snapshot" | "/metrics" | "/window" | "/certificates" | "/retired" | "/health"
            | "/cache/purge" | "/lease" | "/drain",
        ) => refuse(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", "See docs/EDGE.md for what this path takes."),
        _ => refuse(
            StatusCode::NOT_FOUND,
            "No such path",
            "There are /snapshot, /metrics, /window, /certificates, /retired, /health, /cache/purge, /lease and /drain.",
        ),
    })
}

async fn retired(control: &Mutex<Control>) -> Response<Full<Bytes>> {
    match control.lock().await.retired().await {
        Ok(retired) => json(StatusCode::OK, &retired),
        Err(refusal) => problem(&refusal),
    }
}

async fn renew(request: Request<Incoming>, control: &Mutex<Control>) -> Response<Full<Bytes>> {
    const MAX_BYTES: usize = 4 * 1024;
    let body = match Limited::new(request.into_body(), MAX_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return refuse(StatusCode::PAYLOAD_TOO_LARGE, "Not a lease", &error.to_string()),
    };
    let renewed = match serde_json::from_slice::<Renew>(&body) {
        Ok(asked) => control.lock().await.renew(&asked.route),
        Err(error) => return refuse(StatusCode::BAD_REQUEST, "Not a lease", &error.to_string()),
    };
    match renewed {
        Ok(renewed) => json(StatusCode::OK, &renewed),
        Err(refusal) => problem(&refusal),
    }
}

async fn window(query: &str, control: &Mutex<Control>) -> Response<Full<Bytes>> {
    /// Where nothing is said.
    const SECONDS: u64 = 60;
    let (mut since, mut route, mut slow) = (Since::Ago(Duration::from_secs(SECONDS)), None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match (&*name, value.parse::<u64>()) {
            ("since", Ok(seconds)) => since = Since::Ago(Duration::from_secs(seconds)),
            ("generation", Ok(generation)) => since = Since::Generation(generation),
            ("slow_ms", Ok(milliseconds)) => slow = Some(Duration::from_millis(milliseconds)),
            ("route", _) => route = Some(value),
            _ => {
                let detail =
                    format!("`{name}={value}`: there are route=NAME, since=SECONDS, generation=N and slow_ms=N.");
                return refuse(StatusCode::BAD_REQUEST, "Not a window", &detail);
            }
        }
    }
    match control.lock().await.window(since, &About { route: route.as_deref(), slow }) {
        Some(window) => json(StatusCode::OK, &window),
        None => refuse(
            StatusCode::NOT_FOUND,
            "Generation not remembered",
            "The last 64 that this edge put into effect are, and those that a canary is judged by; ask with since=SECONDS.",
        ),
    }
}

async fn purge(request: Request<Incoming>, control: &Mutex<Control>) -> Response<Full<Bytes>> {
    const MAX_BYTES: usize = 64 * 1024;
    const TITLE: &str = "Not a purge";
    let body = match Limited::new(request.into_body(), MAX_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return refuse(StatusCode::PAYLOAD_TOO_LARGE, TITLE, &error.to_string()),
    };
    let asked: Purge = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, TITLE, &error.to_string()),
    };
    let Some(host) = host::normal(&asked.host) else {
        return refuse(StatusCode::BAD_REQUEST, TITLE, &format!("`{}` is no host.", asked.host));
    };
    let what = match (asked.path, asked.tag) {
        (Some(_), Some(_)) => return refuse(StatusCode::BAD_REQUEST, TITLE, "Give a path or a tag, not both."),
        (Some(path), None) if !path.starts_with('/') => {
            return refuse(StatusCode::BAD_REQUEST, TITLE, &format!("The path `{path}` does not begin with `/`."));
        }
        (Some(path), None) => match path.strip_suffix('*') {
            Some(prefix) => cache::Purge::Prefix(prefix.to_owned()),
            None => cache::Purge::Path(path),
        },
        (None, Some(tag)) => cache::Purge::Tag(tag),
        (None, None) => cache::Purge::All,
    };
    let answers = control.lock().await.purge(&host, &what);
    json(StatusCode::OK, &Purged { answers })
}

/// Gives the listening sockets to the next edge, on this very connection.
async fn hand_over(mut request: Request<Incoming>, control: Rc<Mutex<Control>>) -> Response<Full<Bytes>> {
    let wanted = request.headers().get(header::UPGRADE).is_some_and(|protocol| protocol == handover::PROTOCOL);
    if !wanted {
        return refuse(StatusCode::BAD_REQUEST, "Not an edge", "This is for `mana edge --replace`.");
    }
    if control.lock().await.is_draining() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "Edge is draining", "It ends soon; there is nothing to take.");
    }
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::task::spawn_local(async move {
        let given = async {
            let parts = upgraded.await.map_err(io::Error::other)?.downcast::<TokioIo<UnixStream>>();
            let parts = parts.map_err(|_| io::Error::other("this is no unix socket"))?;
            let stream = parts.io.into_inner().into_std()?;
            // Held to the end: no snapshot changes while the next edge reads the one on disk.
            let mut control = control.lock().await;
            let listeners = control.sockets()?;
            let given = tokio::task::spawn_blocking(move || handover::give(stream, &listeners));
            given.await.map_err(io::Error::other)??;
            control.hand_over().await;
            Ok::<_, io::Error>(())
        };
        if let Err(error) = given.await {
            tracing::error!(%error, "the next edge did not take over; this one goes on");
        }
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(handover::PROTOCOL));
    response
}

async fn put(request: Request<Incoming>, control: Rc<Mutex<Control>>) -> Response<Full<Bytes>> {
    let body = match Limited::new(request.into_body(), MAX_SNAPSHOT_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return refuse(StatusCode::PAYLOAD_TOO_LARGE, "Snapshot not readable", &error.to_string()),
    };
    let snapshot = match Snapshot::parse(&body) {
        Ok(snapshot) => snapshot,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, "Not a snapshot", &error.to_string()),
    };
    // Carried to its end whoever goes away meanwhile: half of it would be listeners without accepting, and leases that never end.
    let applying = tokio::task::spawn_local(async move { control.lock().await.apply(snapshot).await });
    match applying.await {
        Ok(Ok(applied)) => json(StatusCode::OK, &applied),
        Ok(Err(refusal)) => problem(&refusal),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "Snapshot not applied", &error.to_string()),
    }
}

fn refuse(status: StatusCode, title: &str, detail: &str) -> Response<Full<Bytes>> {
    problem(&Refusal {
        title: title.into(),
        status: status.as_u16(),
        detail: detail.into(),
        current: None,
        problems: Vec::new(),
    })
}

fn problem(refusal: &Refusal) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, refusal);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let text = serde_json::to_vec(value).expect("our own messages have string keys and finite numbers");
    let mut response = text_of("application/json", text);
    *response.status_mut() = status;
    response
}

fn text(kind: &'static str, text: String) -> Response<Full<Bytes>> {
    text_of(kind, text.into())
}

fn text_of(kind: &'static str, text: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
