//! A second reading of requests, by another parser of heads and as plainly as the standard says it: all bytes at once, no state.

use http::header;

/// Where the first request of some bytes ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// After so many bytes.
    At(usize),
    /// These first bytes have two readings, or none.
    Ambiguous(usize),
    /// It has not come yet.
    Later,
    /// The parser of heads does not take it at all.
    NoHead,
}

pub(super) fn request(bytes: &[u8]) -> End {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut fields);
    let head = match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return End::Later,
        Err(_) => return End::NoHead,
    };
    let all = |name: &str| -> Vec<&[u8]> {
        let named = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value).collect()
    };
    match (&all(header::CONTENT_LENGTH.as_str())[..], &all(header::TRANSFER_ENCODING.as_str())[..]) {
        ([], []) => End::At(head),
        ([length], []) => match number(length, 10) {
            None => End::Ambiguous(head),
            Some(length) if length <= (bytes.len() - head) as u64 => {
                End::At(head + usize::try_from(length).expect("no more than there are bytes"))
            }
            Some(_) => End::Later,
        },
        // Chunks are unknown to HTTP/1.0; whoever reads heads refuses that.
        ([], [_]) if request.version == Some(0) => End::NoHead,
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => chunked(bytes, head),
        _ => End::Ambiguous(head),
    }
}

/// Where a chunked body ends that begins at `at`.
pub(super) fn chunked(bytes: &[u8], mut at: usize) -> End {
    loop {
        let Some(length) = bytes[at..].iter().position(|byte| *byte == b'\n') else { return End::Later };
        let line = &bytes[at..at + length];
        at += length + 1;
        // Extensions may have tabs: around their parts, and in what they quote (RFC 9112, 7.1.1).
        let is_text = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
        let Some(line) = line.strip_suffix(b"\r").filter(|line| line.iter().all(is_text)) else {
            return End::Ambiguous(at);
        };
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let Some(size) = number(digits, 16) else { return End::Ambiguous(at) };
        if size == 0 {
            let mut fields = [httparse::EMPTY_HEADER; 32];
            return match httparse::parse_headers(&bytes[at..], &mut fields) {
                Ok(httparse::Status::Complete((length, _))) => End::At(at + length),
                Ok(httparse::Status::Partial) => End::Later,
                Err(_) => End::NoHead,
            };
        }
        if size > (bytes.len() - at) as u64 {
            return End::Later;
        }
        at += usize::try_from(size).expect("no more than there are bytes");
        match bytes[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [] | [b'\r'] => return End::Later,
            // Where a line would end, another byte, or another end of it.
            _ => {
                return bytes[at..]
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .map_or(End::Later, |end| End::Ambiguous(at + end + 1));
            }
        }
    }
}

fn number(digits: &[u8], base: u32) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(|digit| char::from(*digit).is_digit(base));
    str::from_utf8(digits).ok().filter(|_| plain).and_then(|digits| u64::from_str_radix(digits, base).ok())
}
