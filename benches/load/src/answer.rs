//! Just enough of HTTP/1.1 answers: a status, and a length.

use std::io::{self, Read};

use crate::Problem;

/// Larger heads are nobody's here.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Of the head itself.
    pub(crate) bytes: usize,
    /// Of the body, where the head says so.
    pub(crate) length: Option<u64>,
    /// The body says itself where it ends.
    pub(crate) chunked: bool,
}

impl Head {
    /// None while it is not complete.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, Problem> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(size) = answer.parse(bytes)? else { return Ok(None) };
        let length = length(answer.headers)?;
        let chunked = answer.headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case("transfer-encoding") && header.value.eq_ignore_ascii_case(b"chunked")
        });
        Ok(Some(Self { status: answer.code.unwrap_or_default(), bytes: size, length, chunked }))
    }

    /// Reads until it is complete: the head, and what came of the body with it.
    pub(crate) fn read(stream: &mut impl Read) -> Result<(Self, Vec<u8>), Problem> {
        let mut buffer = vec![0; HEAD_BYTES];
        let mut filled = 0;
        loop {
            let read = stream.read(&mut buffer[filled..])?;
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            filled += read;
            if let Some(head) = Self::parse(&buffer[..filled])? {
                buffer.truncate(filled);
                let body = buffer.split_off(head.bytes);
                return Ok((head, body));
            }
        }
    }
}

/// `Content-Length`.
pub(crate) fn length(headers: &[httparse::Header]) -> Result<Option<u64>, Problem> {
    headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .map(|header| Ok(std::str::from_utf8(header.value)?.trim().parse()?))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_complete() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-Length: 12\r\n\r\nbody";
        assert_eq!(Head::parse(&text[..20]).unwrap(), None);
        assert_eq!(Head::parse(text).unwrap(), Some(Head { status: 200, bytes: 39, length: Some(12), chunked: false }));
    }
}
