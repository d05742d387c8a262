//! Headers that must not pass a proxy, and those it must set.
//!
//! One walk over the names finds what is to be removed, since most requests have nothing of the kind; only then is
//! anything looked up. A header to strip is one more row in [`HOP_BY_HOP`] or [`is_claim`].

use std::net::IpAddr;

use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;

use crate::cidr::Cidr;
use crate::forwarded;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Who asks, as the edge itself knows it.
pub(crate) struct Origin<'a> {
    /// The peer's address.
    pub(crate) peer: &'a HeaderValue,
    /// What becomes of its claims about earlier hops.
    pub(crate) claims: Claims<'a>,
    /// How it came: `http` or `https`.
    pub(crate) scheme: &'static str,
}

/// What a peer may say about the hops before it.
#[derive(Clone, Copy)]
pub(crate) enum Claims<'a> {
    /// A stranger: nothing.
    Dropped,
    /// A proxy of ours stands before us: what it says stays, and our view of it is added.
    Continued(&'a [Cidr]),
    /// A service of ours on this machine calls another one: for whom, it knows.
    Inside,
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

/// The length that a message says, if it says any; `None` where that has two readings.
#[expect(clippy::option_option, reason = "malformed, not said, said")]
pub(crate) fn said_length(headers: &HeaderMap) -> Option<Option<u64>> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Some(None),
        (Some(length), None) => {
            let digits = length.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
            digits.parse().ok().map(Some)
        }
        _ => None,
    }
}

/// Whether a header claims something about earlier hops, which only a trusted peer may do, or passes for one that does.
fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    match name.first() {
        Some(b'f') => name == b"forwarded",
        Some(b'x') => {
            is_alike(name, b"x-real-ip") || name.get(..11).is_some_and(|begin| is_alike(begin, b"x-forwarded"))
        }
        _ => false,
    }
}

/// Names that are read as another one by programs that are told of fields by CGI's names, where `-` and `_` are the same.
fn is_disguised(name: &HeaderName) -> bool {
    let text = name.as_str().as_bytes();
    text.contains(&b'_')
        && (is_claim(name)
            || [&b"x-request-id"[..], b"content-length", b"transfer-encoding"]
                .iter()
                .any(|known| is_alike(text, known)))
}

fn is_alike(name: &[u8], known: &[u8]) -> bool {
    name.len() == known.len()
        && name.iter().zip(known).all(|(one, other)| one == other || (*one, *other) == (b'_', b'-'))
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

/// Tells the next hop who asks. `host` is what the client asked for. `X-Real-IP` is the one address to believe: the client's
/// as far back as there are only proxies of ours in between.
pub(crate) fn set_forwarded(headers: &mut HeaderMap, origin: &Origin<'_>, host: Option<HeaderValue>) {
    // Whoever they come from: a proxy of ours may have passed on a stranger's.
    remove(headers, is_disguised);
    let real = if headers.keys().any(is_claim) { take_claims(headers, origin) } else { None };
    headers.insert(X_REAL_IP, real.unwrap_or_else(|| origin.peer.clone()));
    let chain = match headers.get(X_FORWARDED_FOR) {
        Some(_) => chained(headers, origin),
        None => origin.peer.clone(),
    };
    headers.insert(X_FORWARDED_FOR, chain);
    headers.entry(X_FORWARDED_PROTO).or_insert_with(|| HeaderValue::from_static(origin.scheme));
    if let (Some(host), Entry::Vacant(entry)) = (host, headers.entry(X_FORWARDED_HOST)) {
        entry.insert(host);
    }
}

/// Removes the claims that are not believed; gives the client's address, where one that is believed says it.
fn take_claims(headers: &mut HeaderMap, origin: &Origin<'_>) -> Option<HeaderValue> {
    let client = believed(headers, origin);
    // Two ways of saying the same invite contradictions, and this edge speaks the other one.
    headers.remove(header::FORWARDED);
    client
}

fn remove(headers: &mut HeaderMap, is_unwanted: fn(&HeaderName) -> bool) {
    let unwanted: Vec<_> = headers.keys().filter(|name| is_unwanted(name)).cloned().collect();
    for name in unwanted {
        headers.remove(name);
    }
}

fn believed(headers: &mut HeaderMap, origin: &Origin<'_>) -> Option<HeaderValue> {
    match origin.claims {
        Claims::Dropped => {
            remove(headers, is_claim);
            None
        }
        Claims::Continued(_) | Claims::Inside => {
            HeaderValue::try_from(claimed_client(headers, origin.claims)?.to_string()).ok()
        }
    }
}

/// The client, as `X-Real-IP` will name it: whoever speaks with us, or whom it is believed to speak for.
pub(crate) fn client(headers: &HeaderMap, peer: IpAddr, claims: Claims<'_>) -> IpAddr {
    claimed_client(headers, claims).unwrap_or(peer).to_canonical()
}

/// Whom a peer is believed to speak for, where that is somebody else.
pub(crate) fn spoken_for(headers: &HeaderMap, peer: IpAddr, claims: Claims<'_>) -> Option<IpAddr> {
    let client = claimed_client(headers, claims)?.to_canonical();
    (client != peer.to_canonical()).then_some(client)
}

fn claimed_client(headers: &HeaderMap, claims: Claims<'_>) -> Option<IpAddr> {
    match claims {
        Claims::Dropped => None,
        Claims::Continued(proxies) => {
            let lists = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|list| list.to_str().ok());
            let hops: Vec<&str> = lists.flat_map(|list| list.split(',')).map(str::trim).collect();
            let said = hops.iter().rev().map_while(|hop| hop.parse::<IpAddr>().ok());
            let hops: Vec<IpAddr> = if hops.is_empty() { forwarded::hops(headers) } else { said.collect() };
            let ours = |address: &IpAddr| proxies.iter().any(|range| range.contains(*address));
            hops.into_iter().map(|address| address.to_canonical()).find(|address| !ours(address))
        }
        Claims::Inside => headers.get(X_REAL_IP)?.to_str().ok()?.parse().ok(),
    }
}

