//! Answers the edge gives by itself: everything that can be wrong, with its status and its words.
//!
//! Programs get problem+json (RFC 9457), browsers a small page, as `Accept` asks. Titles are constant and differ from
//! each other, so that a log line or a screenshot tells which case it was. A new case is one more [`Fault`] and one
//! row in [`Fault::words`].

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use crate::body::Body;

/// What a client that met "no ready instance" should wait, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why a request gets no answer from a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    // The request cannot be understood.
    BadHost,
    BadTarget,
    BadBody,
    MethodNotOffered,
    TooManyHeaders,
    BodyTooLarge,
    BodyTooSlow,
    // It leads nowhere.
    UnknownHost,
    UnknownPath,
    NotFound,
    MethodNotAllowed,
    // It is not let in.
    Forbidden,
    Unauthorized,
    TooManyRequests,
    Maintenance,
    Overloaded,
    // Whoever should answer does not.
    NoInstance,
    ListenerGone,
    Unreachable,
    BrokenOff,
    TooLate,
    FilesUnreadable,
}

impl Fault {
    /// Status, title, and what a person can do about it.
    fn words(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadHost => (
                StatusCode::BAD_REQUEST,
                "Host header missing or malformed",
                "Send exactly one Host header with a host name.",
            ),
            Self::BadTarget => (
                StatusCode::BAD_REQUEST,
                "Ambiguous request target",
                "Send the path without `.` and `..` segments, backslashes, encoded separators and `#`, and the same host in target and Host header.",
            ),
            Self::BadBody => {
                (StatusCode::BAD_REQUEST, "Request body broken off or malformed", "Send as many bytes as announced.")
            }
            Self::MethodNotOffered => (
                StatusCode::NOT_IMPLEMENTED,
                "Method not offered",
                "This is no forward proxy: CONNECT is not possible.",
            ),
            Self::TooManyHeaders => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "Too many request headers",
                "Send fewer header fields; clearing cookies often helps.",
            ),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Request body too large", "Send less at once."),
            Self::BodyTooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "Request body did not arrive in time",
                "Check the connection and send it again.",
            ),
            Self::UnknownHost => {
                (StatusCode::NOT_FOUND, "No such host here", "Check the address; no site of this name is served here.")
            }
            Self::UnknownPath => {
                (StatusCode::NOT_FOUND, "No service for this path", "Check the path; nothing on this host answers it.")
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "No such page", "Check the path; it may have moved."),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed for files", "Files can be read with GET and HEAD.")
            }
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "Not open to this address",
                "Ask whoever runs this site to let your network in.",
            ),
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "Name and password needed", "Ask whoever runs this site for them.")
            }
            Self::TooManyRequests => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests",
                "Wait as long as Retry-After says, and ask less often.",
            ),
            Self::Maintenance => {
                (StatusCode::SERVICE_UNAVAILABLE, "Closed for maintenance", "It is being worked on; come again soon.")
            }
            Self::Overloaded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many requests at once",
                "The server is busy; try again in a moment.",
            ),
            Self::NoInstance => (
                StatusCode::SERVICE_UNAVAILABLE,
                "No ready instance",
                "The service is starting or was stopped; try again in a moment.",
            ),
            Self::ListenerGone => (StatusCode::SERVICE_UNAVAILABLE, "Address no longer served", "Connect again."),
            Self::Unreachable => (
                StatusCode::BAD_GATEWAY,
                "Instance unreachable",
                "The service did not accept the connection; try again in a moment.",
            ),
            Self::BrokenOff => (
                StatusCode::BAD_GATEWAY,
                "Instance broke off",
                "The service closed the connection before it answered; the request may have had an effect.",
            ),
            Self::TooLate => (
                StatusCode::GATEWAY_TIMEOUT,
                "Instance answered too late",
                "The service is slow or stuck; the request may have had an effect.",
            ),
            Self::FilesUnreadable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Files unreadable",
                "The site's folder is missing or cannot be read on the server.",
            ),
        }
    }

    /// Whether the connection cannot be used after it, because the rest of the request is not to be read.
    fn closes(self) -> bool {
        matches!(
            self,
            Self::BadHost
                | Self::BadTarget
                | Self::BadBody
                | Self::MethodNotOffered
                | Self::TooManyHeaders
                | Self::BodyTooLarge
                | Self::BodyTooSlow
                | Self::ListenerGone
        )
    }

    /// The whole answer, in the form the client asked for.
    pub(crate) fn answer(self, form: Form, request_id: &HeaderValue) -> Response<Body> {
        let (status, title, detail) = self.words();
        let id = request_id.to_str().unwrap_or_default();
        let (kind, text) = if form == Form::Page {
            ("text/html; charset=utf-8", page(status, title, detail, id))
        } else {
            ("application/problem+json", problem(status, title, detail, id))
        };
        let mut response = Response::new(Body::full(Bytes::from(text)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
        if matches!(self, Self::NoInstance | Self::FilesUnreadable | Self::ListenerGone | Self::Overloaded) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if self == Self::MethodNotAllowed {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if self.closes() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// What a client can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Problem,
    Page,
}

impl Form {
    /// Browsers name `text/html`; programs name JSON or take anything.
    pub(crate) fn asked_by(headers: &HeaderMap) -> Self {
        let names_html = headers.get_all(header::ACCEPT).iter().any(|accept| {
            let accept = accept.as_bytes();
            accept.windows(b"text/html".len()).any(|window| window.eq_ignore_ascii_case(b"text/html"))
        });
        if names_html { Self::Page } else { Self::Problem }
    }
}

fn problem(status: StatusCode, title: &str, detail: &str, id: &str) -> String {
    serde_json::json!({
        "type": "about:blank",
        "title": title,
        "status": status.as_u16(),
        "detail": detail,
        "requestId": id,
    })
    .to_string()
}

fn page(status: StatusCode, title: &str, detail: &str, id: &str) -> String {
    // Words are ours and an id is letters, digits, `.`, `_` and `-`: nothing here needs escaping.
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{code} {title}</title>\n\
         <style>:root{{color-scheme:light dark}}body{{font:1rem/1.6 system-ui,sans-serif;max-width:34rem;margin:18vh auto;\
         padding:0 1.25rem}}h1{{font-size:1.5rem}}code{{font-size:.875rem;opacity:.75}}</style>\n\
         <h1>{title}</h1>\n<p>{detail}</p>\n<p><code>{code} · {id}</code></p>\n</html>\n",
        code = status.as_u16(),
        detail = detail.replace('`', ""),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const ALL: [Fault; 17] = [
        Fault::BadHost,
        Fault::BadTarget,
        Fault::BadBody,
        Fault::MethodNotOffered,
        Fault::TooManyHeaders,
        Fault::BodyTooLarge,
        Fault::BodyTooSlow,
        Fault::UnknownHost,
        Fault::UnknownPath,
        Fault::NotFound,
        Fault::MethodNotAllowed,
        Fault::NoInstance,
        Fault::ListenerGone,
        Fault::Unreachable,
        Fault::BrokenOff,
        Fault::TooLate,
        Fault::FilesUnreadable,
    ];

    #[test]
    fn every_fault_has_words_of_its_own() {
        let titles: HashSet<_> = ALL.iter().map(|fault| fault.words().1).collect();
        assert_eq!(titles.len(), ALL.len());
        assert!(ALL.iter().all(|fault| fault.words().0.is_client_error() || fault.words().0.is_server_error()));
    }

    #[test]
    fn browsers_get_a_page_and_programs_get_a_problem() {
        for (accept, expected) in [
            (Some("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), "text/html; charset=utf-8"),
            (Some("TEXT/HTML"), "text/html; charset=utf-8"),
            (Some("application/json"), "application/problem+json"),
            (Some("*/*"), "application/problem+json"),
            (None, "application/problem+json"),
        ] {
            let asked: HeaderMap =
                accept.map(|accept| (header::ACCEPT, HeaderValue::from_static(accept))).into_iter().collect();
            let answer = Fault::NoInstance.answer(Form::asked_by(&asked), &HeaderValue::from_static("id-1"));
            assert_eq!(answer.headers()[header::CONTENT_TYPE], expected, "{accept:?}");
            assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
        }
    }

    #[test]
    fn words_read_well() {
        let fault = Fault::UnknownHost;
        let (status, title, detail) = fault.words();
        insta::assert_snapshot!(problem(status, title, detail, "018f-id"), @r#"{"detail":"Check the address; no site of this name is served here.","requestId":"018f-id","status":404,"title":"No such host here","type":"about:blank"}"#);
        let page = page(status, title, detail, "018f-id");
        assert!(page.contains("<h1>No such host here</h1>") && page.contains("404 · 018f-id"), "{page}");
    }
}
