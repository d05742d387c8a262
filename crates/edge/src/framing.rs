//! A second reading of where each request ends, stricter than the first.
//!
//! Request smuggling lives on two programs reading one message differently. hyper normalises what is ambiguous (both
//! lengths, repeated lengths, bare line feeds), which is permitted; but a proxy in front of this edge may have read it
//! the other way. So the bytes are followed here as they come, and the first that more than one reading would allow
//! ends the connection. What hyper refuses by itself is left to it.
//!
//! Pure: bytes in, verdict out. A new rule goes where the line it is about is read, with a row in the tests here and in
//! `tests/edge/framing.rs`.

/// Bytes of an unfinished line that are kept for when it goes on. A length that is written longer is refused.
const MAX_KEPT: usize = 1_024;

/// Follows one connection's requests.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    at: At,
    /// Begin of a line whose end has not come yet; without allocation as long as lines come whole.
    kept: Vec<u8>,
    content_length: Option<u64>,
    chunked: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    RequestLine,
    Header,
    Body {
        left: u64,
    },
    ChunkSize,
    Chunk {
        left: u64,
    },
    ChunkEnd,
    Trailer,
}

/// More than one reading is possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ambiguous;

impl Framing {
    /// Follows `bytes`. `Err` says how many of them may still be taken; after it, nothing may.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match self.at {
                At::Body { left } => self.skip(left, rest, |left| At::Body { left }, At::RequestLine),
                At::Chunk { left } => self.skip(left, rest, |left| At::Chunk { left }, At::ChunkEnd),
                _ => {
                    if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                        if self.line(&rest[..end]).is_err() {
                            return Err(bytes.len() - rest.len());
                        }
                        end + 1
                    } else {
                        self.keep(rest);
                        rest.len()
                    }
                }
            };
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// Keeps the begin of a line. Of one too long to keep, the last byte still tells whether it ends as it should.
    fn keep(&mut self, begin: &[u8]) {
        let room = MAX_KEPT - self.kept.len();
        self.kept.extend_from_slice(&begin[..begin.len().min(room)]);
        if let (Some(last), Some(kept)) = (begin.last(), self.kept.last_mut().filter(|_| begin.len() > room)) {
            *kept = *last;
        }
    }

    fn skip(&mut self, left: u64, rest: &[u8], more: fn(u64) -> At, done: At) -> usize {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        let left = left - taken as u64;
        self.at = if left > 0 { more(left) } else { done };
        taken
    }

    /// A line without its line feed.
    fn line(&mut self, end: &[u8]) -> Result<(), Ambiguous> {
        if self.kept.is_empty() {
            return self.whole_line(end);
        }
        let mut line = std::mem::take(&mut self.kept);
        line.extend_from_slice(end);
        let read = self.whole_line(&line);
        line.clear();
        self.kept = line;
        read
    }

    fn whole_line(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        let Some((b'\r', line)) = line.split_last() else { return Err(Ambiguous) };
        self.at = match self.at {
            // Empty lines before a request are to be ignored (RFC 9112, 2.2).
            At::RequestLine | At::Trailer if line.is_empty() => At::RequestLine,
            At::RequestLine => {
                self.content_length = None;
                self.chunked = false;
                At::Header
            }
            At::Header if line.is_empty() => self.end_of_head()?,
            At::Header => {
                self.header(line)?;
                At::Header
            }
            At::ChunkSize => match chunk_size(line)? {
                0 => At::Trailer,
                left => At::Chunk { left },
            },
            At::ChunkEnd if line.is_empty() => At::ChunkSize,
            At::Trailer if !is_folded(line) => At::Trailer,
            At::ChunkEnd | At::Trailer | At::Body { .. } | At::Chunk { .. } => return Err(Ambiguous),
        };
        Ok(())
    }

    fn header(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        if is_folded(line) {
            return Err(Ambiguous);
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return Ok(()) };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            if self.content_length.is_some() || line.len() >= MAX_KEPT - 1 {
                return Err(Ambiguous);
            }
            self.content_length = Some(decimal(value)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || line.len() >= MAX_KEPT - 1 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Ambiguous);
            }
            self.chunked = true;
        }
        Ok(())
    }

    fn end_of_head(&self) -> Result<At, Ambiguous> {
        match (self.content_length, self.chunked) {
            (Some(_), true) => Err(Ambiguous),
            (None, true) => Ok(At::ChunkSize),
            (Some(left), false) if left > 0 => Ok(At::Body { left }),
            _ => Ok(At::RequestLine),
        }
    }
}

