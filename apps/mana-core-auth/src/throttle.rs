//! Bounds guessing and asking.
//!
//! Passwords and codes ([`Attempt`]): failures are counted for an account together with the client's address, so that a
//! stranger cannot lock someone out; and, more widely, for the account from all addresses that never signed in to it, so that
//! many addresses help no one. From an address that did, its owner always gets in; and from one where they have chosen another
//! password by a letter ([`vouch`]), so that strangers who never stop lock nobody out for good. An attempt counts as failed from
//! its beginning, so parallel guesses are no way around it.
//!
//! Requests ([`limit_requests`]): of one client address on everything that needs no token.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use kit::Problem;
use sha2::{Digest, Sha256};

use crate::app::App;

/// Over which time requests are counted.
const MINUTE: Duration = Duration::from_mins(1);

/// How long an address stays known to an account after a sign-in.
const KNOWN_FOR: Duration = Duration::from_hours(30 * 24);

/// One attempt to show that one is somebody.
pub(crate) struct Attempt {
    pair: String,
    known: String,
}

impl Attempt {
    fn of(account: &str, headers: &HeaderMap) -> Self {
        let address = client_network(headers);
        let pair = digest(&format!("{account}\n{address}"));
        Self { pair: format!("login-failures:{pair}"), known: format!("login-known:{pair}") }
    }

    /// Counts it, or refuses it where there were too many. `account` is whatever names it: the address, or its id.
    pub(crate) async fn begin(app: &App, account: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        let limits = &app.limits;
        let it = Self::of(account, headers);
        let mut refused = app.counters.add(&it.pair, limits.login_window).await > limits.login_failures;
        if !refused && !app.counters.is_marked(&it.known).await {
            let all = format!("login-failures-of:{}", digest(account));
            refused = app.counters.add(&all, limits.login_window).await > limits.login_failures_per_account;
        }
        if refused {
            metrics::counter!("logins_throttled_total").increment(1);
            return Err(Problem::throttled(limits.login_window.as_secs()));
        }
        Ok(it)
    }

    /// Forgets the failures from here, and remembers that this address is a good one.
    pub(crate) async fn succeeded(self, app: &App) {
        app.counters.forget(&self.pair, app.limits.login_window).await;
        app.counters.mark(&self.known, KNOWN_FOR).await;
    }
}

/// Remembers that the client's address is a good one for an account whose owner has shown there that they are it, otherwise than by a try.
pub(crate) async fn vouch(app: &App, account: &str, headers: &HeaderMap) {
    Attempt::of(account, headers).succeeded(app).await;
}

/// Around what can be called without a token: bounds the requests of one client address.
pub(crate) async fn limit_requests(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let address = client_network(request.headers());
    // Programs on this machine that call for nobody; what they call for others carries an address.
    if !address.is_empty() {
        let count = app.counters.add(&format!("requests:{}", digest(&address)), MINUTE).await;
        if count > app.limits.requests_per_minute {
            metrics::counter!("requests_throttled_total").increment(1);
            return Problem::throttled(MINUTE.as_secs()).into_response();
        }
    }
    next.run(request).await
}

fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..16])
}

/// Whom the edge found to be asking: an IPv4 address, or the /64 of an IPv6 address, which is what one subscriber gets. Empty
/// for this machine. The service itself listens on loopback only, so nobody else can claim to be somebody.
pub(crate) fn client_network(headers: &HeaderMap) -> String {
    let given = headers.get("x-real-ip").and_then(|value| value.to_str().ok()).map_or("", str::trim);
    match given.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(address) if address.is_loopback() => String::new(),
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => {
            let network = address.to_bits() >> 64 << 64;
            format!("{}/64", std::net::Ipv6Addr::from_bits(network))
        }
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_a_network_of_its_own() {
        let check = |given: &str, expected: &str| {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static("x-real-ip"),
                http::HeaderValue::from_str(given).unwrap(),
            )]);
            assert_eq!(client_network(&headers), expected, "{given}");
        };
        check("203.0.113.7", "203.0.113.7");
        check("::ffff:203.0.113.7", "203.0.113.7");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64");
        check("127.0.0.1", "");
        check("::1", "");
        check("nobody", "");
        assert_eq!(client_network(&HeaderMap::new()), "");
    }
}
