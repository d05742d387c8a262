//! Single byte ranges (RFC 9110, section 14). Several at once are answered with the whole, as is allowed.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use crate::body::Body;
use crate::validators::Validators;

/// What is asked for of a file, or of anything else with a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    Whole,
    Part { from: u64, length: u64 },
    Unsatisfiable,
}

/// The range that the headers ask for, of something of `all` bytes.
pub(crate) fn asked(headers: &HeaderMap, all: u64, validators: &Validators) -> Range {
    let Some(range) = headers.get(header::RANGE) else { return Range::Whole };
    if headers.get(header::IF_RANGE).is_some_and(|condition| !validators.is_same(condition)) {
        return Range::Whole;
    }
    range.to_str().ok().map_or(Range::Whole, |range| parse(range, all))
}

/// The answer with a part; `body` holds just that, or nothing where only its head is asked for.
pub(crate) fn part(body: Body, from: u64, length: u64, all: u64) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::CONTENT_RANGE, value(format!("bytes {from}-{}/{all}", from + length - 1)));
    response
}

/// The answer that says there is no such part.
pub(crate) fn unsatisfiable(all: u64) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    response.headers_mut().insert(header::CONTENT_RANGE, value(format!("bytes */{all}")));
    response
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits make a header value")
}

fn parse(text: &str, all: u64) -> Range {
    let spec = text.split_once('=').filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"));
    let Some((first, last)) = spec.and_then(|(_, spec)| spec.trim().split_once('-')) else { return Range::Whole };
    match (number(first), number(last)) {
        // The last N bytes.
        (None, Some(count)) if first.is_empty() => {
            if count == 0 || all == 0 {
                return Range::Unsatisfiable;
            }
            let length = count.min(all);
            Range::Part { from: all - length, length }
        }
        (Some(from), last_byte) if last.is_empty() || last_byte.is_some_and(|last| last >= from) => {
            if from >= all {
                return Range::Unsatisfiable;
            }
            let end = last_byte.map_or(all, |last| last.saturating_add(1).min(all));
            Range::Part { from, length: end - from }
        }
        // Several ranges, or nonsense: as if nothing had been asked.
        _ => Range::Whole,
    }
}

fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More digits than fit are more bytes than anything has.
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_understood_as_the_standard_says() {
        let part = |from, length| Range::Part { from, length };
        for (text, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-99", part(0, 100)),
            ("bytes=0-100", part(0, 100)),
            ("bytes=0-99999999999999999999999", part(0, 100)),
            ("bytes=10-19", part(10, 10)),
            ("bytes=10-", part(10, 90)),
            ("bytes=99-", part(99, 1)),
            ("Bytes=99-", part(99, 1)),
            ("bytes=-1", part(99, 1)),
            ("bytes=-100", part(0, 100)),
            ("bytes=-1000", part(0, 100)),
            ("bytes=-0", Range::Unsatisfiable),
            ("bytes=100-", Range::Unsatisfiable),
            ("bytes=100-200", Range::Unsatisfiable),
            ("bytes=20-10", Range::Whole),
            ("bytes=0-1,5-6", Range::Whole),
            ("bytes=-", Range::Whole),
            ("bytes=a-b", Range::Whole),
            ("bytes=+1-2", Range::Whole),
            ("lines=1-2", Range::Whole),
            ("bytes", Range::Whole),
            ("", Range::Whole),
        ] {
            assert_eq!(parse(text, 100), expected, "{text}");
        }
        assert_eq!(parse("bytes=0-", 0), Range::Unsatisfiable);
        assert_eq!(parse("bytes=-5", 0), Range::Unsatisfiable);
    }
}
