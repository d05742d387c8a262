//! The PROXY protocol: who may say it, what becomes of the address it says, and what is no header.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use mana_edge::snapshot::{Issuer, Listener, LocalAuthority, Policies, RateKey, RateLimit, Snapshot, Tls};
use tokio::net::TcpStream;

use crate::support::{Raw, SOON, Service, TestEdge, TlsClient, get, route, slots, snapshot, text, until};

/// Everybody on this machine may say the header, and nobody's idle connection is kept for long.
fn behind_a_proxy(service: &Service) -> Snapshot {
    let mut given = snapshot(vec![route("chat", slots(&[service.address]))]);
    given.listeners[0].proxy_protocol = true;
    given.trusted_proxies = vec!["127.0.0.1".into()];
    given.limits.header_timeout_ms = 500;
    given
}

/// Says for whom it was asked.
fn telling() -> Service {
    Service::http(async |request| {
        let header = |name: &str| request.headers().get(name).map_or("-", |value| value.to_str().unwrap());
        text(format!("{} | {} | {}", header("x-real-ip"), header("x-forwarded-for"), header("x-forwarded-proto")))
    })
}

const ASK: &str = "GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n";

/// A GET with a claim about earlier hops.
const CLAIM: &str = "GET / HTTP/1.1\r\nhost: chat.localhost\r\nx-forwarded-for: 203.0.113.9\r\n\r\n";

/// A header of version 2 with this command, family and block.
fn version_2(command: u8, kind: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, kind], &length[..], block].concat()
}

/// For `2001:db8::7`, with an extra that says nothing.
fn version_2_of_a_client() -> Vec<u8> {
    let source = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    version_2(0x21, 0x21, &[&source[..], &[0; 16], &[0xb7, 0xa3, 0x01, 0xbb], &[4, 0, 3, 0, 0, 0]].concat())
}

async fn refused(edge: &TestEdge, reason: &str) -> Option<f64> {
    edge.metric(&format!("mana_edge_refused_total{{reason=\"{reason}\"}}")).await
}

#[tokio::test]
async fn a_service_is_told_the_address_that_the_header_says() {
    let service = telling();
    let edge = TestEdge::start(&behind_a_proxy(&service));
    for (header, expected) in [
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 47011 80\r\n".to_vec(), "192.0.2.1 | 192.0.2.1 | http"),
        (b"PROXY TCP6 2001:db8::1 ::1 47011 80\r\n".to_vec(), "2001:db8::1 | 2001:db8::1 | http"),
        (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 47011 80\r\n".to_vec(), "192.0.2.1 | 192.0.2.1 | http"),
        (version_2_of_a_client(), "2001:db8::7 | 2001:db8::7 | http"),
    ] {
        let mut raw = Raw::connect(edge.address()).await;
        // In one piece with two requests: none of them may be lost with the header, and both are the client's.
        raw.write([&header[..], ASK.as_bytes(), ASK.as_bytes()].concat()).await;
        for _ in 0..2 {
            assert_eq!(raw.answer().await.text(), expected, "{}", header.escape_ascii());
        }
        assert_eq!(raw.ask(ASK).await.text(), expected, "{}", header.escape_ascii());
    }
}

#[tokio::test]
async fn a_header_that_comes_byte_by_byte_is_read_like_any_other() {
    let service = telling();
    let edge = TestEdge::start(&behind_a_proxy(&service));
    for header in [b"PROXY TCP4 192.0.2.1 198.51.100.2 47011 80\r\n".to_vec(), version_2_of_a_client()] {
        let mut raw = Raw::connect(edge.address()).await;
        raw.socket.set_nodelay(true).unwrap();
        for byte in [&header[..], b"GET"].concat() {
            raw.write([byte]).await;
            tokio::task::yield_now().await;
        }
        let answer = raw.ask(ASK.strip_prefix("GET").unwrap()).await;
        assert!(answer.text().starts_with("192.0.2.1 ") || answer.text().starts_with("2001:db8::7 "), "{answer:?}");
    }
}

#[tokio::test]
async fn the_header_comes_before_tls_and_holds_for_every_request_inside() {
    let folder = tempfile::tempdir().unwrap();
    let service = telling();
    let issuer = Issuer::Local(LocalAuthority { folder: folder.path().join("ca") });
    let given = Snapshot {
        listeners: vec![Listener { proxy_protocol: true, ..Listener::secure(([127, 0, 0, 1], 0).into()) }],
        tls: Some(Tls { issuer: Some(issuer), ..Tls::default() }),
        ..behind_a_proxy(&service)
    };
    let edge = TestEdge::start(&given);
    let client = TlsClient::trusting(&folder.path().join("ca/ca.pem"));
    let begun = async |header: &[u8]| {
        let mut raw = Raw::connect(edge.address()).await;
        raw.write(header).await;
        raw.socket
    };

    let socket = begun(b"PROXY TCP4 192.0.2.1 198.51.100.2 47011 443\r\n").await;
    let mut raw = Raw::over(client.over(socket, "chat.localhost").await.unwrap());
    for request in [ASK, CLAIM] {
        assert_eq!(raw.ask(request).await.text(), "192.0.2.1 | 192.0.2.1 | https");
    }

    for (header, expected) in [
        (version_2_of_a_client(), "2001:db8::7 | 2001:db8::7 | https"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1 | 127.0.0.1 | https"),
    ] {
        let sender = client.http2_over(begun(&header).await, "chat.localhost").await;
        for _ in 0..3 {
            let request = Request::get("https://chat.localhost/").header("x-forwarded-for", "203.0.113.9");
            let answer = sender.clone().send_request(request.body(Full::new(Bytes::new())).unwrap()).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), expected);
        }
    }

    // Without the header there is no handshake at all.
    client.connect(edge.address(), "chat.localhost").await.unwrap_err();
    assert_eq!(refused(&edge, "bad_proxy_header").await, Some(1.0));
    assert_eq!(edge.metric("mana_edge_tls_handshakes_total{result=\"failed\"}").await, Some(0.0));
}

