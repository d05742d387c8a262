//! Answers kept for those who ask the same: a shared cache (RFC 9111).
//!
//! Nothing is kept that does not say so. The walk of a request: [`ask`] decides at once what needs no waiting (an answer that
//! is kept, or a request that is none of the cache's business); all else is a [`Through`], which waits for another request's
//! answer or fetches one, keeps it if it may ([`rules`]), and answers from what was kept.
//!
//! | | |
//! |---|---|
//! | `rules` | what may be kept and given out; pure |
//! | `entry` | a kept answer, and what of it a request gets |
//! | `store` | all of them, within bounds |
//! | `flight` | one request for all that wait |
//! | `unfit` | what need not be looked up |
//! | `collect` | a body, whole, if it is small enough |

pub(crate) mod collect;
mod entry;
mod flight;
pub(crate) mod rules;
mod store;
mod unfit;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{HeaderName, Method, Request, Response, StatusCode};
use http_body::Body as _;

use self::collect::Collected;
use self::entry::{Audience, CACHE_STATUS, Entry};
use self::flight::Outcome;
use self::rules::Wants;
use self::store::{Lead, Look};
pub(crate) use self::store::{Purge, Store};
pub(crate) use self::unfit::Unfit;
use crate::answer::Fault;
use crate::body::{Body, ClientBody};
use crate::clock;
use crate::conn_state::ConnState;
use crate::headers::{X_FORWARDED_HOST, X_FORWARDED_PROTO};
use crate::proxy::Passage;
use crate::record::Record;
use crate::serve;
use crate::table::Target;
use crate::view::View;
use crate::worker::Worker;

/// How often one request waits for others before it asks for itself.
const ROUNDS: u32 = 3;

/// Answers that a thread renews behind its clients' backs at once.
const MAX_RENEWALS: usize = 64;

/// What would make the answer another one than the one to be kept.
const CONDITIONS: [HeaderName; 6] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
];

/// What a request asks for, as the cache sees it.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Host, path and query.
    key: Arc<str>,
    hash: u64,
    audience: Audience,
    wants: Wants,
    credentialed: bool,
    /// Only a part, or the head: what comes back is not worth keeping.
    partial: bool,
}

/// What is known of a request at once.
pub(crate) enum Answer {
    Now(Response<Body>),
    Later(Box<Through>),
    /// It passes by the cache.
    Pass(Parts, ClientBody),
}

/// A request that waits for an answer, or fetches it for all that wait.
pub(crate) struct Through {
    route: usize,
    asked: Asked,
    parts: Parts,
    look: Look,
}

/// How an answer came about; for metrics and the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Hit,
    /// Kept, out of date, and given out all the same, as the answer allows.
    Stale,
    /// Kept, and confirmed by the service.
    Confirmed,
    Miss,
}

impl Use {
    pub(crate) const NAMES: [&str; 4] = ["hit", "stale", "confirmed", "miss"];

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Looks for an answer. The request is on a public listener and has entered its route.
pub(crate) fn ask(parts: Parts, incoming: ClientBody, trusted: bool, record: &mut Record) -> Answer {
    let worker = Rc::clone(&record.worker);
    let Some(route) = record.route else { return Answer::Pass(parts, incoming) };
    let limits = &record.view.table.limits;
    if limits.max_cache_bytes == 0 || !rules::may_ask(&parts) || !incoming.is_end_stream() {
        return Answer::Pass(parts, incoming);
    }
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let credentialed = rules::is_credentialed(&parts.headers);
    let store = &worker.shared.cache;
    let Some(host) = serve::host(&parts) else { return Answer::Pass(parts, incoming) };
    let hash = store.hash((&*host, target, credentialed));
    if worker.unfit.contains(hash, &worker.ticker) {
        return Answer::Pass(parts, incoming);
    }
    let wants = Wants::of(&parts.headers);
    if wants.no_store {
        return Answer::Pass(parts, incoming);
    }
    let forwarded = trusted
        .then(|| [X_FORWARDED_HOST, X_FORWARDED_PROTO].map(|name| parts.headers.get(name).cloned()))
        .filter(|claims| claims.iter().any(Option::is_some));
    let asked = Asked {
        key: [&*host, target].concat().into(),
        hash,
        audience: Audience {
            route: Arc::clone(&record.view.table.routes[route].name),
            secure: record.busy.state.secure,
            forwarded,
        },
        wants,
        credentialed,
        partial: parts.method == Method::HEAD || parts.headers.contains_key(header::RANGE),
    };
    match store.look(&asked, &parts.headers, Instant::now()) {
        Look::Hit(entry) => Answer::Now(hit(&entry, &parts, record)),
        Look::Stale(entry, lead) => {
            let answer = stale(&entry, &parts, record);
            if let Some(lead) = lead {
                let through = Through { route, asked, parts, look: Look::Pass };
                through.renew(lead, entry, record);
            }
            Answer::Now(answer)
        }
        Look::Pass => Answer::Pass(parts, incoming),
        _ if asked.wants.only_if_cached => Answer::Now(not_cached()),
        look @ (Look::Lead(..) | Look::Wait(_)) => Answer::Later(Box::new(Through { route, asked, parts, look })),
    }
}

/// What a request that changes something puts out of date, should it succeed.
pub(crate) fn outdates(parts: &Parts, worker: &Worker) -> Option<Box<str>> {
    if parts.method.is_safe() || worker.shared.cache.is_idle() {
        return None;
    }
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    Some([&*serve::host(parts)?, target].concat().into())
}

/// A request that changes something has succeeded: forgets what it was about (RFC 9111, section 4.4).
pub(crate) fn outdate(key: &str, answer: &Response<Body>, worker: &Worker) {
    if !answer.status().is_success() && !answer.status().is_redirection() {
        return;
    }
    let store = &worker.shared.cache;
    store.forget(key);
    let host = key.split('/').next().unwrap_or_default();
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let Some(said) = answer.headers().get(name).and_then(|value| value.to_str().ok()) else { continue };
        let target = match said.split_once("://") {
            // Nobody may put another host's answers out of date.
            Some((_, rest)) => rest.strip_prefix(host).filter(|target| target.starts_with('/')),
            None => Some(said).filter(|target| target.starts_with('/') && !target.starts_with("//")),
        };
        if let Some(target) = target {
            let target = target.split('#').next().unwrap_or_default();
            store.forget(&[host, target].concat());
        }
    }
}

