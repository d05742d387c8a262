//! What stands before every change that a browser asks for: it comes from a page of this site (`Sec-Fetch-Site`, `Origin`),
//! and holds the token of this browser's forms (field `csrf`, or header `x-csrf-token`).

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::Site;
use crate::server::{MAX_REQUEST_BYTES, Refused, problem};

const TOKEN_FIELD: &[u8] = b"csrf";
const TOKEN_HEADER: &str = "x-csrf-token";

/// What the forms of a browser hold that has this in a cookie.
pub(crate) fn form_token(cookie: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(cookie.as_bytes());
    // Any key is one for HMAC.
    let mut mac = mac.expect("a key of any length");
    mac.update(b"forms of the operators' door");
    hex::encode(mac.finalize().into_bytes())
}

/// Lets a request through that this site's pages made, in a browser whose cookies are one of these.
pub(crate) async fn check(request: Request, site: &Site, cookies: &[&str]) -> Result<Request, Refused> {
    if !is_from(request.headers(), &site.origin) {
        return Err(refused("it does not come from a page of this site"));
    }
    let said = request.headers().get(TOKEN_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (request, token) = match said {
        Some(token) => (request, Some(token)),
        None => in_form(request).await?,
    };
    let good =
        |token: &str| cookies.iter().any(|cookie| bool::from(form_token(cookie).as_bytes().ct_eq(token.as_bytes())));
    if token.is_some_and(|token| good(&token)) {
        Ok(request)
    } else {
        Err(refused("its form is not valid any more; go back, load the page again and send it once more"))
    }
}

fn refused(why: &str) -> Refused {
    Refused(problem(403, "the request was not sent by you", why.to_owned()))
}

/// Browsers say where a request was made. Who says nothing of the kind is no browser of today.
fn is_from(headers: &HeaderMap, origin: &str) -> bool {
    let site = headers.get("sec-fetch-site");
    let said = headers.get(header::ORIGIN);
    (site.is_some() || said.is_some())
        && site.is_none_or(|site| site == "same-origin")
        && said.is_none_or(|said| said.as_bytes() == origin.as_bytes())
}

async fn in_form(request: Request) -> Result<(Request, Option<String>), Refused> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded")) {
        return Ok((request, None));
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_REQUEST_BYTES).await;
    let body = body.map_err(|_| Refused(problem(413, "the form is too large", String::new())))?;
    let token = field(&body);
    Ok((Request::from_parts(parts, Body::from(body)), token))
}

/// The token among a form's fields. It is made of characters that forms write as they are.
fn field(body: &[u8]) -> Option<String> {
    let mut fields = body.split(|byte| *byte == b'&');
    let value = fields.find_map(|field| field.strip_prefix(TOKEN_FIELD)?.strip_prefix(b"="))?;
    std::str::from_utf8(value).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_what_comes_from_this_site_passes() {
        let check = |from: Option<&'static str>, origin: Option<&'static str>, passes: bool| {
            let mut headers = HeaderMap::new();
            from.map(|from| headers.insert("sec-fetch-site", HeaderValue::from_static(from)));
            origin.map(|origin| headers.insert(header::ORIGIN, HeaderValue::from_static(origin)));
            assert_eq!(is_from(&headers, "https://ops.example"), passes, "{headers:?}");
        };
        check(Some("same-origin"), Some("https://ops.example"), true);
        check(Some("same-origin"), None, true);
        check(None, Some("https://ops.example"), true);
        check(Some("same-site"), Some("https://ops.example"), false);
        check(Some("cross-site"), None, false);
        check(Some("none"), None, false);
        check(Some("same-origin"), Some("https://evil.example"), false);
        check(None, Some("http://ops.example"), false);
        check(None, Some("https://ops.example.evil.test"), false);
        check(None, Some("null"), false);
        check(None, None, false);
    }

    #[tokio::test]
    async fn a_form_holds_the_token_of_this_browser() {
        let site = Site { origin: "https://ops.example".into(), secure: true };
        let ask = |header: Option<String>, body: String| {
            let request = Request::post("/x").header("origin", "https://ops.example");
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            let request = header.into_iter().fold(request, |request, token| request.header(TOKEN_HEADER, token));
            request.body(Body::from(body)).expect("a request")
        };
        let good = form_token("cookie");
        let cases = [
            (None, format!("csrf={good}&name=ada"), true),
            (None, format!("name=csrf%3D&csrf={good}"), true),
            (Some(good.clone()), "name=ada".to_owned(), true),
            (None, "name=ada".to_owned(), false),
            (None, format!("xcsrf={good}"), false),
            (None, format!("csrf={}", form_token("another")), false),
            (Some(String::new()), format!("csrf={good}"), false),
        ];
        for (header, body, passes) in cases {
            let checked = check(ask(header, body.clone()), &site, &["cookie"]).await;
            assert_eq!(checked.is_ok(), passes, "{body}");
            if let Ok(request) = checked {
                let read = to_bytes(request.into_body(), 1_000).await.expect("read");
                assert_eq!(read, body, "the form is read by the next one too");
            }
        }
        assert!(check(ask(Some(form_token("")), String::new()), &site, &[]).await.is_err());
    }
}
