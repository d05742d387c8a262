//! Headers that must not pass a proxy, and those it must set.
//!
//! One walk over the names finds what is to be removed, since most requests have nothing of the kind; only then is
//! anything looked up. A header to strip is one more row in [`HOP_BY_HOP`] or [`is_claim`].

use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Who asks, as the edge itself knows it.
pub(crate) struct Origin<'a> {
    /// The peer's address.
    pub(crate) peer: &'a HeaderValue,
    /// Whether its claims about earlier hops are believed.
    pub(crate) trusted: bool,
    /// How it came: `http`, later `https`.
    pub(crate) scheme: &'static str,
}

/// Headers about one connection, not about the message.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    KEEP_ALIVE,
    header::UPGRADE,
    header::TRANSFER_ENCODING,
    header::TE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    PROXY_CONNECTION,
];

/// Bit `n` for each `HOP_BY_HOP[n]` that is there.
fn hop_by_hop(headers: &HeaderMap) -> u8 {
    headers.keys().fold(0, |present, name| match HOP_BY_HOP.iter().position(|known| known == name) {
        Some(place) => present | 1 << place,
        None => present,
    })
}

/// Whether a route may not set this header on its answers, because the framing depends on it.
pub(crate) fn is_framing(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name) || name == header::CONTENT_LENGTH || name == header::TRAILER
}

/// Whether a header claims something about earlier hops, which only a trusted peer may do.
fn is_claim(name: &HeaderName) -> bool {
    name == header::FORWARDED || name == X_REAL_IP || name.as_str().starts_with("x-forwarded-")
}

/// Removes what is about the connection only, the names listed in `Connection` included. `te: trailers` stays, since
/// it says something about the client (gRPC depends on it).
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let present = hop_by_hop(headers);
    if present == 0 {
        return;
    }
    let trailers = headers.get_all(header::TE).iter().any(|value| has_token(value, "trailers"));
    if names_others(headers) {
        for name in connection_options(headers) {
            headers.remove(name);
        }
    }
    for (place, name) in HOP_BY_HOP.iter().enumerate() {
        if present & (1 << place) != 0 {
            headers.remove(name);
        }
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Whether `Connection` says anything but the two words it nearly always says.
fn names_others(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONNECTION).iter();
    values.any(|value| {
        !value.as_bytes().eq_ignore_ascii_case(b"keep-alive") && !value.as_bytes().eq_ignore_ascii_case(b"close")
    })
}

/// The headers that `Connection` names, but for those that are never one hop's business: a client could else make the
/// edge drop what later hops rely on.
fn connection_options(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|token| token.trim().parse::<HeaderName>().ok())
        .filter(|name| {
            *name != header::HOST
                && *name != header::CONTENT_LENGTH
                && *name != header::AUTHORIZATION
                && *name != header::COOKIE
                && *name != header::CACHE_CONTROL
                && !is_claim(name)
        })
        .collect()
}

/// Tells the next hop who asks. `host` is what the client asked for.
pub(crate) fn set_forwarded(headers: &mut HeaderMap, origin: &Origin<'_>, host: Option<HeaderValue>) {
    if headers.keys().any(is_claim) {
        if origin.trusted {
            append_forwarded(headers, origin, host);
            return;
        }
        let claims: Vec<_> = headers.keys().filter(|name| is_claim(name)).cloned().collect();
        for name in claims {
            headers.remove(name);
        }
    }
    headers.insert(X_FORWARDED_FOR, origin.peer.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(origin.scheme));
    if let Some(host) = host {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

/// A trusted proxy stands before us: what it says stays, and our view of it is added.
fn append_forwarded(headers: &mut HeaderMap, origin: &Origin<'_>, host: Option<HeaderValue>) {
    // Two ways of saying the same invite contradictions, and this edge speaks the other one.
    headers.remove(header::FORWARDED);
    let chain: Vec<_> =
        headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes).chain([origin.peer.as_bytes()]).collect();
    let chain = HeaderValue::from_bytes(&chain.join(&b", "[..])).unwrap_or_else(|_| origin.peer.clone());
    headers.insert(X_FORWARDED_FOR, chain);
    headers.entry(X_FORWARDED_PROTO).or_insert_with(|| HeaderValue::from_static(origin.scheme));
    if let (Some(host), Entry::Vacant(entry)) = (host, headers.entry(X_FORWARDED_HOST)) {
        entry.insert(host);
    }
}

/// The protocol that a request wants to change to, if it properly asks to.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let upgrade = headers.get(header::UPGRADE)?;
    let asked = headers.get_all(header::CONNECTION).iter().any(|value| has_token(value, "upgrade"));
    asked.then(|| upgrade.clone())
}

