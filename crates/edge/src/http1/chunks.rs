//! A chunked body, read as it comes.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::{Broken, answer};

/// Longest line that tells a chunk's size, its extensions included.
const MAX_LINE: usize = 1_024;

/// Most bytes of trailers.
const MAX_TRAILER_BYTES: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Chunks {
    at: At,
}

#[derive(Debug)]
enum At {
    Size {
        size: u64,
        digits: usize,
        line: usize,
    },
    /// After the digits: what an extension says is nobody's business.
    Extension {
        size: u64,
        line: usize,
    },
    /// After the carriage return of a size.
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    /// What follows a chunk's data: CR and LF.
    DataEnd {
        seen: bool,
    },
    /// After the last chunk.
    Trailers(BytesMut),
    Done,
}

impl Default for At {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0, line: 0 }
    }
}

/// What the next bytes are.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Chunks {
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.at, At::Done)
    }

    /// Takes the next piece off `bytes`; `None`: more bytes are needed, or it is done.
    pub(crate) fn next(&mut self, bytes: &mut Bytes) -> Result<Option<Piece>, Broken> {
        while let Some(&byte) = bytes.first() {
            match &mut self.at {
                At::Data { left } => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= taken as u64;
                    if *left == 0 {
                        self.at = At::DataEnd { seen: false };
                    }
                    let data = bytes.split_to(taken);
                    self.see_end(bytes);
                    return Ok(Some(Piece::Data(data)));
                }
                At::Trailers(kept) => {
                    let end = kept.len();
                    let taken = bytes.len().min(MAX_TRAILER_BYTES + 1 - end);
                    kept.extend_from_slice(&bytes[..taken]);
                    let Some(length) = trailers_end(kept, end) else {
                        bytes.advance(taken);
                        if kept.len() > MAX_TRAILER_BYTES {
                            return Err(Broken::Malformed("trailers are too long"));
                        }
                        continue;
                    };
                    bytes.advance(length - end);
                    let whole = kept.split_to(length).freeze();
                    self.at = At::Done;
                    if length > 2 {
                        return answer::trailers(&whole).map(|trailers| Some(Piece::Trailers(trailers)));
                    }
                }
                At::Done => return Ok(None),
                _ => {
                    bytes.advance(1);
                    self.step(byte)?;
                }
            }
        }
        Ok(None)
    }

    /// Takes the end of a body without trailers together with its last data, so that whoever has that knows that it is all.
    fn see_end(&mut self, bytes: &mut Bytes) {
        const END: &[u8] = b"\r\n0\r\n\r\n";
        if matches!(self.at, At::DataEnd { seen: false }) && bytes.starts_with(END) {
            bytes.advance(END.len());
            self.at = At::Done;
        }
    }

    /// One byte of what stands between chunks.
    fn step(&mut self, byte: u8) -> Result<(), Broken> {
        const WRONG: Broken = Broken::Malformed("chunk");
        self.at = match self.at {
            At::Size { size, digits, line } => match (byte, char::from(byte).to_digit(16)) {
                (_, Some(digit)) => {
                    let size = size.checked_mul(16).and_then(|size| size.checked_add(u64::from(digit))).ok_or(WRONG)?;
                    bounded(At::Size { size, digits: digits + 1, line: line + 1 }, line)?
                }
                (b';', None) if digits > 0 => At::Extension { size, line },
                (b'\r', None) if digits > 0 => At::SizeEnd { size },
                _ => return Err(WRONG),
            },
            At::Extension { size, line: _ } if byte == b'\r' => At::SizeEnd { size },
            At::Extension { size, line } if byte == b'\t' || !byte.is_ascii_control() => {
                bounded(At::Extension { size, line: line + 1 }, line)?
            }
            At::SizeEnd { size: 0 } if byte == b'\n' => At::Trailers(BytesMut::new()),
            At::SizeEnd { size } if byte == b'\n' => At::Data { left: size },
            At::DataEnd { seen: false } if byte == b'\r' => At::DataEnd { seen: true },
            At::DataEnd { seen: true } if byte == b'\n' => At::default(),
            _ => return Err(WRONG),
        };
        Ok(())
    }
}

