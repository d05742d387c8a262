//! What a client has, takes and may keep: validators, codings, types, caching.

use std::path::Path;
use std::time::{Duration, SystemTime};

use http::header::HeaderValue;
use rustix::fs::Stat;

use crate::compress::{self, Coding};
use crate::validators::{Validators, whole_seconds};

/// From time (in nanoseconds) and length; differs between a file and its compressed variants.
pub(super) fn validators(state: &Stat, coding: Option<Coding>) -> Validators {
    let modified = modified(state);
    let nanos =
        modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()).map_or(0, |since| since.as_nanos());
    let (length, suffix) = (state.st_size, coding.map_or("", suffix));
    let etag = format!("\"{nanos:x}-{length:x}{suffix}\"");
    Validators {
        etag: Some(HeaderValue::try_from(etag).expect("hexadecimal digits make a header value")),
        modified: modified.and_then(whole_seconds),
    }
}

/// When a file was written to last; `None`: no time that can be told.
fn modified(state: &Stat) -> Option<SystemTime> {
    let since = Duration::new(u64::try_from(state.st_mtime).ok()?, u32::try_from(state.st_mtime_nsec).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// The forms in which a file can lie beside itself, the smallest first.
pub(super) const FORMS: [Coding; 2] = [Coding::Brotli, Coding::Gzip];

/// What the name of a file in this form ends with.
pub(super) fn suffix(coding: Coding) -> &'static str {
    match coding {
        Coding::Zstd => ".zst",
        Coding::Brotli => ".br",
        Coding::Gzip => ".gz",
    }
}

/// The type by the name's extension, text with its charset.
pub(super) fn content_type(name: &Path) -> HeaderValue {
    let guess = match mime_guess::from_path(name).first_raw() {
        // The one name of it since RFC 9239.
        Some("application/javascript") => "text/javascript",
        Some(guess) => guess,
        None => "application/octet-stream",
    };
    if !is_text(guess) {
        return HeaderValue::from_static(guess);
    }
    HeaderValue::try_from(format!("{guess}; charset=utf-8")).unwrap_or_else(|_| HeaderValue::from_static(guess))
}

/// Whether a person opens it by its address, as far as its name tells: a name without an ending leads to a page, too.
pub(super) fn is_page(name: &Path) -> bool {
    name.extension().is_none() || mime_guess::from_path(name).first_raw() == Some("text/html")
}

/// Types that are compressed, when a site is built or on their way; their answers depend on `Accept-Encoding`.
pub(super) fn is_compressible(name: &Path) -> bool {
    mime_guess::from_path(name).first_raw().is_some_and(|guess| compress::fits(guess.as_bytes()))
}

fn is_text(guess: &str) -> bool {
    guess.starts_with("text/")
        || guess.ends_with("+json")
        || guess.ends_with("+xml")
        || matches!(
            guess,
            "application/json" | "application/javascript" | "application/xml" | "application/toml" | "application/yaml"
        )
}

/// A file whose name carries a hash of its content never changes under that name; any other is asked for again each
/// time, which its `ETag` makes cheap, and never shows last week's page.
pub(super) fn cache_control(name: &Path) -> HeaderValue {
    let fingerprinted = name.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| {
        stem.rsplit(['.', '-', '_']).next().is_some_and(|hash| {
            hash.len() < stem.len()
                && (8..=64).contains(&hash.len())
                && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
                && hash.bytes().any(|byte| byte.is_ascii_digit())
        })
    });
    HeaderValue::from_static(if fingerprinted { "public, max-age=31536000, immutable" } else { "no-cache" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_right_and_text_says_its_charset() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("app.css", "text/css; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("data.json", "application/json; charset=utf-8"),
            ("site.webmanifest", "application/manifest+json; charset=utf-8"),
            ("logo.svg", "image/svg+xml; charset=utf-8"),
            ("notes.txt", "text/plain; charset=utf-8"),
            ("logo.png", "image/png"),
            ("logo.avif", "image/avif"),
            ("font.woff2", "font/woff2"),
            ("module.wasm", "application/wasm"),
            ("README", "application/octet-stream"),
            ("x.unknown-type", "application/octet-stream"),
        ] {
            assert_eq!(content_type(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn only_fingerprinted_names_are_kept_for_long() {
        for (name, kept) in [
            ("app.3f2a9c1b.js", true),
            ("app-3F2A9C1B77.css", true),
            ("index.html", false),
            ("app.js", false),
            ("release-facade.js", false),
            ("3f2a9c1b.js", false),
            ("app.3f2a.js", false),
        ] {
            let value = cache_control(Path::new(name));
            assert_eq!(value.to_str().unwrap().contains("immutable"), kept, "{name}");
        }
    }
}
