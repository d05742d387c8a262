//! An answer that is kept, and what of it a request gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, request};

use super::Asked;
use super::rules::Lifetime;
use crate::body::Body;
use crate::compress::{self, Packed};
use crate::range::{self, Range};
use crate::validators::Validators;

/// RFC 9211.
pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// Names that a service gives its answers, to have them forgotten together. They are nobody else's business.
pub(crate) const TAGS: [HeaderName; 2] =
    [HeaderName::from_static("cache-tag"), HeaderName::from_static("surrogate-key")];

/// What an entry costs beside its bytes: books, allocations.
const OVERHEAD_BYTES: usize = 512;

/// See the module's page. Never changed; a newer one takes its place.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) id: u64,
    audience: Audience,
    vary: Vec<(HeaderName, Vec<HeaderValue>)>,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    packed: Arc<Packed>,
    validators: Validators,
    pub(super) lifetime: Lifetime,
    since: Instant,
    pub(super) tags: Vec<Box<str>>,
    /// Asked for since the store last looked for something to drop.
    pub(super) used: AtomicBool,
    /// Milliseconds from `since` to the last failed try to confirm it; 0: none.
    failed_ms: AtomicU64,
}

/// What beside host, path and query decides which answer a request gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Audience {
    pub(crate) route: Arc<str>,
    pub(crate) secure: bool,
    /// What a trusted proxy says about the way it was asked.
    pub(crate) forwarded: Option<[Option<HeaderValue>; 2]>,
}

