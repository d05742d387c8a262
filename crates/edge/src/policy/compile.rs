//! From a snapshot's policies to what is asked, or to what is wrong with them.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Uri};

use super::Policies;
use super::access::{Access, BasicAuth, Digest};
use super::cors::Cors;
use super::maintenance::Maintenance;
use super::rate::{Key, Rate, Rates};
use super::sticky::Sticky;
use crate::cidr::Cidr;
use crate::snapshot::{self, RateKey};

/// Longest window of a limit, longest hold, longest age of a preflight: a day.
const MAX_MS: u64 = 24 * 60 * 60 * 1_000;

/// Checks and builds; what is wrong goes to `problems`.
pub(crate) fn policies(route: &str, given: &snapshot::Policies, problems: &mut Vec<String>) -> Policies {
    Policies {
        access: access(given, problems),
        basic_auth: given.basic_auth.as_ref().map(|auth| basic_auth(auth, problems)),
        cors: given.cors.as_ref().map(|cors| self::cors(cors, problems)),
        maintenance: given.maintenance.as_ref().map(|maintenance| self::maintenance(maintenance, problems)),
        rates: rates(route, &given.rate_limits, problems),
        security_headers: given.security_headers,
        compress: given.compress.unwrap_or(true),
        sticky: given.sticky.as_ref().and_then(|sticky| self::sticky(sticky, problems)),
    }
}

fn sticky(given: &snapshot::Sticky, problems: &mut Vec<String>) -> Option<Sticky> {
    // What RFC 6265 calls a token, less what is never seen in a name.
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    match given {
        snapshot::Sticky::Cookie(name) if !name.is_empty() && name.chars().all(plain) => {
            return Some(Sticky::Cookie(name.as_str().into()));
        }
        snapshot::Sticky::Cookie(name) => {
            problems.push(format!(
                "sticky: the cookie's name `{}` must be of letters, digits, `-`, `_`, `.`",
                name.escape_debug()
            ));
        }
        snapshot::Sticky::Header(name) => match name.parse() {
            Ok(name) => return Some(Sticky::Header(name)),
            Err(_) => problems.push(format!("sticky: `{}` is no header's name", name.escape_debug())),
        },
    }
    None
}

fn access(given: &snapshot::Policies, problems: &mut Vec<String>) -> Option<Access> {
    let mut ranges = |field: &str, texts: &[String]| -> Vec<Cidr> {
        let parsed = texts.iter().map(|text| text.parse::<Cidr>().map_err(|what| format!("{field}: {what}")));
        parsed.filter_map(|range| range.map_err(|what| problems.push(what)).ok()).collect()
    };
    let access = Access { allow: ranges("allow", &given.allow), deny: ranges("deny", &given.deny) };
    (!given.allow.is_empty() || !given.deny.is_empty()).then_some(access)
}

fn basic_auth(given: &snapshot::BasicAuth, problems: &mut Vec<String>) -> BasicAuth {
    let plain = |letter: char| letter.is_ascii_graphic() && !matches!(letter, '"' | '\\') || letter == ' ';
    if given.realm.is_empty() || !given.realm.chars().all(plain) {
        problems.push(format!("realm `{}` must be printable ASCII without quotes", given.realm.escape_debug()));
    }
    if given.sha256.is_empty() {
        problems.push("basic_auth names nobody; give sha256 at least one digest of `name:password`".into());
    }
    let digests = given.sha256.iter().enumerate().filter_map(|(place, text)| {
        let digest = digest(text);
        if digest.is_none() {
            // Not shown: it may be a password that was put in the wrong place.
            problems.push(format!("sha256 number {} is not 64 hexadecimal digits", place + 1));
        }
        digest
    });
    let digests = digests.collect();
    let challenge = HeaderValue::try_from(format!("Basic realm=\"{}\", charset=\"UTF-8\"", given.realm));
    BasicAuth { challenge: challenge.unwrap_or(HeaderValue::from_static("Basic")), digests }
}

fn digest(text: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(digest)
}

fn cors(given: &snapshot::Cors, problems: &mut Vec<String>) -> Cors {
    let everyone = given.origins.iter().any(|origin| origin == "*");
    if everyone && given.origins.len() > 1 {
        problems.push("cors: origins has `*` and others; `*` is all".into());
    }
    if everyone && given.credentials {
        problems.push("cors: credentials for everyone's pages (`*`) would open every account; name the origins".into());
    }
    if given.origins.is_empty() {
        problems.push("cors: origins is empty; name those whose pages may ask, or remove cors".into());
    }
    for origin in given.origins.iter().filter(|origin| *origin != "*") {
        let good = origin.parse::<Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some() && uri.path() == "/"
        });
        if !good || origin.ends_with('/') || *origin != origin.to_ascii_lowercase() {
            problems.push(format!(
                "cors: origin `{}` must be like `https://app.example.org`, in lower case, without a path",
                origin.escape_debug()
            ));
        }
    }
    for method in &given.methods {
        if method.parse::<Method>().is_err() {
            problems.push(format!("cors: `{}` is no method", method.escape_debug()));
        }
    }
    for name in given.headers.iter().chain(&given.expose) {
        if name.parse::<HeaderName>().is_err() {
            problems.push(format!("cors: `{}` is no header name", name.escape_debug()));
        }
    }
    let list = |names: &[String]| {
        let joined = HeaderValue::try_from(names.join(", ")).ok();
        joined.filter(|_| !names.is_empty())
    };
    Cors {
        origins: (!everyone).then(|| given.origins.iter().map(|origin| origin.as_str().into()).collect()),
        methods: list(&given.methods).unwrap_or(HeaderValue::from_static("GET, HEAD, POST")),
        request_headers: list(&given.headers),
        exposed: list(&given.expose),
        credentials: given.credentials,
        max_age: HeaderValue::from(given.max_age_s),
    }
}

fn maintenance(given: &snapshot::Maintenance, problems: &mut Vec<String>) -> Maintenance {
    if given.hold_ms > MAX_MS {
        problems.push(format!("maintenance: hold_ms is {}; it must be 0 to {MAX_MS} (a day)", given.hold_ms));
    }
    Maintenance { hold: Duration::from_millis(given.hold_ms), retry_after: HeaderValue::from(given.retry_after_s) }
}

fn rates(route: &str, given: &[snapshot::RateLimit], problems: &mut Vec<String>) -> Rates {
    let mut rates = Rates::default();
    for limit in given {
        let burst = limit.burst.unwrap_or(limit.requests);
        if limit.requests == 0 || burst == 0 || !(1..=MAX_MS).contains(&limit.per_ms) {
            problems.push(format!(
                "a rate limit of {} requests in {} ms, {burst} at once: requests and burst must be at least 1, per_ms 1 to {MAX_MS} (a day)",
                limit.requests, limit.per_ms
            ));
            continue;
        }
        let key = match limit.key {
            RateKey::Address => Key::Address,
            RateKey::Token => Key::Token,
            RateKey::Route => Key::Route,
        };
        rates.push(route, key, Rate::new(limit.requests, Duration::from_millis(limit.per_ms), burst));
    }
    rates
}
