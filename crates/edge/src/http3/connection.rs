//! One QUIC connection and the requests on it.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h3::error::Code;
use h3::server::{RequestResolver, RequestStream};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use quinn::Connecting;

use super::body::Receiving;
use super::code;
use crate::body::{Body, BodyError, ClientBody};
use crate::conn_state::{ConnState, Stage};
use crate::metrics::{Handshake, Refused};
use crate::serve::serve;
use crate::streams::{self, Streams};
use crate::worker::{Admission, Worker};
use crate::{clock, headers};

/// From telling a client that no more is answered to closing: what it asks meanwhile is rejected, and can be asked elsewhere.
const GOODBYE: Duration = Duration::from_millis(100);

type Sending = RequestStream<h3_quinn::SendStream<Bytes>, Bytes>;

/// Answers a connection's requests until it closes.
pub(super) async fn drive(worker: Rc<Worker>, connecting: Connecting, listener: SocketAddr, admission: Admission) {
    let limits = worker.view().table.limits.clone();
    let cells = &worker.registry.thread;
    let connection = match tokio::time::timeout(limits.handshake_timeout, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!(%error, "no QUIC");
            return cells.handshake(Handshake::Failed);
        }
        Err(_elapsed) => return cells.handshake(Handshake::TimedOut),
    };
    // Whether a session was resumed is not told by quinn.
    cells.handshake(Handshake::Full);
    let state = Rc::new(ConnState::new(connection.remote_address(), listener, true, &worker.ticker));
    let watch = worker.ticker.watch(&state);
    let streams = Streams::new(&worker, &state);
    let built = h3::server::builder()
        .max_field_section_size(limits.max_header_bytes as u64)
        .send_grease(false)
        .build(h3_quinn::Connection::new(connection.clone()))
        .await;
    let Ok(mut http) = built else { return };
    let mut closing = None;
    loop {
        let next = {
            let mut accepting = pin!(http.accept());
            std::future::poll_fn(|cx| {
                if let Poll::Ready(accepted) = accepting.as_mut().poll(cx) {
                    return Poll::Ready(Next::Accepted(Box::new(accepted)));
                }
                if closing.is_none() && (worker.is_draining() || state.closing.get()) {
                    return Poll::Ready(Next::Close);
                }
                if streams.has_too_many_resets(limits.max_http2_resets) {
                    return Poll::Ready(Next::Abuse);
                }
                let mut due = state.due(limits.header_timeout, limits.idle_timeout);
                if let Some(until) = closing.filter(|_| state.stage() == Stage::Idle) {
                    due = due.min(until);
                }
                if due <= worker.ticker.now() {
                    return Poll::Ready(Next::Overdue);
                }
                state.wake_at(due, cx);
                Poll::Pending
            })
            .await
        };
        match next {
            Next::Accepted(accepted) => match *accepted {
                Ok(Some(resolver)) => {
                    state.touch();
                    tokio::task::spawn_local(answer(Rc::clone(&streams), resolver, connection.clone()));
                }
                // A client that goes away is nobody's error.
                Ok(None) | Err(_) => break,
            },
            Next::Close => {
                closing = Some(worker.ticker.after(GOODBYE));
                if http.shutdown(0).await.is_err() {
                    break;
                }
            }
            Next::Abuse => {
                cells.refuse(Refused::Resets);
                connection.close(code(Code::H3_EXCESSIVE_LOAD), b"");
                break;
            }
            Next::Overdue => break,
        }
    }
    drop(watch);
    drop(admission);
}

/// What a connection does next.
enum Next<A> {
    Accepted(Box<A>),
    Close,
    Abuse,
    Overdue,
}

/// One request.
async fn answer(
    streams: Rc<Streams>,
    resolver: RequestResolver<h3_quinn::Connection, Bytes>,
    connection: quinn::Connection,
) {
    let state = streams.begin();
    let request = async {
        let worker = Rc::clone(streams.worker());
        let within = worker.view().table.limits.header_timeout;
        let Ok(Ok((request, stream))) = tokio::time::timeout(within, resolver.resolve_request()).await else {
            return streams.count_reset();
        };
        let (mut send, receive) = stream.split();
        let (parts, ()) = request.into_parts();
        let to_head = parts.method == Method::HEAD;
        let Some(length) = length(&parts.headers) else {
            worker.registry.thread.refuse(Refused::BadRequest);
            return send.stop_stream(Code::H3_MESSAGE_ERROR);
        };
        let mut body = Receiving::new(receive, length);
        let mostly_bodiless = [Method::GET, Method::HEAD, Method::OPTIONS, Method::DELETE].contains(&parts.method);
        if (mostly_bodiless || length == Some(0))
            && !matches!(tokio::time::timeout(within, body.begin()).await, Ok(Ok(())))
        {
            return send.stop_stream(Code::H3_REQUEST_INCOMPLETE);
        }
        let request = Request::from_parts(parts, ClientBody::Http3(Box::new(body)));
        let Ok(response) = serve(&worker, &state, request).await;
        if let Err(error) = respond(&mut send, response, to_head).await {
            tracing::debug!(%error, "an answer was not sent to its end");
            send.stop_stream(Code::H3_INTERNAL_ERROR);
        }
    };
    let mut request = pin!(streams::run(&streams, &state, request));
    // Whoever closes the connection waits for none of its answers.
    tokio::select! {
        () = &mut request => {}
        _closed = connection.closed() => {}
    }
}

/// What a request says of its body's length; `None`: what HTTP/3 has no place for, or two readings.
#[expect(clippy::option_option, reason = "malformed, not said, said")]
fn length(headers: &HeaderMap) -> Option<Option<u64>> {
    let of_connection = [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE];
    if of_connection.iter().any(|name| headers.contains_key(name)) {
        return None;
    }
    headers::said_length(headers)
}

/// Why an answer is not sent to its end.
#[derive(Debug, thiserror::Error)]
enum Unsent {
    #[error("the client does not take it")]
    Refused(#[from] h3::error::StreamError),
    #[error("it broke off")]
    Broken(#[from] BodyError),
}

async fn respond(send: &mut Sending, response: Response<Body>, to_head: bool) -> Result<(), Unsent> {
    let (parts, body) = response.into_parts();
    let mut head = Response::new(());
    *head.status_mut() = parts.status;
    *head.headers_mut() = parts.headers;
    dress(head.headers_mut(), parts.status, body.size_hint().exact());
    send.send_response(head).await?;
    let mut body = pin!(body);
    while !to_head && let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) => send.send_data(data).await?,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    send.send_trailers(trailers).await?;
                }
            }
        }
    }
    Ok(send.finish().await?)
}

/// What hyper does for the other versions.
fn dress(headers: &mut HeaderMap, status: StatusCode, length: Option<u64>) {
    headers::strip_hop_by_hop(headers);
    headers.remove(header::TE);
    if !headers.contains_key(header::DATE)
        && let Ok(now) = HeaderValue::try_from(httpdate::fmt_http_date(clock::now()))
    {
        headers.insert(header::DATE, now);
    }
    let may_have_body = status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED;
    if let Some(length) = length.filter(|length| *length > 0 && may_have_body) {
        headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
}
