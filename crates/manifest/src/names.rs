//! What things may be called.

/// Longest label of a host name (RFC 1035).
const MAX_LABEL_BYTES: usize = 63;

/// Longest host name (RFC 1035).
const MAX_HOST_BYTES: usize = 253;

/// Longest name of a service, so that `staging-api-NAME` is a label still.
const MAX_NAME_BYTES: usize = 40;

/// What a name of a service or project looks like, for messages.
pub(crate) const NAME: &str = "1 to 40 of a-z, 0-9 and -, beginning with a letter and not ending with -";

/// What a rule looks like, for messages.
pub(crate) const RULE: &str = "1 to 40 of a-z, 0-9 and -, beginning with a letter and not ending with -, or a built-in rule's name, such as LatencyHigh";

/// What a variable looks like, for messages.
pub(crate) const VARIABLE: &str = "A-Z, 0-9 and _, not beginning with a digit";

/// What a database's name looks like, for messages.
pub(crate) const DATABASE: &str = "1 to 40 of a-z, 0-9 and _, beginning with a letter";

/// What an id of a finding looks like, for messages.
pub(crate) const FINDING: &str = "the id that `mana scan` shows, such as RUSTSEC-2024-0001";

/// What a path inside of the manifest's folder looks like, for messages.
pub(crate) const INSIDE: &str = "a path below the manifest's folder, such as \"target/release/app\", without `..`";

/// Longest id of a finding: a kind and a path.
const MAX_FINDING_BYTES: usize = 4096;

/// Whether a finding may be called so.
pub(crate) fn is_finding(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_FINDING_BYTES && !text.contains(char::is_whitespace)
}

/// Whether a path leads to something inside of the folder it starts from, whatever that folder is.
pub(crate) fn is_inside(text: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && part != ".git";
    text.strip_suffix('/').unwrap_or(text).split('/').all(plain)
}

/// Whether a service or project may be called so.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES && text.starts_with(|first: char| first.is_ascii_lowercase()) && is_label(text)
}

/// Whether a rule may be called so: as one's own, or like those that are built in.
pub(crate) fn is_rule(text: &str) -> bool {
    let built_in = text.len() <= MAX_NAME_BYTES
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name(text) || built_in
}

/// Whether an environment variable or secret may be called so.
pub(crate) fn is_variable(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    !text.is_empty() && text.bytes().all(allowed) && !text.starts_with(|first: char| first.is_ascii_digit())
}

/// Whether a database may be called so.
pub(crate) fn is_database(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() <= MAX_NAME_BYTES
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(allowed)
}

/// Whether it is a host name, in lower case, without a port.
pub(crate) fn is_host(text: &str) -> bool {
    text.len() <= MAX_HOST_BYTES && text.split('.').all(is_label)
}

/// The variable that carries a service's address: `chat-backend` → `CHAT_BACKEND`.
pub(crate) fn variable_of(service: &str) -> String {
    service.to_uppercase().replace('-', "_")
}

fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && text.len() <= MAX_LABEL_BYTES
        && text.bytes().all(allowed)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// What a header field's name looks like.
pub(crate) const HEADER: &str = "small letters, digits and hyphens, such as \"content-type\"";

pub(crate) fn is_header(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(good)
}

/// Whether what is sent to this URL is read by nobody on the way: over TLS, or without leaving the machine.
pub fn keeps_secrets(url: &str) -> bool {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    // A name before an @ is no host, though it looks like one.
    if authority.is_empty() || authority.contains('@') {
        return false;
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let here = ["127.0.0.1", "localhost", "[::1]"].contains(&host) || host.ends_with(".localhost");
    scheme == "https" || (scheme == "http" && here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_tls_or_stays_on_the_machine() {
        for good in [
            "https://ops.example.com",
            "https://ops.example.com:8443/x",
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://[::1]:80/",
            "http://[::1]",
            "http://ops.localhost:8080",
        ] {
            assert!(keeps_secrets(good), "{good}");
        }
        for bad in [
            "http://ops.example.com",
            "http://localhost:80@evil.example",
            "https://a@b",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://evil.example\\localhost",
            "ftp://localhost",
            "https://",
            "localhost:80",
            "",
        ] {
            assert!(!keeps_secrets(bad), "{bad}");
        }
    }

    #[test]
    fn paths_stay_inside() {
        for (path, good) in [
            ("target/release/app", true),
            ("site/", true),
            ("a b/c", true),
            ("", false),
            (".", false),
            ("/etc", false),
            ("a/../..", false),
            ("./a", false),
            ("a//b", false),
            (".git/config", false),
        ] {
            assert_eq!(is_inside(path), good, "{path}");
        }
    }

    #[test]
    fn names_hosts_and_variables() {
        for (name, good) in [
            ("chat-backend", true),
            ("a", true),
            ("", false),
            ("1a", false),
            ("a-", false),
            ("A", false),
            ("a_b", false),
            ("é", false),
        ] {
            assert_eq!(is_name(name), good, "{name}");
        }
        for (rule, good) in
            [("queue-long", true), ("LatencyHigh", true), ("latencyHigh", false), ("Latency High", false), ("", false)]
        {
            assert_eq!(is_rule(rule), good, "{rule}");
        }
        for (host, good) in [
            ("a.b.example", true),
            ("localhost", true),
            ("a..b", false),
            ("-a.b", false),
            ("a.b.", false),
            ("*.b", false),
        ] {
            assert_eq!(is_host(host), good, "{host}");
        }
        assert!(!is_host(&format!("{}.example", "a".repeat(64))));
        for (variable, good) in [("A_1", true), ("_A", true), ("1A", false), ("a", false), ("", false), ("A-B", false)]
        {
            assert_eq!(is_variable(variable), good, "{variable}");
        }
    }
}
