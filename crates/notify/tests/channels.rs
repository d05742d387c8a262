//! Each channel against a real server of its kind.

use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use mana_notify::channel::{Channel, Email, Encryption};
use mana_notify::outbox::Delivery;
use mana_notify::{Message, Severity};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

fn delivery() -> Delivery {
    let message = Message {
        key: "rollout-7-3".to_owned(),
        title: "shop <v2> rolled back".to_owned(),
        text: "errors & more".to_owned(),
        severity: Severity::Error,
        link: Some("https://example.org/rollouts/7".to_owned()),
        facts: vec![("errors".to_owned(), "4 % (limit 1 %)".to_owned())],
        at_ms: 1,
    };
    Delivery {
        channel: "ops".to_owned(),
        message,
        number: 0,
        more: 12,
        failures: 0,
        why: None,
        refused: false,
        due_ms: 0,
        queued_ms: 0,
        end: None,
    }
}

type Requests = Arc<Mutex<Vec<(Uri, HeaderMap, Bytes)>>>;

/// Answers everything with this status; the address, and what was asked.
async fn server(status: StatusCode) -> (String, Requests) {
    let requests = Requests::default();
    let seen = Arc::clone(&requests);
    let app = Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
        seen.lock().expect("no panic").push((uri, headers, body));
        async move { (status, "an answer") }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    (format!("http://{address}"), requests)
}

fn only(requests: &Requests) -> (Uri, HeaderMap, Bytes) {
    let mut requests = requests.lock().expect("no panic");
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

fn json(body: &Bytes) -> serde_json::Value {
    serde_json::from_slice(body).expect("JSON")
}

#[tokio::test]
async fn a_webhook_gets_json_with_its_key_and_a_signature_over_time_and_body() {
    let (url, requests) = server(StatusCode::OK).await;
    let channel = Channel::Webhook { url: format!("{url}/hook").into(), secret: Some("s3cret".to_owned().into()) };
    channel.send(&delivery(), 1_700_000_000).await.expect("taken");
    let (uri, headers, body) = only(&requests);
    assert_eq!((uri.path(), headers["idempotency-key"].as_bytes()), ("/hook", b"rollout-7-3".as_slice()));
    let signature = headers["mana-signature"].to_str().expect("text");
    let hexadecimal = signature.strip_prefix("t=1700000000,v1=").expect("its form");
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"s3cret");
    let signed = [b"1700000000.".as_slice(), &body].concat();
    hmac::verify(&key, &signed, &hex::decode(hexadecimal).expect("hexadecimal")).expect("signed");
    let body = json(&body);
    assert_eq!((&body["facts"]["errors"], &body["severity"]), (&"4 % (limit 1 %)".into(), &"error".into()));
    assert_eq!(body["more"], 12);
}

#[tokio::test]
async fn slack_gets_a_text_in_which_nobody_can_be_addressed() {
    let (url, requests) = server(StatusCode::OK).await;
    Channel::Slack { url: url.into() }.send(&delivery(), 0).await.expect("taken");
    let text = json(&only(&requests).2)["text"].as_str().expect("text").to_owned();
    assert!(text.starts_with("*shop &lt;v2&gt; rolled back*\nerrors &amp; more\n"), "{text}");
    assert!(text.ends_with("and 12 more"), "{text}");
}

#[tokio::test]
async fn ntfy_gets_topic_priority_link_and_token() {
    let (url, requests) = server(StatusCode::OK).await;
    let channel = Channel::Ntfy { url: format!("{url}/mana-ops").into(), token: Some("tk_1".to_owned().into()) };
    channel.send(&delivery(), 0).await.expect("taken");
    let (uri, headers, body) = only(&requests);
    let body = json(&body);
    assert_eq!((uri.path(), headers["authorization"].as_bytes()), ("/", b"Bearer tk_1".as_slice()));
    assert_eq!((&body["topic"], &body["priority"]), (&"mana-ops".into(), &4.into()));
    assert_eq!(body["click"], "https://example.org/rollouts/7");
}

#[tokio::test]
async fn a_failure_tells_channel_and_message_apart_and_never_the_address() {
    for (status, refused) in [(500, false), (404, false), (429, false), (302, false), (400, true), (413, true)] {
        let (url, _requests) = server(StatusCode::from_u16(status).expect("a status")).await;
        let channel = Channel::Slack { url: format!("{url}/T0KEN").into() };
        let failure = channel.send(&delivery(), 0).await.expect_err("not taken");
        assert_eq!(failure.refused, refused, "{status}");
        assert!(failure.why.contains(&status.to_string()), "{failure:?}");
        assert!(!format!("{failure:?} {channel:?}").contains("T0KEN"));
    }
    for address in ["http://127.0.0.1:1/T0KEN", "ftp://x/T0KEN", "T0KEN"] {
        let failure = Channel::Slack { url: address.to_owned().into() }.send(&delivery(), 0).await.expect_err("down");
        assert!(!failure.refused && !failure.why.contains("T0KEN"), "{failure:?}");
    }
}

