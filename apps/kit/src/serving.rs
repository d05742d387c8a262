//! The connections of a service: so many at once, each for as long as its client does its part.
//!
//! What a flood of connections takes is bounded: with all places taken, whoever comes is told so (503) and let go, on one of
//! a few places beside them. Probes and scrapes are answered there too, so that nobody takes a service that is busy for dead.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::{Problem, unread};

/// Connections at once where `HTTP_MAX_CONNECTIONS` says nothing else: four times the answers that a model writes at once by
/// default, at some ten KiB each.
pub(crate) const MAX_CONNECTIONS: usize = 4_096;

/// Connections that wait to be accepted; the kernel caps it at `net.core.somaxconn`. With the usual 128, a burst of calls
/// loses some handshakes, which are repeated after one, three, seven seconds.
const BACKLOG: u32 = 4_096;

/// Places beside them, for probes and for telling others that there is no place.
const EXTRA: usize = 256;

/// Longest wait for a request's head, and how long a connection may be idle. Whoever calls through the edge is idle for less.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The same on the places beside.
const EXTRA_HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// What a connection holds of what comes and of what goes, each: a head fits, and whoever reads slowly holds no more.
const BUFFER_BYTES: usize = 64 * 1024;

/// Longest time that what is sent may lie there untaken: then the client counts as gone, and its place is free.
const STALL_TIMEOUT: Duration = Duration::from_mins(1);

/// How often it is said that there are no places.
const SAY_EVERY: Duration = Duration::from_mins(1);

/// Files that are neither a client's connection nor the one behind it: the database, the cache, logs.
const OTHER_FILES: usize = 128;

/// Listens there.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of an earlier process in TIME_WAIT must not keep the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// So many at once.
    pub(crate) connections: usize,
    /// See [`STALL_TIMEOUT`].
    pub(crate) stall: Duration,
}

impl Limits {
    /// For so many connections, or as many as there are files for.
    pub(crate) fn of(connections: usize) -> Self {
        Self { connections: affordable(connections), stall: STALL_TIMEOUT }
    }
}

/// Serves until `stop`; then accepts nothing more, and ends with the last request in flight.
pub(crate) async fn serve(mut listener: TcpListener, router: Router, limits: Limits, stop: impl Future<Output = ()>) {
    let most = limits.connections;
    let (places, extra) = (Arc::new(Semaphore::new(most)), Arc::new(Semaphore::new(EXTRA)));
    let draining = GracefulShutdown::new();
    let mut stop = pin!(stop);
    let mut said = None;
    loop {
        let (stream, _) = tokio::select! {
            // Waits where no file is left.
            accepted = Listener::accept(&mut listener) => accepted,
            () = &mut stop => break,
        };
        prepare(&stream, limits.stall);
        // Who finds all of them taken waits here for a moment, and who comes after that in the system's queue.
        let (place, is_extra) = tokio::select! {
            biased;
            place = Arc::clone(&places).acquire_owned() => (place, false),
            place = Arc::clone(&extra).acquire_owned() => (place, true),
            () = &mut stop => break,
        };
        let place = place.expect("nobody closes the semaphores");
        if is_extra {
            metrics::counter!("http_connections_beyond_total").increment(1);
            if said.is_none_or(|at: Instant| at.elapsed() >= SAY_EVERY) {
                said = Some(Instant::now());
                tracing::warn!(most, "all connections are taken; whoever comes is told to come again");
            }
        }
        tend(stream, router.clone(), place, &draining, is_extra);
    }
    drop(listener);
    draining.shutdown().await;
}

fn prepare(stream: &TcpStream, stall: Duration) {
    // Small answers go at once: streams are made of them.
    let prepared = stream.set_nodelay(true).and_then(|()| {
        let stall_ms = u32::try_from(stall.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(stream, stall_ms).map_err(Into::into)
    });
    if let Err(error) = prepared {
        tracing::debug!(%error, "a connection was gone before it began");
    }
}

/// Answers what comes on a connection, in a task of its own.
fn tend(stream: TcpStream, router: Router, place: OwnedSemaphorePermit, draining: &GracefulShutdown, is_extra: bool) {
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            if is_extra && !is_watching(request.uri().path()) {
                return Ok::<_, Infallible>(no_place());
            }
            unread::answer(router, request).await
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).max_buf_size(BUFFER_BYTES).keep_alive(!is_extra);
    http.header_read_timeout(if is_extra { EXTRA_HEAD_TIMEOUT } else { HEAD_TIMEOUT });
    let connection = draining.watch(http.serve_connection(TokioIo::new(stream), service));
    tokio::spawn(async move {
        metrics::gauge!("http_connections").increment(1.0);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection broke");
        }
        metrics::gauge!("http_connections").decrement(1.0);
        drop(place);
    });
}

/// Whether it is one of those who look whether the service is well.
fn is_watching(path: &str) -> bool {
    path.starts_with("/api/health") || path == "/metrics"
}

fn no_place() -> Response {
    let detail = "More connections are open than this service takes; try again shortly.";
    let mut response = Problem::unavailable("overloaded", detail).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// How many connections of those wanted there are files for. Lets the process have as many open as it may.
fn affordable(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files stays as it is");
            limit.current
        }
    };
    // Behind an answer there is a connection to the model.
    let most =
        files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OTHER_FILES) / 2);
    if most < wanted {
        tracing::warn!(wanted, most, "fewer connections than wanted: the limit of open files allows no more");
    }
    wanted.min(most.max(1))
}
