//! What a service sees of a request, and a client of its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use mana_edge::snapshot::Snapshot;

use crate::support::{Raw, Service, TestEdge, Text, internal, route, send, slots, snapshot, text};

/// Answers with the request's headers, a line each, in the order of their names.
fn showing_headers() -> Service {
    Service::http(async |request| text(lines(request.headers())))
}

fn lines(headers: &HeaderMap) -> String {
    let mut lines: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    lines.join("\n")
}

/// What the service saw of a request with these header lines.
async fn seen(given: Snapshot, listener: usize, headers: &str) -> Vec<String> {
    let edge = TestEdge::start(&given);
    let request = format!("GET / HTTP/1.1\r\nhost: chat.localhost\r\n{headers}\r\n");
    let answer = send(edge.addresses()[listener], &request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text().lines().map(ToOwned::to_owned).collect()
}

fn value<'a>(lines: &'a [String], name: &str) -> Option<&'a str> {
    lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn a_service_sees_who_asks_and_nothing_of_the_clients_connection() {
    let service = showing_headers();
    let given = snapshot(vec![route("chat", slots(&[service.address]))]);
    let headers = "connection: keep-alive, x-secret-hop\r\nx-secret-hop: 1\r\nkeep-alive: timeout=5\r\nte: trailers\r\n\
                   proxy-authorization: Basic eA==\r\nupgrade: h2c\r\naccept: a/b\r\n";
    let lines = seen(given, 0, headers).await;
    let names: Vec<_> = lines.iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "accept",
            "host",
            "te",
            "traceparent",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-real-ip",
            "x-request-id"
        ]
    );
    assert_eq!(value(&lines, "x-real-ip"), Some("127.0.0.1"));
    assert_eq!(value(&lines, "host"), Some("chat.localhost"));
    assert_eq!(value(&lines, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(value(&lines, "x-forwarded-host"), Some("chat.localhost"));
    assert_eq!(value(&lines, "x-forwarded-proto"), Some("http"));
}

const FORGED: &str = "x-forwarded-for: 10.9.9.9\r\nx-forwarded-proto: https\r\nx-forwarded-host: evil\r\n\
                      x-real-ip: 10.9.9.9\r\nforwarded: for=10.9.9.9\r\nx-request-id: chosen-1\r\n";

#[tokio::test]
async fn what_a_stranger_claims_is_not_passed_on() {
    let service = showing_headers();
    let lines = seen(snapshot(vec![route("chat", slots(&[service.address]))]), 0, FORGED).await;
    assert!(!lines.iter().any(|line| line.contains("10.9.9.9") || line.contains("evil")), "{lines:?}");
    assert_ne!(value(&lines, "x-request-id"), Some("chosen-1"));
    assert_eq!(value(&lines, "x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test]
async fn what_a_trusted_proxy_claims_is_continued() {
    let service = showing_headers();
    let mut given = snapshot(vec![route("chat", slots(&[service.address]))]);
    given.trusted_proxies = vec!["127.0.0.0/8".into()];
    let lines = seen(given, 0, FORGED).await;
    assert_eq!(value(&lines, "x-forwarded-for"), Some("10.9.9.9, 127.0.0.1"));
    assert_eq!(value(&lines, "x-forwarded-proto"), Some("https"));
    assert_eq!(value(&lines, "x-request-id"), Some("chosen-1"));
    assert_eq!(value(&lines, "forwarded"), None);
}

#[tokio::test]
async fn a_caller_inside_keeps_its_request_id_and_says_for_whom_it_calls() {
    let service = showing_headers();
    let mut given = snapshot(vec![route("chat", slots(&[service.address]))]);
    given.listeners.push(internal("chat"));
    let lines = seen(given, 1, FORGED).await;
    assert_eq!(value(&lines, "x-request-id"), Some("chosen-1"));
    assert_eq!(value(&lines, "x-real-ip"), Some("10.9.9.9"));
    assert_eq!(value(&lines, "x-forwarded-for"), Some("10.9.9.9, 127.0.0.1"));
}

#[tokio::test]
async fn the_request_id_is_on_the_answer_and_the_trace_goes_on() {
    let service = showing_headers();
    let edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[service.address]))]));
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = format!("GET / HTTP/1.1\r\nhost: chat.localhost\r\ntraceparent: {parent}\r\ntracestate: a=b\r\n\r\n");
    let answer = send(edge.address(), &request).await;
    let seen: Vec<_> = answer.text().lines().map(ToOwned::to_owned).collect();
    assert_eq!(value(&seen, "x-request-id"), answer.header("x-request-id"));
    assert_eq!(value(&seen, "traceparent"), Some(parent));
    assert_eq!(value(&seen, "tracestate"), Some("a=b"));
}

#[tokio::test]
async fn a_client_sees_nothing_of_the_services_connection() {
    let service = Service::raw(async |mut socket| {
        use tokio::io::AsyncWriteExt;
        crate::support::read_head(&mut socket).await;
        let answer = "HTTP/1.1 200 OK\r\nconnection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n\
                      proxy-authenticate: Basic\r\nserver: them\r\nx-request-id: theirs\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\
                      content-length: 2\r\n\r\nok";
        socket.write_all(answer.as_bytes()).await.unwrap();
    });
    let edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[service.address]))]));
    let mut client = Raw::connect(edge.address()).await;
    for _ in 0..2 {
        let answer = client.ask("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
        let mut names: Vec<_> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "date", "server", "set-cookie", "set-cookie", "x-request-id"]);
        assert_ne!(answer.header("x-request-id"), Some("theirs"));
        assert_eq!(answer.text(), "ok", "the client's connection lives on");
    }
}

