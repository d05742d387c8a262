//! HTTP/1: where requests end, and what is read of and written to instances.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};

use super::pieces;
use super::reference::{self, End};
use crate::http1::answer::{self, Head};
use crate::http1::chunks::{Chunks, Piece};
use crate::http1::fields::{self, Length};
use crate::http1::{encode, request};

/// A request whose body is what follows.
const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

/// Header fields that a request may have.
const MAX_HEADERS: usize = 100;

/// Where the edge ends the first request of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    At(usize),
    Later,
    Refused,
}

fn own(bytes: &[u8]) -> Own {
    let all = Bytes::copy_from_slice(bytes);
    let head = match request::read(&all, MAX_HEADERS) {
        Ok(Some(head)) => head,
        Ok(None) => return Own::Later,
        Err(_) => return Own::Refused,
    };
    let mut rest = all.slice(head.bytes..);
    match head.length {
        Length::ToClose => Own::At(head.bytes),
        Length::Exactly(length) => {
            let length = usize::try_from(length).ok().filter(|length| *length <= rest.len());
            length.map_or(Own::Later, |length| Own::At(head.bytes + length))
        }
        Length::Chunked => {
            let mut chunks = Chunks::default();
            loop {
                match chunks.next(&mut rest) {
                    Ok(Some(_)) => {}
                    Ok(None) if chunks.is_done() => return Own::At(bytes.len() - rest.len()),
                    Ok(None) => return Own::Later,
                    Err(_) => return Own::Refused,
                }
            }
        }
    }
}

/// Requests, behind a byte that says how they are cut.
pub fn framing(data: &[u8]) {
    let Some((&seed, bytes)) = data.split_first() else { return };
    let whole = own(bytes);
    let mut came = 0;
    for piece in pieces(seed, bytes) {
        came += piece.len();
        let part = own(&bytes[..came]);
        assert!(part == Own::Later || part == whole, "what comes later changes what was read: {part:?}, {whole:?}");
    }
    // Each end that a second reader finds is found here too, or the bytes are refused.
    let mut rest = bytes;
    loop {
        match reference::request(rest) {
            End::At(end) => {
                if own(rest) != Own::At(end) {
                    assert!(!matches!(own(rest), Own::At(_)), "ended elsewhere");
                    return;
                }
                assert_eq!(own(&rest[..end - 1]), Own::Later, "ended too early");
                rest = &rest[end..];
            }
            End::Ambiguous(end) => return assert_eq!(own(&rest[..end]), Own::Refused, "two readings"),
            End::Later | End::NoHead => return,
        }
    }
}

/// The data, the trailers, what is left after the end, and whether there was one.
type Read = Option<(Vec<u8>, HeaderMap, Vec<u8>, bool)>;

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let mut chunks = Chunks::default();
    let (mut data, mut trailers, mut rest) = (Vec::new(), HeaderMap::new(), Vec::new());
    for piece in pieces {
        let mut bytes = Bytes::copy_from_slice(piece);
        while let Some(piece) = chunks.next(&mut bytes).ok()? {
            match piece {
                Piece::Data(more) => data.extend_from_slice(&more),
                Piece::Trailers(more) => trailers = more,
            }
        }
        rest.extend_from_slice(&bytes);
    }
    Some((data, trailers, rest, chunks.is_done()))
}

/// A chunked body, behind a byte that says how it is cut.
pub fn chunks(data: &[u8]) {
    let Some((&seed, bytes)) = data.split_first() else { return };
    let whole = read([bytes]);
    assert_eq!(whole, read(pieces(seed, bytes)), "how bytes are cut makes a difference");
    let Some((data, trailers, rest, true)) = &whole else { return };
    let end = bytes.len() - rest.len();
    assert!(!read([&bytes[..end - 1]]).is_some_and(|earlier| earlier.3), "ended before its last byte");
    // Whoever else takes it ends it at the same byte.
    if let End::At(other) = reference::chunked(bytes, 0) {
        assert_eq!(end, other, "another reader ends it elsewhere");
    }
    let request = [CHUNKED, &bytes[..end]].concat();
    assert_eq!(own(&request), Own::At(request.len()), "a request ends with its body");
    let mut again = Vec::new();
    for piece in pieces(seed, data) {
        again.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        again.extend_from_slice(piece);
        again.extend_from_slice(b"\r\n");
    }
    again.extend_from_slice(&encode::trailers(trailers));
    again.extend_from_slice(rest);
    assert_eq!(read([&again[..]]), whole, "what is written is read back");
}

