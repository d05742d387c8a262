//! What may be kept, for how long, and when it may be given out (RFC 9111, RFC 5861). Pure: headers and times in, verdicts out.
//!
//! Stricter than the standard where a shared cache can do harm: nothing is kept that does not say for how long, nothing that
//! sets a cookie, and nothing asked for with credentials that is not `public`. Laxer in one point, as every delivery network is:
//! `stale-while-revalidate` and `stale-if-error` hold beside `s-maxage`.

use std::time::{Duration, SystemTime};

use http::header::{self, HeaderMap};
use http::{Method, StatusCode, request};

use crate::headers::has_token;

/// The standard's "greater than any that fits".
const LONGEST_S: u64 = 1 << 31;

/// What an answer may be kept for.
const KEEPABLE: [StatusCode; 13] = [
    StatusCode::OK,
    StatusCode::NON_AUTHORITATIVE_INFORMATION,
    StatusCode::NO_CONTENT,
    StatusCode::MULTIPLE_CHOICES,
    StatusCode::MOVED_PERMANENTLY,
    StatusCode::FOUND,
    StatusCode::TEMPORARY_REDIRECT,
    StatusCode::PERMANENT_REDIRECT,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::GONE,
    StatusCode::URI_TOO_LONG,
    StatusCode::NOT_IMPLEMENTED,
];

/// What a request wants of a cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    pub(super) no_store: bool,
    /// Only an answer that the service has confirmed just now.
    pub(super) no_cache: bool,
    pub(super) only_if_cached: bool,
    max_age: Option<u64>,
    min_fresh: u64,
    max_stale: u64,
}

/// How long an answer is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    fresh_s: u64,
    while_revalidate_s: u64,
    if_error_s: u64,
    /// Nothing stale, whoever asks for it.
    strict: bool,
    /// How old it was when it came.
    initial_age_s: u64,
    /// It may be given to requests that carry credentials.
    pub(super) public: bool,
}

/// Whether an answer that is kept may be given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Yes,
    /// Yes, and a newer one is to be fetched meanwhile.
    Meanwhile,
    /// Only once the service has confirmed it.
    Confirm,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the header's directives, each of which is there or not")]
struct Said {
    no_store: bool,
    no_cache: bool,
    private: bool,
    public: bool,
    strict: bool,
    only_if_cached: bool,
    max_age: Option<u64>,
    s_maxage: Option<u64>,
    min_fresh: Option<u64>,
    max_stale: Option<u64>,
    while_revalidate: Option<u64>,
    if_error: Option<u64>,
}

impl Said {
    fn read(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        for value in headers.get_all(header::CACHE_CONTROL) {
            for directive in directives(value.as_bytes()) {
                said.take(directive);
            }
        }
        said
    }

    fn take(&mut self, directive: &[u8]) {
        let (name, argument) = match directive.iter().position(|byte| *byte == b'=') {
            Some(at) => (directive[..at].trim_ascii(), Some(directive[at + 1..].trim_ascii())),
            None => (directive.trim_ascii(), None),
        };
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // Said twice, the shorter time holds; said badly, none.
        let seconds = |before: Option<u64>| Some(before.unwrap_or(u64::MAX).min(argument.map_or(0, seconds)));
        match () {
            // Qualified by a list of fields they would forbid less; nobody who writes that expects to be cached.
            () if is("no-cache") => self.no_cache = true,
            () if is("private") => self.private = true,
            () if is("no-store") => self.no_store = true,
            () if is("public") => self.public = true,
            () if is("must-revalidate") || is("proxy-revalidate") => self.strict = true,
            () if is("only-if-cached") => self.only_if_cached = true,
            () if is("max-age") => self.max_age = seconds(self.max_age),
            () if is("s-maxage") => self.s_maxage = seconds(self.s_maxage),
            () if is("min-fresh") => self.min_fresh = seconds(self.min_fresh),
            // Without a number: however stale.
            () if is("max-stale") && argument.is_none() => self.max_stale = Some(LONGEST_S),
            () if is("max-stale") => self.max_stale = seconds(self.max_stale),
            () if is("stale-while-revalidate") => self.while_revalidate = seconds(self.while_revalidate),
            () if is("stale-if-error") => self.if_error = seconds(self.if_error),
            () => {}
        }
    }
}

/// Splits at commas outside of quotes.
fn directives(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    value.split(move |byte| {
        let was_escaped = escaped;
        escaped = quoted && !was_escaped && *byte == b'\\';
        if *byte == b'"' && !was_escaped {
            quoted = !quoted;
        }
        *byte == b',' && !quoted
    })
}

/// Nonsense is no time at all.
fn seconds(argument: &[u8]) -> u64 {
    let digits = argument.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(argument);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(LONGEST_S).min(LONGEST_S)
}

