//! A listener that only sends clients on to TLS. Its one other task: an authority that is about to certify a host looks
//! for its proof here, over plain HTTP.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};

use crate::answer::Fault;
use crate::body::Body;
use crate::host;
use crate::table::Table;
use crate::tls::Store;

/// Where authorities look (RFC 8555, 8.3).
const PROOFS: &str = "/.well-known/acme-challenge/";

/// The port that a URL of `https` means without saying so.
const HTTPS: u16 = 443;

pub(crate) fn answer(
    table: &Table,
    store: &Store,
    authority: Option<&str>,
    parts: &Parts,
    port: u16,
) -> Result<Response<Body>, Fault> {
    if let Some(proof) = parts.uri.path().strip_prefix(PROOFS).and_then(|token| store.file_proof(token)) {
        let mut response = Response::new(Body::full(Bytes::from(String::from(proof))));
        let octets = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, octets);
        return Ok(response);
    }
    let host = authority.and_then(host::normal).ok_or(Fault::BadHost)?;
    if !table.hosts.contains_key(&*host) {
        return Err(Fault::UnknownHost);
    }
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    // `*`, the target of OPTIONS about a whole server, is no path.
    let target = if target.starts_with('/') { target } else { "/" };
    let to = if port == HTTPS { format!("https://{host}{target}") } else { format!("https://{host}:{port}{target}") };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, HeaderValue::try_from(to).map_err(|_| Fault::BadTarget)?);
    Ok(response)
}
