//! One request: who asks, where it goes, and what every answer carries.
//!
//! The walk: `serve` → `route` (host and path, or the listener's own route) → `target` (instance, file or redirect) →
//! `finish` (headers of the route and the request's id). Whatever fails on the way is a [`Fault`] and is answered here.

use std::borrow::Cow;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, Version};

use crate::answer::{Fault, Form};
use crate::body::{Body, ClientBody};
use crate::cache::{self, Through};
use crate::compress::{self, Offer};
use crate::conn_state::{ConnState, Stage, Standing};
use crate::headers::Claims;
use crate::metrics::Refused;
use crate::otlp::Span;
use crate::policy::{self, Refusal};
use crate::proxy::Passage;
use crate::record::Record;
use crate::table::{Found, Redirect, Role, Route, Target};
use crate::tls::Store;
use crate::view::View;
use crate::worker::Worker;
use crate::{headers, host, http2, static_site, to_https, trace};

/// How long an answer that belongs to no route may take to be read.
const ROUTELESS_SILENCE: Duration = Duration::from_secs(30);

/// The promise that there is no way but TLS, for a year.
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains; preload");

/// What is to be done for a request.
enum Step {
    Answer(Response<Body>),
    Pass(Passage),
    Cache(Box<Through>),
    Hold(Box<Held>),
}

/// A request that waits for its route to be open again.
struct Held {
    route: usize,
    parts: Parts,
    incoming: ClientBody,
    hold: Duration,
}

/// Answers one request.
pub(crate) fn serve(
    worker: &Rc<Worker>,
    state: &Rc<ConnState>,
    request: Request<ClientBody>,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<> {
    let busy = state.begin();
    let view = worker.view();
    let standing = standing(&view, state);
    let (mut parts, incoming) = request.into_parts();
    let may_choose_id = standing.trusted || matches!(standing.role, Role::Internal(_));
    let request_id = trace::request_id(&parts.headers, may_choose_id);
    let form = Form::asked_by(&parts.headers);
    let mut record = Record::new(worker, Rc::clone(&view), busy, request_id, &parts);
    if let Some(traces) = &view.table.traces {
        let is_probe = record.is_probe();
        let room = || !is_probe && worker.has_room_for_a_trace(traces.per_second);
        record.span = Span::begin(traces, &mut parts.headers, may_choose_id, room);
    }
    if let Some(asked) = &mut record.asked {
        trace::set_traceparent(&mut parts.headers);
        asked.traceparent = parts.headers.get(trace::TRACEPARENT).cloned();
    }
    let step = step(&view, standing, parts, incoming, form, &mut record);
    async move {
        let answer = match step {
            Ok(Step::Answer(response)) => Ok(response),
            Ok(Step::Pass(passage)) => passage.run(&view, &mut record).await,
            Ok(Step::Cache(through)) => Box::pin(through.run(&mut record)).await,
            Ok(Step::Hold(held)) => Box::pin(hold(held, form, &mut record)).await,
            Err(fault) => Err(fault),
        };
        let response = answer.unwrap_or_else(|fault| fault.answer(form, &record.request_id));
        if let Some(key) = record.outdates.take() {
            cache::outdate(&key, &response, &record.worker);
        }
        Ok(finish(response, record))
    }
}

/// Where a request goes, and whether it may.
fn step(
    view: &Rc<View>,
    standing: Standing,
    mut parts: Parts,
    incoming: ClientBody,
    form: Form,
    record: &mut Record,
) -> Result<Step, Fault> {
    if record.worker.is_overloaded() {
        record.worker.registry.thread.refuse(Refused::Overload);
        return Err(Fault::Overloaded);
    }
    let shared = &record.worker.shared;
    let route = match destination(view, &shared.certificates, standing.role, &parts) {
        Ok(Destination::Route(route)) => route,
        Ok(Destination::Elsewhere(response)) => return Ok(Step::Answer(response)),
        Err(fault) => {
            record.worker.registry.thread.refuse(refused(fault));
            return Err(fault);
        }
    };
    let peer = record.busy.state.peer.ip();
    let claims = claims(view, &record.busy.state);
    // Policies are for the outside: services call each other by internal listeners, and are not kept from it.
    let asked = view.table.routes[route].policies.as_deref().filter(|_| standing.role == Role::Public);
    if let Some(policies) = asked {
        let client = headers::client(&parts.headers, peer, claims);
        let pass = record.pass.get_or_insert_default();
        match policy::admit(policies, &shared.rates, &mut parts, client, pass) {
            Ok(()) => {}
            Err(Refusal::Hold(hold)) => return Ok(Step::Hold(Box::new(Held { route, parts, incoming, hold }))),
            Err(refusal) => {
                record.enter_route(route);
                return Ok(Step::Answer(refusal.answer(form, &record.request_id)));
            }
        }
    }
    record.enter_route(route);
    // On this machine bytes cost less than the time to pack them.
    if standing.role == Role::Public && view.table.routes[route].policies.as_deref().is_none_or(|asked| asked.compress)
    {
        record.offer = Offer::of(&parts.method, &parts.headers);
    }
    let route = &view.table.routes[route];
    // Services that call each other by internal listeners mean each other, not an answer of some time ago.
    if standing.role == Role::Public && matches!(route.target, Target::Slots(_)) {
        record.outdates = cache::outdates(&parts, &record.worker);
        return match cache::ask(parts, incoming, standing.trusted, record) {
            cache::Answer::Now(response) => Ok(Step::Answer(response)),
            cache::Answer::Later(through) => Ok(Step::Cache(through)),
            cache::Answer::Pass(parts, incoming) => target(route, parts, incoming, claims, record),
        };
    }
    target(route, parts, incoming, claims, record)
}

/// Waits until the route is open again, and then goes on as if the request had come only now.
async fn hold(mut held: Box<Held>, form: Form, record: &mut Record) -> Result<Response<Body>, Fault> {
    let worker = Rc::clone(&record.worker);
    let Some(_place) = worker.hold() else { return closed(held.route, form, record) };
    let until = tokio::time::Instant::now() + held.hold;
    loop {
        let changed = worker.changed.notified();
        // It may have changed before this was run for the first time.
        if worker.view().epoch == record.view.epoch {
            let waited = tokio::time::timeout_at(until, changed).await;
            if waited.is_err() || worker.is_draining() {
                return closed(held.route, form, record);
            }
        }
        let view = worker.view();
        record.view = Rc::clone(&view);
        let standing = standing(&view, &record.busy.state);
        match step(&view, standing, held.parts, held.incoming, form, record)? {
            Step::Answer(response) => return Ok(response),
            Step::Pass(passage) => return passage.run(&view, record).await,
            Step::Cache(through) => return through.run(record).await,
            Step::Hold(again) => held = again,
        }
    }
}

/// The answer for whom a route did not open in time.
fn closed(route: usize, form: Form, record: &mut Record) -> Result<Response<Body>, Fault> {
    record.enter_route(route);
    let policies = record.view.table.routes[route].policies.as_deref();
    let maintenance = policies.and_then(|policies| policies.maintenance.as_ref()).ok_or(Fault::Maintenance)?;
    Ok(maintenance.closed().answer(form, &record.request_id))
}

/// What of the request's claims about its way is believed.
pub(crate) fn claims<'a>(view: &'a View, state: &ConnState) -> Claims<'a> {
    let standing = standing(view, state);
    match standing.role {
        Role::Internal(_) if state.peer.ip().is_loopback() => Claims::Inside,
        _ if standing.trusted => Claims::Continued(&view.table.trusted),
        _ => Claims::Dropped,
    }
}

