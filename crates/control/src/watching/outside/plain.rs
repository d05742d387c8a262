//! Whoever answers HTTP, or takes connections.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::Address;

/// What is read of an answer, so that its connection can be kept.
const SMALL_BYTES: u64 = 64 * 1024;

/// A client that keeps its connection. What is on this machine is asked directly, whatever proxy there is.
pub(super) fn client(address: &Address, timeout: Duration) -> Result<reqwest::Client, String> {
    let url = address.url()?;
    let here = url.host().is_some_and(|host| match host {
        url::Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    });
    let client = reqwest::Client::builder()
        .user_agent("mana-watch")
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .pool_max_idle_per_host(1);
    let client = if here { client.no_proxy() } else { client };
    client.build().map_err(in_words)
}

/// How long it took, where it answered well.
pub(super) async fn http(client: &reqwest::Client, address: &Address, status: Option<u16>) -> Result<Duration, String> {
    let began = Instant::now();
    let answer = client.get(address.url()?).send().await.map_err(in_words)?;
    let (found, took) = (answer.status().as_u16(), began.elapsed());
    // A status is all that is asked for.
    if answer.content_length().is_some_and(|length| length <= SMALL_BYTES) {
        drop(answer.bytes().await);
    }
    let well = status.map_or(found < 500 && found != 429, |wanted| found == wanted);
    if well { Ok(took) } else { Err(format!("it answered {found}")) }
}

/// How long it took to be let in.
pub(super) async fn tcp(host: &str, port: u16) -> Result<Duration, String> {
    let began = Instant::now();
    let connected = TcpStream::connect((host.trim_matches(['[', ']']), port)).await;
    connected.map(|_| began.elapsed()).map_err(|error| error.to_string())
}

fn in_words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let behind = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    behind.fold(error.to_string(), |text, error| format!("{text}: {error}"))
}