#[tokio::test]
async fn whether_claims_are_believed_depends_on_whom_the_header_names() {
    let service = telling();
    let mut given = behind_a_proxy(&service);
    given.trusted_proxies.push("198.51.100.0/24".into());
    let edge = TestEdge::start(&given);
    for (header, expected) in [
        // A client: it may say nothing, though a trusted proxy brought it.
        (&b"PROXY TCP4 192.0.2.1 198.51.100.2 47011 80\r\n"[..], "192.0.2.1 | 192.0.2.1 | http"),
        // Another proxy of ours, two hops away.
        (b"PROXY TCP4 198.51.100.7 198.51.100.2 47011 80\r\n", "203.0.113.9 | 203.0.113.9, 198.51.100.7 | http"),
        // The proxy itself.
        (&version_2(0x20, 0x00, b""), "203.0.113.9 | 203.0.113.9, 127.0.0.1 | http"),
        // Whoever it is: the address is the proxy's, but not its word.
        (b"PROXY UNKNOWN\r\n", "127.0.0.1 | 127.0.0.1 | http"),
        (&version_2(0x21, 0x00, b""), "127.0.0.1 | 127.0.0.1 | http"),
        (&version_2(0x21, 0x31, &[7; 216]), "127.0.0.1 | 127.0.0.1 | http"),
    ] {
        let mut raw = Raw::connect(edge.address()).await;
        raw.write(header).await;
        assert_eq!(raw.ask(CLAIM).await.text(), expected, "{}", header.escape_ascii());
    }
}

#[tokio::test]
async fn policies_are_about_the_client_that_the_header_names() {
    let service = telling();
    let mut given = behind_a_proxy(&service);
    let once = RateLimit { key: RateKey::Address, requests: 1, per_ms: 60_000, burst: None };
    given.routes[0].policies =
        Policies { deny: vec!["203.0.113.0/24".into()], rate_limits: vec![once], ..Policies::default() };
    let edge = TestEdge::start(&given);
    for (client, expected) in
        [("203.0.113.9", 403), ("192.0.2.1", 200), ("192.0.2.1", 429), ("192.0.2.2", 200), ("192.0.2.2", 429)]
    {
        let mut raw = Raw::connect(edge.address()).await;
        raw.write(format!("PROXY TCP4 {client} 198.51.100.2 47011 80\r\n")).await;
        assert_eq!(raw.ask(ASK).await.status, expected, "{client}");
    }
}

#[tokio::test]
async fn a_peer_that_is_not_trusted_is_refused_whatever_it_says() {
    let service = telling();
    let given = Snapshot { trusted_proxies: vec!["192.0.2.0/24".into()], ..behind_a_proxy(&service) };
    let edge = TestEdge::start(&given);
    for (count, words) in
        [(1.0, ""), (2.0, "PROXY TCP4 192.0.2.1 198.51.100.2 47011 80\r\nGET / HTTP/1.1\r\n"), (3.0, ASK)]
    {
        let mut raw = Raw::connect(edge.address()).await;
        // It may be closed before it has said anything.
        let _sent = raw.socket.try_write(words.as_bytes());
        assert!(raw.is_closed().await, "{words}");
        assert_eq!(refused(&edge, "untrusted_peer").await, Some(count));
    }
    // Whom a snapshot trusts holds from the next connection on.
    edge.admin().put(&Snapshot { generation: 2, ..behind_a_proxy(&service) }).await.unwrap();
    let mut raw = Raw::connect(edge.address()).await;
    raw.write("PROXY TCP4 192.0.2.1 198.51.100.2 47011 80\r\n").await;
    assert_eq!(raw.ask(ASK).await.text(), "192.0.2.1 | 192.0.2.1 | http");
}

