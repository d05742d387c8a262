//! Who may come: by address, and by name and password. And the headers that tell browsers to be careful.

use std::net::IpAddr;

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::Refusal;
use crate::answer::Fault;
use crate::cidr::Cidr;

/// Ranges of addresses. What is denied is out, and where anything is allowed, everything else is.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) allow: Vec<Cidr>,
    pub(crate) deny: Vec<Cidr>,
}

impl Access {
    pub(crate) fn allows(&self, client: IpAddr) -> bool {
        let within = |ranges: &[Cidr]| ranges.iter().any(|range| range.contains(client));
        !within(&self.deny) && (self.allow.is_empty() || within(&self.allow))
    }
}

/// SHA-256 of `name:password`.
pub(crate) type Digest = [u8; 32];

/// Names and passwords of few people, for what is not public yet.
#[derive(Debug)]
pub(crate) struct BasicAuth {
    pub(crate) challenge: HeaderValue,
    pub(crate) digests: Vec<Digest>,
}

impl BasicAuth {
    /// Whether the request shows what is asked for. It is of no use to the service behind, so it is not passed on.
    pub(crate) fn check(&self, headers: &mut HeaderMap) -> Result<(), Refusal> {
        let shown = headers.get(header::AUTHORIZATION).and_then(credentials);
        // All are compared, whichever fits: the time says nothing about which, or how well.
        let fits = shown.is_some_and(|shown| {
            let shown = digest::digest(&digest::SHA256, &shown);
            let equal = |digest: &Digest| constant_time::verify_slices_are_equal(digest, shown.as_ref()).is_ok();
            self.digests.iter().fold(false, |fits, digest| equal(digest) | fits)
        });
        if !fits {
            return Err(Refusal::Fault(Fault::Unauthorized, vec![(header::WWW_AUTHENTICATE, self.challenge.clone())]));
        }
        headers.remove(header::AUTHORIZATION);
        Ok(())
    }
}

/// `name:password` of a header of the scheme Basic.
fn credentials(value: &HeaderValue) -> Option<Vec<u8>> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    STANDARD.decode(rest.trim()).ok()
}

/// No guessing of types, no foreign frames, no paths in the referrer of other sites, nothing of what few sites need.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
    (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin-allow-popups"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// Adds what the service does not say itself: it knows its pages better.
pub(crate) fn secure(headers: &mut HeaderMap) {
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
