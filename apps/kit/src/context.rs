//! What belongs to the request that is being answered: its id and its trace, for logs, problems and calls onward.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{clock, trace};

/// The header that carries a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header that carries a request's trace (W3C Trace Context).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longest request id that is taken over from a caller.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// One request's id and trace.
#[derive(Debug, Clone)]
pub struct Context {
    /// The id.
    pub request_id: HeaderValue,
    /// The trace, where the caller gave a well-formed one; where the request is traced, within a span of this service.
    pub traceparent: Option<HeaderValue>,
    /// That span.
    pub(crate) span: Option<trace::Active>,
}

tokio::task_local! {
    static CURRENT: Context;
}

impl Context {
    /// Takes id and trace from the headers where they are well-formed, else makes an id.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let request_id = headers.get(REQUEST_ID).filter(|id| is_request_id(id.as_bytes())).cloned();
        let traceparent = headers.get(TRACEPARENT).filter(|trace| is_traceparent(trace.as_bytes())).cloned();
        Self { request_id: request_id.unwrap_or_else(new_request_id), traceparent, span: None }
    }

    /// For what is done at once for several requests: part of the first of them that is traced, or of the first.
    pub fn of_several<'a>(mut requests: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let first = requests.next()?;
        let traced = std::iter::once(first).chain(requests).find(|context| context.span.is_some());
        Some(traced.unwrap_or(first).clone())
    }

    /// The id as text.
    pub fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// Runs `future` as part of this request; also for tasks that outlive the handler.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }
}

/// The request that is being answered, if any.
pub fn current() -> Option<Context> {
    CURRENT.try_with(Clone::clone).ok()
}

/// The id of the request that is being answered, if any.
pub fn request_id() -> Option<String> {
    CURRENT.try_with(|context| context.request_id().to_owned()).ok()
}

fn new_request_id() -> HeaderValue {
    HeaderValue::from_str(&clock::new_id().to_string()).expect("a UUID is a valid header value")
}

fn is_request_id(bytes: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    !bytes.is_empty() && bytes.len() <= MAX_REQUEST_ID_BYTES && bytes.iter().all(allowed)
}

fn is_traceparent(bytes: &[u8]) -> bool {
    let shape = |(index, byte): (usize, &u8)| match index {
        2 | 35 | 52 => *byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    bytes.len() == 55 && bytes.iter().enumerate().all(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_formed_id_is_kept_and_any_other_replaced() {
        let check = |id: &str, kept: bool| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_str(id).unwrap())]);
            assert_eq!(Context::from_headers(&headers).request_id() == id, kept, "{id}");
        };
        check("0190b2b4-aaaa-7bbb-8ccc-0123456789ab", true);
        check("a b", false);
        check("<script>", false);
        check(&"x".repeat(129), false);
    }

    #[test]
    fn what_is_done_for_several_is_part_of_the_first() {
        let context =
            |id: &str| Context { request_id: HeaderValue::from_str(id).unwrap(), traceparent: None, span: None };
        let requests = [context("a"), context("b")];
        assert_eq!(Context::of_several(requests.iter()).unwrap().request_id(), "a");
        assert!(Context::of_several([].iter()).is_none());
    }

    #[test]
    fn only_a_well_formed_trace_is_kept() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for (trace, kept) in [(good, true), ("00-xyz", false), (&good.to_uppercase(), false)] {
            let headers = HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_str(trace).unwrap())]);
            assert_eq!(Context::from_headers(&headers).traceparent.is_some(), kept, "{trace}");
        }
    }
}