/// Whether a comma-separated header value holds `token`.
pub(crate) fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        map
    }

    fn check_stripped(given: &[(&str, &str)], expected: &[(&str, &str)]) {
        let mut headers = map(given);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(expected), "{given:?}");
    }

    #[test]
    fn what_is_about_one_connection_is_stripped() {
        check_stripped(&[("accept", "a"), ("host", "h")], &[("accept", "a"), ("host", "h")]);
        check_stripped(
            &[("connection", "keep-alive"), ("keep-alive", "timeout=5"), ("accept", "a")],
            &[("accept", "a")],
        );
        check_stripped(
            &[("connection", "close, X-Drop , x-also"), ("x-drop", "1"), ("x-also", "2"), ("x-keep", "3")],
            &[("x-keep", "3")],
        );
        check_stripped(&[("connection", "x-one"), ("connection", "x-two"), ("x-one", "1"), ("x-two", "2")], &[]);
        check_stripped(
            &[
                ("transfer-encoding", "chunked"),
                ("proxy-authorization", "secret"),
                ("proxy-connection", "x"),
                ("upgrade", "h2c"),
            ],
            &[],
        );
        check_stripped(&[("te", "gzip, trailers")], &[("te", "trailers")]);
        check_stripped(&[("te", "gzip")], &[]);
    }

    #[test]
    fn connection_cannot_name_headers_that_others_rely_on() {
        let kept =
            [("host", "h"), ("content-length", "3"), ("authorization", "a"), ("cookie", "c"), ("x-forwarded-for", "f")];
        let mut given =
            vec![("connection", "host, content-length, authorization, cookie, x-forwarded-for, not a name")];
        given.extend(kept);
        check_stripped(&given, &kept);
    }

    fn check_forwarded(trusted: bool, given: &[(&str, &str)], expected: &[(&str, &str)]) {
        let mut headers = map(given);
        let origin = Origin { peer: &HeaderValue::from_static("192.0.2.7"), trusted, scheme: "http" };
        set_forwarded(&mut headers, &origin, Some(HeaderValue::from_static("app.example:8080")));
        assert_eq!(headers, map(expected), "trusted: {trusted}, {given:?}");
    }

    #[test]
    fn claims_of_strangers_are_replaced_by_what_the_edge_knows() {
        let known =
            [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "http"), ("x-forwarded-host", "app.example:8080")];
        check_forwarded(false, &[], &known);
        check_forwarded(false, &[("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "10.0.0.2")], &known);
        check_forwarded(
            false,
            &[
                ("forwarded", "for=10.0.0.1;proto=https"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "evil"),
                ("x-forwarded-port", "1"),
                ("x-forwarded-prefix", "/admin"),
                ("x-real-ip", "10.0.0.1"),
            ],
            &known,
        );
        check_forwarded(true, &[], &known);
    }

    #[test]
    fn claims_of_a_trusted_proxy_are_kept_and_continued() {
        check_forwarded(
            true,
            &[
                ("x-forwarded-for", "10.0.0.1"),
                ("x-forwarded-for", "10.0.0.2"),
                ("x-forwarded-proto", "https"),
                ("forwarded", "for=x"),
            ],
            &[
                ("x-forwarded-for", "10.0.0.1, 10.0.0.2, 192.0.2.7"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "app.example:8080"),
            ],
        );
    }

    #[test]
    fn an_upgrade_needs_both_headers() {
        for (given, expected) in [
            (&[("connection", "Upgrade"), ("upgrade", "websocket")][..], Some("websocket")),
            (&[("connection", "keep-alive, upgrade"), ("upgrade", "websocket")], Some("websocket")),
            (&[("upgrade", "websocket")], None),
            (&[("connection", "upgrade")], None),
            (&[("connection", "upgraded"), ("upgrade", "websocket")], None),
        ] {
            assert_eq!(upgrade(&map(given)), expected.map(HeaderValue::from_static), "{given:?}");
        }
    }
}
