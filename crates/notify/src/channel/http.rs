//! Channels over HTTP.

use aws_lc_rs::hmac;
use reqwest::{RequestBuilder, StatusCode, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::outbox::{Delivery, Failure};
use crate::{Message, Severity};

/// Slack's limit for one text is 40,000 characters; a person reads far less.
const MAX_TEXT: usize = 8_000;
/// ntfy makes an attachment of more.
const MAX_NTFY_TEXT: usize = 3_500;

pub(super) async fn webhook(
    url: &SecretString,
    secret: Option<&SecretString>,
    delivery: &Delivery,
    now_s: u64,
) -> Result<(), Failure> {
    let Message { key, title, text, severity, link, facts, at_ms } = &delivery.message;
    let facts: serde_json::Map<_, _> = facts.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let body = json!({
        "key": key, "title": title, "text": text, "severity": severity, "link": link, "facts": facts,
        "at_ms": at_ms, "more": delivery.more,
    });
    let body = body.to_string();
    let mut request = post(url)?.header("content-type", "application/json").header("idempotency-key", key);
    if let Some(secret) = secret {
        request = request.header("mana-signature", signature(secret, now_s, &body));
    }
    answered(request.body(body)).await
}

/// `t=SECONDS,v1=HEX`: HMAC-SHA256 of `SECONDS.BODY`, so that neither body nor time can be changed.
fn signature(secret: &SecretString, now_s: u64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let tag = hmac::sign(&key, format!("{now_s}.{body}").as_bytes());
    format!("t={now_s},v1={}", hex::encode(tag.as_ref()))
}

pub(super) async fn slack(url: &SecretString, delivery: &Delivery) -> Result<(), Failure> {
    let message = &delivery.message;
    let text = format!("*{}*\n{}", escaped(&message.title), escaped(&bounded(&message.plain(delivery.more), MAX_TEXT)));
    let body = json!({ "text": text }).to_string();
    answered(post(url)?.header("content-type", "application/json").body(body)).await
}

/// What Slack asks to be escaped; so nobody is addressed (`<!channel>`) by the text of a commit.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

pub(super) async fn ntfy(url: &SecretString, token: Option<&SecretString>, delivery: &Delivery) -> Result<(), Failure> {
    let message = &delivery.message;
    // As JSON to the server's root, since headers bear no Unicode.
    let address = parsed(url)?;
    let topic = address.path().trim_matches('/').to_owned();
    let mut root = address;
    root.set_path("/");
    let mut body = json!({
        "topic": topic, "title": message.title, "message": bounded(&message.plain(delivery.more), MAX_NTFY_TEXT),
        "priority": match message.severity {
            Severity::Info => 3,
            Severity::Warning | Severity::Error => 4,
            Severity::Page => 5,
        },
        "tags": [message.severity.as_str()],
    });
    if let Some(link) = &message.link {
        body["click"] = json!(link);
    }
    let mut request = client()?.post(root).header("content-type", "application/json");
    if let Some(token) = token {
        request = request.bearer_auth(token.expose_secret());
    }
    answered(request.body(body.to_string())).await
}

fn client() -> Result<reqwest::Client, Failure> {
    // An address that sends elsewhere is not the one that was given.
    let client = reqwest::Client::builder().redirect(redirect::Policy::none()).timeout(super::TIMEOUT).build();
    client.map_err(|_error| failure("the client of HTTPS cannot be set up"))
}

fn parsed(url: &SecretString) -> Result<url::Url, Failure> {
    // The parser's error does not show the address; ours must not either.
    let parsed = url.expose_secret().parse::<url::Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    parsed.ok_or_else(|| failure("`url` is no http:// or https:// address"))
}

fn post(url: &SecretString) -> Result<RequestBuilder, Failure> {
    Ok(client()?.post(parsed(url)?))
}

/// The answer's status; its body is not read.
async fn answered(request: RequestBuilder) -> Result<(), Failure> {
    let answer = request.send().await.map_err(|error| {
        let what = if error.is_connect() {
            "it cannot be reached"
        } else if error.is_timeout() {
            "it does not answer in time"
        } else {
            "the connection broke"
        };
        failure(what)
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    // These are about the message; everything else may be so for all.
    let about_it = [StatusCode::BAD_REQUEST, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::UNPROCESSABLE_ENTITY];
    Err(Failure { why: format!("it answers {status}"), refused: about_it.contains(&status) })
}

fn failure(why: &str) -> Failure {
    Failure { why: why.to_owned(), refused: false }
}

fn bounded(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters).chain("…".chars()).collect()
}
