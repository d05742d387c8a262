//! The head of an answer: what it says, and where its body ends.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{StatusCode, Version};

use super::Broken;
use super::fields::{Length, framing, keeps, map};

/// Most header fields of an answer.
const MAX_HEADERS: usize = 100;

/// Most header fields of a trailer.
const MAX_TRAILERS: usize = 32;

/// An answer's head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) length: Length,
    /// The connection can be used again after it.
    pub(crate) keep: bool,
    /// How many bytes it took.
    pub(crate) bytes: usize,
}

impl Head {
    /// Of an answer that was framed otherwise.
    pub(crate) fn of(status: StatusCode, headers: HeaderMap) -> Self {
        Self { status, headers, length: Length::ToClose, keep: false, bytes: 0 }
    }
}

/// Reads a head; `None` while it is not complete.
pub(crate) fn read(bytes: &Bytes, to_head: bool) -> Result<Option<Head>, Broken> {
    // Lines are to be ignored before a request, not before an answer; and who sends no end of them is not waited for.
    if let Some(b'\r' | b'\n') = bytes.first() {
        return Err(Broken::Malformed("not HTTP/1"));
    }
    let mut fields = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut fields);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Broken::Malformed("too many headers")),
        Err(_) => return Err(Broken::Malformed("not HTTP/1")),
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Broken::Malformed("no such status"))?;
    let version = if response.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let headers = map(bytes, response.headers)?;
    let framing = framing(&headers, version)?;
    if status.is_informational() && framing != Length::ToClose {
        // It has no body, yet says it has one: what follows is read as that, or as the answer.
        return Err(Broken::Malformed("an interim answer with a length"));
    }
    let bodiless =
        to_head || status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let body = if bodiless { Length::Exactly(0) } else { framing };
    let keep = keeps(&headers, version) && body != Length::ToClose;
    Ok(Some(Head { status, headers, length: body, keep, bytes: length }))
}

/// Reads what follows the last chunk, up to and with its empty line.
pub(crate) fn trailers(bytes: &Bytes) -> Result<HeaderMap, Broken> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILERS];
    match httparse::parse_headers(bytes, &mut fields) {
        // Some take a bare line feed for an end of line: for them the trailers would be over before.
        Ok(httparse::Status::Complete((length, fields))) if length == bytes.len() => {
            let mut trailers = map(bytes, fields)?;
            // They come too late to say how the message is to be read.
            for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::TRAILER] {
                trailers.remove(name);
            }
            Ok(trailers)
        }
        _ => Err(Broken::Malformed("trailers")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::may_be_whole;
    use super::*;

    fn of(head: &str) -> Result<Option<Head>, Broken> {
        read(&Bytes::copy_from_slice(head.as_bytes()), false)
    }

    fn length(head: &str) -> Option<(Length, bool)> {
        of(&format!("{head}\r\n\r\n")).ok().map(|head| head.expect("complete")).map(|head| (head.length, head.keep))
    }

    #[test]
    fn where_a_body_ends() {
        for (head, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5", Some((Length::Exactly(5), true))),
            ("HTTP/1.1 200\r\nContent-Length:0", Some((Length::Exactly(0), true))),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked", Some((Length::Chunked, true))),
            ("HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 5", Some((Length::Exactly(5), false))),
            ("HTTP/1.0 200 OK\r\ncontent-length: 5", Some((Length::Exactly(5), false))),
            ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5", Some((Length::Exactly(5), true))),
            ("HTTP/1.1 200 OK", Some((Length::ToClose, false))),
            ("HTTP/1.1 204 No Content", Some((Length::Exactly(0), true))),
            ("HTTP/1.1 304 Not Modified\r\ncontent-length: 99", Some((Length::Exactly(0), true))),
            ("HTTP/1.1 103 Early Hints\r\nlink: </a>", Some((Length::Exactly(0), true))),
            // Two readings, or none.
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5, 5", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: +5", None),
            ("HTTP/1.1 200 OK\r\ncontent-length:", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked", None),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked", None),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked", None),
            ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked", None),
            ("HTTP/1.1 200 OK\r\nx: y\r\n z", None),
            ("HTTP/1.1 200 OK\r\nx : y", None),
            ("HTTP/1.1 103 Early Hints\r\ncontent-length: 5", None),
            ("HTTP/1.1 100 Continue\r\ntransfer-encoding: chunked", None),
            ("\r\nHTTP/1.1 200 OK", None),
            ("\n", None),
            ("HTTP/2 200 OK", None),
            ("HTTP/1.1 20 OK", None),
            ("220 mail.example.com ESMTP", None),
        ] {
            assert_eq!(length(head), expected, "{head:?}");
        }
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let bytes = Bytes::from_static(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
        assert_eq!(read(&bytes, true).expect("valid").expect("complete").length, Length::Exactly(0));
    }

    #[test]
    fn a_head_is_known_to_be_whole_however_it_comes() {
        let head = "HTTP/1.1 200 OK\r\nx: y\r\nempty:\r\n\r\n";
        for end in 0..head.len() {
            assert!(of(&head[..end]).expect("valid so far").is_none(), "{end}");
            assert!(!may_be_whole(&head.as_bytes()[..end], end.saturating_sub(1)), "{end}");
        }
        assert!(may_be_whole(head.as_bytes(), head.len() - 1) && may_be_whole(b"a\n\n", 2));
        let read = of(head).expect("valid").expect("complete");
        assert_eq!(
            (read.bytes, &read.headers["x"], &read.headers["empty"]),
            (head.len(), &"y".parse().expect("valid"), &"".parse().expect("valid"))
        );
    }

    #[test]
    fn too_many_headers_are_refused() {
        let head = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert!(of(&head(MAX_HEADERS)).is_ok() && of(&head(MAX_HEADERS + 1)).is_err());
    }

    #[test]
    fn trailers_cannot_say_how_to_read_the_message() {
        let read = trailers(&Bytes::from_static(b"grpc-status: 0\r\ncontent-length: 9\r\n\r\n")).expect("valid");
        assert_eq!(read.len(), 1);
        assert!(trailers(&Bytes::from_static(b"grpc status: 0\r\n\r\n")).is_err());
    }
}
