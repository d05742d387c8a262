//! Who comes in by which token, and what that allows. Pure.
//!
//! A token is shown as it is, or signed with: `Mana-Signature: name=NAME,t=SECONDS,v1=HEX` with the HMAC-SHA256 of
//! `SECONDS.METHOD PATH.BODY` under the token's SHA-256 in hexadecimal, so that nothing on the way learns it.

use std::collections::BTreeSet;

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::api::{Scope, TokenView};
use crate::server::{Refused, problem};

/// How old, or how far ahead, a signature may be.
const MOST_SECONDS: i64 = 300;
const HEADER: &str = "mana-signature";

/// Somebody who is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    /// The token's name is the operator's.
    pub(crate) name: String,
    scopes: BTreeSet<Scope>,
}

impl Access {
    /// `None`: its time is over.
    pub(crate) fn of(token: TokenView, now: Timestamp) -> Option<Self> {
        // What cannot be read has ended.
        let alive = token.expires_at.is_none_or(|end| end.parse::<Timestamp>().is_ok_and(|end| now < end));
        alive.then_some(Self { name: token.name, scopes: token.scopes })
    }

    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    pub(crate) fn refused(&self) -> Refused {
        let scopes: Vec<&str> = self.scopes.iter().map(|scope| scope.as_str()).collect();
        let detail = format!("the token {} is for {} only", self.name, scopes.join(", "));
        Refused(problem(403, "this token does not allow it", detail))
    }
}

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

    #[test]
    fn a_token_ends_and_allows_what_it_is_for() {
        let now = Timestamp::from_second(1_000_000).expect("a time");
        let token = |expires_at: Option<&str>| TokenView {
            name: "ci".into(),
            scopes: BTreeSet::from([Scope::Read]),
            made_at: String::new(),
            expires_at: expires_at.map(str::to_owned),
        };
        let access = Access::of(token(None), now).expect("known");
        assert!(access.may(Scope::Read) && !access.may(Scope::Deploy));
        assert!(Access::of(token(Some("1970-01-12T13:46:41Z")), now).is_some());
        assert_eq!(Access::of(token(Some("1970-01-12T13:46:40Z")), now), None);
        assert_eq!(Access::of(token(Some("some day")), now), None);
    }
}