async fn echo(request: http::Request<hyper::body::Incoming>) -> Text {
    let length = request.headers().get("content-length").cloned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut answer = text(body);
    if let Some(length) = length {
        answer.headers_mut().insert("x-length-was", length);
    }
    answer
}

#[tokio::test]
async fn bodies_pass_whole_both_ways() {
    let service = Service::http(echo);
    let edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[service.address]))]));
    let body: Vec<u8> = (0..5_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let mut client = Raw::connect(edge.address()).await;

    client.write(format!("POST / HTTP/1.1\r\nhost: chat.localhost\r\ncontent-length: {}\r\n\r\n", body.len())).await;
    client.write(&body).await;
    let answer = client.answer().await;
    assert_eq!(answer.header("x-length-was"), Some("5000000"));
    assert!(answer.body == body);

    client.write("POST / HTTP/1.1\r\nhost: chat.localhost\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for chunk in body.chunks(70_000) {
        client.write(format!("{:x}\r\n", chunk.len())).await;
        client.write(chunk).await;
        client.write("\r\n").await;
    }
    client.write("0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.header("x-length-was"), None);
    assert!(answer.body == body);

    for empty in ["content-length: 0\r\n", "transfer-encoding: chunked\r\n"] {
        let end = if empty.starts_with('t') { "0\r\n\r\n" } else { "" };
        let answer = client.ask(format!("POST / HTTP/1.1\r\nhost: chat.localhost\r\n{empty}\r\n{end}")).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{empty}");
    }
}

#[tokio::test]
async fn answers_that_have_no_body_have_none() {
    let service = Service::http(async |request| {
        let mut answer = text("12345");
        let (status, body) = match request.uri().path() {
            "/204" => (204, ""),
            "/304" => (304, ""),
            "/empty" => (200, ""),
            _ => (200, "12345"),
        };
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        *answer.body_mut() = http_body_util::combinators::BoxBody::new(Full::new(body.into()));
        if status == 304 {
            answer.headers_mut().insert("etag", "\"x\"".parse().unwrap());
        }
        answer
    });
    let edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[service.address]))]));
    let mut client = Raw::connect(edge.address()).await;
    for (method, path, status, length) in [
        ("HEAD", "/", 200, Some("5")),
        ("GET", "/", 200, Some("5")),
        ("GET", "/204", 204, None),
        ("HEAD", "/204", 204, None),
        ("GET", "/304", 304, None),
        ("GET", "/empty", 200, Some("0")),
        ("HEAD", "/missing", 200, Some("5")),
        ("GET", "/", 200, Some("5")),
    ] {
        client.write(format!("{method} {path} HTTP/1.1\r\nhost: chat.localhost\r\n\r\n")).await;
        let answer = client.answer_to(method).await;
        assert_eq!((answer.status, answer.header("content-length")), (status, length), "{method} {path}");
        assert_eq!(answer.header("transfer-encoding"), None, "{method} {path}");
    }
}

#[tokio::test]
async fn a_fault_answers_head_without_a_body() {
    let edge = TestEdge::start(&snapshot(vec![route("none", slots(&[]))]));
    let mut client = Raw::connect(edge.address()).await;
    for _ in 0..2 {
        client.write("HEAD / HTTP/1.1\r\nhost: none.localhost\r\n\r\n").await;
        assert_eq!(client.answer_to("HEAD").await.status, 503);
    }
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_order() {
    let service = Service::http(async |request| text(request.uri().path().to_owned()));
    let edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[service.address]))]));
    let mut client = Raw::connect(edge.address()).await;
    let requests: Vec<_> =
        (0..50).map(|turn| format!("GET /{turn} HTTP/1.1\r\nhost: chat.localhost\r\n\r\n")).collect();
    client.write(requests.concat()).await;
    for turn in 0..50 {
        assert_eq!(client.answer().await.text(), format!("/{turn}"));
    }
}

#[tokio::test]
async fn an_old_client_is_spoken_to_in_its_own_version() {
    let service = Service::http(async |request| {
        assert_eq!(request.version(), http::Version::HTTP_11);
        text("old")
    });
    let edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[service.address]))]));
    let mut client = Raw::connect(edge.address()).await;
    client.write("GET / HTTP/1.0\r\nhost: chat.localhost\r\n\r\n").await;
    let all = String::from_utf8(client.rest().await).unwrap();
    assert!(all.starts_with("HTTP/1.0 200 OK\r\n") && all.ends_with("\r\n\r\nold"), "{all}");
}

#[tokio::test]
async fn connections_to_instances_are_used_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let service = Service::raw(move |socket| {
        counted.fetch_add(1, Ordering::Relaxed);
        async {
            let service = hyper::service::service_fn(|_| async {
                Ok::<_, std::convert::Infallible>(Response::new(Full::new(bytes::Bytes::from_static(b"ok"))))
            });
            let _ended = hyper::server::conn::http1::Builder::new()
                .serve_connection(hyper_util::rt::TokioIo::new(socket), service)
                .await;
        }
    });
    let edge = TestEdge::with_threads(&snapshot(vec![route("chat", slots(&[service.address]))]), 1);
    for _ in 0..20 {
        send(edge.address(), "GET / HTTP/1.1\r\nhost: chat.localhost\r\nconnection: close\r\n\r\n").await;
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}
