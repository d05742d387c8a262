//! Who asks: what proxies say of it, and whom they say it of.

use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap, HeaderValue};

use super::fields_of;
use crate::cidr::Cidr;
use crate::headers::{self, Claims, Origin};
use crate::proxy_protocol::{self, MAX_BYTES, Progress, Source};

/// A PROXY header, and what follows.
pub fn proxy_protocol(data: &[u8]) {
    let read = proxy_protocol::parse(data);
    for end in (0..data.len()).take(MAX_BYTES + 1) {
        match proxy_protocol::parse(&data[..end]) {
            Ok(Progress::Part) => assert!(end < MAX_BYTES, "it could go on for ever"),
            decided => assert_eq!(decided, read, "later bytes changed what was decided"),
        }
    }
    let Ok(Progress::Whole { bytes, source }) = read else { return };
    assert!(bytes <= data.len().min(MAX_BYTES), "more than there is, or may be");
    assert_eq!(proxy_protocol::parse(&data[..bytes]), read, "what follows is nobody's business");
    assert_eq!(proxy_protocol::parse(&data[..bytes - 1]), Ok(Progress::Part), "it was whole before its end");
    if let Source::Client(client) = source {
        let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
        let (address, port) = (client.ip(), client.port());
        let again = format!("PROXY {family} {address} {address} {port} 443\r\n");
        let expected = Progress::Whole { bytes: again.len(), source: Source::Client(SocketAddr::new(address, port)) };
        assert_eq!(proxy_protocol::parse(again.as_bytes()), Ok(expected), "what is written is read back");
    }
}

/// Ranges of proxies that a byte chooses from.
const PROXIES: [&[&str]; 4] = [&[], &["192.0.2.7"], &["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"], &["0.0.0.0/0"]];

/// The fields of a request, behind a byte that says which proxies are ours.
pub fn forwarded(data: &[u8]) {
    let Some((&seed, bytes)) = data.split_first() else { return };
    let given = fields_of(bytes);
    let proxies: Vec<Cidr> =
        PROXIES[usize::from(seed) % PROXIES.len()].iter().filter_map(|range| range.parse().ok()).collect();
    let peer = IpAddr::from([192, 0, 2, 7]);
    for claims in [Claims::Dropped, Claims::Continued(&proxies), Claims::Inside] {
        let client = headers::client(&given, peer, claims);
        let passed = passed(&given, peer, claims);
        let one = |name: &str| {
            let mut all = passed.get_all(name).iter();
            let first = all.next().and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
            first.filter(|_| all.next().is_none())
        };
        let real = one("x-real-ip").and_then(|text| text.parse::<IpAddr>().ok());
        assert_eq!(real.map(|real| real.to_canonical()), Some(client), "limits count another one than services see");
        let mut chain = passed.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
        let last = chain.next().and_then(|chain| chain.split(|byte| *byte == b',').next_back());
        assert_eq!(last.map(<[u8]>::trim_ascii), Some(&b"192.0.2.7"[..]), "the peer is left out");
        assert!(chain.next().is_none() && !passed.contains_key(header::FORWARDED), "said in two ways");
        assert!(!passed.contains_key(header::CONNECTION) && !passed.contains_key(header::TRANSFER_ENCODING));
        let disguised = |name: &str| {
            name.contains('_') && {
                let meant = name.replace('_', "-");
                meant == "x-real-ip" || meant.starts_with("x-forwarded")
            }
        };
        assert!(!passed.keys().any(|name| disguised(name.as_str())), "passes for another field");
        match claims {
            Claims::Dropped => {
                assert_eq!(client, peer, "a stranger chose its address");
                assert_eq!(one("x-forwarded-for").as_deref(), Some("192.0.2.7"));
                assert_eq!(one("x-forwarded-proto").as_deref(), Some("http"));
                assert_eq!(one("x-forwarded-host").as_deref(), Some("a"));
                let claims = passed.keys().filter(|name| name.as_str().starts_with("x-forwarded-")).count();
                assert_eq!(claims, 3, "a stranger's claim passed");
            }
            Claims::Continued(proxies) if client != peer => {
                assert!(!proxies.iter().any(|range| range.contains(client)), "a proxy of ours passes for the client");
            }
            Claims::Continued(_) | Claims::Inside => {}
        }
    }
}

/// What an instance is sent of these fields.
fn passed(given: &HeaderMap, peer: IpAddr, claims: Claims<'_>) -> HeaderMap {
    let mut passed = given.clone();
    headers::strip_hop_by_hop(&mut passed);
    let peer = HeaderValue::try_from(peer.to_string()).expect("an address has no control characters");
    let origin = Origin { peer: &peer, claims, scheme: "http" };
    headers::set_forwarded(&mut passed, &origin, Some(HeaderValue::from_static("a")));
    passed
}

/// A range, behind the sixteen bytes of an address.
pub fn cidr(data: &[u8]) {
    let Some((&octets, text)) = data.split_first_chunk::<16>() else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    let Ok(range) = text.parse::<Cidr>() else { return };
    let (base, length) = text.split_once('/').map_or((text, None), |(base, length)| (base, Some(length)));
    let base: IpAddr = base.parse().expect("what is a range begins with an address");
    let width = if base.is_ipv4() { 32 } else { 128 };
    let length: u32 = length.map_or(width, |length| length.parse().expect("what is a range ends with a length"));
    assert!(length <= width);
    let [a, b, c, d, ..] = octets;
    for other in [base, IpAddr::from([a, b, c, d]), IpAddr::from(octets)] {
        let other = other.to_canonical();
        let same =
            other.is_ipv4() == base.is_ipv4() && (length == 0 || (bits(other) ^ bits(base)) >> (width - length) == 0);
        assert_eq!(range.contains(other), same, "{text} {other}");
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}
