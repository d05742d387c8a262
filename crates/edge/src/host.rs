//! Names and paths of requests in the one form that routes are compared in.

use std::borrow::Cow;

/// Longest host name (RFC 1035).
const MAX_HOST_BYTES: usize = 253;

/// What a `Host` header or an authority means: without port, in lower case, without the root's trailing dot.
/// `None` when it is no host, so that nothing unusual ever takes part in routing.
pub(crate) fn normal(authority: &str) -> Option<Cow<'_, str>> {
    let host = without_port(authority)?;
    let host = host.strip_suffix('.').unwrap_or(host);
    if !is_host(host) {
        return None;
    }
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Some(Cow::Owned(host.to_ascii_lowercase()))
    } else {
        Some(Cow::Borrowed(host))
    }
}

fn without_port(authority: &str) -> Option<&str> {
    let (host, port) = if authority.starts_with('[') {
        let end = authority.find(']')? + 1;
        (&authority[..end], &authority[end..])
    } else {
        match authority.find(':') {
            Some(colon) => authority.split_at(colon),
            None => (authority, ""),
        }
    };
    let port_is_sane = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()),
    };
    port_is_sane.then_some(host)
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty()
        && host.len() <= MAX_HOST_BYTES
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        && !host.split('.').any(str::is_empty)
}

/// Whether different programs would read a path differently: `.` and `..` segments, backslashes, encoded separators and
/// NUL, and what is no encoding at all. Such a path is refused before it could choose a route.
pub(crate) fn has_two_readings(path: &str) -> bool {
    // Nearly every path has none of these: one look settles those.
    if !path.contains("/.") && !path.bytes().any(|byte| matches!(byte, b'%' | b'\\')) {
        return false;
    }
    path.split('/').any(|segment| decoded(segment.as_bytes()).is_none_or(|segment| is_dots(&segment)))
}

/// Whether a segment means "here" or "up"; for those who cut off parameters (`..;x`), too.
fn is_dots(segment: &[u8]) -> bool {
    matches!(segment.split(|byte| *byte == b';').next(), Some(b"." | b".."))
}

/// A segment as it is meant; `None` where it has a second reading.
fn decoded(segment: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !segment.iter().any(|byte| matches!(byte, b'%' | b'\\')) {
        return Some(Cow::Borrowed(segment));
    }
    let mut decoded = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let (digits, after) = rest.split_first_chunk()?;
                rest = after;
                let byte = encoded(*digits)?;
                if matches!(byte, b'/' | b'\\' | 0) {
                    return None;
                }
                decoded.push(byte);
            }
            b'\\' => return None,
            byte => decoded.push(*byte),
        }
    }
    Some(Cow::Owned(decoded))
}

/// A path with all letters, digits, `-`, `.`, `_` and `~` as themselves, encoded or not (RFC 3986, 6.2.2.2): routes are compared
/// in this form, since services do, and nobody may get around a route's policies by writing `/%61dmin`.
pub(crate) fn plain(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut plain = String::with_capacity(path.len());
    let mut parts = path.split('%');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let unreserved = part
            .as_bytes()
            .first_chunk()
            .and_then(|digits| encoded(*digits))
            .filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'));
        if let Some(byte) = unreserved {
            plain.push(char::from(byte));
            plain.push_str(&part[2..]);
        } else {
            plain.push('%');
            plain.push_str(part);
        }
    }
    Cow::Owned(plain)
}

/// The byte that two hexadecimal digits mean.
fn encoded(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? << 4 | low?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_in_one_form() {
        for (given, expected) in [
            ("app-chat.localhost:8080", Some("app-chat.localhost")),
            ("APP-Chat.LocalHost", Some("app-chat.localhost")),
            ("chat.example.", Some("chat.example")),
            ("chat.example.:443", Some("chat.example")),
            ("127.0.0.1:3001", Some("127.0.0.1")),
            ("[::1]:8080", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("a_b.example", Some("a_b.example")),
            ("chat.example:", Some("chat.example")),
            ("", None),
            (":80", None),
            (".", None),
            ("chat.example..", None),
            (".chat.example", None),
            ("chat..example", None),
            ("chat.example:80x", None),
            ("chat.example:123456", None),
            ("user@chat.example", None),
            ("chat.example/x", None),
            ("chat example", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[chat]", None),
            ("chät.example", None),
        ] {
            assert_eq!(normal(given).as_deref(), expected, "{given}");
        }
        assert_eq!(normal(&"a".repeat(254)), None);
    }

    #[test]
    fn paths_with_two_readings_are_found_however_written() {
        for path in [
            "/..",
            "/../",
            "/a/..",
            "/a/../b",
            "/.",
            "/./a",
            "/%2e%2e/a",
            "/.%2E/a",
            "/%2E",
            "/a/%2e./",
            "/..;/a",
            "/a/..;x=1/b",
            "/%2e%2e%3b/a",
            "/.;",
            "/%2f..%2f",
            "/a%2Fb",
            "/a%5cb",
            "/a%5Cb",
            "/a\\b",
            "/..\\a",
            "/a%00",
            "/a%00.txt",
            "/%",
            "/100%",
            "/%4",
            "/%zz",
            "/%u002e",
            "/%+1",
            "/a%2",
            "/é%",
            "/%é",
        ] {
            assert!(has_two_readings(path), "{path}");
        }
        for path in [
            "/",
            "*",
            "/a.b",
            "/.well-known/x",
            "/...",
            "/a..b/",
            "/a%2eb",
            "/%2eenv",
            "/..a",
            "/é/.é",
            "/a;b=..",
            "/a;..",
            "/;..",
            "/a//b",
            "/%C3%A9",
            "/a%20b",
            "/a%252fb",
            "/%25",
            "/a:b@c",
            "/...;x",
        ] {
            assert!(!has_two_readings(path), "{path}");
        }
    }

    #[test]
    fn encoded_letters_are_the_letters_themselves() {
        for (path, expected) in [
            ("/admin", "/admin"),
            ("/%61dmin/%7Ex", "/admin/~x"),
            ("/%41%2d%5F%2E", "/A-_."),
            ("/a%20b%25", "/a%20b%25"),
            ("/%2561", "/%2561"),
            ("/%C3%A9%61", "/%C3%A9a"),
            ("/é%61é", "/éaé"),
            ("/%6", "/%6"),
        ] {
            assert_eq!(plain(path), expected, "{path}");
        }
    }
}