/// A mail server for one conversation; it answers `RCPT` like this, and gives what it was told.
async fn mail_server(receiver: &'static str) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        conversation(stream, |_| receiver).await
    });
    (port, task)
}

async fn conversation(stream: TcpStream, receiver: impl Fn(&str) -> &'static str) -> Vec<String> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let (mut told, mut in_data) = (Vec::new(), false);
    write.write_all(b"220 test ESMTP\r\n").await.expect("written");
    while let Ok(Some(line)) = lines.next_line().await {
        let answer = match line.as_str() {
            "." if in_data => {
                in_data = false;
                "250 taken"
            }
            _ if in_data => "",
            "DATA" => {
                in_data = true;
                "354 go on"
            }
            "QUIT" => "221 bye",
            _ if line.starts_with("EHLO") => "250-test\r\n250-8BITMIME\r\n250 AUTH PLAIN",
            _ if line.starts_with("AUTH") => "235 welcome",
            _ if line.starts_with("RCPT") => receiver(&line),
            _ => "250 fine",
        };
        told.push(line);
        if !answer.is_empty() && write.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
            break;
        }
    }
    told
}

fn email(port: u16) -> Email {
    Email {
        host: "127.0.0.1".to_owned(),
        port,
        encryption: Encryption::Plain,
        login: Some(("mana".to_owned(), "hunter2".to_owned().into())),
        from: "Mana <mana@example.org>".to_owned(),
        to: vec!["ada@example.org".to_owned(), "bob@example.org".to_owned()],
    }
}

#[tokio::test]
async fn e_mail_goes_to_all_receivers_and_the_same_message_has_the_same_id() {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (port, server) = mail_server("250 fine").await;
        Channel::Email(email(port)).send(&delivery(), 0).await.expect("taken");
        let told = server.await.expect("no panic");
        for expected in ["MAIL FROM:<mana@example.org>", "RCPT TO:<ada@example.org>", "RCPT TO:<bob@example.org>"] {
            assert!(told.iter().any(|line| line.starts_with(expected)), "{expected}: {told:#?}");
        }
        assert!(told.iter().any(|line| line == "Subject: shop <v2> rolled back"), "{told:#?}");
        ids.extend(told.into_iter().filter(|line| line.starts_with("Message-ID: <")));
    }
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_receiver_whom_the_mail_server_does_not_know_keeps_nothing_from_the_others() {
    for (knows_bob, others) in [("250 fine", true), ("550 no such user", false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let server = tokio::spawn(async move {
            let mut told = Vec::new();
            // One for both, and one for each.
            for _ in 0..3 {
                let (stream, _) = listener.accept().await.expect("a client");
                let knows = |line: &str| if line.contains("ada@") { "550 no such user" } else { knows_bob };
                told.push(conversation(stream, knows).await);
            }
            told
        });
        let sent = Channel::Email(email(port)).send(&delivery(), 0).await;
        assert_eq!(sent.map_err(|failure| failure.refused), if others { Ok(()) } else { Err(true) });
        let told = server.await.expect("no panic");
        let taken = told.iter().filter(|told| told.iter().any(|line| line == "DATA")).count();
        assert_eq!(taken, usize::from(others), "{told:#?}");
    }
}

#[tokio::test]
async fn a_mail_server_that_refuses_or_is_not_to_be_trusted_is_a_failure() {
    let (port, _server) = mail_server("550 no such user").await;
    let channel = Channel::Email(Email { to: vec!["ada@example.org".to_owned()], ..email(port) });
    let failure = channel.send(&delivery(), 0).await.expect_err("refused");
    assert!(failure.refused && failure.why.contains("550"), "{failure:?}");
    assert!(!format!("{channel:?}").contains("hunter2"));
    // The server offers no STARTTLS: nothing is said in the clear.
    let (port, server) = mail_server("250 fine").await;
    let secure = Email { encryption: Encryption::StartTls, ..email(port) };
    Channel::Email(secure).send(&delivery(), 0).await.expect_err("no TLS");
    let told = server.await.expect("no panic");
    assert!(!told.iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")), "{told:#?}");
    let elsewhere = Email { host: "mail.example.org".to_owned(), ..email(port) };
    let failure = Channel::Email(elsewhere).send(&delivery(), 0).await.expect_err("in the clear");
    assert!(failure.why.contains("this machine only"), "{failure:?}");
}
