//! From a request's path to the name of a file, or to nothing.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The one folder with a dot that is public by definition (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// The relative name that a path asks for; `.` for the root itself. `None` for whatever no honest link contains:
/// segments that are empty, hidden or lead up, encoded slashes, NUL, broken encodings. The caller answers those like
/// any other name that does not exist, so that nothing can be learnt from the difference.
pub(crate) fn file_name(path: &str) -> Option<PathBuf> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut name = PathBuf::with_capacity(path.len() + 2);
    name.push(".");
    if path.is_empty() {
        return Some(name);
    }
    for segment in path.split('/') {
        let segment = decode(segment)?;
        let hidden = segment.starts_with(b".") && segment != WELL_KNOWN;
        if segment.is_empty() || hidden || segment.iter().any(|byte| matches!(byte, b'/' | b'\\' | 0)) {
            return None;
        }
        name.push(OsString::from_vec(segment));
    }
    Some(name)
}

/// Percent-decoding; `None` where a `%` is not followed by two hexadecimal digits.
fn decode(segment: &str) -> Option<Vec<u8>> {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            byte => byte,
        });
    }
    Some(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_paths_become_names() {
        for (path, expected) in [
            ("", "."),
            ("/", "."),
            ("/index.html", "./index.html"),
            ("/assets/", "./assets"),
            ("/assets/app.js", "./assets/app.js"),
            ("/a%20b.txt", "./a b.txt"),
            ("/%C3%A9.txt", "./é.txt"),
            ("/a..b/c...d", "./a..b/c...d"),
            ("/.well-known/security.txt", "./.well-known/security.txt"),
        ] {
            assert_eq!(file_name(path), Some(PathBuf::from(expected)), "{path}");
        }
    }

    #[test]
    fn paths_that_try_to_get_out_become_nothing() {
        for path in [
            "/..",
            "/../etc/passwd",
            "/a/../../b",
            "/./a",
            "/%2e%2e/etc/passwd",
            "/%2E%2e%2fetc",
            "/..%2f..%2fetc",
            "/a%2fb",
            "/a%5c..%5cb",
            "/..\\..\\etc",
            "/a%00.html",
            "//etc/passwd",
            "/a//b",
            "/.env",
            "/.git/config",
            "/a/.htaccess",
            "/%2eenv",
            "/.well-known/../.env",
            "/%",
            "/%4",
            "/%zz",
            "/%+1",
        ] {
            assert_eq!(file_name(path), None, "{path}");
        }
    }
}
