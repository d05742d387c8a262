//! Single header fields that decide what is sent.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};

use super::fields_of;
use crate::cache::rules::{self, Verdict, Wants};
use crate::compress::{Accepted, Coding};
use crate::range::{self, Range};
use crate::validators::Validators;

const CODINGS: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

/// `Range` and `If-Range`, behind the eight bytes of a length.
pub fn range(data: &[u8]) {
    let Some((&all, bytes)) = data.split_first_chunk() else { return };
    let all = u64::from_be_bytes(all);
    let headers = fields_of(bytes);
    let own = Validators { etag: Some(HeaderValue::from_static("\"a\"")), modified: Some(784_111_777) };
    let asked = range::asked(&headers, all, &own);
    match asked {
        Range::Part { from, length } => {
            assert!(
                length > 0 && from.checked_add(length).is_some_and(|end| end <= all),
                "a part of what is not there"
            );
            let again = HeaderMap::from_iter([(header::RANGE, field(&format!("bytes={from}-{}", from + length - 1)))]);
            assert_eq!(range::asked(&again, all, &own), asked, "what is written is read back");
        }
        Range::Unsatisfiable => assert!(headers.contains_key(header::RANGE)),
        Range::Whole => {}
    }
    if let Some(condition) = headers.get(header::IF_RANGE)
        && condition.as_bytes().starts_with(b"W/")
    {
        assert_eq!(asked, Range::Whole, "a part of what may be another version");
    }
}

/// An answer's and a request's validators, in one map.
pub fn validators(data: &[u8]) {
    let headers = fields_of(data);
    let own = Validators::said(&headers);
    if let Some(modified) = own.last_modified() {
        let again = Validators::said(&HeaderMap::from_iter([(header::LAST_MODIFIED, modified.clone())]));
        assert_eq!(again.modified, own.modified, "what is written is read back");
        let since = HeaderMap::from_iter([(header::IF_MODIFIED_SINCE, modified)]);
        assert!(own.are_current(&since), "it changed since it was changed");
    }
    let Some(etag) = own.etag.clone() else { return };
    // A tag with a comma is read as several; whoever sends such a thing is sent the whole again.
    if !etag.as_bytes().contains(&b',') && etag.as_bytes().trim_ascii() == etag.as_bytes() {
        let mut again = headers.clone();
        again.append(header::IF_NONE_MATCH, etag.clone());
        assert!(own.are_current(&again), "its own tag is another one");
    }
    let is_weak = etag.as_bytes().starts_with(b"W/");
    let is_date = etag.to_str().is_ok_and(|text| httpdate::parse_http_date(text).is_ok());
    assert!(is_date || own.is_same(&etag) != is_weak, "a part is joined to what may be another version");
    assert!(own.are_current(&headers) || !headers.get_all(header::IF_NONE_MATCH).iter().any(|tag| tag == "*"));
}

/// An answer's fields, behind a byte for its status and two for times.
pub fn cache_rules(data: &[u8]) {
    let Some((&[status, early, late], bytes)) = data.split_first_chunk() else { return };
    let headers = fields_of(bytes);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let status = [StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR][usize::from(status % 3)];
    let lifetime =
        |headers: &HeaderMap, credentialed| rules::lifetime(status, headers, credentialed, now, Duration::from_secs(1));
    for forbidden in ["no-store", "private", "no-cache", "max-age=1, no-store", "x=\"a\\\"\", PRIVATE"] {
        let mut forbidding = headers.clone();
        forbidding.append(header::CACHE_CONTROL, HeaderValue::from_static(forbidden));
        assert_eq!(lifetime(&forbidding, false), None, "kept in spite of {forbidden}");
    }
    let wants = Wants::of(&headers);
    let Some(kept) = lifetime(&headers, false) else { return };
    assert!(status != StatusCode::INTERNAL_SERVER_ERROR && !headers.contains_key(header::SET_COOKIE));
    assert!(["max-age", "s-maxage"].iter().any(|name| says(&headers, name)) || headers.contains_key(header::EXPIRES));
    assert!(
        lifetime(&headers, true).is_none_or(|kept| kept.is_public()),
        "kept for all what one asked for with credentials"
    );
    let [one, other] = [early, late].map(|place| Duration::from_secs(1 << (place % 40)));
    let (early, late) = (one.min(other), one.max(other));
    // Time makes nothing fresh again.
    let rank = |since, wants: &Wants| match kept.verdict(since, wants) {
        Verdict::Yes => 0,
        Verdict::Meanwhile => 1,
        Verdict::Confirm => 2,
    };
    assert!(rank(early, &Wants::default()) <= rank(late, &Wants::default()), "fresher than before");
    assert!(kept.covers_error(early) >= kept.covers_error(late) && kept.age(early) <= kept.age(late));
    assert!(kept.left(early) >= kept.left(late));
    let _no_overflow = (rank(early, &wants), rank(late, &wants), kept.left(Duration::MAX), rank(Duration::MAX, &wants));
}

fn says(headers: &HeaderMap, directive: &str) -> bool {
    headers.get_all(header::CACHE_CONTROL).iter().any(|value| {
        let value = value.as_bytes().to_ascii_lowercase();
        value.windows(directive.len()).any(|window| window == directive.as_bytes())
    })
}

/// `Accept-Encoding`.
pub fn accept_encoding(data: &[u8]) {
    let headers = fields_of(data);
    let accepted = Accepted::read(&headers);
    let taken: Vec<Coding> = accepted.codings(CODINGS).collect();
    let said: Vec<_> = headers.get_all(header::ACCEPT_ENCODING).iter().map(HeaderValue::as_bytes).collect();
    let said = said.join(&b","[..]).to_ascii_lowercase();
    let says = |name: &str| said.windows(name.len()).any(|window| window == name.as_bytes());
    for coding in &taken {
        assert!(says(coding.name()) || says("*"), "{} was not asked for", coding.name());
        assert_eq!(taken.iter().filter(|other| *other == coding).count(), 1, "twice");
        // Of what is said twice, the first holds.
        let mut refusing = HeaderMap::new();
        refusing.append(header::ACCEPT_ENCODING, field(&format!("{};q=0", coding.name())));
        for value in headers.get_all(header::ACCEPT_ENCODING) {
            refusing.append(header::ACCEPT_ENCODING, value.clone());
        }
        assert!(!Accepted::read(&refusing).codings(CODINGS).any(|other| other == *coding), "refused, and taken");
    }
    if let Some(best) = accepted.best(CODINGS) {
        assert_eq!(taken.first(), Some(&best), "not the best");
    }
    assert!(!accepted.refuses_identity() || says("identity") || says("*"));
}

fn field(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).expect("printable text is a field's value")
}