/// A line that begins with white space goes on the one before, for some.
fn is_folded(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

fn decimal(text: &[u8]) -> Result<u64, Ambiguous> {
    if !text.iter().all(u8::is_ascii_digit) {
        return Err(Ambiguous);
    }
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Ambiguous)
}

/// `1a` or `1a;extension`.
fn chunk_size(line: &[u8]) -> Result<u64, Ambiguous> {
    let end = line.iter().position(|byte| *byte == b';').unwrap_or(line.len());
    let digits = &line[..end];
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) || line.iter().any(u8::is_ascii_control) {
        return Err(Ambiguous);
    }
    std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or(Ambiguous)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether `text` has one reading; in one piece and byte by byte alike.
    fn is_clear(text: &str) -> bool {
        let whole = Framing::default().feed(text.as_bytes()).is_ok();
        let mut pieces = Framing::default();
        let by_bytes = text.bytes().all(|byte| pieces.feed(&[byte]).is_ok());
        assert_eq!(whole, by_bytes, "{text:?}");
        whole
    }

    #[test]
    fn requests_with_one_reading_pass() {
        for text in [
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\na\nb\nc",
            "POST / HTTP/1.1\r\nContent-Length:0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\na\nb\r\nA;x=y\r\n0123456789\r\n0\r\nx: y\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nabPOST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ] {
            assert!(is_clear(text), "{text:?}");
        }
    }

    #[test]
    fn requests_with_two_readings_do_not() {
        for head in [
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 1\r\n",
            "content-length: 1\r\ncontent-length: 1\r\n",
            "content-length: 1, 1\r\n",
            "content-length: +1\r\n",
            "content-length: 1 1\r\n",
            "content-length: \r\n",
            "content-length: 99999999999999999999\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: xchunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "x: y\n",
            "x: y\r\n z\r\n",
            "x: y\r\n\tz\r\n",
        ] {
            assert!(!is_clear(&format!("POST / HTTP/1.1\r\n{head}\r\n")), "{head:?}");
        }
        for body in [
            "\r\n",
            "g\r\n",
            " 1\r\n",
            "1 \r\n",
            "0x1\r\n",
            "1\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "1;a\nb\r\n",
            "11111111111111111\r\n",
            "0\r\nx: y\n\r\n",
        ] {
            assert!(!is_clear(&format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{body}")), "{body:?}");
        }
    }

    #[test]
    fn what_comes_before_the_ambiguous_line_may_be_taken() {
        let good = "GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\n";
        assert_eq!(Framing::default().feed(format!("{good}x: y\nz: a\r\n\r\n").as_bytes()), Err(good.len()));
    }

    #[test]
    fn a_length_hidden_behind_padding_is_refused() {
        for length in [MAX_KEPT, 3 * MAX_KEPT] {
            let padding = " ".repeat(length);
            assert!(!is_clear(&format!("GET / HTTP/1.1\r\ncontent-length:{padding}12\r\n\r\n")), "{length}");
            assert!(!is_clear(&format!("GET / HTTP/1.1\r\ntransfer-encoding:{padding}chunked\r\n\r\n")), "{length}");
        }
    }

    #[test]
    fn a_line_of_any_length_ends_as_it_should_or_not() {
        for length in [MAX_KEPT - 1, MAX_KEPT, MAX_KEPT + 1, 5 * MAX_KEPT] {
            let long = "y".repeat(length);
            assert!(is_clear(&format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n")), "{length}");
            assert!(!is_clear(&format!("GET / HTTP/1.1\r\nx: {long}\n\r\n")), "{length}");
        }
    }

    proptest! {
        #[test]
        fn how_bytes_are_cut_makes_no_difference(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "POST / HTTP/1.1\r\n", "content-length: 3\r\n", "transfer-encoding: chunked\r\n", "\r\n", "\n", "\r", " ",
                    "abc", "3\r\n", "0\r\n", "x: y\r\n", ":", "a", "content-length: 0\r\n", ";",
                ]),
                0..20,
            ),
            cuts in prop::collection::vec(1_usize..9, 1..50),
        ) {
            let text = parts.concat().into_bytes();
            let whole = Framing::default().feed(&text).is_ok();
            let (mut framing, mut rest, mut clear) = (Framing::default(), &text[..], true);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() || !clear {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                clear = framing.feed(piece).is_ok();
                rest = after;
            }
            prop_assert_eq!(clear, whole);
        }
    }
}
