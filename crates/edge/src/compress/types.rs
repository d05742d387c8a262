//! Which content is worth compressing, by its type.

/// Longest type that is looked at; a longer one is nobody's honest type.
const MAX_BYTES: usize = 128;

/// Whether content of this type (a whole `Content-Type`, parameters included) gets notably smaller. Pictures, sound,
/// video and archives are compressed already. An event stream is never touched: proxies and libraries on its way are
/// known to hold back what they cannot read. gRPC compresses its messages itself, and its frames must stay as they are.
pub(crate) fn fits(content_type: &[u8]) -> bool {
    let end = content_type.iter().position(|byte| *byte == b';').unwrap_or(content_type.len());
    let kind = content_type[..end].trim_ascii();
    let mut lower = [0; MAX_BYTES];
    let Some(lower) = lower.get_mut(..kind.len()) else { return false };
    lower.copy_from_slice(kind);
    lower.make_ascii_lowercase();
    let kind = &*lower;
    if kind == b"text/event-stream" || kind.starts_with(b"application/grpc") {
        return false;
    }
    kind.starts_with(b"text/") || kind.ends_with(b"+json") || kind.ends_with(b"+xml") || is_listed(kind)
}

fn is_listed(kind: &[u8]) -> bool {
    let Some(subtype) = kind.strip_prefix(b"application/") else {
        return matches!(
            kind,
            b"font/ttf" | b"font/otf" | b"image/x-icon" | b"image/vnd.microsoft.icon" | b"image/bmp"
        );
    };
    matches!(
        subtype,
        b"json"
            | b"jsonl"
            | b"ndjson"
            | b"x-ndjson"
            | b"json-seq"
            | b"javascript"
            | b"x-javascript"
            | b"ecmascript"
            | b"xml"
            | b"wasm"
            | b"yaml"
            | b"x-yaml"
            | b"toml"
            | b"sql"
            | b"graphql"
            | b"rtf"
            | b"x-sh"
            | b"x-font-ttf"
            | b"x-font-otf"
            | b"vnd.ms-fontobject"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_all_its_forms_fits_and_what_is_compressed_or_framed_does_not() {
        for (kind, expected) in [
            ("text/html; charset=utf-8", true),
            ("TEXT/CSS", true),
            ("text/event-stream", false),
            ("text/event-stream; charset=utf-8", false),
            ("application/json", true),
            ("application/problem+json", true),
            ("application/x-ndjson", true),
            ("text/javascript", true),
            ("image/svg+xml", true),
            ("application/wasm", true),
            ("font/ttf", true),
            ("font/otf", true),
            ("font/woff2", false),
            ("image/png", false),
            ("video/mp4", false),
            ("application/zip", false),
            ("application/octet-stream", false),
            ("application/grpc", false),
            ("application/grpc+json", false),
            ("application/grpc-web-text", false),
            ("", false),
        ] {
            assert_eq!(fits(kind.as_bytes()), expected, "{kind}");
        }
        assert!(!fits(&[b'a'; 1_000]));
    }
}
