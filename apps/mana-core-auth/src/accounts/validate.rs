//! What is accepted as an e-mail address and a name. Pure.

/// Longest e-mail address (RFC 5321).
const MAX_EMAIL_BYTES: usize = 254;

/// Longest part before the `@` (RFC 5321).
const MAX_LOCAL_BYTES: usize = 64;

/// Longest name, in characters.
const MAX_NAME_CHARS: usize = 100;

/// The address as it is stored and compared: trimmed, in lower case. `Err` says what is wrong.
pub(crate) fn email(text: &str) -> Result<String, String> {
    let address = text.trim().to_lowercase();
    let wrong = || "must be an e-mail address, such as name@example.com".to_owned();
    if address.len() > MAX_EMAIL_BYTES {
        return Err(format!("must have at most {MAX_EMAIL_BYTES} bytes"));
    }
    let (local, domain) = address.split_once('@').ok_or_else(wrong)?;
    let plain = |part: &str| {
        !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control() || "@<>()[],;:\\\"".contains(c))
    };
    let label =
        |label: &str| !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-');
    let good = plain(local)
        && plain(domain)
        && local.len() <= MAX_LOCAL_BYTES
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && domain.split('.').all(label);
    if good { Ok(address) } else { Err(wrong()) }
}

/// The name, trimmed. `Err` says what is wrong.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if name.chars().count() > MAX_NAME_CHARS {
        return Err(format!("must have at most {MAX_NAME_CHARS} characters"));
    }
    if name.chars().any(char::is_control) {
        return Err("must not hold control characters".to_owned());
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn addresses_are_normalised_or_refused() {
        for (text, expected) in [
            (" Ada@Example.COM ", Some("ada@example.com")),
            ("a.b+c@x-y.example", Some("a.b+c@x-y.example")),
            ("ö@example.com", Some("ö@example.com")),
            ("", None),
            ("ada", None),
            ("@example.com", None),
            ("ada@", None),
            ("a@b@c.com", None),
            ("a b@example.com", None),
            (".a@example.com", None),
            ("a..b@example.com", None),
            ("a@-x.com", None),
            ("a@x..com", None),
            ("a\r\nBcc: x@example.com", None),
        ] {
            assert_eq!(super::email(text).ok().as_deref(), expected, "{text}");
        }
        assert!(super::email(&format!("{}@example.com", "x".repeat(65))).is_err());
    }

    #[test]
    fn names_are_trimmed_or_refused() {
        assert_eq!(super::name(" Ada ").as_deref(), Ok("Ada"));
        for name in ["", "  ", "a\0b", &"x".repeat(101)] {
            assert!(super::name(name).is_err(), "{name}");
        }
    }
}