/// What the table says of the connection; worked out once for each table, not for each request.
fn standing(view: &View, state: &ConnState) -> Standing {
    let known = state.standing.get();
    if known.epoch == view.epoch {
        return known;
    }
    let role = view.table.listeners.get(&state.listener).map_or(Role::Gone, |listener| listener.role);
    let trusted = !state.anonymous.get() && view.table.trusts(state.peer.ip());
    let standing = Standing { epoch: view.epoch, role, trusted };
    state.standing.set(standing);
    standing
}

/// Where a request leads.
enum Destination {
    Route(usize),
    /// To no route: the listener answers everything by itself.
    Elsewhere(Response<Body>),
}

/// The route of a request, after all checks that do not depend on it.
fn destination(view: &View, store: &Store, role: Role, parts: &Parts) -> Result<Destination, Fault> {
    if parts.method == Method::CONNECT {
        return Err(Fault::MethodNotOffered);
    }
    if parts.headers.len() > view.table.limits.max_headers {
        return Err(Fault::TooManyHeaders);
    }
    let authority = authority(parts)?;
    let path = parts.uri.path();
    if !is_target(parts) || host::has_two_readings(path) {
        return Err(Fault::BadTarget);
    }
    // In HTTP/1, `http1::request` has seen to it.
    if parts.version >= Version::HTTP_2 && headers::said_length(&parts.headers).is_none() {
        return Err(Fault::BadBody);
    }
    match role {
        Role::Gone => Err(Fault::ListenerGone),
        Role::Internal(route) => Ok(Destination::Route(route)),
        Role::ToHttps(port) => to_https::answer(&view.table, store, authority, parts, port).map(Destination::Elsewhere),
        Role::Public => {
            let name = authority.and_then(host::normal).ok_or(Fault::BadHost)?;
            match view.table.find(&name, &host::plain(path)) {
                Found::Route(route) => Ok(Destination::Route(route)),
                Found::NoHost => Err(Fault::UnknownHost),
                Found::NoPath => Err(Fault::UnknownPath),
            }
        }
    }
}

