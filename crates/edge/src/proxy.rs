//! One request to an instance and its answer back: connections, retries, timeouts.
//!
//! When a request is sent again: if nothing of it was sent, or if it has no body and repeating it is harmless by
//! definition (RFC 9110, 9.2.2); and never once an answer has begun. After a kept connection turned out closed it goes
//! to the same instance on a new one, after a new one failed to another instance. Each of the two happens at most once, and
//! only to instances that are in the snapshot of that moment: those of the one that the request began under may be gone.

use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{Method, Response, StatusCode, Version};
use http_body::Body as _;

use crate::answer::Fault;
use crate::body::{Body, ClientBody, RequestBody, Upload};
use crate::conn_state::{ConnState, Stage};
use crate::headers::{self, Claims, Origin};
use crate::http1::answer::Head;
use crate::http1::encode::{self, Length};
use crate::http1::link::Link;
use crate::http1::outgoing::Outgoing;
use crate::pick::{self, Choice};
use crate::policy::sticky::Place;
use crate::pool::Lease;
use crate::record::Record;
use crate::stream::{Source, Streamed};
use crate::table::{RouteLimits, Slots, Target};
use crate::ticker::{Millis, NEVER};
use crate::upgrade::Tunnel;
use crate::view::View;
use crate::{clock, h2c, trace};

/// How long a body is held back for a service that answers neither `100 Continue` nor anything else: many know nothing
/// of it. RFC 9110 leaves the time open; curl waits as long.
const EXPECT_WAIT: Duration = Duration::from_secs(1);

/// Headers that a request may gain here: room for them is made once.
const ADDED_HEADERS: usize = 8;

/// A request, ready to be passed on.
///
/// What a connection keeps while its request is with an instance lies in one future, thousands of which are alive at
/// once: it holds each thing once, and what few requests need lies outside.
pub(crate) struct Passage {
    asked: Form,
    choice: Choice,
    /// It may be sent again although something of it was sent.
    repeatable: bool,
    wants_upgrade: bool,
}

/// What is sent, in the form that the instance wants.
enum Form {
    Http1(Asked),
    Http2(Box<h2c::Asked>),
}

/// What is sent to an instance that speaks HTTP/1.
struct Asked {
    /// In bytes, so that what a client sent need not be kept, and is ready for another try.
    head: Vec<u8>,
    to_head: bool,
    /// `None`: there is none, or it is with a connection.
    body: Option<Box<Outgoing>>,
}

impl Passage {
    /// Makes a client's request the edge's own.
    pub(crate) fn new(
        mut parts: Parts,
        incoming: Option<ClientBody>,
        slots: &Slots,
        limits: &RouteLimits,
        claims: Claims<'_>,
        record: &mut Record,
    ) -> Result<Self, Fault> {
        let route = record.view.route(record.route.ok_or(Fault::NoInstance)?);
        let state = &record.busy.state;
        if incoming.as_ref().is_some_and(|incoming| incoming.size_hint().lower() > limits.max_body_bytes) {
            state.unread.set(true);
            return Err(Fault::BodyTooLarge);
        }
        let place = record.pass.as_ref().map(|pass| pass.place).unwrap_or_default();
        let choice = pick::first(slots, route, place.at(), state.ticker.now()).ok_or(Fault::NoInstance)?;
        if place == Place::Wanted
            && let Some(pass) = &mut record.pass
            && let Ok(slot) = u16::try_from(choice.slot)
        {
            pass.place = slots.sequence.place_in(slot, clock::random()).map_or(Place::None, Place::Given);
        }
        let of_stream = parts.version >= Version::HTTP_2;
        let upgrade = headers::upgrade(&parts.headers);
        let origin = Origin { peer: &state.peer_text, claims, scheme: if state.secure { "https" } else { "http" } };
        prepare(&mut parts, &origin, upgrade.as_ref(), &record.request_id);
        let incoming = incoming.filter(|incoming| !incoming.is_end_stream());
        let repeatable = incoming.is_none() && upgrade.is_none() && parts.method.is_idempotent();
        let body = incoming.map(|incoming| {
            let upload = Upload::new(state, limits.max_body_bytes, expects(&parts));
            record.upload = Some(Rc::clone(&upload));
            RequestBody::new(incoming, upload, of_stream)
        });
        let asked = if choice.upstream.h2c.is_some() {
            Form::Http2(Box::new(h2c::Asked::new(parts, body)?))
        } else {
            let body = body.map(|body| Box::new(Outgoing::new(body)));
            let length = body.as_ref().map_or(Length::None, |body| body.length());
            Form::Http1(Asked { head: encode::head(&parts, length), to_head: parts.method == Method::HEAD, body })
        };
        Ok(Self { asked, choice, repeatable, wants_upgrade: upgrade.is_some() })
    }

