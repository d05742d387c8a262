//! Compression of answers on their way to clients that take it.
//!
//! What is decided of a request is an [`Offer`], before it is passed on; [`apply`] then looks at the answer. A request
//! whose client takes no coding, or whose answer does not fit, costs a look at a header and nothing else.
//!
//! A new coding: a case of [`Coding`] and of `encoder`, and its place in [`PREFERRED`].

mod accept;
mod body;
mod encoder;
mod packed;
mod types;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body::Body as _;

use crate::body::Body;
use crate::headers::{has_token, vary};
use body::Permit;
use encoder::Encoder;

pub(crate) use accept::{Accepted, Coding};
pub(crate) use body::Compressed;
pub(crate) use packed::Packed;
pub(crate) use types::fits;

/// Of what a client takes equally gladly: zstd costs the least for what it saves.
const PREFERRED: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

/// Shorter bodies fit into the packet that carries their head anyway.
const MIN_BYTES: u64 = 1_024;

/// Digests of the body as it is sent: they would be wrong after it is compressed.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// What a client takes, as far as its answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    coding: Coding,
    /// It does not take the plain form, however short.
    always: bool,
    /// The answer has no body, but the head that goes with one.
    head_only: bool,
}

impl Offer {
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Option<Self> {
        if !headers.contains_key(header::ACCEPT_ENCODING) {
            return None;
        }
        let accepted = Accepted::read(headers);
        let coding = accepted.best(PREFERRED)?;
        Some(Self { coding, always: accepted.refuses_identity(), head_only: *method == Method::HEAD })
    }
}

/// Compresses an answer if it fits.
pub(crate) fn apply(offer: Offer, response: &mut Response<Body>) {
    if !may_be_changed(response) {
        return;
    }
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if status == StatusCode::NOT_MODIFIED {
        // It speaks of the form that the client has, whose tag is weak. Most do not repeat the type.
        if kind.is_none_or(fits) {
            weaken_etag(response.headers_mut());
            vary(response.headers_mut(), "accept-encoding");
        }
        return;
    }
    if !kind.is_some_and(fits) {
        return;
    }
    let size = if offer.head_only { announced(response.headers()) } else { response.body().size_hint().exact() };
    if size == Some(0) || !offer.always && size.is_some_and(|size| size < MIN_BYTES) {
        return;
    }
    vary(response.headers_mut(), "accept-encoding");
    let packed = response.extensions_mut().remove::<Arc<Packed>>();
    if offer.head_only || compress(offer, size, packed, response.body_mut()) {
        describe(response.headers_mut(), offer.coding);
    }
}

/// Whether an answer with these headers may be compressed for somebody.
pub(crate) fn may_fit(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::CONTENT_ENCODING)
        && headers.get(header::CONTENT_TYPE).is_some_and(|kind| fits(kind.as_bytes()))
}

/// Whether the answer has a whole body in its plain form, and nobody forbids to change that.
fn may_be_changed(response: &Response<Body>) -> bool {
    let (status, headers) = (response.status(), response.headers());
    let has_whole_body = !status.is_informational()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT);
    let mut caching = headers.get_all(header::CACHE_CONTROL).iter();
    has_whole_body
        && !headers.contains_key(header::CONTENT_ENCODING)
        && !headers.contains_key(header::CONTENT_RANGE)
        && !caching.any(|value| has_token(value, "no-transform"))
        && !DIGESTS.iter().any(|digest| headers.contains_key(digest))
}

/// The length of the body that GET would get.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Says whether the body is compressed now. What is `packed` of it already is not packed again.
fn compress(offer: Offer, size: Option<u64>, packed: Option<Arc<Packed>>, body: &mut Body) -> bool {
    if let Some(form) = packed.as_ref().and_then(|packed| packed.get(offer.coding)) {
        *body = Body::full(form);
        return true;
    }
    if let Some(whole) = body.whole().filter(|whole| whole.len() <= body::PIECE_BYTES) {
        return match at_once(offer.coding, whole) {
            Ok(form) if form.len() < whole.len() || offer.always => {
                if let Some(packed) = packed {
                    packed.keep(offer.coding, &form);
                }
                *body = Body::full(form);
                true
            }
            Ok(_) => false,
            Err(error) => failed(&error),
        };
    }
    let Some(permit) = Permit::take() else { return false };
    match Encoder::new(offer.coding, size) {
        Ok(encoder) => {
            let source = std::mem::replace(body, Body::empty());
            let packed = packed.map(|packed| (packed, offer.coding));
            *body = Body::compressed(Box::new(Compressed::new(source, encoder, permit, packed)));
            true
        }
        Err(error) => failed(&error),
    }
}

fn at_once(coding: Coding, whole: &[u8]) -> io::Result<Bytes> {
    let mut encoder = Encoder::new(coding, u64::try_from(whole.len()).ok())?;
    encoder.write(whole)?;
    encoder.finish().map(Bytes::from)
}

