//! The shell around a service's own routes.
//!
//! Outermost first: request id and trace → log line and metrics → panics become problems → time limit → body limit →
//! routes. `/api/health`, `/api/health/ready`, `/metrics` and `/api/openapi.json` come with it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::{HeaderValue, StatusCode, header};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::auth::{ENDED_SESSIONS_PATH, ServiceToken, Verifier};
use crate::config::Base;
use crate::context::{Context, REQUEST_ID};
use crate::database::{Database, Migrations};
use crate::health::{Dependency, Health, Schema};
use crate::serving::Limits;
use crate::trace::{self, Exporter};
use crate::{Failure, Problem, extract, metering, openapi, serving};

/// Largest request body where a service says nothing else.
const BODY_LIMIT_BYTES: usize = 1024 * 1024;

/// Longest time to the beginning of an answer. Above the longest model call; a stream may then go on for longer.
pub const REQUEST_TIMEOUT: Duration = Duration::from_mins(2);

/// Longest time for what is in flight to finish after SIGTERM.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(25);

/// Longest time for the last spans to be sent.
const LAST_SPANS: Duration = Duration::from_secs(1);

/// A service's routes and what its shell needs to know.
pub struct Service {
    routes: Router,
    openapi: Option<Arc<[u8]>>,
    health: Health,
    verifier: Option<Arc<Verifier>>,
    accepted_tokens: Option<Arc<[ServiceToken]>>,
    body_limit: usize,
    exporter: Option<Exporter>,
}

impl Service {
    /// A service with these routes.
    pub fn new(routes: Router) -> Self {
        Self {
            routes,
            openapi: None,
            health: Health::default(),
            verifier: None,
            accepted_tokens: None,
            body_limit: BODY_LIMIT_BYTES,
            exporter: None,
        }
    }

    /// What `/api/openapi.json` answers.
    #[must_use]
    pub fn openapi(mut self, document: &utoipa::openapi::OpenApi) -> Self {
        self.openapi = Some(openapi::complete(document).to_string().into_bytes().into());
        self
    }

    /// Makes readiness depend on this database: its migrations must match and `table` must answer.
    #[must_use]
    pub fn database(mut self, database: Database, migrations: Migrations, table: &'static str) -> Self {
        self.health.schema = Some(Schema { database, migrations, table });
        self
    }

    /// Reports something the service calls; it does not take readiness down.
    #[must_use]
    pub fn dependency<F, Fut>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.health.dependencies.push(Dependency::new(name, check));
        self
    }

    /// Lets handlers take [`crate::auth::User`].
    #[must_use]
    pub fn verifier(mut self, verifier: Arc<Verifier>) -> Self {
        self.verifier = Some(verifier);
        self
    }

    /// Lets handlers take [`crate::auth::ServiceCaller`], by any of these tokens.
    #[must_use]
    pub fn service_tokens(mut self, tokens: Vec<ServiceToken>) -> Self {
        self.accepted_tokens = Some(tokens.into());
        self
    }

    /// Another limit for request bodies, in bytes.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Tells spans of requests that are traced.
    #[must_use]
    pub fn traced(mut self, exporter: Exporter) -> Self {
        self.exporter = Some(exporter);
        self
    }

    /// The whole router.
    pub fn into_router(self) -> Router {
        metering::handle();
        let database = self.health.schema.as_ref().map(|schema| schema.database.clone());
        let health = Router::new()
            .route("/api/health", get(live))
            .route("/api/health/ready", get(ready))
            .with_state(Arc::new(self.health));
        let metrics = Router::new().route("/metrics", get(move || async move { render_metrics(database.as_ref()) }));
        let mut router = self
            .routes
            .merge(health)
            .merge(metrics)
            .fallback(|| async { extract::from_status(StatusCode::NOT_FOUND, "There is nothing at this address.") })
            .method_not_allowed_fallback(|| async { extract::from_status(StatusCode::METHOD_NOT_ALLOWED, "") });
        if let Some(document) = self.openapi {
            router = router.route("/api/openapi.json", get(move || async move { described(&document) }));
        }
        if let Some(verifier) = self.verifier {
            router = router.layer(Extension(verifier));
        }
        if let Some(tokens) = self.accepted_tokens {
            router = router.layer(Extension(tokens));
        }
        router
            .layer(DefaultBodyLimit::max(self.body_limit))
            .layer(middleware::from_fn(no_bare_errors))
            .layer(middleware::from_fn(limit_time))
            .layer(CatchPanicLayer::custom(on_panic))
            .layer(middleware::from_fn_with_state(self.exporter, observe))
    }
}