fn hit(entry: &Entry, parts: &Parts, record: &mut Record) -> Response<Body> {
    let now = Instant::now();
    record.cached(Use::Hit);
    entry.answer(parts, now, said(&format!("hit; ttl={}", entry.left(now))))
}

fn stale(entry: &Entry, parts: &Parts, record: &mut Record) -> Response<Body> {
    let now = Instant::now();
    record.cached(Use::Stale);
    entry.answer(parts, now, said(&format!("hit; ttl={}", entry.left(now))))
}

fn not_cached() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    response.headers_mut().insert(CACHE_STATUS, said("detail=only-if-cached"));
    response
}

fn said(what: &str) -> HeaderValue {
    HeaderValue::try_from(format!("mana; {what}")).expect("words and digits make a header value")
}

impl Through {
    /// Waits for the answer, or fetches it.
    pub(crate) async fn run(self: Box<Self>, record: &mut Record) -> Result<Response<Body>, Fault> {
        let Self { mut route, asked, parts, mut look } = *self;
        let mut view = Rc::clone(&record.view);
        for _ in 0..ROUNDS {
            match look {
                Look::Hit(entry) => return Ok(hit(&entry, &parts, record)),
                // Whoever looks for the first time renews it.
                Look::Stale(entry, _) => return Ok(stale(&entry, &parts, record)),
                Look::Lead(lead, known) => return fetch(route, &asked, &parts, lead, known, &view, record).await,
                Look::Pass => break,
                Look::Wait(flight) => {
                    let outcome = flight.wait().await;
                    // Instances of the table that it began under may be gone.
                    let Some(now) = record.now() else { return Err(Fault::NoInstance) };
                    route = now.1;
                    record.catch_up(now);
                    view = Rc::clone(&record.view);
                    if outcome == Outcome::Unfit {
                        record.worker.unfit.remember(asked.hash, &record.worker.ticker);
                        break;
                    }
                    look = record.worker.shared.cache.look(&asked, &parts.headers, Instant::now());
                }
            }
        }
        record.cached(Use::Miss);
        pass(route, parts.clone(), &view, record).await
    }

    /// Fetches a newer answer while the client has the old one.
    fn renew(self, lead: Lead, entry: Arc<Entry>, record: &Record) {
        let worker = Rc::clone(&record.worker);
        let Some(turn) = Turn::take(&worker) else { return };
        let (view, from) = (Rc::clone(&record.view), Rc::clone(&record.busy.state));
        let request_id = record.request_id.clone();
        tokio::task::spawn_local(async move {
            // A client of its own: the one whose request this was may be gone before the answer comes.
            let state = Rc::new(ConnState::new(from.peer, from.listener, from.secure, &worker.ticker));
            let mut record = Record::behind(&worker, Rc::clone(&view), state.begin(), request_id, &self.parts);
            record.enter_route(self.route);
            let limits = &view.table.routes[self.route].limits;
            let bound = limits.connect_timeout + limits.response_timeout + collect::PATIENCE;
            let fetched = fetch(self.route, &self.asked, &self.parts, lead, Some(entry), &view, &mut record);
            if tokio::time::timeout(bound, fetched).await.is_err() {
                tracing::debug!(key = %self.asked.key, "no newer answer in time");
            }
            drop(turn);
        });
    }
}