    /// Passes the request on and its answer back.
    pub(crate) fn run(self, view: &View, record: &mut Record) -> impl Future<Output = Result<Response<Body>, Fault>> {
        let Self { asked, mut choice, repeatable, wants_upgrade } = self;
        async move {
            let mut asked = match asked {
                Form::Http1(asked) => asked,
                Form::Http2(asked) => return Box::pin(asked.run(choice, repeatable, view, record)).await,
            };
            let limits = &view.table.routes[record.route.ok_or(Fault::NoInstance)?].limits;
            let state = Rc::clone(&record.busy.state);
            let exchange = Exchange::new(&state, limits, record.upload.clone());
            let mut went_elsewhere = false;
            let mut sent_again = false;
            loop {
                record.enter_slot(&choice);
                let lease = choice.upstream.lease();
                let kept = if sent_again { None } else { choice.upstream.take() };
                let reused = kept.is_some();
                let link = match kept {
                    Some(link) => Some(link),
                    None => Box::pin(open(&choice, limits)).await,
                };
                let Some(mut link) = link else {
                    record.connect_failed();
                    record.instance_failed();
                    choice = elsewhere(record, &choice, &mut went_elsewhere).ok_or(Fault::Unreachable)?;
                    continue;
                };
                let sent_at = Instant::now();
                let answered = exchange.run(&mut link, &mut asked).await;
                let took = sent_at.elapsed();
                record.upstream_took = Some(took);
                match &answered {
                    Ok(_) => choice.upstream.answered(took, state.ticker.now()),
                    Err(Failure::Fault(Fault::TooLate)) => record.instance_failed(),
                    // An old connection that is closed says nothing about the instance, and a client's fault neither.
                    Err(Failure::Closed) if !reused => record.instance_failed(),
                    Err(_) => {}
                }
                match answered {
                    Ok(head) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                        return switched(head, *link, lease, wants_upgrade, &exchange);
                    }
                    Ok(head) => return back(head, Source::Http1(link), lease, &exchange),
                    Err(Failure::Fault(fault)) => return Err(fault),
                    Err(Failure::Closed) => {
                        if link.is_unsent() {
                            asked.body = link.take_outgoing();
                        } else if !repeatable {
                            return Err(Fault::BrokenOff);
                        }
                        if reused && record.is_there(&choice) {
                            // The connection was old, not the instance broken: it gets the request on a new one.
                            sent_again = true;
                            record.retry();
                        } else {
                            choice = elsewhere(record, &choice, &mut went_elsewhere).ok_or(Fault::BrokenOff)?;
                        }
                    }
                }
            }
        }
    }
}

/// Another instance, once: of those that are there now, whatever the request began under.
pub(crate) fn elsewhere(record: &mut Record, failed: &Choice, went: &mut bool) -> Option<Choice> {
    if std::mem::replace(went, true) {
        return None;
    }
    let slot = record.slot_name()?;
    let (view, route) = record.now()?;
    let Target::Slots(slots) = &view.table.routes[route].target else { return None };
    let choice = pick::other(slots, view.route(route), &slot, &failed.upstream, record.busy.state.ticker.now())?;
    // What is sent is in the form that the first one wanted.
    if choice.upstream.h2c.is_some() != failed.upstream.h2c.is_some() {
        return None;
    }
    record.retry();
    // Only now: where there is no other, the failure is the slot's that it was with.
    record.catch_up((view, route));
    Some(choice)
}

async fn open(choice: &Choice, limits: &RouteLimits) -> Option<Box<Link>> {
    match tokio::time::timeout(limits.connect_timeout, choice.upstream.connect()).await {
        Ok(Ok(link)) => Some(link),
        Ok(Err(error)) => {
            tracing::debug!(instance = %choice.upstream.id, address = %choice.upstream.address, %error, "connect failed");
            None
        }
        Err(_elapsed) => {
            tracing::debug!(instance = %choice.upstream.id, address = %choice.upstream.address, "connect timed out");
            None
        }
    }
}

/// Makes a client's request the edge's own.
fn prepare(parts: &mut Parts, origin: &Origin<'_>, upgrade: Option<&HeaderValue>, request_id: &HeaderValue) {
    parts.headers.reserve(ADDED_HEADERS);
    if parts.version >= Version::HTTP_2 {
        headers::from_http2(parts);
    }
    let host = parts.headers.get(header::HOST).cloned();
    headers::strip_hop_by_hop(&mut parts.headers);
    if let Some(protocol) = upgrade {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(header::UPGRADE, protocol.clone());
    }
    headers::set_forwarded(&mut parts.headers, origin, host);
    trace::set_traceparent(&mut parts.headers);
    parts.headers.insert(trace::X_REQUEST_ID, request_id.clone());
    parts.version = Version::HTTP_11;
    if parts.uri.authority().is_some() {
        let target = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        parts.uri = Uri::from(target);
    }
}

