//! The operators' door of another machine.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use hyper::header::RETRY_AFTER;
use hyper::{HeaderMap, Method, StatusCode};
use reqwest::Response;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio_util::io::ReaderStream;

use super::{ClientError, MAX_ANSWER_BYTES, refused, talk};
use crate::api::Problem;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A release of some hundred megabytes over a slow line.
const UPLOAD_TIMEOUT: Duration = Duration::from_hours(1);

/// Where it is, and what lets us in.
#[derive(Debug, Clone)]
pub(super) struct Server {
    url: String,
    token: SecretString,
    http: reqwest::Client,
}

impl Server {
    pub(super) fn new(url: &str, token: SecretString) -> Result<Self, ClientError> {
        // A token must not follow where an answer points to.
        let mut http =
            reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).redirect(reqwest::redirect::Policy::none());
        // `*.localhost` is this machine, whether its resolver knows that or not.
        if let Some(host) = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned))
            && host.ends_with(".localhost")
        {
            http = http.resolve(&host, (Ipv4Addr::LOCALHOST, 0).into()).no_proxy();
        }
        let http = http.build().map_err(|error| talk("speaking TLS")(error.into()))?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), token, http })
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}/api{path}", self.url)).bearer_auth(self.token.expose_secret())
    }

    pub(super) async fn answer<B: Serialize + Sync>(
        &self,
        method: Method,
        path: &str,
        body: &B,
        longest: Duration,
    ) -> Result<Bytes, ClientError> {
        let asked = self.request(method, path).json(body).timeout(longest).send().await;
        whole(asked.map_err(|error| talk("asking")(error.without_url().into()))?).await
    }

    pub(super) async fn upload(&self, path: &str, file: &Path) -> Result<Bytes, ClientError> {
        let file = tokio::fs::File::open(file).await.map_err(|error| talk("reading the release")(error.into()))?;
        let body = reqwest::Body::wrap_stream(ReaderStream::new(file));
        let sent = self.request(Method::PUT, path).body(body).timeout(UPLOAD_TIMEOUT).send().await;
        whole(sent.map_err(|error| talk("sending the release")(error.without_url().into()))?).await
    }
}

async fn whole(answer: Response) -> Result<Bytes, ClientError> {
    let (status, after) = (answer.status(), after(answer.headers()));
    let (mut stream, mut bytes) = (answer.bytes_stream(), BytesMut::new());
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| talk("reading the answer")(error.without_url().into()))?;
        if bytes.len() + piece.len() > MAX_ANSWER_BYTES {
            return Err(ClientError::Answer { what: "it is too large".into() });
        }
        bytes.extend_from_slice(&piece);
    }
    match status {
        status if status.is_success() => Ok(bytes.freeze()),
        // What the edge and proxies before it say of a moment, not of the question.
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Err(ClientError::NotNow { problem: said(status, &bytes), after }),
        status => Err(refused(status, &bytes)),
    }
}

/// A proxy between may have words of its own.
fn said(status: StatusCode, bytes: &[u8]) -> Problem {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Problem {
        title: status.to_string(),
        status: status.as_u16(),
        detail: String::new(),
        problems: Vec::new(),
    })
}

/// `Retry-After` in seconds. As a date it is not read: nobody here sends one, and clocks differ.
fn after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// What becomes of this answer.
    async fn asked(answer: &'static str) -> Result<Bytes, ClientError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answering = async {
            let (mut stream, _peer) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let server = Server::new(&url, "token".to_owned().into()).unwrap();
        let question = server.answer(Method::GET, "/v1/status", &(), Duration::from_secs(10));
        tokio::join!(question, answering).0
    }

    #[tokio::test]
    async fn a_moment_in_which_nobody_can_say_is_told_from_a_refusal() {
        let limited = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 43\r\nconnection: close\r\n\r\n\
                       {\"title\":\"Too many requests\",\"status\":429 }";
        let Err(ClientError::NotNow { problem, after }) = asked(limited).await else { panic!("it may be asked again") };
        assert_eq!(
            (problem.title.as_str(), problem.status, after),
            ("Too many requests", 429, Some(Duration::from_secs(7)))
        );
        let proxy = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>";
        let Err(ClientError::NotNow { problem, after: None }) = asked(proxy).await else {
            panic!("it may be asked again")
        };
        assert_eq!((problem.title.as_str(), problem.status), ("502 Bad Gateway", 502));
        let refused =
            "HTTP/1.1 409 Conflict\r\ncontent-length: 27\r\nconnection: close\r\n\r\n{\"title\":\"no\",\"status\":409}";
        assert!(matches!(asked(refused).await, Err(ClientError::Refused(problem)) if problem.status == 409));
    }
}
