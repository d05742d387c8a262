//! What a token is known by, and how one is signed with. Pure.
//!
//! A token is shown as it is, or signed with: `Mana-Signature: name=NAME,t=SECONDS,v1=HEX` with the HMAC-SHA256 of
//! `SECONDS.METHOD PATH.BODY` under the token's SHA-256 in hexadecimal, so that nothing on the way learns it.

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// How old, or how far ahead, a signature may be.
const MOST_SECONDS: i64 = 300;
const HEADER: &str = "mana-signature";

/// What a token is known by.
pub(crate) fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// A signature that somebody shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) name: String,
    seconds: i64,
    signature: Vec<u8>,
}

impl Claim {
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(HEADER)?.to_str().ok()?;
        let part = |name: &str| text.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let signature = hex::decode(part("v1")?).ok()?;
        Some(Self { name: part("name")?.to_owned(), seconds: part("t")?.parse().ok()?, signature })
    }

    /// Whether it was made with the token that hashes to this, for this request, a short time ago.
    pub(crate) fn holds(&self, sha256: &str, method: &str, path: &str, body: &[u8], now: Timestamp) -> bool {
        let Some(age) = now.as_second().checked_sub(self.seconds) else { return false };
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(sha256.as_bytes()) else { return false };
        mac.update(format!("{}.{method} {path}.", self.seconds).as_bytes());
        mac.update(body);
        mac.verify_slice(&self.signature).is_ok() && (-MOST_SECONDS..=MOST_SECONDS).contains(&age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(token: &str, text: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(hash(token).as_bytes()).expect("a key");
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    #[test]
    fn a_signature_is_for_one_request_and_a_short_time() {
        let now = Timestamp::from_second(1_000_000).expect("a time");
        let value = format!("name=bob,t=1000000,v1={}", signed("secret", "1000000.POST /api/v1/rollouts/7.{}"));
        let headers = HeaderMap::from_iter([(HEADER.parse().expect("a name"), value.parse().expect("a value"))]);
        let claim = Claim::of(&headers).expect("read");
        assert_eq!(claim.name, "bob");
        let holds = |token: &str, method: &str, path: &str, body: &str, later: i64| {
            let now = Timestamp::from_second(now.as_second() + later).expect("a time");
            claim.holds(&hash(token), method, path, body.as_bytes(), now)
        };
        assert!(holds("secret", "POST", "/api/v1/rollouts/7", "{}", 0));
        assert!(holds("secret", "POST", "/api/v1/rollouts/7", "{}", 300));
        assert!(!holds("secret", "POST", "/api/v1/rollouts/7", "{}", 301));
        assert!(!holds("secret", "POST", "/api/v1/rollouts/7", "{}", -301));
        assert!(!holds("other", "POST", "/api/v1/rollouts/7", "{}", 0));
        assert!(!holds("secret", "POST", "/api/v1/rollouts/8", "{}", 0));
        assert!(!holds("secret", "PUT", "/api/v1/rollouts/7", "{}", 0));
        assert!(!holds("secret", "POST", "/api/v1/rollouts/7", "{ }", 0));
    }

    #[test]
    fn what_is_no_signature_is_none() {
        for text in ["", "name=bob", "name=bob,t=x,v1=00", "name=bob,t=1,v1=zz", "t=1,v1=00"] {
            let headers = HeaderMap::from_iter([(HEADER.parse().expect("a name"), text.parse().expect("a value"))]);
            assert_eq!(Claim::of(&headers), None, "{text}");
        }
    }
}
