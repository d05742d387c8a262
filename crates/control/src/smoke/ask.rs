//! One request on a connection of its own.

use std::net::SocketAddr;

use secrecy::{ExposeSecret, SecretString};

use super::Answer;

/// Largest answer that is looked at.
const MAX_BODY_BYTES: usize = 4 << 20;

pub(super) struct Request<'a> {
    /// Where the edge accepts it, and whether with TLS.
    pub(super) address: SocketAddr,
    pub(super) tls: bool,
    pub(super) host: &'a str,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: Vec<(&'a str, SecretString)>,
    pub(super) body: Option<SecretString>,
}

pub(super) async fn ask(request: &Request<'_>) -> Result<Answer, String> {
    let failed = |error: reqwest::Error| format!("the request failed: {}", in_full(&error.without_url()));
    // The listener is our own; what its certificates are worth is watched elsewhere, and a new host may still wait for its first one.
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .danger_accept_invalid_certs(true)
        .resolve(request.host, request.address)
        .build()
        .map_err(failed)?;
    let scheme = if request.tls { "https" } else { "http" };
    let url = format!("{scheme}://{}:{}{}", request.host, request.address.port(), request.path);
    let method = request.method.parse().map_err(|_| format!("`{}` is no method", request.method))?;
    let mut asked = client.request(method, url);
    for (name, value) in &request.headers {
        asked = asked.header(*name, value.expose_secret());
    }
    if let Some(body) = &request.body {
        if !request.headers.iter().any(|(name, _)| *name == "content-type") {
            asked = asked.header("content-type", "application/json");
        }
        asked = asked.body(body.expose_secret().to_owned());
    }
    let mut answer = asked.send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        if body.len() + piece.len() > MAX_BODY_BYTES {
            return Err(format!("its answer is larger than {MAX_BODY_BYTES} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = answer.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    Ok(Answer { status: answer.status().as_u16(), headers, body })
}

fn in_full(error: &reqwest::Error) -> String {
    let behind = std::iter::successors(std::error::Error::source(error), |error| error.source());
    behind.fold(error.to_string(), |text, error| format!("{text}: {error}"))
}