fn bounded(at: At, line: usize) -> Result<At, Broken> {
    if line < MAX_LINE { Ok(at) } else { Err(Broken::Malformed("the line of a chunk's size is too long")) }
}

/// Where the trailers end, their empty line included; nothing before `from` is looked at twice.
fn trailers_end(bytes: &[u8], from: usize) -> Option<usize> {
    if bytes.starts_with(b"\r\n") {
        return Some(2);
    }
    let begin = from.saturating_sub(3);
    bytes[begin..].windows(4).position(|four| four == b"\r\n\r\n").map(|at| begin + at + 4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The data, the trailers and what is left after the end; `None`: malformed.
    type Read = Option<(Vec<u8>, HeaderMap, Vec<u8>, bool)>;

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Read {
        let mut chunks = Chunks::default();
        let (mut data, mut trailers, mut rest) = (Vec::new(), HeaderMap::new(), Vec::new());
        for piece in pieces {
            let mut bytes = Bytes::copy_from_slice(piece);
            loop {
                match chunks.next(&mut bytes) {
                    Ok(Some(Piece::Data(more))) => data.extend_from_slice(&more),
                    Ok(Some(Piece::Trailers(more))) => trailers = more,
                    Ok(None) => break,
                    Err(_) => return None,
                }
            }
            rest.extend_from_slice(&bytes);
        }
        Some((data, trailers, rest, chunks.is_done()))
    }

    fn whole(text: &str) -> Read {
        let at_once = read([text.as_bytes()]);
        let by_bytes = read(text.as_bytes().chunks(1));
        assert_eq!(at_once, by_bytes, "{text:?}");
        at_once
    }

    #[test]
    fn a_body_is_read_to_its_end_and_no_further() {
        let (data, trailers, rest, done) =
            whole("3\r\na\nb\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nx: y\r\n\r\nHTTP/1.1").expect("valid");
        assert_eq!((&data[..], trailers.len(), &rest[..], done), (&b"a\nb0123456789"[..], 1, &b"HTTP/1.1"[..], true));
        let (data, trailers, rest, done) = whole("2;\tx = \"\ty\"\r\nab\r\n0\r\n\r\n").expect("valid");
        assert_eq!((&data[..], trailers.len(), rest.len(), done), (&b"ab"[..], 0, 0, true));
        assert!(!whole("2\r\nab\r\n0\r\n").expect("valid so far").3);
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for text in [
            "\r\n",
            "g\r\n",
            " 1\r\n",
            "1 \r\n",
            "1\t;a\r\n",
            "0x1\r\n",
            "1\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "1;a\nb\r\n",
            "-1\r\n",
            "11111111111111111\r\n",
            "0\r\nx y\r\n\r\n",
            "0\r\nx: y\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            "0\r\n\nHTTP/1.1 200 OK\r\n\r\n",
            "1\r\r\n",
            "1\r\na\r\r",
        ] {
            assert_eq!(whole(text), None, "{text:?}");
        }
        assert_eq!(whole(&format!("1;{}", "x".repeat(2 * MAX_LINE))), None);
        assert_eq!(whole(&format!("{}1\r\na\r\n", "0".repeat(2 * MAX_LINE))), None);
        assert_eq!(whole(&format!("0\r\nx: {}", "y".repeat(MAX_TRAILER_BYTES))), None);
    }

    proptest! {
        #[test]
        fn how_bytes_are_cut_makes_no_difference(
            parts in prop::collection::vec(
                prop::sample::select(vec!["3\r\nabc\r\n", "0\r\n", "\r\n", "x: y\r\n", "1;e\r\nz\r\n", "5\r\n", "12345", "0\r\n\r\n", "\n"]),
                0..12,
            ),
            cuts in prop::collection::vec(1_usize..9, 1..40),
        ) {
            let text = parts.concat().into_bytes();
            let (mut pieces, mut rest) = (Vec::new(), &text[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            prop_assert_eq!(read(pieces), read([&text[..]]));
        }
    }
}
