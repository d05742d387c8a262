//! A request's head, as bytes.

use http::header::{self, HeaderMap};
use http::request::Parts;
use http::{Method, Uri};

/// How the end of a request's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// There is no body.
    None,
    Exactly(u64),
    Chunked,
}

/// Longest decimal of a length.
const MAX_DIGITS: usize = 20;

const CHUNKED: &[u8] = b"transfer-encoding: chunked\r\n";
const VERSION: &[u8] = b" HTTP/1.1\r\n";

/// The head of a request whose headers are made for the next hop already. The length is told here and nowhere else: what the
/// headers say of it is left out.
pub(crate) fn head(parts: &Parts, length: Length) -> Vec<u8> {
    let target = target(&parts.uri);
    let mut out = Vec::with_capacity(size(parts, target));
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(VERSION);
    fields(&mut out, &parts.headers);
    match length {
        Length::Exactly(length) => content_length(&mut out, length),
        Length::Chunked => out.extend_from_slice(CHUNKED),
        // Methods that are about a body say so when there is none (RFC 9110, 8.6).
        Length::None if [Method::POST, Method::PUT, Method::PATCH].contains(&parts.method) => {
            content_length(&mut out, 0);
        }
        Length::None => {}
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// The end of a chunked body.
pub(crate) fn trailers(trailers: &HeaderMap) -> Vec<u8> {
    let mut out = b"0\r\n".to_vec();
    fields(&mut out, trailers);
    out.extend_from_slice(b"\r\n");
    out
}

fn fields(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        if name == header::CONTENT_LENGTH || name == header::TRANSFER_ENCODING {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(length.to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn target(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |target| if target.as_str().is_empty() { "/" } else { target.as_str() })
}

/// No less than it takes.
fn size(parts: &Parts, target: &str) -> usize {
    let line = parts.method.as_str().len() + 1 + target.len() + VERSION.len();
    let fields: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    line + fields + CHUNKED.len().max("content-length: ".len() + MAX_DIGITS + 2) + 2
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn written(request: Request<()>, length: Length) -> String {
        let (parts, ()) = request.into_parts();
        let head = head(&parts, length);
        assert!(head.len() <= size(&parts, target(&parts.uri)));
        String::from_utf8(head).expect("text")
    }

    #[test]
    fn a_head_says_its_length_once() {
        let asked = |method: &str| {
            let request =
                Request::builder().method(method).uri("/a?b=c").header("host", "x").header("content-length", "7");
            request.header("transfer-encoding", "gzip").body(()).expect("valid")
        };
        let head = |method: &str, framing: &str| format!("{method} /a?b=c HTTP/1.1\r\nhost: x\r\n{framing}\r\n");
        assert_eq!(written(asked("GET"), Length::None), head("GET", ""));
        assert_eq!(written(asked("POST"), Length::None), head("POST", "content-length: 0\r\n"));
        assert_eq!(
            written(asked("POST"), Length::Exactly(u64::MAX)),
            head("POST", "content-length: 18446744073709551615\r\n")
        );
        assert_eq!(written(asked("PUT"), Length::Chunked), head("PUT", "transfer-encoding: chunked\r\n"));
    }

    #[test]
    fn targets_are_written_as_the_next_hop_wants_them() {
        for (uri, expected) in [("*", "*"), ("/", "/"), ("http://a.b", "/"), ("/x%20y?", "/x%20y?")] {
            let request = Request::builder().method("OPTIONS").uri(uri).body(()).expect("valid");
            assert_eq!(written(request, Length::None), format!("OPTIONS {expected} HTTP/1.1\r\n\r\n"), "{uri}");
        }
    }

    #[test]
    fn trailers_end_a_chunked_body() {
        let mut map = HeaderMap::new();
        map.insert("grpc-status", "0".parse().expect("valid"));
        map.insert("content-length", "0".parse().expect("valid"));
        assert_eq!(trailers(&map), b"0\r\ngrpc-status: 0\r\n\r\n");
    }
}
