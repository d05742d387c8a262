//! The head of a client's request.
//!
//! Request smuggling lives on two programs reading one message differently. What HTTP permits to be read in more than one way
//! (both lengths, repeated lengths, folded lines, bare line feeds) is refused here: a proxy before this edge may have read it the
//! other way. Pure: bytes in, verdict out. A new rule gets a row in the tests here and in `tests/edge/framing.rs`.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header;
use http::request::Parts;
use http::{Method, Request, Uri, Version};

use super::fields::{self, Length};
use crate::headers::has_token;

/// Header fields for which there is room without asking for memory.
const FIELDS: usize = 100;

/// A request's head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) parts: Parts,
    /// `ToClose`: there is no body.
    pub(crate) length: Length,
    /// The client would go on with this connection.
    pub(crate) keep: bool,
    /// It waits to be told to send the body.
    pub(crate) expects: bool,
    /// How many bytes it took.
    pub(crate) bytes: usize,
}

/// Why it is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is no HTTP/1, or more than one reading is possible.
    Malformed,
    TooLarge,
}

/// Reads a head; `None` while it is not complete.
pub(crate) fn read(bytes: &Bytes, max_headers: usize) -> Result<Option<Head>, Refusal> {
    if max_headers <= FIELDS {
        parse(bytes, &mut [const { MaybeUninit::uninit() }; FIELDS])
    } else {
        parse(bytes, &mut vec![MaybeUninit::uninit(); max_headers])
    }
}

fn parse<'b>(bytes: &'b Bytes, room: &mut [MaybeUninit<httparse::Header<'b>>]) -> Result<Option<Head>, Refusal> {
    let mut request = httparse::Request::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut request, bytes, room);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        Err(_) => return Err(Refusal::Malformed),
    };
    if has_bare_line_feed(&bytes[..length]) {
        return Err(Refusal::Malformed);
    }
    let (method, target) = request.method.zip(request.path).ok_or(Refusal::Malformed)?;
    // Nobody sends a fragment, and whoever met one would have to decide what to do about it.
    if target.contains('#') {
        return Err(Refusal::Malformed);
    }
    let version = if request.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let headers = fields::map(bytes, request.headers).map_err(|_| Refusal::Malformed)?;
    let body = fields::framing(&headers, version).map_err(|_| Refusal::Malformed)?;
    let keep = fields::keeps(&headers, version);
    let expects = version == Version::HTTP_11
        && headers.get(header::EXPECT).is_some_and(|value| has_token(value, "100-continue"));

    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::from_bytes(method.as_bytes()).map_err(|_| Refusal::Malformed)?;
    parts.uri = Uri::from_maybe_shared(bytes.slice_ref(target.as_bytes())).map_err(|_| Refusal::Malformed)?;
    parts.version = version;
    parts.headers = headers;
    Ok(Some(Head { parts, length: body, keep, expects, bytes: length }))
}

/// Line feeds alone are ends of lines to some.
fn has_bare_line_feed(head: &[u8]) -> bool {
    let mut before = 0;
    head.iter().any(|byte| std::mem::replace(&mut before, *byte) != b'\r' && *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(head: &str) -> Result<Option<Head>, Refusal> {
        let bytes = Bytes::copy_from_slice(head.as_bytes());
        for cut in 0..head.len() {
            let part = read(&bytes.slice(..cut), 100);
            assert!(!matches!(part, Ok(Some(_))), "complete after {cut} bytes: {head:?}");
        }
        read(&bytes, 100)
    }

    #[test]
    fn a_request_with_one_reading_is_read() {
        for (head, length, keep, expects) in [
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", Length::ToClose, true, false),
            ("\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", Length::ToClose, true, false),
            ("GET / HTTP/1.1\r\nhost: a\r\nConnection: x, Close\r\n\r\n", Length::ToClose, false, false),
            ("GET / HTTP/1.0\r\n\r\n", Length::ToClose, false, false),
            ("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", Length::ToClose, true, false),
            ("POST / HTTP/1.1\r\nContent-Length:5 \r\n\r\n", Length::Exactly(5), true, false),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", Length::Chunked, true, false),
            ("PUT / HTTP/1.1\r\ncontent-length: 0\r\nexpect: 100-Continue\r\n\r\n", Length::Exactly(0), true, true),
            ("PUT / HTTP/1.0\r\ncontent-length: 1\r\nexpect: 100-continue\r\n\r\n", Length::Exactly(1), false, false),
        ] {
            let read = asked(head).expect("not refused").expect("complete");
            assert_eq!(
                (read.length, read.keep, read.expects, read.bytes),
                (length, keep, expects, head.len()),
                "{head:?}"
            );
        }
    }

    #[test]
    fn targets_keep_the_form_they_came_in() {
        for target in ["/", "/a?b=c", "*", "http://a.b/c", "a.b:443", "/%2e"] {
            let read = asked(&format!("OPTIONS {target} HTTP/1.1\r\n\r\n")).expect("not refused").expect("complete");
            assert_eq!(read.parts.uri.to_string(), target);
        }
    }

    #[test]
    fn a_request_with_two_readings_is_refused() {
        for fields in [
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 1\r\n",
            "content-length: 1\r\ncontent-length: 1\r\n",
            "content-length: 1, 1\r\n",
            "content-length: +1\r\n",
            "content-length: 1 1\r\n",
            "content-length: \r\n",
            "content-length: 99999999999999999999\r\n",
            "content-length : 1\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: xchunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding:\x0bchunked\r\n",
            "x: y\n",
            "x: y\r\n z\r\n",
            "x: y\r\n\tz\r\n",
            " x: y\r\n",
            "x: a\rb\r\n",
            "x: a\0b\r\n",
            "x\r\n",
            ": y\r\n",
        ] {
            for head in
                [format!("POST / HTTP/1.1\r\n{fields}\r\n"), format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")]
            {
                assert_eq!(asked(&head).map(|read| read.is_some()), Err(Refusal::Malformed), "{head:?}");
            }
        }
        for head in [
            "GET / HTTP/1.1\n\r\n",
            "GET / HTTP/1.1\r\n\n",
            "\nGET / HTTP/1.1\r\n\r\n",
            "\r GET / HTTP/1.1\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET /  HTTP/1.1\r\n\r\n",
            "GET /#a HTTP/1.1\r\n\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.2\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET /\r\n\r\n",
            "G\tT / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(asked(head).map(|read| read.is_some()), Err(Refusal::Malformed), "{head:?}");
        }
    }

    #[test]
    fn fields_are_counted() {
        for (max, fields, expected) in [
            (100, 100, Ok(true)),
            (100, 101, Err(Refusal::TooLarge)),
            (200, 150, Ok(true)),
            (200, 201, Err(Refusal::TooLarge)),
        ] {
            let head = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(fields));
            assert_eq!(read(&Bytes::from(head), max).map(|read| read.is_some()), expected, "{fields} of {max}");
        }
    }
}
