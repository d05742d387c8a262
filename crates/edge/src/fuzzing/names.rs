//! What is asked for: hosts and paths.

use std::path::Component;

use crate::host;
use crate::static_site::path::file_name;

/// A `Host` header or an authority.
pub fn host(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Some(host) = host::normal(text) else { return };
    assert_eq!(host::normal(&host).as_deref(), Some(&*host), "the normal form has another one");
    assert_eq!(host::normal(&format!("{host}:443")).as_deref(), Some(&*host), "a port makes a difference");
    assert_eq!(host::normal(&host.to_ascii_uppercase()).as_deref(), Some(&*host), "case makes a difference");
    assert!(host.len() <= 253 && !host.bytes().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_control()));
    assert!(!host.contains(['/', '\\', '@', '#', '?', ' ', ',', '%']), "whatever ends a host elsewhere");
}

/// A path.
pub fn path(data: &[u8]) {
    let Ok(path) = str::from_utf8(data) else { return };
    if let Some(name) = file_name(path) {
        let mut components = name.components();
        assert_eq!(components.next(), Some(Component::CurDir), "a name that leads elsewhere");
        for component in components {
            let Component::Normal(name) = component else { panic!("leads up or to the root: {component:?}") };
            let name = name.as_encoded_bytes();
            assert!(!name.starts_with(b".") || name == b".well-known", "hidden");
        }
    }
    // What is no path, and raw control characters, are refused before.
    if !path.starts_with('/') || path.bytes().any(|byte| byte.is_ascii_control()) || host::has_two_readings(path) {
        return;
    }
    // However often and however much of it somebody decodes, it has the same segments, and none of them leads up.
    let plain = host::plain(path);
    let decoded = decode(path).expect("encodings are whole");
    assert_eq!(host::plain(&plain), plain, "decoded twice");
    assert_eq!(decode(&plain).as_ref(), Some(&decoded), "routes are chosen by another path");
    assert!(!host::has_two_readings(&plain), "the form that routes are compared in has two readings");
    let segments = |text: &[u8]| text.split(|byte| *byte == b'/').count();
    assert_eq!(segments(&decoded), segments(path.as_bytes()), "an encoded separator");
    assert!(!decoded.iter().any(|byte| matches!(byte, b'\\' | 0)), "a separator of others, or an end");
    for segment in decoded.split(|byte| *byte == b'/') {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        assert!(name != b"." && name != b"..", "leads up");
    }
}

fn decode(path: &str) -> Option<Vec<u8>> {
    let mut parts = path.as_bytes().split(|byte| *byte == b'%');
    let mut decoded = parts.next()?.to_vec();
    for part in parts {
        let digits = str::from_utf8(part.get(..2)?).ok().filter(|digits| !digits.starts_with('+'))?;
        decoded.push(u8::from_str_radix(digits, 16).ok()?);
        decoded.extend_from_slice(&part[2..]);
    }
    Some(decoded)
}