impl Entry {
    /// Keeps an answer to this request. `came`: when.
    pub(super) fn new(
        asked: &Asked,
        request: &HeaderMap,
        head: &http::response::Parts,
        body: Bytes,
        lifetime: Lifetime,
        came: Instant,
    ) -> Self {
        let mut headers = head.headers.clone();
        let tags = TAGS.iter().flat_map(|name| take_tags(&mut headers, name)).collect();
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::AGE);
        let vary = head.headers.get_all(header::VARY).iter().filter_map(|value| value.to_str().ok());
        let vary = vary.flat_map(|names| names.split(',')).filter_map(|name| name.trim().parse::<HeaderName>().ok());
        let vary = vary.map(|name| {
            let said = request.get_all(&name).iter().cloned().collect();
            (name, said)
        });
        Self {
            id: crate::clock::random(),
            audience: asked.audience.clone(),
            vary: vary.collect(),
            status: head.status,
            validators: Validators::said(&headers),
            packed: Arc::new(Packed::within(if compress::may_fit(&headers) { body.len() } else { 0 })),
            headers,
            body,
            lifetime,
            since: came,
            tags,
            used: AtomicBool::new(false),
            failed_ms: AtomicU64::new(0),
        }
    }

    /// The same answer, confirmed by `304 Not Modified` with these headers.
    pub(super) fn confirmed(&self, mut newer: HeaderMap, lifetime: Lifetime, came: Instant) -> Self {
        newer.remove(header::AGE);
        Self {
            id: crate::clock::random(),
            audience: self.audience.clone(),
            vary: self.vary.clone(),
            status: self.status,
            validators: Validators::said(&newer),
            headers: newer,
            body: self.body.clone(),
            packed: Arc::clone(&self.packed),
            lifetime,
            since: came,
            tags: self.tags.clone(),
            used: AtomicBool::new(false),
            failed_ms: AtomicU64::new(0),
        }
    }

    /// Its headers with those of a `304` laid over them (RFC 9111, section 3.2).
    pub(super) fn updated(&self, said: &HeaderMap) -> HeaderMap {
        let mut headers = self.headers.clone();
        for name in said.keys().filter(|name| !NOT_UPDATED.contains(name) && !TAGS.contains(name)) {
            headers.remove(name);
            for value in said.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        headers
    }

    /// Whether it may stand in for an answer that failed.
    pub(super) fn covers_error(&self, now: Instant) -> bool {
        self.lifetime.covers_error(self.since(now))
    }

    /// The service could not confirm it.
    pub(super) fn failed(&self, now: Instant) {
        let ms = u64::try_from(self.since(now).as_millis()).unwrap_or(u64::MAX);
        self.failed_ms.store(ms.max(1), Ordering::Relaxed);
    }

    /// Whether it stands in for a service that has just failed: not everybody has to find out anew.
    pub(super) fn stands_in(&self, now: Instant) -> bool {
        const PAUSE_MS: u64 = 1_000;
        let failed = self.failed_ms.load(Ordering::Relaxed);
        failed > 0
            && u64::try_from(self.since(now).as_millis()).unwrap_or(u64::MAX) < failed.saturating_add(PAUSE_MS)
            && self.covers_error(now)
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether it is an answer to such a request.
    pub(super) fn suits(&self, asked: &Asked, request: &HeaderMap) -> bool {
        self.audience == asked.audience
            && (!asked.credentialed || self.lifetime.public)
            && self.vary.iter().all(|(name, values)| request.get_all(name).iter().eq(values))
    }

    /// Whether a newer answer to the same question takes its place.
    pub(super) fn is_replaced_by(&self, other: &Self) -> bool {
        self.audience == other.audience && self.vary == other.vary
    }

    /// What it takes in memory, compressed forms included, which text has or will have.
    pub(super) fn cost(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        let forms = if compress::may_fit(&self.headers) { self.body.len() } else { 0 };
        self.body.len() + forms + headers + OVERHEAD_BYTES
    }

    /// Seconds until it is stale, below zero: since it is.
    pub(super) fn left(&self, now: Instant) -> i64 {
        self.lifetime.left(self.since(now))
    }

    pub(super) fn since(&self, now: Instant) -> std::time::Duration {
        now.saturating_duration_since(self.since)
    }

    /// Makes a request for a newer version conditional, if it has anything to compare.
    pub(super) fn ask_for_newer(&self, headers: &mut HeaderMap) {
        if let Some(etag) = &self.validators.etag {
            headers.insert(header::IF_NONE_MATCH, etag.clone());
        }
        // As it was said, even if it is no date.
        if let Some(modified) = self.headers.get(header::LAST_MODIFIED) {
            headers.insert(header::IF_MODIFIED_SINCE, modified.clone());
        }
    }

    /// What of it a request gets: all, a part, its head, or the news that there is none.
    pub(super) fn answer(&self, parts: &request::Parts, now: Instant, status: HeaderValue) -> Response<Body> {
        let mut response = self.content(parts);
        let headers = response.headers_mut();
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        headers.insert(header::AGE, self.lifetime.age(self.since(now)).into());
        headers.append(CACHE_STATUS, status);
        response
    }

    fn content(&self, parts: &request::Parts) -> Response<Body> {
        let all = self.body.len() as u64;
        let send = |bytes: Bytes| if parts.method == Method::HEAD { Body::empty() } else { Body::full(bytes) };
        if self.status == StatusCode::OK {
            if self.validators.are_current(&parts.headers) {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                return response;
            }
            // Ranges are defined for GET only.
            let asked = match parts.method {
                Method::GET => range::asked(&parts.headers, all, &self.validators),
                _ => Range::Whole,
            };
            match asked {
                Range::Whole => {}
                Range::Part { from, length } => {
                    let bytes = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(self.body.len());
                    let part = self.body.slice(bytes(from)..bytes(from + length));
                    return range::part(send(part), from, length, all);
                }
                Range::Unsatisfiable => return range::unsatisfiable(all),
            }
        }
        let mut response = Response::new(send(self.body.clone()));
        *response.status_mut() = self.status;
        if parts.headers.contains_key(header::ACCEPT_ENCODING) {
            response.extensions_mut().insert(Arc::clone(&self.packed));
        }
        if self.status != StatusCode::NO_CONTENT {
            response.headers_mut().insert(header::CONTENT_LENGTH, all.into());
        }
        response
    }
}

/// What a `304` says of itself, or cannot change.
const NOT_UPDATED: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_RANGE, header::CONTENT_TYPE];

fn take_tags(headers: &mut HeaderMap, name: &HeaderName) -> Vec<Box<str>> {
    /// More would make one answer dear to purge.
    const MAX_TAGS: usize = 64;
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let tags = values.flat_map(|tags| tags.split([',', ' '])).filter(|tag| !tag.is_empty());
    let tags = tags.take(MAX_TAGS).map(Into::into).collect();
    headers.remove(name);
    tags
}
