//! HTTP/2 without TLS, as the edge speaks it with instances that ask for it: what gRPC needs, with trailers and streams both
//! ways at once.
//!
//! [`connection`] keeps the connection; here is the way of one request over it. When it is sent again follows the rules of
//! `proxy`, whose waits it shares.

pub(crate) mod connection;

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::header;
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{Request, Response, StatusCode, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use crate::answer::Fault;
use crate::body::{Body, BodyError, RequestBody};
use crate::headers;
use crate::http1::answer::Head;
use crate::pick::Choice;
use crate::proxy::{self, Exchange, Failure};
use crate::record::Record;
use crate::stream::Source;
use crate::view::View;

use self::connection::{Sender, Shared};

/// A request's body; few have one.
pub(crate) struct Carried(Option<RequestBody>);

/// A request on its way to an instance that speaks HTTP/2.
pub(crate) struct Asked {
    parts: Parts,
    body: Option<RequestBody>,
}

impl Asked {
    /// Turns a request that is made for HTTP/1 into one of HTTP/2.
    pub(crate) fn new(mut parts: Parts, body: Option<RequestBody>) -> Result<Self, Fault> {
        headers::strip_hop_by_hop(&mut parts.headers);
        parts.headers.remove(header::EXPECT);
        let host = parts.headers.remove(header::HOST).ok_or(Fault::BadHost)?;
        let target = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(host.as_bytes()).path_and_query(target).build();
        parts.uri = uri.map_err(|_| Fault::BadTarget)?;
        parts.version = Version::HTTP_2;
        Ok(Self { parts, body })
    }

    fn request(&mut self) -> Request<Carried> {
        Request::from_parts(self.parts.clone(), Carried(self.body.take()))
    }

    /// Passes the request on and its answer back.
    pub(crate) async fn run(
        mut self,
        mut choice: Choice,
        repeatable: bool,
        view: &View,
        record: &mut Record,
    ) -> Result<Response<Body>, Fault> {
        let route = record.route.ok_or(Fault::NoInstance)?;
        let state = Rc::clone(&record.busy.state);
        let exchange = Exchange::new(&state, &view.table.routes[route].limits, record.upload.clone());
        let mut went_elsewhere = false;
        let mut sent_again = false;
        loop {
            record.enter_slot(&choice);
            let lease = choice.upstream.lease();
            let Some((sender, reused)) = open(&choice, &exchange).await else {
                record.connect_failed();
                record.instance_failed();
                choice = proxy::elsewhere(record, &choice, &mut went_elsewhere).ok_or(Fault::Unreachable)?;
                continue;
            };
            let sent_at = Instant::now();
            let answered = ask(sender, self.request(), &exchange).await;
            let took = sent_at.elapsed();
            record.upstream_took = Some(took);
            match answered {
                Ok(response) => {
                    choice.upstream.answered(took, state.ticker.now());
                    let (parts, incoming) = response.into_parts();
                    let head = Head::of(parts.status, parts.headers);
                    return proxy::back(head, Source::Http2(incoming), lease, &exchange);
                }
                Err((Failure::Fault(fault), _)) => {
                    if fault == Fault::TooLate {
                        record.instance_failed();
                    }
                    return Err(fault);
                }
                Err((Failure::Closed, unsent)) => {
                    let was_sent = unsent.is_none();
                    if let Some(body) = unsent {
                        self.body = body.0;
                    }
                    if was_sent && !repeatable {
                        record.instance_failed();
                        return Err(Fault::BrokenOff);
                    }
                    if reused && record.is_there(&choice) && !std::mem::replace(&mut sent_again, true) {
                        record.retry();
                    } else {
                        record.instance_failed();
                        choice = proxy::elsewhere(record, &choice, &mut went_elsewhere).ok_or(Fault::BrokenOff)?;
                    }
                }
            }
        }
    }
}

async fn open(choice: &Choice, exchange: &Exchange<'_>) -> Option<(Sender, bool)> {
    let upstream = &choice.upstream;
    let opening = upstream.h2c.as_ref()?.sender(upstream.address);
    match tokio::time::timeout(exchange.limits.connect_timeout, opening).await {
        Ok(Ok(sender)) => Some(sender),
        Ok(Err(error)) => {
            tracing::debug!(instance = %upstream.id, address = %upstream.address, %error, "connect failed");
            None
        }
        Err(_elapsed) => {
            tracing::debug!(instance = %upstream.id, address = %upstream.address, "connect timed out");
            None
        }
    }
}

/// Waits for the head of an answer. A failure comes with the request's body, if nothing of it was sent.
async fn ask(
    mut sender: Sender,
    request: Request<Carried>,
    exchange: &Exchange<'_>,
) -> Result<Response<Incoming>, (Failure, Option<Carried>)> {
    let sent_at = exchange.state.ticker.now();
    let mut answer = pin!(sender.try_send_request(request));
    std::future::poll_fn(|cx| {
        loop {
            match answer.as_mut().poll(cx) {
                Poll::Ready(Ok(response)) => return Poll::Ready(Ok(response)),
                Poll::Ready(Err(mut failed)) => {
                    tracing::debug!(error = %failed.error(), "no answer");
                    let unsent = failed.take_message().map(Request::into_body);
                    return Poll::Ready(Err((exchange.failure(), unsent)));
                }
                Poll::Pending => {}
            }
            match exchange.overdue(sent_at) {
                None => return Poll::Pending,
                Some(Ok(())) => {}
                Some(Err(fault)) => return Poll::Ready(Err((Failure::Fault(fault), None))),
            }
        }
    })
    .await
}

/// Asks an instance how it is; `None`: it does not answer.
pub(crate) async fn probe(shared: &Shared, address: SocketAddr, path: &str) -> Option<StatusCode> {
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(address.to_string()).path_and_query(path).build().ok()?;
    let mut request = Request::new(Carried(None));
    *request.uri_mut() = uri;
    let (mut sender, _reused) = shared.sender(address).await.ok()?;
    sender.send_request(request).await.ok().map(|response| response.status())
}

impl http_body::Body for Carried {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}
