//! The operators' door of another machine.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use hyper::Method;
use reqwest::Response;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio_util::io::ReaderStream;

use super::{ClientError, MAX_ANSWER_BYTES, refused, talk};

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
    let status = answer.status();
    let (mut stream, mut bytes) = (answer.bytes_stream(), BytesMut::new());
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| talk("reading the answer")(error.without_url().into()))?;
        if bytes.len() + piece.len() > MAX_ANSWER_BYTES {
            return Err(ClientError::Answer { what: "it is too large".into() });
        }
        bytes.extend_from_slice(&piece);
    }
    if status.is_success() { Ok(bytes.freeze()) } else { Err(refused(status, &bytes)) }
}