/// Serves until SIGTERM or Ctrl-C; then accepts nothing more and lets what is in flight finish, within a bound.
pub async fn serve(base: &Base, service: Service) -> Result<(), Failure> {
    let listen = base.listen()?;
    let (exporter, exporting) = base.traces.clone().map(Exporter::start).unzip();
    let router = Service { exporter, ..service }.into_router();
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::new)?;
    let listener =
        serving::bind(listen).map_err(|error| Failure::new(format!("cannot listen on {listen}: {error}")))?;
    let address = listener.local_addr().map_err(Failure::new)?;
    let keeper = tokio::spawn(metering::keep_up());
    tracing::info!(%address, service = base.service, instance = base.instance, "listening");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!(bound_seconds = DRAIN_TIMEOUT.as_secs(), "stopping: what is in flight may finish");
        // The receiver lives as long as the server below.
        let _ = stop.send(());
    };
    let server = serving::serve(listener, router, Limits::of(base.most_connections), shutdown);
    let bound = async {
        if stopped.await.is_ok() {
            tokio::time::sleep(DRAIN_TIMEOUT).await;
        }
    };
    let outcome = tokio::select! {
        () = server => Ok(()),
        () = bound => {
            tracing::warn!("stopped with requests still in flight");
            Ok(())
        }
    };
    keeper.abort();
    // What was in flight is over, and with it the last exporter.
    if let Some(exporting) = exporting
        && tokio::time::timeout(LAST_SPANS, exporting).await.is_err()
    {
        tracing::warn!("stopped before the last spans were sent");
    }
    outcome
}

async fn live() -> impl IntoResponse {
    axum::Json(serde_json::json!({ "status": "up" }))
}

async fn ready(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let report = health.report().await;
    let status = if report.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(report))
}

fn render_metrics(database: Option<&Database>) -> impl IntoResponse + use<> {
    let text = metering::render(database);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

fn described(document: &[u8]) -> impl IntoResponse + use<> {
    ([(header::CONTENT_TYPE, "application/json")], document.to_vec())
}

async fn limit_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| {
        tracing::warn!(bound_seconds = REQUEST_TIMEOUT.as_secs(), "no answer within the bound");
        Problem::unavailable("timeout", "This took too long; try again.").into_response()
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
fn on_panic(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("unknown"), "a handler panicked");
    metrics::counter!("panics_total").increment(1);
    Problem::internal_unlogged().into_response()
}

/// Request id, log line and metrics of every request.
async fn observe(State(exporter): State<Option<Exporter>>, request: Request, next: Next) -> Response {
    let context = Context::from_headers(request.headers());
    let request_id = context.request_id.clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    // What programs ask all the time is counted and not written down.
    let quiet = route.starts_with("/api/health") || route == "/metrics" || route == ENDED_SESSIONS_PATH;
    let exporter = exporter.as_ref().filter(|_| !quiet);
    let (context, mut traced) =
        trace::enter(exporter, context, || format!("{} {route}", known_method(method.as_str())));
    let span = tracing::error_span!("request", request_id = context.request_id());
    let started = Instant::now();
    metrics::gauge!("http_requests_in_flight").increment(1.0);
    let in_flight = InFlight;
    let mut response = context.scope(next.run(request)).instrument(span.clone()).await;
    drop(in_flight);
    let (status, took) = (response.status(), started.elapsed());
    record(&route, method.as_str(), status, took);
    if let Some(span) = &mut traced {
        span.say("http.route", &route);
        span.say("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.fail(status);
        }
    }
    drop(traced);
    if !quiet {
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        span.in_scope(|| tracing::info!(%method, route, status = status.as_u16(), duration_ms, "answered"));
    }
    response.headers_mut().insert(REQUEST_ID, request_id);
    response
}

/// Counts a request as in flight until dropped, also when its client has gone.
struct InFlight;

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::gauge!("http_requests_in_flight").decrement(1.0);
    }
}

fn record(route: &str, method: &str, status: StatusCode, took: Duration) {
    let class = match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    let method = known_method(method);
    let labels = [("route", route.to_owned()), ("method", method.to_owned()), ("status", class.to_owned())];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!("http_request_duration_seconds", &labels).record(took.as_secs_f64());
}

/// Methods are a caller's text; only known ones become labels, so that nobody fills the memory with made-up ones.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("OTHER")
}

/// Longest text of a framework's error that is passed on.
const BARE_ERROR_BYTES: usize = 1024;

/// Extractors of the framework answer in plain text; their errors become problems like all others.
async fn no_bare_errors(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let plain = response.headers().get(header::CONTENT_TYPE);
    let plain = plain.is_some_and(|kind: &HeaderValue| kind.as_bytes().starts_with(b"text/plain"));
    if !plain || !response.status().is_client_error() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, BARE_ERROR_BYTES).await.unwrap_or_default();
    extract::from_status(parts.status, &String::from_utf8_lossy(&text)).into_response()
}
