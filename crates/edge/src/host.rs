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
}

/// Whether a path has segments that mean "here" or "up", plain or percent-encoded. Such a path is read differently by
/// different programs, so it is refused before it could choose a route.
pub(crate) fn has_dot_segments(path: &str) -> bool {
    // Nearly every path has no dot right behind a slash: one cheap look settles those.
    if !path.contains("/.") && !path.contains("/%2") {
        return false;
    }
    path.split('/').any(|segment| {
        let mut rest = segment;
        let mut dots = 0;
        loop {
            if let Some(after) = rest.strip_prefix('.') {
                rest = after;
            } else if rest.len() >= 3 && rest.is_char_boundary(3) && rest[..3].eq_ignore_ascii_case("%2e") {
                rest = &rest[3..];
            } else {
                break;
            }
            dots += 1;
        }
        rest.is_empty() && (dots == 1 || dots == 2)
    })
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
    fn dot_segments_are_found_however_written() {
        for path in ["/..", "/../", "/a/..", "/a/../b", "/.", "/./a", "/%2e%2e/a", "/.%2E/a", "/%2E", "/a/%2e./"] {
            assert!(has_dot_segments(path), "{path}");
        }
        for path in ["/", "/a.b", "/.well-known/x", "/...", "/a..b/", "/a%2eb", "/%2eenv", "/..a", "/%2f..%2f", "/é/.é"]
        {
            assert!(!has_dot_segments(path), "{path}");
        }
    }
}
