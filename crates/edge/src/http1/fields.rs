//! What heads of requests and of answers have in common: their fields, and what these say of the body and the connection.

use bytes::Bytes;
use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::Broken;
use crate::headers::has_token;

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Exactly(u64),
    Chunked,
    /// With the connection: nothing is said of it.
    ToClose,
}

/// The fields, as parts of the memory they were read from.
pub(super) fn map(bytes: &Bytes, fields: &[httparse::Header<'_>]) -> Result<HeaderMap, Broken> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Broken::Malformed("header name"))?;
        // An empty slice lies nowhere in particular.
        let value = if field.value.is_empty() { Bytes::new() } else { bytes.slice_ref(field.value) };
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| Broken::Malformed("header value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// Where the body ends. What can be read in two ways is malformed.
pub(super) fn framing(headers: &HeaderMap, version: Version) -> Result<Length, Broken> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(Length::ToClose),
        (Some(length), None) if lengths.next().is_none() => decimal(length.as_bytes()).map(Length::Exactly),
        (None, Some(coding)) if codings.next().is_none() => {
            if version == Version::HTTP_11 && coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
                Ok(Length::Chunked)
            } else {
                Err(Broken::Malformed("transfer encoding"))
            }
        }
        _ => Err(Broken::Malformed("more than one length")),
    }
}

fn decimal(text: &[u8]) -> Result<u64, Broken> {
    let digits = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or(Broken::Malformed("content length"))
}

/// Whether the connection goes on after this message.
pub(super) fn keeps(headers: &HeaderMap, version: Version) -> bool {
    let says = |token| headers.get_all(header::CONNECTION).iter().any(|value| has_token(value, token));
    if version == Version::HTTP_10 { says("keep-alive") && !says("close") } else { !says("close") }
}

/// Whether a head may be complete; `from` is how many bytes were known before.
pub(crate) fn may_be_whole(bytes: &[u8], from: usize) -> bool {
    let tail = &bytes[from.saturating_sub(3)..];
    tail.windows(2).any(|pair| pair == b"\n\n") || tail.windows(3).any(|three| three == b"\n\r\n")
}
