//! Who asks without showing who they are, and how often one of them may.

use std::net::IpAddr;
use std::time::Duration;

use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::Problem;
use crate::counters::Counters;

/// Over which time requests are counted.
const MINUTE: Duration = Duration::from_mins(1);

/// Bounds the requests of each client address on what needs no token.
pub struct Visitors {
    counters: Counters,
    what: &'static str,
    per_minute: u64,
}

impl Visitors {
    /// So many requests a minute each, counted for themselves.
    pub fn new(counters: Counters, what: &'static str, per_minute: u64) -> Self {
        Self { counters, what, per_minute }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// 429 where its client has made too many.
    pub async fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let address = client_network(headers);
        // Programs on this machine that call for nobody; what they call for others carries an address.
        if address.is_empty() {
            return Ok(());
        }
        let key = format!("{}:{}", self.what, hex::encode(&Sha256::digest(address)[..16]));
        if self.counters.add(&key, MINUTE).await > self.per_minute {
            metrics::counter!("requests_throttled_total").increment(1);
            return Err(Problem::throttled(MINUTE.as_secs()));
        }
        Ok(())
    }
}

/// Whom the edge found to be asking: an IPv4 address, or the /64 of an IPv6 address, which is what one subscriber gets. Empty
/// for this machine. The service itself listens on loopback only, so nobody else can claim to be somebody.
pub fn client_network(headers: &HeaderMap) -> String {
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