fn date(headers: &HeaderMap, name: header::HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

impl Wants {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if !headers.contains_key(header::CACHE_CONTROL) {
            let no_cache = headers.get_all(header::PRAGMA).iter().any(|value| has_token(value, "no-cache"));
            return Self { no_cache, ..Self::default() };
        }
        let said = Said::read(headers);
        Self {
            no_store: said.no_store,
            no_cache: said.no_cache,
            only_if_cached: said.only_if_cached,
            max_age: said.max_age,
            min_fresh: said.min_fresh.unwrap_or(0),
            max_stale: said.max_stale.unwrap_or(0),
        }
    }
}

/// Whether a request may be answered from a cache at all.
pub(crate) fn may_ask(parts: &request::Parts) -> bool {
    (parts.method == Method::GET || parts.method == Method::HEAD)
        && !parts.headers.contains_key(header::UPGRADE)
        // It waits for events, which are nobody else's.
        && parts.headers.get(header::ACCEPT).is_none_or(|accept| !accept.as_bytes().starts_with(b"text/event-stream"))
}

/// Whether a request says who asks.
pub(crate) fn is_credentialed(headers: &HeaderMap) -> bool {
    headers.contains_key(header::AUTHORIZATION) || headers.contains_key(header::COOKIE)
}

/// Whether and how long an answer may be kept. `took`: from the request to it.
pub(crate) fn lifetime(
    status: StatusCode,
    headers: &HeaderMap,
    credentialed: bool,
    now: SystemTime,
    took: Duration,
) -> Option<Lifetime> {
    let said = Said::read(headers);
    let event_stream = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"text/event-stream"));
    let forbidden = said.no_store
        || said.no_cache
        || said.private
        || credentialed && !said.public
        || headers.contains_key(header::SET_COOKIE)
        || headers.get_all(header::VARY).iter().any(|value| has_token(value, "*"))
        || event_stream;
    if forbidden || !KEEPABLE.contains(&status) {
        return None;
    }
    let fresh_s = match said.s_maxage.or(said.max_age) {
        Some(seconds) => seconds,
        // A date that is none is past.
        None if headers.contains_key(header::EXPIRES) => {
            let made = date(headers, header::DATE).unwrap_or(now);
            date(headers, header::EXPIRES)?.duration_since(made).map_or(0, |fresh| fresh.as_secs())
        }
        None => return None,
    };
    let apparent =
        date(headers, header::DATE).and_then(|made| now.duration_since(made).ok()).map_or(0, |age| age.as_secs());
    let said_age = headers.get(header::AGE).map_or(0, |age| seconds(age.as_bytes().trim_ascii()));
    let lifetime = Lifetime {
        fresh_s,
        while_revalidate_s: said.while_revalidate.unwrap_or(0),
        if_error_s: said.if_error.unwrap_or(0),
        strict: said.strict,
        initial_age_s: apparent.max(said_age.saturating_add(took.as_secs())),
        public: said.public,
    };
    (lifetime.last_s() > lifetime.initial_age_s).then_some(lifetime)
}

impl Lifetime {
    /// Whether it may be given to requests that carry credentials.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn is_public(&self) -> bool {
        self.public
    }

    /// How old it is, a while after it came.
    pub(crate) fn age(&self, since: Duration) -> u64 {
        self.initial_age_s.saturating_add(since.as_secs())
    }

    /// Seconds until it is stale; below zero: since it is.
    pub(crate) fn left(&self, since: Duration) -> i64 {
        i64::try_from(self.fresh_s).unwrap_or(i64::MAX).saturating_sub_unsigned(self.age(since))
    }

    /// The age from which it is of no use to anybody.
    fn last_s(&self) -> u64 {
        let stale = if self.strict { 0 } else { self.while_revalidate_s.max(self.if_error_s) };
        self.fresh_s.saturating_add(stale)
    }

    /// Whether it may be given to this request.
    pub(crate) fn verdict(&self, since: Duration, wants: &Wants) -> Verdict {
        let age = self.age(since);
        if wants.no_cache || wants.max_age.is_some_and(|max_age| age > max_age) {
            return Verdict::Confirm;
        }
        if age.saturating_add(wants.min_fresh) < self.fresh_s {
            return Verdict::Yes;
        }
        if self.strict || wants.min_fresh > 0 {
            return Verdict::Confirm;
        }
        match age {
            _ if age < self.fresh_s.saturating_add(self.while_revalidate_s) => Verdict::Meanwhile,
            _ if age < self.fresh_s.saturating_add(wants.max_stale) => Verdict::Yes,
            _ => Verdict::Confirm,
        }
    }

    /// Whether it may stand in for an answer that fails.
    pub(crate) fn covers_error(&self, since: Duration) -> bool {
        !self.strict && self.age(since) < self.fresh_s.saturating_add(self.if_error_s)
    }
}

/// Whether the service failed to answer, rather than answered.
pub(crate) fn is_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests;
