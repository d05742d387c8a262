//! What makes one request findable in every log it leaves a line in: `x-request-id` and `traceparent`.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Longest id taken over from a caller: ids end up in logs.
const MAX_ID_BYTES: usize = 128;

/// The request's id: the caller's, when the caller may choose and chose well, else a new UUIDv7.
pub(crate) fn request_id(headers: &HeaderMap, trusted: bool) -> HeaderValue {
    match headers.get(X_REQUEST_ID) {
        Some(id) if trusted && is_well_formed(id) => id.clone(),
        _ => new_id(),
    }
}

fn is_well_formed(id: &HeaderValue) -> bool {
    let id = id.as_bytes();
    (1..=MAX_ID_BYTES).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}

/// A UUIDv7 in its usual form.
fn new_id() -> HeaderValue {
    let mut chance = [0; 10];
    chance[..8].copy_from_slice(&clock::random().to_be_bytes());
    chance[8..].copy_from_slice(&clock::random().to_be_bytes()[..2]);
    let id = uuid::Builder::from_unix_timestamp_millis(clock::unix_millis(), &chance).into_uuid();
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    value(id.hyphenated().encode_lower(&mut text).as_bytes())
}

/// Makes sure that the request carries a valid `traceparent`. The edge has no span of its own, so a valid one passes
/// unchanged.
pub(crate) fn set_traceparent(headers: &mut HeaderMap) {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let valid = all.next().is_some_and(is_traceparent) && all.next().is_none();
    if !valid {
        // State belongs to the parent it came with.
        headers.remove(TRACESTATE);
        headers.insert(TRACEPARENT, new_traceparent());
    }
}

/// What a span is known by, in hexadecimal.
pub(crate) struct Context {
    pub(crate) trace: [u8; 32],
    pub(crate) span: [u8; 16],
    /// The span of the caller that it belongs to.
    pub(crate) parent: Option<[u8; 16]>,
}

/// Makes the request one of a span of the edge's own, within the caller's trace if there is one. `sampled` gets what the caller
/// says of whether it is traced. `None`: it is not, which the next hop is told.
pub(crate) fn enter(headers: &mut HeaderMap, sampled: impl FnOnce(Option<bool>) -> bool) -> Option<Context> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let given = all.next().filter(|value| all.next().is_none() && is_traceparent(value));
    let given = given.map(HeaderValue::as_bytes).and_then(|text| text.first_chunk::<55>()).copied();
    if given.is_none() {
        headers.remove(TRACESTATE);
    }
    let is_sampled = sampled(given.map(|text| text[54] & 1 == 1));
    let mut text = given.unwrap_or(*b"00-00000000000000000000000000000000-0000000000000000-00");
    let mut context = Context { trace: [0; 32], span: [0; 16], parent: None };
    if given.is_some() {
        context.parent = text[36..52].try_into().ok();
    } else {
        hex(clock::random(), &mut text[3..19]);
        hex(clock::random() | 1, &mut text[19..35]);
    }
    if is_sampled || given.is_none() {
        hex(clock::random() | 1, &mut text[36..52]);
    }
    context.trace.copy_from_slice(&text[3..35]);
    context.span.copy_from_slice(&text[36..52]);
    text[53..55].copy_from_slice(if is_sampled { b"01" } else { b"00" });
    headers.insert(TRACEPARENT, value(&text));
    is_sampled.then_some(context)
}

/// `version-traceid-parentid-flags` (W3C Trace Context), ids not all zero.
fn is_traceparent(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let well_formed = |bytes: &[u8]| {
        bytes.iter().enumerate().all(|(index, byte)| match index {
            2 | 35 | 52 => *byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
    };
    // A later version may append fields; version ff is forbidden.
    let length_fits = bytes.len() == 55 || bytes.len() > 55 && bytes[55] == b'-' && !bytes.starts_with(b"00");
    length_fits
        && well_formed(&bytes[..55])
        && !bytes.starts_with(b"ff")
        && bytes[3..35].iter().any(|byte| *byte != b'0')
        && bytes[36..52].iter().any(|byte| *byte != b'0')
}

fn new_traceparent() -> HeaderValue {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-01";
    // The lowest bit keeps an id from being all zero, which would be invalid.
    hex(clock::random(), &mut text[3..19]);
    hex(clock::random() | 1, &mut text[19..35]);
    hex(clock::random() | 1, &mut text[36..52]);
    value(&text)
}

fn hex(number: u64, into: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in into.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

fn value(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).expect("hexadecimal digits and hyphens make a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_lies_within_the_callers_trace_and_the_next_hop_is_told() {
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut headers = with(TRACEPARENT, given);
        let context = enter(&mut headers, |said| said == Some(true)).expect("sampled");
        assert_eq!(context.trace, given.as_bytes()[3..35]);
        assert_eq!(context.parent.expect("there is one"), given.as_bytes()[36..52]);
        let told = headers[TRACEPARENT].to_str().expect("text").to_owned();
        assert!(
            told.starts_with(&given[..36]) && told.ends_with("-01") && !told.contains("00f067aa0ba902b7"),
            "{told}"
        );
        assert_eq!(context.span, told.as_bytes()[36..52]);

        let mut headers = with(TRACEPARENT, given);
        assert!(enter(&mut headers, |_| false).is_none());
        assert_eq!(headers[TRACEPARENT], "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");

        let mut headers = with(TRACEPARENT, "nonsense");
        headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
        let context = enter(&mut headers, |said| said.is_none()).expect("sampled");
        assert!(context.parent.is_none() && is_traceparent(&headers[TRACEPARENT]) && !headers.contains_key(TRACESTATE));
    }

    fn with(name: HeaderName, text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(text))])
    }

    #[test]
    fn an_id_is_taken_over_only_from_whom_may_choose() {
        for (given, trusted, taken) in [
            ("abc-123_4.5", true, true),
            ("abc-123_4.5", false, false),
            ("", true, false),
            ("a b", true, false),
            ("a\"b", true, false),
            ("a/b", true, false),
        ] {
            let id = request_id(&with(X_REQUEST_ID, given), trusted);
            assert_eq!(id == given, taken, "{given}, trusted: {trusted}");
        }
        let long: &'static str = "a".repeat(MAX_ID_BYTES + 1).leak();
        assert_ne!(request_id(&with(X_REQUEST_ID, long), true), long);
    }

    #[test]
    fn new_ids_are_uuids_of_version_7_in_order_of_time() {
        let ids: Vec<_> = (0..100).map(|_| request_id(&HeaderMap::new(), false)).collect();
        let parsed: Vec<_> = ids.iter().map(|id| uuid::Uuid::parse_str(id.to_str().unwrap()).unwrap()).collect();
        assert!(parsed.iter().all(|id| id.get_version_num() == 7));
        let times: Vec<_> = parsed.iter().map(|id| id.get_timestamp().unwrap().to_unix()).collect();
        assert!(times.is_sorted());
        assert_eq!(parsed.iter().collect::<std::collections::HashSet<_>>().len(), 100);
    }

    #[test]
    fn a_valid_traceparent_passes_and_any_other_is_replaced() {
        for (given, passes) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", false),
            ("", false),
        ] {
            let mut headers = with(TRACEPARENT, given);
            headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
            set_traceparent(&mut headers);
            assert_eq!(headers[TRACEPARENT] == given, passes, "{given}");
            assert_eq!(headers.contains_key(TRACESTATE), passes, "{given}");
            assert!(is_traceparent(&headers[TRACEPARENT]), "{given}");
        }
    }
}
