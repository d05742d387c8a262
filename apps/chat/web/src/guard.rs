//! What stands before every request that changes something, so that no handler can forget it: it must come from a page of
//! this site (`Origin`), and carry the token of this browser's forms (field `csrf` or header `x-csrf-token`).

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::Shared;
use crate::config::Site;
use crate::error::Error;
use crate::limits::MAX_FORM_BYTES;
use crate::sessions::Cookies;
use crate::words::Words;

const TOKEN_FIELD: &[u8] = b"csrf";
const TOKEN_HEADER: &str = "x-csrf-token";

/// Lets a request through, or refuses it.
pub(crate) async fn check(State(app): State<Shared>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    if !from_this_site(request.headers(), &app.site) {
        return refuse("origin", "This request came from another site and was refused.");
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_FORM_BYTES).await else {
        let text = "This message is too long. Nothing was charged; shorten it and send it again.";
        return Error::Told(Words::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", text)).into_response();
    };
    let cookies = Cookies::read(&parts.headers, &app.site);
    let header = parts.headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let token = header.or_else(|| form_token(&body));
    let good = cookies.of_forms().zip(token).is_some_and(|(id, token)| app.keys.is_form_token(id, &token));
    if !good {
        return refuse("csrf", "This form is no longer valid. Go back, reload the page and send it again.");
    }
    next.run(Request::from_parts(parts, Body::from(body))).await
}

fn refuse(reason: &'static str, text: &str) -> Response {
    metrics::counter!("requests_not_of_this_site_total", "reason" => reason).increment(1);
    tracing::warn!(reason, "a request that changes something was refused");
    Error::Told(Words::new(StatusCode::FORBIDDEN, reason, text)).into_response()
}

/// Browsers tell where a form was sent from. Who tells nothing of the kind is no browser of today, and refused.
fn from_this_site(headers: &HeaderMap, site: &Site) -> bool {
    match headers.get(header::ORIGIN) {
        Some(origin) => origin.as_bytes() == site.origin.as_bytes(),
        None => headers.get("sec-fetch-site").is_some_and(|from| from == "same-origin"),
    }
}

/// The token among a form's fields. It is made of characters that forms write as they are.
fn form_token(body: &[u8]) -> Option<String> {
    let mut fields = body.split(|byte| *byte == b'&');
    let value = fields.find_map(|field| field.strip_prefix(TOKEN_FIELD)?.strip_prefix(b"="))?;
    std::str::from_utf8(value).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn only_what_comes_from_this_site_passes() {
        let site = Site { origin: "https://chat.example".into(), secure: true };
        let check = |header: Option<(&'static str, &'static str)>, passes: bool| {
            let headers: HeaderMap = header
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .into_iter()
                .collect();
            assert_eq!(from_this_site(&headers, &site), passes, "{header:?}");
        };
        check(Some(("origin", "https://chat.example")), true);
        check(Some(("sec-fetch-site", "same-origin")), true);
        check(Some(("origin", "http://chat.example")), false);
        check(Some(("origin", "https://chat.example.evil.test")), false);
        check(Some(("origin", "null")), false);
        check(Some(("sec-fetch-site", "same-site")), false);
        check(None, false);
    }

    #[test]
    fn the_token_is_found_among_the_fields() {
        for (body, expected) in [
            ("csrf=abc-_&prompt=x", Some("abc-_")),
            ("prompt=csrf%3Dx&csrf=abc", Some("abc")),
            ("prompt=x", None),
            ("xcsrf=abc", None),
            ("csrf", None),
        ] {
            assert_eq!(form_token(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