/// The head of an answer, behind a byte that says to what and how it is cut.
pub fn answer(data: &[u8]) {
    let Some((&seed, bytes)) = data.split_first() else { return };
    let to_head = seed & 1 == 1;
    let all = Bytes::copy_from_slice(bytes);
    let cut = all.len() * usize::from(seed) / 256;
    let begin = answer::read(&all.slice(..cut), to_head);
    let read = answer::read(&all, to_head);
    // Nothing that comes later ends an answer earlier.
    assert!(!matches!(read, Ok(None)) || matches!(begin, Ok(None)), "it was whole, or none, before");
    let Ok(Some(head)) = read else { return };
    assert!(head.bytes <= all.len());
    assert!(cut >= head.bytes || matches!(begin, Ok(None)), "it was whole before its end");
    let own = all.slice(..head.bytes);
    assert!(fields::may_be_whole(&own, own.len() - 1) && fields::may_be_whole(&own, 0), "its end would be overlooked");
    check_same(&head, &own, to_head, "what follows is nobody's business");
    check_length(&head, to_head);
    let version = if own.starts_with(b"HTTP/1.0") { "1.0" } else { "1.1" };
    let mut again = format!("HTTP/{version} {}\r\n", head.status.as_u16()).into_bytes();
    for (name, value) in &head.headers {
        again.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    again.extend_from_slice(b"\r\n");
    check_same(&head, &Bytes::from(again), to_head, "what is written is read back");
}

fn check_same(head: &Head, bytes: &Bytes, to_head: bool, why: &str) {
    let other = answer::read(bytes, to_head).expect(why).expect(why);
    assert_eq!(other.bytes, bytes.len(), "{why}");
    let parts = |head: &Head| (head.status, head.headers.clone(), head.length, head.keep);
    assert_eq!(parts(&other), parts(head), "{why}");
}

/// Where a body ends is said once, or not at all.
fn check_length(head: &Head, to_head: bool) {
    let all = |name: &str| head.headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect::<Vec<_>>();
    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    assert!(lengths.len() + codings.len() <= 1, "two lengths");
    assert!(head.keep <= (head.length != Length::ToClose), "kept, but nobody knows where the next answer begins");
    let status = head.status.as_u16();
    if to_head || status < 200 || status == 204 || status == 304 {
        return assert_eq!(head.length, Length::Exactly(0));
    }
    match head.length {
        Length::Exactly(length) => {
            let said =
                lengths.first().and_then(|said| str::from_utf8(said).ok()).map(|said| said.trim_start_matches('0'));
            assert_eq!(said, Some(length.to_string().trim_start_matches('0')));
        }
        Length::Chunked => assert!(codings.first().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"))),
        Length::ToClose => assert!(lengths.is_empty() && codings.is_empty()),
    }
}

/// A request's head as it is written to an instance, made of one that was read.
pub fn head(data: &[u8]) {
    let Some((&seed, bytes)) = data.split_first() else { return };
    let mut fields = [httparse::EMPTY_HEADER; 90];
    let mut request = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(_)) = request.parse(bytes) else { return };
    let (Some(method), Some(target)) = (request.method, request.path) else { return };
    let (Ok(method), Ok(uri)) = (Method::from_bytes(method.as_bytes()), target.parse::<Uri>()) else { return };
    // Others are refused before; a method with `#`, which is none anybody has, only in HTTP/1.
    if method.as_str().contains('#') || !uri.path_and_query().is_some_and(|target| target.as_str().starts_with('/')) {
        return;
    }
    let mut map = HeaderMap::new();
    for field in &*request.headers {
        let (Ok(name), Ok(value)) = (field.name.parse::<http::HeaderName>(), field.value.try_into()) else { return };
        map.append(name, value);
    }
    let (mut parts, ()) = Request::new(()).into_parts();
    (parts.method, parts.uri, parts.headers) = (method, uri, map);
    let length = match seed % 3 {
        0 => encode::Length::None,
        1 => encode::Length::Exactly(u64::from(seed)),
        _ => encode::Length::Chunked,
    };
    let written = encode::head(&parts, length);

    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut again = httparse::Request::new(&mut fields);
    assert_eq!(again.parse(&written), Ok(httparse::Status::Complete(written.len())), "what is written is read back");
    assert_eq!(again.method, Some(parts.method.as_str()));
    assert_eq!(again.path, parts.uri.path_and_query().map(http::uri::PathAndQuery::as_str));
    let is_framing =
        |name: &str| ["content-length", "transfer-encoding"].iter().any(|framing| name.eq_ignore_ascii_case(framing));
    let lengths = again.headers.iter().filter(|field| is_framing(field.name)).count();
    assert!(lengths <= 1, "two lengths");
    let passed = parts.headers.iter().filter(|(name, _)| !is_framing(name.as_str())).count();
    assert_eq!(again.headers.len() - lengths, passed, "a field came or went");
    let expected = if length == encode::Length::None { Own::At(written.len()) } else { Own::Later };
    assert_eq!(own(&written), expected, "the body begins where the head ends");
}
