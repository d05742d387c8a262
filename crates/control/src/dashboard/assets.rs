//! What the browser needs beside pages: embedded, under names that change with the content, so kept for ever.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Its name holds a hash of its content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The icon's name is fixed, so it is asked for again now and then.
const A_DAY: &str = "public, max-age=86400";

pub(crate) const ICON: &str = include_str!("../../templates/dashboard/favicon.svg");

struct Asset {
    name: &'static str,
    plain: &'static [u8],
    brotli: &'static [u8],
}

/// What pages look like. It stands in each of them, so that the first of them is painted as soon as it begins to be there.
pub(crate) fn looks() -> &'static str {
    let style = ASSETS.iter().find(|asset| Some(asset.name) == STYLE.strip_prefix("/assets/"));
    style.and_then(|style| std::str::from_utf8(style.plain).ok()).unwrap_or_default()
}

/// [`looks`] as a policy names it.
pub(super) fn looks_hash() -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(looks())))
}

/// What the status page needs of it, by name; the edge compresses it itself.
pub(crate) fn of_status_page() -> Vec<(&'static str, &'static [u8])> {
    let wanted = [STATUS_SCRIPT, STATUS_STYLE].map(|path| path.trim_start_matches("/assets/"));
    ASSETS.iter().filter(|asset| wanted.contains(&asset.name)).map(|asset| (asset.name, asset.plain)).collect()
}

/// `GET /assets/{name}`
pub(crate) async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let kind = match asset.name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("css") => "text/css; charset=utf-8",
        _ => "text/javascript; charset=utf-8",
    };
    let fixed = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, FOR_EVER), (header::VARY, "accept-encoding")];
    if !takes_brotli(&headers) {
        return (fixed, asset.plain).into_response();
    }
    let mut response = (fixed, asset.brotli).into_response();
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    response
}

/// `GET /favicon.svg`, and `/favicon.ico` for those who ask without looking.
pub(crate) async fn icon() -> impl IntoResponse {
    (StatusCode::OK, [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, A_DAY)], ICON)
}

fn takes_brotli(headers: &HeaderMap) -> bool {
    let listed = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut codings = listed.flat_map(|list| list.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let quality = |text: &str| text.strip_prefix("q=").and_then(|value| value.parse::<f32>().ok());
        parts.next() == Some("br") && parts.next().is_none_or(|text| quality(text).is_some_and(|value| value > 0.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pages_look_like_can_stand_in_them() {
        assert!(looks().contains(".panel") && !looks().contains("</"), "{}", looks());
    }

    #[test]
    fn brotli_goes_only_to_who_takes_it() {
        let check = |list: &'static str, expected: bool| {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(list))]);
            assert_eq!(takes_brotli(&headers), expected, "{list}");
        };
        check("gzip, deflate, br", true);
        check("gzip, br;q=0.8", true);
        check("br;q=0", false);
        check("gzip", false);
        check("brotli", false);
    }
}
