//! One scrape, one probe.

use std::time::Duration;

use mana_watch::exposition::{Format, MAX_BODY_BYTES};

use super::subjects::Asked;

/// What a scrape gave.
#[derive(Debug)]
pub(super) enum Given {
    /// An exposition.
    Exposition(Format, Vec<u8>),
    /// It answers, and measures nothing: not every program does.
    Nothing,
}

/// A client that keeps its connections. What it talks to is on this machine, and said by name by whoever asks.
pub(super) fn client(timeout: Duration) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .pool_max_idle_per_host(1)
        .build()
}

/// Asks an instance for what it measures.
pub(super) async fn scrape(client: &reqwest::Client, port: u16) -> Result<Given, String> {
    const ACCEPT: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let url = format!("http://127.0.0.1:{port}/metrics");
    let mut answer = client.get(url).header("accept", ACCEPT).send().await.map_err(in_words)?;
    let status = answer.status();
    if status.is_server_error() {
        return Err(format!("its /metrics answered {status}"));
    }
    let kind = answer.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = match kind.split(';').next().unwrap_or_default().trim() {
        "application/openmetrics-text" => Format::OpenMetrics,
        "text/plain" => Format::Text,
        // A page, say, that answers everything it does not know.
        _ => return Ok(Given::Nothing),
    };
    if !status.is_success() {
        return Ok(Given::Nothing);
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(in_words)? {
        if body.len() + piece.len() > MAX_BODY_BYTES {
            return Err(format!("its /metrics is larger than {MAX_BODY_BYTES} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Given::Exposition(format, body))
}

/// Asks a service how it is, as a client of it would.
pub(super) async fn probe(timeout: Duration, asked: &Asked) -> Result<(), String> {
    // The listener is our own: what its certificates are worth is watched by their dates, and is not this question.
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .danger_accept_invalid_certs(true)
        .resolve(&asked.host, asked.address)
        .build()
        .map_err(in_words)?;
    let scheme = if asked.tls { "https" } else { "http" };
    let url = format!("{scheme}://{}:{}{}", asked.host, asked.address.port(), asked.path);
    let status = client.get(url).send().await.map_err(in_words)?.status();
    if status.is_server_error() || status.as_u16() == 429 { Err(format!("it answered {status}")) } else { Ok(()) }
}

fn in_words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let behind = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    behind.fold(error.to_string(), |text, error| format!("{text}: {error}"))
}