/// Whether a request asks for something that a server can have: a path, or `*` where the standard knows it.
fn is_target(parts: &Parts) -> bool {
    // `path()` says `/` of a lone query, too, which would be written to an instance as it is.
    let target = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    (target.starts_with('/') || target == "*" && parts.method == Method::OPTIONS)
        && matches!(parts.uri.scheme_str(), None | Some("http" | "https"))
}

/// The host that was asked for, in its normal form.
pub(crate) fn host(parts: &Parts) -> Option<Cow<'_, str>> {
    authority(parts).ok()?.and_then(host::normal)
}

/// The host that was asked for. Two answers to that question are none: another server might take the other one.
fn authority(parts: &Parts) -> Result<Option<&str>, Fault> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    // HTTP/2 says it in `:authority`, and may leave out the other one.
    let said = host.is_some() || parts.version >= Version::HTTP_2 && parts.uri.authority().is_some();
    if hosts.next().is_some() || (!said && parts.version >= Version::HTTP_11) {
        return Err(Fault::BadHost);
    }
    let host = host.map(|host| host.to_str().map_err(|_| Fault::BadHost)).transpose()?;
    match (parts.uri.authority(), host) {
        (None, host) => Ok(host),
        (Some(target), None) => Ok(Some(target.as_str())),
        (Some(target), Some(host)) if target.as_str().eq_ignore_ascii_case(host) => Ok(Some(host)),
        (Some(_), Some(_)) => Err(Fault::BadTarget),
    }
}

fn target(
    route: &Route,
    parts: Parts,
    incoming: ClientBody,
    claims: Claims<'_>,
    record: &mut Record,
) -> Result<Step, Fault> {
    Ok(match &route.target {
        Target::Slots(slots) => Step::Pass(Passage::new(parts, Some(incoming), slots, &route.limits, claims, record)?),
        Target::Static(site) => {
            let path = host::plain(parts.uri.path());
            Step::Answer(static_site::serve(site, below(route, &path), &parts, &record.worker.files)?)
        }
        Target::Redirect(redirect) => {
            Step::Answer(redirected(redirect, below(route, &host::plain(parts.uri.path())), &parts))
        }
    })
}

/// The path below the route's prefix. A listener's own route is asked with any path: then all of it.
fn below<'a>(route: &Route, path: &'a str) -> &'a str {
    path.strip_prefix(&*route.prefix).filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path)
}

fn redirected(redirect: &Redirect, below: &str, parts: &Parts) -> Response<Body> {
    let mut to = redirect.to.clone();
    if redirect.keep_path {
        to.push_str(below);
        if let Some(query) = parts.uri.query() {
            to.push('?');
            to.push_str(query);
        }
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = redirect.status;
    // A path has passed as a URI and a configured origin too; if they are no header value together, the origin is.
    let location = HeaderValue::try_from(to).or_else(|_| HeaderValue::try_from(redirect.to.as_str()));
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// What every answer carries.
fn finish(mut response: Response<Body>, mut record: Box<Record>) -> Response<Body> {
    record.head(response.status());
    let headers = response.headers_mut();
    let mut id = record.request_id.clone();
    // Never the same twice: in HTTP/2's table of headers it would only drive out what is.
    id.set_sensitive(!record.is_http1);
    headers.insert(trace::X_REQUEST_ID, id);
    if record.worker.is_leaving() && record.is_http1 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(alternative) = &record.busy.state.alternative {
        headers.insert(header::ALT_SVC, alternative.clone());
    }
    let mut silence = ROUTELESS_SILENCE;
    let pass = record.pass.take();
    if let Some(route) = record.route.map(|route| &record.view.table.routes[route]) {
        silence = route.limits.body_idle_timeout;
        if let (Some(policies), Some(pass)) = (&route.policies, &pass) {
            policy::dress(policies, pass, record.busy.state.secure, headers);
        }
        for (name, value) in &route.response_headers {
            headers.insert(name, value.clone());
        }
    }
    // Over what service and route say: half a promise would be none.
    if record.busy.state.secure && record.view.table.strict_transport {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT);
    }
    let state = Rc::clone(&record.busy.state);
    state.touch();
    state.set_stage(Stage::Streaming { silence });
    if let Some(offer) = record.offer {
        compress::apply(offer, &mut response);
    }
    if let Some(upgrade) = state.upgrade.take()
        && let Some(tunnel) = state.tunnel.take()
    {
        http2::tunnel(tunnel, record, upgrade, &mut response);
        return response;
    }
    if let Some(tunnel) = &mut *state.tunnel.borrow_mut() {
        tunnel.record = Some(record);
        return response;
    }
    response.map(|body| body.recorded(record))
}

fn refused(fault: Fault) -> Refused {
    match fault {
        Fault::UnknownHost => Refused::UnknownHost,
        Fault::UnknownPath => Refused::UnknownPath,
        _ => Refused::BadRequest,
    }
}
