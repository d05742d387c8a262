//! One request on a connection of its own.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;

use super::Answer;

/// Largest answer that is looked at.
const MAX_BODY_BYTES: usize = 4 << 20;

pub(super) struct Request<'a> {
    pub(super) address: SocketAddr,
    pub(super) host: &'a str,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: Vec<(&'a str, SecretString)>,
    pub(super) body: Option<SecretString>,
}

pub(super) async fn ask(request: &Request<'_>) -> Result<Answer, String> {
    let stream = TcpStream::connect(request.address).await;
    let stream = stream.map_err(|error| format!("cannot connect to {}: {error}", request.address))?;
    let failed = |error: hyper::Error| format!("the request failed: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // Its errors come with the answer.
    let connection = tokio::spawn(connection);
    let mut builder = hyper::Request::builder().method(request.method).uri(request.path).header("host", request.host);
    for (name, value) in &request.headers {
        builder = builder.header(*name, value.expose_secret());
    }
    let is_typed = request.headers.iter().any(|(name, _)| *name == "content-type");
    if request.body.is_some() && !is_typed {
        builder = builder.header("content-type", "application/json");
    }
    let body = request.body.as_ref().map(|body| Bytes::copy_from_slice(body.expose_secret().as_bytes()));
    let asked = builder.body(Full::new(body.unwrap_or_default())).map_err(|_| "it cannot be sent as it stands")?;
    let answer = sender.send_request(asked).await.map_err(failed)?;
    let (head, body) = answer.into_parts();
    let body =
        Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(|error| format!("its answer broke off: {error}"))?;
    connection.abort();
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body: body.to_bytes().to_vec(),
    })
}