/// Whether the client waits to be told to send its body. It is told by hyper, when the body is first asked for.
fn expects(parts: &Parts) -> bool {
    parts.headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Why there is no answer.
pub(crate) enum Failure {
    Fault(Fault),
    /// The connection ended before an answer began, or what came is none.
    Closed,
}

/// One request on one connection, until the head of its answer.
pub(crate) struct Exchange<'a> {
    pub(crate) state: &'a Rc<ConnState>,
    pub(crate) limits: &'a RouteLimits,
    upload: Option<Rc<Upload>>,
    /// When all of the answer has to be there.
    ends: Millis,
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(state: &'a Rc<ConnState>, limits: &'a RouteLimits, upload: Option<Rc<Upload>>) -> Self {
        let ends = limits.request_timeout.map_or(NEVER, |bound| state.ticker.after(bound));
        Self { state, limits, upload, ends }
    }

    fn run(&self, link: &mut Link, asked: &mut Asked) -> impl Future<Output = Result<Head, Failure>> {
        let sent_at = self.state.ticker.now();
        link.begin(asked.body.take(), asked.to_head);
        std::future::poll_fn(move |cx| {
            loop {
                match link.poll_answer(cx, &asked.head) {
                    Poll::Ready(Ok(head)) if is_interim(head.status) => {
                        if let (StatusCode::CONTINUE, Some(upload)) = (head.status, &self.upload) {
                            upload.release();
                        }
                        continue;
                    }
                    Poll::Ready(Ok(head)) => return Poll::Ready(Ok(head)),
                    Poll::Ready(Err(error)) => {
                        tracing::debug!(%error, "no answer");
                        return Poll::Ready(Err(self.failure()));
                    }
                    Poll::Pending => {}
                }
                match self.overdue(sent_at) {
                    None => return Poll::Pending,
                    Some(Ok(())) => {}
                    Some(Err(fault)) => return Poll::Ready(Err(Failure::Fault(fault))),
                }
            }
        })
    }

    /// Why the connection ended: the body that was refused, if it was.
    pub(crate) fn failure(&self) -> Failure {
        self.upload.as_ref().and_then(|upload| upload.fault.get()).map_or(Failure::Closed, Failure::Fault)
    }

    /// Whether the present wait has lasted too long. `Ok`: only the wait for leave to send the body; it goes on without.
    pub(crate) fn overdue(&self, sent_at: u64) -> Option<Result<(), Fault>> {
        let until = self.until(sent_at);
        if until > self.state.ticker.now() {
            self.state.set_stage(Stage::Answering { until });
            return None;
        }
        Some(match &self.upload {
            Some(upload) if upload.is_held() && self.ends > self.state.ticker.now() => {
                upload.release();
                Ok(())
            }
            Some(upload) if upload.finished_at.get().is_none() && upload.starved.get() => Err(Fault::BodyTooSlow),
            _ => Err(Fault::TooLate),
        })
    }

    /// When the present wait has lasted too long.
    fn until(&self, sent_at: u64) -> u64 {
        let (from, bound) = match &self.upload {
            None => (sent_at, self.limits.response_timeout),
            Some(upload) => match upload.finished_at.get() {
                Some(finished_at) => (finished_at, self.limits.response_timeout),
                None if upload.is_held() => (sent_at, EXPECT_WAIT),
                None => (self.state.progress().max(sent_at), self.limits.body_idle_timeout),
            },
        };
        from.saturating_add(u64::try_from(bound.as_millis()).unwrap_or(u64::MAX)).min(self.ends)
    }
}

fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Makes an instance's answer the edge's own.
pub(crate) fn back(head: Head, source: Source, lease: Lease, exchange: &Exchange<'_>) -> Result<Response<Body>, Fault> {
    exchange.state.end_at(exchange.ends);
    let mut streamed = Streamed {
        first: None,
        source,
        lease,
        state: Rc::clone(exchange.state),
        silence: exchange.limits.body_idle_timeout,
        failed: None,
    };
    let body = match streamed.read_ahead() {
        Ok(Some(whole)) => Body::full(whole),
        Ok(None) => Body::streamed(Box::new(streamed)),
        Err(error) => {
            tracing::debug!(%error, "no body");
            return Err(Fault::BrokenOff);
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    headers::strip_hop_by_hop(response.headers_mut());
    Ok(response)
}

/// Lets client and instance talk with each other, after `101 Switching Protocols`.
fn switched(
    head: Head,
    link: Link,
    lease: Lease,
    wants_upgrade: bool,
    exchange: &Exchange<'_>,
) -> Result<Response<Body>, Fault> {
    if !wants_upgrade {
        return Err(Fault::BrokenOff);
    }
    let mut headers = head.headers;
    let protocol = headers.get(header::UPGRADE).cloned();
    headers::strip_hop_by_hop(&mut headers);
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    let websocket = protocol.as_ref().is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if let Some(protocol) = protocol {
        headers.insert(header::UPGRADE, protocol);
    }
    let (socket, early) = link.into_parts();
    *exchange.state.tunnel.borrow_mut() = Some(Tunnel {
        socket,
        early,
        silence: exchange.limits.body_idle_timeout,
        record: None,
        lease,
        websocket,
        drain: exchange.limits.drain_timeout,
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = head.status;
    *response.headers_mut() = headers;
    Ok(response)
}