/// Says that an answer depends on a request header, unless it says so already.
pub(crate) fn vary(headers: &mut HeaderMap, on: &str) {
    let known = headers.get_all(header::VARY).iter().any(|value| has_token(value, on) || has_token(value, "*"));
    if !known && let Ok(on) = HeaderValue::from_str(on) {
        headers.append(header::VARY, on);
    }
}

/// The hops so far, and the peer.
fn chained(headers: &HeaderMap, origin: &Origin<'_>) -> HeaderValue {
    let hops = headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
    let chain: Vec<_> = hops.chain([origin.peer.as_bytes()]).collect();
    HeaderValue::from_bytes(&chain.join(&b", "[..])).unwrap_or_else(|_| origin.peer.clone())
}

/// Says in HTTP/1's way what HTTP/2 says in its own: the host, and cookies in one line (RFC 9113, 8.2.3 and 8.3.1).
pub(crate) fn from_http2(parts: &mut Parts) {
    if let (Some(authority), Entry::Vacant(host)) = (parts.uri.authority(), parts.headers.entry(header::HOST))
        && let Ok(authority) = HeaderValue::from_str(authority.as_str())
    {
        host.insert(authority);
    }
    if parts.headers.get_all(header::COOKIE).iter().nth(1).is_some() {
        let crumbs: Vec<_> = parts.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
            parts.headers.insert(header::COOKIE, cookie);
        }
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

    fn check_forwarded(claims: Claims<'_>, given: &[(&str, &str)], expected: &[(&str, &str)]) {
        let mut headers = map(given);
        let origin = Origin { peer: &HeaderValue::from_static("192.0.2.7"), claims, scheme: "http" };
        set_forwarded(&mut headers, &origin, Some(HeaderValue::from_static("app.example:8080")));
        assert_eq!(headers, map(expected), "{given:?}");
    }

    const KNOWN: [(&str, &str); 4] = [
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "app.example:8080"),
        ("x-real-ip", "192.0.2.7"),
    ];

    fn trusting(ranges: &[&str]) -> Vec<Cidr> {
        ranges.iter().map(|range| range.parse().unwrap()).collect()
    }

    #[test]
    fn claims_of_strangers_are_replaced_by_what_the_edge_knows() {
        for given in [
            &[][..],
            &[("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "10.0.0.2")],
            &[
                ("forwarded", "for=10.0.0.1;proto=https"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "evil"),
                ("x-forwarded-port", "1"),
                ("x-forwarded-prefix", "/admin"),
                ("x-real-ip", "10.0.0.1"),
            ],
            &[("x-forwarded", "for=10.0.0.1"), ("x_real_ip", "10.0.0.1"), ("x_forwarded-for", "10.0.0.1")],
        ] {
            check_forwarded(Claims::Dropped, given, &KNOWN);
        }
        check_forwarded(Claims::Continued(&trusting(&[])), &[], &KNOWN);
        check_forwarded(Claims::Inside, &[], &KNOWN);
    }

    #[test]
    fn what_passes_for_another_field_is_believed_of_nobody() {
        let disguised = [
            ("x_real_ip", "10.0.0.1"),
            ("x-real_ip", "10.0.0.1"),
            ("x_forwarded_for", "10.0.0.1"),
            ("x_forwarded_anything", "10.0.0.1"),
            ("x_request_id", "a"),
            ("content_length", "5"),
            ("transfer_encoding", "chunked"),
        ];
        for claims in [Claims::Dropped, Claims::Continued(&trusting(&["192.0.2.7"])), Claims::Inside] {
            check_forwarded(claims, &disguised, &KNOWN);
        }
        let mut expected = KNOWN.to_vec();
        expected.push(("api_key", "1"));
        check_forwarded(Claims::Dropped, &[("api_key", "1")], &expected);
    }

    #[test]
    fn claims_of_a_trusted_proxy_are_continued_and_the_client_is_whoever_no_proxy_of_ours_is() {
        let check = |ranges: &[&str], client: &str| {
            check_forwarded(
                Claims::Continued(&trusting(ranges)),
                &[
                    ("x-forwarded-for", "203.0.113.9, 198.51.100.1"),
                    ("x-forwarded-for", "10.0.0.2"),
                    ("x-forwarded-proto", "https"),
                    ("x-real-ip", "1.1.1.1"),
                    ("forwarded", "for=x"),
                ],
                &[
                    ("x-forwarded-for", "203.0.113.9, 198.51.100.1, 10.0.0.2, 192.0.2.7"),
                    ("x-forwarded-proto", "https"),
                    ("x-forwarded-host", "app.example:8080"),
                    ("x-real-ip", client),
                ],
            );
        };
        check(&["192.0.2.7"], "10.0.0.2");
        check(&["192.0.2.7", "10.0.0.0/8"], "198.51.100.1");
        check(&["0.0.0.0/0"], "192.0.2.7");
    }

    #[test]
    fn what_is_no_address_is_never_the_client() {
        for given in ["unknown", "203.0.113.9, evil", ""] {
            let mut headers = map(&[("x-forwarded-for", given)]);
            let proxies = trusting(&["192.0.2.7"]);
            let peer = HeaderValue::from_static("192.0.2.7");
            let origin = Origin { peer: &peer, claims: Claims::Continued(&proxies), scheme: "http" };
            set_forwarded(&mut headers, &origin, None);
            assert_eq!(headers[X_REAL_IP], "192.0.2.7", "{given}");
        }
    }

    #[test]
    fn a_service_of_ours_says_for_whom_it_calls() {
        check_forwarded(
            Claims::Inside,
            &[("x-real-ip", "203.0.113.9"), ("x-forwarded-for", "203.0.113.9")],
            &[
                ("x-forwarded-for", "203.0.113.9, 192.0.2.7"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "app.example:8080"),
                ("x-real-ip", "203.0.113.9"),
            ],
        );
        check_forwarded(Claims::Inside, &[("x-real-ip", "nobody")], &KNOWN);
    }

    #[test]
    fn a_length_is_said_once_and_in_digits() {
        for (said, expected) in [
            (&[][..], Some(None)),
            (&["0"], Some(Some(0))),
            (&["18446744073709551615"], Some(Some(u64::MAX))),
            (&["18446744073709551616"], None),
            (&[""], None),
            (&["+1"], None),
            (&["1, 1"], None),
            (&["1", "1"], None),
        ] {
            let lines: Vec<_> = said.iter().map(|length| ("content-length", *length)).collect();
            assert_eq!(said_length(&map(&lines)), expected, "{said:?}");
        }
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