/// One of [`MAX_RENEWALS`].
struct Turn(Rc<Worker>);

impl Turn {
    fn take(worker: &Rc<Worker>) -> Option<Self> {
        let renewals = worker.renewals.get();
        (renewals < MAX_RENEWALS).then(|| {
            worker.renewals.set(renewals + 1);
            Self(Rc::clone(worker))
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.renewals.set(self.0.renewals.get() - 1);
    }
}

async fn pass(route: usize, parts: Parts, view: &View, record: &mut Record) -> Result<Response<Body>, Fault> {
    let table = &view.table.routes[route];
    let Target::Slots(slots) = &table.target else { return Err(Fault::NoInstance) };
    let state = Rc::clone(&record.busy.state);
    let claims = serve::claims(view, &state);
    Passage::new(parts, None, slots, &table.limits, claims, record)?.run(view, record).await
}

/// Asks the service, keeps its answer if that may be kept, and answers from it.
async fn fetch(
    route: usize,
    asked: &Asked,
    parts: &Parts,
    mut lead: Lead,
    known: Option<Arc<Entry>>,
    view: &View,
    record: &mut Record,
) -> Result<Response<Body>, Fault> {
    let sent = Instant::now();
    let answered = pass(route, request(parts, known.as_deref()), view, record).await;
    let came = Instant::now();
    let failed = answered.as_ref().map_or(true, |response| rules::is_error(response.status()));
    let covering = known.as_ref().filter(|known| known.covers_error(came)).map(Arc::clone);
    if failed && let Some(known) = &covering {
        return Ok(stand_in(known, came, &mut lead, parts, record));
    }
    let (head, body) = answered?.into_parts();
    let limits = &view.table.limits;
    let lifetime =
        |status, headers: &HeaderMap| rules::lifetime(status, headers, asked.credentialed, clock::now(), came - sent);
    if head.status == StatusCode::NOT_MODIFIED
        && let Some(known) = &known
    {
        let headers = known.updated(&head.headers);
        record.cached(Use::Confirmed);
        let status = said("fwd=stale; fwd-status=304");
        let Some(lifetime) = lifetime(known.status(), &headers) else {
            lead.unfit(Some(known));
            return Ok(known.answer(parts, came, status));
        };
        let entry = Arc::new(known.confirmed(headers, lifetime, came));
        lead.keep(&entry, limits);
        return Ok(entry.answer(parts, came, status));
    }
    record.cached(Use::Miss);
    let (ticker, unfit) = (&record.worker.ticker, &record.worker.unfit);
    let why = if known.is_some() { "stale" } else { "miss" };
    let Some(lifetime) = lifetime(head.status, &head.headers) else {
        // An error says nothing about what the answer would be.
        lead.unfit(known.as_ref().filter(|_| !failed));
        if !failed {
            unfit.remember(asked.hash, ticker);
        }
        return Ok(Response::from_parts(head, empty_for_head(body, parts)));
    };
    unfit.forget(asked.hash);
    match collect::collect(body, limits.max_cache_object_bytes).await {
        Collected::Whole(body) => {
            let entry = Arc::new(Entry::new(asked, &parts.headers, &head, body, lifetime, came));
            let stored = if lead.keep(&entry, limits) { "; stored" } else { "" };
            Ok(entry.answer(parts, came, said(&format!("fwd={why}; fwd-status={}{stored}", head.status.as_u16()))))
        }
        Collected::Not(body) => {
            lead.unfit(known.as_ref());
            unfit.remember(asked.hash, ticker);
            Ok(Response::from_parts(head, empty_for_head(body, parts)))
        }
        Collected::Broken => match covering {
            Some(known) => Ok(stand_in(&known, came, &mut lead, parts, record)),
            None => Err(Fault::BrokenOff),
        },
    }
}

/// A kept answer in place of one that failed.
fn stand_in(known: &Entry, at: Instant, lead: &mut Lead, parts: &Parts, record: &mut Record) -> Response<Body> {
    known.failed(at);
    lead.look_again();
    stale(known, parts, record)
}

/// The question whose answer can be kept.
fn request(parts: &Parts, known: Option<&Entry>) -> Parts {
    let (mut request, ()) = Request::new(()).into_parts();
    request.uri = parts.uri.clone();
    request.version = parts.version;
    request.headers = parts.headers.clone();
    for name in &CONDITIONS {
        request.headers.remove(name);
    }
    if let Some(known) = known {
        known.ask_for_newer(&mut request.headers);
    }
    request
}

fn empty_for_head(body: Body, parts: &Parts) -> Body {
    if parts.method == Method::HEAD { Body::empty() } else { body }
}
