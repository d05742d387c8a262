//! The head of an answer, as bytes, and how the end of its body is told.

use std::cell::RefCell;
use std::time::Duration;

use http::header::{self, HeaderMap};
use http::{StatusCode, Version};

use crate::clock;
use crate::headers::has_token;

/// How the client is told where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none, whatever the head says of it.
    None,
    Exactly(u64),
    Chunked,
    ToClose,
}

/// To whom an answer goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    pub(super) version: Version,
    pub(super) to_head: bool,
    /// It said that it looks at trailers.
    pub(super) trailers: bool,
}

impl Framing {
    /// `exact`: how long the body is, where that is known.
    pub(super) fn of(status: StatusCode, exact: Option<u64>, reader: Reader) -> Self {
        if reader.to_head || is_bodiless(status) {
            return Self::None;
        }
        match exact {
            Some(length) => Self::Exactly(length),
            None if reader.version == Version::HTTP_10 => Self::ToClose,
            None => Self::Chunked,
        }
    }
}

fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// Whether an answer asks for the connection to end.
pub(super) fn closes(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| has_token(value, "close"))
}

/// Writes a head. What the connection and the framing need is said here and nowhere else.
pub(super) fn head(
    out: &mut Vec<u8>,
    status: StatusCode,
    headers: &HeaderMap,
    framing: Framing,
    reader: Reader,
    keep: bool,
) {
    out.extend_from_slice(if reader.version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    let switches = status == StatusCode::SWITCHING_PROTOCOLS;
    // About an answer that the client gets none of, the service may say how long it would be.
    let keeps_length = framing == Framing::None && !status.is_informational() && status != StatusCode::NO_CONTENT;
    for (name, value) in headers {
        let ours = name == header::TRANSFER_ENCODING
            || name == header::CONTENT_LENGTH && !keeps_length
            || name == header::CONNECTION && !switches;
        if !ours {
            field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    match framing {
        Framing::None | Framing::ToClose => {}
        Framing::Exactly(length) => field(out, b"content-length", length.to_string().as_bytes()),
        Framing::Chunked => field(out, b"transfer-encoding", b"chunked"),
    }
    if !switches {
        match (keep, reader.version) {
            (false, _) => field(out, b"connection", b"close"),
            (true, Version::HTTP_10) => field(out, b"connection", b"keep-alive"),
            (true, _) => {}
        }
    }
    if !headers.contains_key(header::DATE) {
        date(out);
    }
    out.extend_from_slice(b"\r\n");
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

thread_local! {
    /// The present second since 1970, and how it is written.
    static DATE: RefCell<(u64, String)> = RefCell::default();
}

fn date(out: &mut Vec<u8>) {
    let second = clock::unix_millis() / 1_000;
    DATE.with_borrow_mut(|(known, text)| {
        if *known != second || text.is_empty() {
            *text = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(second));
            *known = second;
        }
        field(out, b"date", text.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NEW: Reader = Reader { version: Version::HTTP_11, to_head: false, trailers: false };
    const OLD: Reader = Reader { version: Version::HTTP_10, to_head: false, trailers: false };
    const HEAD: Reader = Reader { version: Version::HTTP_11, to_head: true, trailers: false };

    #[test]
    fn the_end_of_a_body_is_told_in_the_way_that_the_client_understands() {
        for (status, exact, reader, expected) in [
            (200, Some(7), NEW, Framing::Exactly(7)),
            (200, Some(0), NEW, Framing::Exactly(0)),
            (200, None, NEW, Framing::Chunked),
            (200, None, OLD, Framing::ToClose),
            (200, Some(7), OLD, Framing::Exactly(7)),
            (200, Some(7), HEAD, Framing::None),
            (204, Some(0), NEW, Framing::None),
            (304, Some(0), NEW, Framing::None),
            (101, Some(0), NEW, Framing::None),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(Framing::of(status, exact, reader), expected, "{status} {exact:?} {reader:?}");
        }
    }

    #[test]
    fn a_head_says_once_what_is_ours_to_say() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("content-length", "9"), ("transfer-encoding", "gzip"), ("connection", "close"), ("date", "d"), ("x", "y")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (status, framing, reader, keep, expected) in [
            (200, Framing::Exactly(7), NEW, true, "HTTP/1.1 200 OK\r\ndate: d\r\nx: y\r\ncontent-length: 7\r\n\r\n"),
            (
                200,
                Framing::Chunked,
                NEW,
                true,
                "HTTP/1.1 200 OK\r\ndate: d\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n",
            ),
            (200, Framing::ToClose, OLD, false, "HTTP/1.0 200 OK\r\ndate: d\r\nx: y\r\nconnection: close\r\n\r\n"),
            (
                200,
                Framing::Exactly(0),
                OLD,
                true,
                "HTTP/1.0 200 OK\r\ndate: d\r\nx: y\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n",
            ),
            (200, Framing::None, HEAD, true, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\ndate: d\r\nx: y\r\n\r\n"),
            (
                304,
                Framing::None,
                NEW,
                true,
                "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\ndate: d\r\nx: y\r\n\r\n",
            ),
            (204, Framing::None, NEW, false, "HTTP/1.1 204 No Content\r\ndate: d\r\nx: y\r\nconnection: close\r\n\r\n"),
            (
                101,
                Framing::None,
                NEW,
                true,
                "HTTP/1.1 101 Switching Protocols\r\nconnection: close\r\ndate: d\r\nx: y\r\n\r\n",
            ),
            (599, Framing::Exactly(1), NEW, true, "HTTP/1.1 599 \r\ndate: d\r\nx: y\r\ncontent-length: 1\r\n\r\n"),
        ] {
            let mut out = Vec::new();
            head(&mut out, StatusCode::from_u16(status).expect("a status"), &headers, framing, reader, keep);
            assert_eq!(String::from_utf8(out).expect("text"), expected);
        }
    }

    #[test]
    fn an_answer_without_a_date_gets_one() {
        let mut out = Vec::new();
        head(&mut out, StatusCode::OK, &HeaderMap::new(), Framing::Exactly(0), NEW, true);
        let text = String::from_utf8(out).expect("text");
        let date = text.lines().find_map(|line| line.strip_prefix("date: ")).expect("a date");
        httpdate::parse_http_date(date).expect("a valid one");
    }
}