/// Happens where memory runs out; the plain form always does.
fn failed(error: &io::Error) -> bool {
    tracing::warn!(%error, "an answer could not be compressed and is sent as it is");
    false
}

/// What is true of the compressed form and was not of the plain one.
fn describe(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::ACCEPT_RANGES);
    weaken_etag(headers);
}

/// A strong tag promises the very same bytes, which the same content compressed elsewhere does not have.
fn weaken_etag(headers: &mut HeaderMap) {
    let Some(etag) = headers.get(header::ETAG).filter(|etag| !etag.as_bytes().starts_with(b"W/")) else { return };
    if let Ok(weak) = HeaderValue::from_bytes(&[b"W/", etag.as_bytes()].concat()) {
        headers.insert(header::ETAG, weak);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn offer(coding: Coding) -> Offer {
        Offer { coding, always: false, head_only: false }
    }

    /// What an answer with these headers becomes, by its coding.
    fn coding_of(status: u16, headers: &[(&str, &str)], length: usize, offer: Offer) -> Option<String> {
        let mut response = Response::new(Body::full(Bytes::from(vec![b'a'; length])));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response.headers_mut().append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        apply(offer, &mut response);
        response.headers().get(header::CONTENT_ENCODING).map(|coding| coding.to_str().unwrap().to_owned())
    }

    #[test]
    fn only_whole_plain_bodies_that_fit_are_compressed() {
        let json = ("content-type", "application/json");
        for (status, headers, length, expected) in [
            (200, &[json][..], 1_024, true),
            (404, &[json], 1_024, true),
            (200, &[json], 1_023, false),
            (200, &[json], 0, false),
            (200, &[], 5_000, false),
            (206, &[json], 5_000, false),
            (204, &[json], 5_000, false),
            (200, &[("content-type", "image/png")], 5_000, false),
            (200, &[("content-type", "text/event-stream")], 5_000, false),
            (200, &[json, ("content-encoding", "br")], 5_000, false),
            (200, &[json, ("content-encoding", "identity")], 5_000, false),
            (200, &[json, ("cache-control", "public, No-Transform")], 5_000, false),
            (200, &[json, ("cache-control", "public, max-age=1")], 5_000, true),
            (200, &[json, ("content-digest", "sha-256=:x:")], 5_000, false),
            (200, &[json, ("content-range", "bytes 0-1/2")], 5_000, false),
        ] {
            let coding = coding_of(status, headers, length, offer(Coding::Gzip)).filter(|coding| coding == "gzip");
            assert_eq!(coding.is_some(), expected, "{status} {headers:?} {length}");
        }
        let always = Offer { always: true, ..offer(Coding::Gzip) };
        assert_eq!(coding_of(200, &[json], 10, always).as_deref(), Some("gzip"), "who refuses the plain form");
    }

    #[test]
    fn every_coding_gives_back_what_went_in() {
        let plain: Vec<u8> = (0..20_000_u32).flat_map(|number| number.to_string().into_bytes()).collect();
        for coding in PREFERRED {
            let packed = at_once(coding, &plain).unwrap();
            let mut unpacked = Vec::new();
            match coding {
                Coding::Zstd => unpacked = zstd::decode_all(&packed[..]).unwrap(),
                Coding::Brotli => {
                    brotli::Decompressor::new(&packed[..], 4_096).read_to_end(&mut unpacked).unwrap();
                }
                Coding::Gzip => {
                    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
                }
            }
            assert!(unpacked == plain && packed.len() < plain.len() / 2, "{coding:?}: {}", packed.len());
        }
    }

    #[test]
    fn a_kept_body_is_packed_once_for_each_coding() {
        let packed = Arc::new(Packed::within(5_000));
        let form = |coding| {
            let mut body = Body::full(Bytes::from(vec![b'a'; 5_000]));
            assert!(compress(offer(coding), Some(5_000), Some(Arc::clone(&packed)), &mut body));
            body.whole().unwrap().clone()
        };
        let (first, second, other) = (form(Coding::Gzip), form(Coding::Gzip), form(Coding::Brotli));
        assert_eq!(first.as_ptr(), second.as_ptr(), "the very same bytes");
        assert_ne!(first, other);
    }

    #[test]
    fn what_cannot_get_smaller_stays_as_it_is() {
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .take(2_000)
        .collect();
        let mut body = Body::full(Bytes::from(noise));
        assert!(!compress(offer(Coding::Zstd), Some(2_000), None, &mut body));
        assert_eq!(body.size_hint().exact(), Some(2_000));
    }

    #[test]
    fn tags_become_weak() {
        for (given, expected) in [("\"a\"", "W/\"a\""), ("W/\"a\"", "W/\"a\"")] {
            let mut headers = HeaderMap::from_iter([(header::ETAG, given.parse().unwrap())]);
            weaken_etag(&mut headers);
            assert_eq!(headers[header::ETAG], expected);
        }
    }
}
