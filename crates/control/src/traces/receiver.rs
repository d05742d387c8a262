//! `POST /v1/traces`, on loopback, for whoever shows the token of a service.

use std::sync::mpsc::{SyncSender, TrySendError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use mana_watch::trace::otlp::{self, Form};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tower::limit::ConcurrencyLimitLayer;

use super::Traces;
use super::keep::{Batch, Outcome};

/// Largest body: ten times what exporters send at once.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Bodies that are held at once; others wait.
const AT_ONCE: usize = 4;

#[derive(Clone)]
struct Receiver {
    traces: Traces,
    keeper: SyncSender<Batch>,
}

/// Receives until the process ends.
pub(crate) async fn serve(listener: TcpListener, traces: Traces, data: &std::path::Path) -> std::io::Result<()> {
    let keeper = super::keep::start(data)?;
    let router = Router::new()
        .route("/v1/traces", post(take))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .layer(ConcurrencyLimitLayer::new(AT_ONCE))
        .with_state(Receiver { traces, keeper });
    axum::serve(listener, router).await
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = text(header::AUTHORIZATION).strip_prefix("Bearer ").unwrap_or_default();
    let Some(service) = receiver.traces.whose(token).map(str::to_owned) else {
        return refused(StatusCode::UNAUTHORIZED, "this is no token of a service");
    };
    let Some(form) = Form::named(text(header::CONTENT_TYPE)) else {
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/x-protobuf or application/json");
    };
    if !matches!(text(header::CONTENT_ENCODING), "" | "identity") {
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send it uncompressed");
    }
    let (reply, outcome) = oneshot::channel();
    match receiver.keeper.try_send(Batch { service, form, body, reply }) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => return busy("too many spans are waiting to be written"),
        Err(TrySendError::Disconnected(_)) => return busy("spans are not kept any more"),
    }
    match outcome.await {
        Ok(Outcome::Kept { refused }) => {
            let kind = match form {
                Form::Protobuf => "application/x-protobuf",
                Form::Json => "application/json",
            };
            ([(header::CONTENT_TYPE, kind)], otlp::answer(form, refused)).into_response()
        }
        Ok(Outcome::Unreadable(error)) => refused(StatusCode::BAD_REQUEST, &error.to_string()),
        Ok(Outcome::Unwritten) | Err(_) => busy("spans cannot be written"),
    }
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, why.to_owned()).into_response()
}

/// Exporters try again.
fn busy(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], why.to_owned()).into_response()
}
