//! `Forwarded` (RFC 7239): the hops a trusted proxy names, where it does not speak `X-Forwarded-For`.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header;

/// The addresses of `for=`, the nearest hop first, up to the first that is none: what stands behind a hop that hides
/// itself is not to be believed. Nothing, where any of it is malformed.
pub(crate) fn hops(headers: &HeaderMap) -> Vec<IpAddr> {
    let mut hops = Vec::new();
    for value in headers.get_all(header::FORWARDED) {
        let Some(elements) = value.to_str().ok().and_then(elements) else { return Vec::new() };
        hops.extend(elements);
    }
    let addresses = hops.into_iter().rev().map_while(|hop| match hop {
        Hop::At(address) => Some(address),
        Hop::Hidden => None,
    });
    addresses.collect()
}

/// One entry for each element; nothing, where any is malformed.
fn elements(value: &str) -> Option<Vec<Hop>> {
    split(value, ',')?.into_iter().map(element).collect()
}

/// What an element says of its hop.
#[derive(Clone, Copy)]
enum Hop {
    At(IpAddr),
    Hidden,
}

/// `for=192.0.2.1;proto=https`.
fn element(element: &str) -> Option<Hop> {
    let mut hop = None;
    for pair in split(element, ';')? {
        let (name, value) = pair.trim().split_once('=')?;
        if name.eq_ignore_ascii_case("for") {
            if hop.is_some() {
                return None;
            }
            let value = match value.strip_prefix('"') {
                Some(quoted) => quoted.strip_suffix('"')?,
                None => value,
            };
            hop = Some(node(value).map_or(Hop::Hidden, Hop::At));
        }
    }
    Some(hop.unwrap_or(Hop::Hidden))
}

/// `192.0.2.1`, `192.0.2.1:47011`, `[2001:db8::1]`, `[2001:db8::1]:47011`. Not: `unknown`, `_hidden`.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let bare = bare.map(|inner| inner.parse().ok().filter(IpAddr::is_ipv6));
    bare.unwrap_or_else(|| {
        let plain = text.parse::<IpAddr>().ok().filter(IpAddr::is_ipv4);
        plain.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
    })
}

/// Splits outside of quotes; `None` where a quote is never closed.
fn split(text: &str, at: char) -> Option<Vec<&str>> {
    let (mut parts, mut begin, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (place, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            letter if letter == at && !quoted => {
                parts.push(&text[begin..place]);
                begin = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    (!quoted).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], expected: &[&str]) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::FORWARDED, value.parse().unwrap());
        }
        let found: Vec<_> = hops(&headers).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{values:?}");
    }

    #[test]
    fn hops_are_read_from_the_nearest_one_backwards() {
        check(&["for=192.0.2.1"], &["192.0.2.1"]);
        check(&["For=192.0.2.1;proto=https, for=198.51.100.2;by=203.0.113.1"], &["198.51.100.2", "192.0.2.1"]);
        check(&["for=192.0.2.1", "for=\"[2001:db8::1]:4711\""], &["2001:db8::1", "192.0.2.1"]);
        check(&["for=\"192.0.2.1:80\";host=\"a,b;c\""], &["192.0.2.1"]);
    }

    #[test]
    fn what_is_behind_a_hidden_hop_is_not_believed() {
        check(&["for=192.0.2.1, for=unknown"], &[]);
        check(&["for=192.0.2.1, for=_hidden, for=198.51.100.2"], &["198.51.100.2"]);
        check(&["for=192.0.2.1, proto=https"], &[]);
        check(&["for=2001:db8::1"], &[]);
    }

    #[test]
    fn what_is_malformed_says_nothing() {
        for value in ["for=\"192.0.2.1", "for", "for=192.0.2.1;for=192.0.2.2", "for=192.0.2.1;;"] {
            check(&[value], &[]);
            check(&["for=192.0.2.9", value], &[]);
        }
    }
}
