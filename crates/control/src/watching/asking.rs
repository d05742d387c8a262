//! One scrape, one probe, over a connection that is kept.

mod line;
mod names;
mod way;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, USER_AGENT};
use hyper::{Request, StatusCode};
use mana_watch::exposition::{Format, MAX_BODY_BYTES};
use tokio::net::TcpStream;

pub(super) use self::line::Line;
pub(super) use self::way::Ways;
use super::subjects::Asked;

/// How the requests of probes and scrapes call themselves: there are those who answer nobody without a name.
const NAME: &str = "mana-watch";
/// What our edge puts on each of its answers.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What is read of a probe's answer, so that its connection can be kept, and for how long: the answer is known by then.
const REST_BYTES: usize = 64 * 1024;
const REST_PATIENCE: Duration = Duration::from_secs(1);

/// What a scrape gave.
#[derive(Debug)]
pub(super) enum Given {
    /// An exposition.
    Exposition(Format, Vec<u8>),
    /// It answers, and measures nothing: not every program does.
    Nothing,
}

/// Why there is no good answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// Its name has no address.
    #[error("{host} leads nowhere: {why}")]
    Nowhere { host: String, why: String },
    /// Its name has the address of somebody else.
    #[error("{host} leads elsewhere: {why}")]
    Elsewhere { host: String, why: String },
    /// Whoever answers does not show that he is the host.
    #[error("its certificate is not accepted: {0}")]
    Certificate(String),
    /// Nobody answers.
    #[error("no connection: {0}")]
    Connection(String),
    /// It does, and says that it cannot.
    #[error("it answered {0}")]
    Answer(StatusCode),
    /// Too late.
    #[error("no answer within {0:?}")]
    Time(Duration),
    /// Its answer is no small one.
    #[error("its answer is larger than {0} bytes")]
    Size(usize),
    /// The question is none.
    #[error("it cannot be asked: {0}")]
    Question(String),
}

impl Failure {
    /// In a word, as a label.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Nowhere { .. } => "nowhere",
            Self::Elsewhere { .. } => "elsewhere",
            Self::Certificate(_) => "certificate",
            Self::Connection(_) => "connection",
            Self::Answer(_) | Self::Size(_) => "answer",
            Self::Time(_) => "time",
            Self::Question(_) => "question",
        }
    }
}

/// Asks an instance for what it measures.
pub(super) async fn scrape(line: &Line, port: u16, timeout: Duration) -> Result<Given, Failure> {
    tokio::time::timeout(timeout, scraped(line, port)).await.unwrap_or(Err(Failure::Time(timeout)))
}

async fn scraped(line: &Line, port: u16) -> Result<Given, Failure> {
    const WANTED: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let question = Request::get("/metrics").header(HOST, format!("127.0.0.1:{port}")).header(ACCEPT, WANTED);
    let question = question.body(Empty::new()).map_err(|error| Failure::Question(error.to_string()))?;
    let connect = async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        Ok(Box::new(stream.map_err(|error| Failure::Connection(error.to_string()))?) as line::Way)
    };
    let answer = line.ask(question, connect).await?;
    let status = answer.response().status();
    if status.is_server_error() {
        return Err(Failure::Answer(status));
    }
    let kind = answer.response().headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = match kind.split(';').next().unwrap_or_default().trim() {
        "application/openmetrics-text" if status.is_success() => Some(Format::OpenMetrics),
        "text/plain" if status.is_success() => Some(Format::Text),
        // A page, say, that answers everything it does not know.
        _ => None,
    };
    let Some(format) = format else {
        answer.rest().await;
        return Ok(Given::Nothing);
    };
    Ok(Given::Exposition(format, answer.body(MAX_BODY_BYTES).await?))
}

/// Asks a service how it is, as a client of it would.
pub(super) async fn probe(line: &Line, ways: &Ways, timeout: Duration, asked: &Asked) -> Result<(), Failure> {
    tokio::time::timeout(timeout, probed(line, ways, asked)).await.unwrap_or(Err(Failure::Time(timeout)))
}

async fn probed(line: &Line, ways: &Ways, asked: &Asked) -> Result<(), Failure> {
    let answer = line.ask(question(asked)?, ways.connect(asked)).await?;
    let status = answer.response().status();
    let is_ours = asked.by_name.is_none() || answer.response().headers().contains_key(REQUEST_ID);
    answer.rest().await;
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        Err(Failure::Answer(status))
    } else if is_ours {
        Ok(())
    } else {
        let why = format!("whoever answers {status} there is not our edge");
        Err(Failure::Elsewhere { host: asked.host.clone(), why })
    }
}

fn question(asked: &Asked) -> Result<Request<Empty<Bytes>>, Failure> {
    let (tls, port) = asked.by_name.map_or((asked.tls, asked.address.port()), |by_name| (by_name.tls, by_name.port));
    let usual = if tls { 443 } else { 80 };
    let host = if port == usual { asked.host.clone() } else { format!("{}:{port}", asked.host) };
    let question = Request::get(asked.path.as_str()).header(HOST, host).header(USER_AGENT, NAME);
    question.body(Empty::new()).map_err(|error| Failure::Question(error.to_string()))
}

#[cfg(test)]
mod tests;