#[tokio::test]
async fn a_connection_without_a_proper_header_is_closed_without_a_word() {
    let service = telling();
    let edge = TestEdge::start(&behind_a_proxy(&service));
    let endless = "PROXY UNKNOWN ".to_owned() + &"x".repeat(100);
    let too_long = version_2(0x20, 0, &[0; 521]);
    let cases = [
        ASK.as_bytes(),
        b"PROXY TCP4 192.0.2.1 198.51.100.2 47011 80\n",
        b"PROXY TCP4 192.0.2.01 198.51.100.2 47011 80\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 47011 80 \r\n",
        endless.as_bytes(),
        &too_long,
        &version_2(0x21, 0x11, &[0; 11]),
        &version_2(0x22, 0x11, &[0; 12]),
    ];
    for (count, words) in (1_i32..).zip(cases) {
        let mut raw = Raw::connect(edge.address()).await;
        raw.write(words).await;
        assert!(raw.is_closed().await, "{}", words.escape_ascii());
        assert_eq!(refused(&edge, "bad_proxy_header").await, Some(count.into()), "{}", words.escape_ascii());
    }
    // Whoever only looks whether somebody is there, has done nothing wrong.
    drop(TcpStream::connect(edge.address()).await.unwrap());
    until("all are closed", async || edge.metric("mana_edge_connections_open").await == Some(0.0)).await;
    assert_eq!(refused(&edge, "timeout").await, Some(0.0));
    assert_eq!(refused(&edge, "bad_proxy_header").await, Some(8.0));
}

#[tokio::test]
async fn a_header_that_does_not_come_in_time_ends_the_connection() {
    let service = telling();
    let edge = TestEdge::start(&behind_a_proxy(&service));
    let begun = Instant::now();
    let mut silent = Raw::connect(edge.address()).await;
    let mut slow = Raw::connect(edge.address()).await;
    slow.write("PROXY TCP4 192.0.2.1").await;
    assert!(silent.is_closed().await);
    assert!(slow.is_closed().await);
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
    assert_eq!(refused(&edge, "timeout").await, Some(2.0));
}

#[tokio::test]
async fn an_edge_that_ends_does_not_wait_for_a_header() {
    let service = telling();
    let mut given = behind_a_proxy(&service);
    given.limits.header_timeout_ms = 60_000;
    given.limits.drain_timeout_ms = 60_000;
    let mut edge = TestEdge::start(&given);
    let mut silent = Raw::connect(edge.address()).await;
    until("it is accepted", async || edge.metric("mana_edge_connections_open").await == Some(1.0)).await;
    let begun = Instant::now();
    tokio::task::spawn_blocking(move || edge.stop()).await.unwrap();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(silent.is_closed().await);
}

#[tokio::test]
async fn a_listener_that_is_gone_does_not_wait_for_a_header() {
    let service = telling();
    let mut given = behind_a_proxy(&service);
    given.limits.header_timeout_ms = 60_000;
    let edge = TestEdge::start(&given);
    let mut silent = Raw::connect(edge.address()).await;
    until("it is accepted", async || edge.metric("mana_edge_connections_open").await == Some(1.0)).await;
    given.generation = 2;
    given.listeners = vec![Listener::public(([127, 0, 0, 3], 0).into())];
    edge.admin().put(&given).await.unwrap();
    assert!(silent.is_closed().await);
}

#[tokio::test]
async fn a_proxy_may_open_more_connections_than_one_client() {
    let service = telling();
    let mut given = behind_a_proxy(&service);
    given.limits.max_connections_per_address = 2;
    let edge = TestEdge::start(&given);
    let mut open = Vec::new();
    for _ in 0..5 {
        let mut raw = Raw::connect(edge.address()).await;
        raw.write("PROXY TCP4 192.0.2.1 198.51.100.2 47011 80\r\n").await;
        assert_eq!(raw.ask(ASK).await.status, 200);
        open.push(raw);
    }
}

#[tokio::test]
async fn a_listener_that_does_not_ask_for_the_header_takes_none() {
    let service = telling();
    let mut given = behind_a_proxy(&service);
    given.listeners[0].proxy_protocol = false;
    let edge = TestEdge::start(&given);
    assert_eq!(get(edge.address(), "chat.localhost", "/").await.text(), "127.0.0.1 | 127.0.0.1 | http");
    let mut raw = Raw::connect(edge.address()).await;
    raw.write("PROXY TCP4 192.0.2.1 198.51.100.2 47011 80\r\n").await;
    assert_eq!(raw.ask(ASK).await.status, 400);
}
