//! Bounds: each is met, said and counted.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use mana_edge::snapshot::Snapshot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    Raw, SOON, Service, TestEdge, get, internal, read_head, route, send, slots, snapshot, streamed, text, until,
};

fn short(service: &Service) -> Snapshot {
    let mut given = snapshot(vec![route("chat", slots(&[service.address]))]);
    given.limits.max_headers = 20;
    given.limits.max_header_bytes = 4_096;
    given.limits.header_timeout_ms = 300;
    given.limits.idle_timeout_ms = 500;
    given.routes[0].limits.max_body_bytes = 1_000;
    given.routes[0].limits.response_timeout_ms = 300;
    given.routes[0].limits.body_idle_timeout_ms = 300;
    given
}

/// Reads the whole body and says how long it was.
fn counting() -> Service {
    Service::http(async |request| {
        let length = request.into_body().collect().await.map(|body| body.to_bytes().len());
        text(format!("{length:?}"))
    })
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_and_while_it_comes() {
    let service = counting();
    let edge = TestEdge::start(&short(&service));
    let mut client = Raw::connect(edge.address()).await;
    let fits = format!("POST / HTTP/1.1\r\nhost: chat.localhost\r\ncontent-length: 1000\r\n\r\n{}", "x".repeat(1_000));
    assert_eq!(client.ask(&fits).await.text(), "Ok(1000)");

    let announced =
        format!("POST / HTTP/1.1\r\nhost: chat.localhost\r\ncontent-length: 1001\r\n\r\n{}", "x".repeat(1_001));
    let answer = client.ask(&announced).await;
    assert_eq!((answer.status, answer.title().as_str()), (413, "Request body too large"));
    assert!(client.is_closed().await);

    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    let chunked = format!(
        "POST / HTTP/1.1\r\nhost: chat.localhost\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}{chunk}0\r\n\r\n"
    );
    let answer = send(edge.address(), &chunked).await;
    assert_eq!((answer.status, answer.title().as_str()), (413, "Request body too large"));
}

#[tokio::test]
async fn a_client_that_goes_on_sending_what_was_refused_still_reads_the_answer() {
    let service = counting();
    let edge = TestEdge::start(&short(&service));
    let mut client = Raw::connect(edge.address()).await;
    client.write("POST / HTTP/1.1\r\nhost: chat.localhost\r\ncontent-length: 3000000\r\n\r\n").await;
    // Far more than the socket's buffers hold: without lingering this fails with a reset.
    let body = vec![b'x'; 3_000_000];
    let (mut from, mut to) = client.socket.split();
    to.write_all(&body).await.unwrap();
    let mut answer = String::new();
    from.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_refused() {
    let service = counting();
    let edge = TestEdge::start(&short(&service));
    let many: String = "x: 1\r\n".repeat(30);
    let answer = send(edge.address(), &format!("GET / HTTP/1.1\r\nhost: chat.localhost\r\n{many}\r\n")).await;
    assert_eq!((answer.status, answer.title().as_str()), (431, "Too many request headers"));

    let hundreds: String = "x: 1\r\n".repeat(300);
    assert_eq!(
        send(edge.address(), &format!("GET / HTTP/1.1\r\nhost: chat.localhost\r\n{hundreds}\r\n")).await.status,
        431
    );

    let long = "x".repeat(5_000);
    assert_eq!(
        send(edge.address(), &format!("GET / HTTP/1.1\r\nhost: chat.localhost\r\nx: {long}\r\n\r\n")).await.status,
        431
    );
    // Never ends: refused when the buffer is full, long before memory is.
    let endless = "x".repeat(200_000);
    let mut client = Raw::connect(edge.address()).await;
    client.write(format!("GET / HTTP/1.1\r\nhost: chat.localhost\r\nx: {endless}")).await;
    assert_eq!(client.answer().await.status, 431);
    assert_eq!(get(edge.address(), "chat.localhost", "/").await.status, 200);
}

#[tokio::test]
async fn a_head_that_does_not_end_in_time_is_answered_with_408() {
    let service = counting();
    let edge = TestEdge::start(&short(&service));
    let mut client = Raw::connect(edge.address()).await;
    let begun = Instant::now();
    client.write("GET / HTTP/1.1\r\n").await;
    // A byte now and then does not help: the bound is on the whole head.
    let (mut from, mut to) = client.socket.split();
    let drip = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if to.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut answer = Vec::new();
    let read = async {
        // Ends with a close or, since the client goes on sending, with a reset.
        let _ended = from.read_to_end(&mut answer).await;
    };
    tokio::select! { () = drip => {}, () = read => {} }
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&answer));
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_connection_that_lies_idle_is_closed() {
    let service = counting();
    let edge = TestEdge::start(&short(&service));
    let mut silent = Raw::connect(edge.address()).await;
    let mut kept = Raw::connect(edge.address()).await;
    assert_eq!(kept.ask("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await.status, 200);
    assert!(kept.is_closed().await);
    assert!(silent.is_closed().await);
    until("both are counted as closed", async || edge.metric("mana_edge_connections_open").await == Some(0.0)).await;
}

#[tokio::test]
async fn a_body_that_stops_coming_is_answered_with_408() {
    let service = counting();
    let edge = TestEdge::start(&short(&service));
    let mut client = Raw::connect(edge.address()).await;
    let answer = client.ask("POST / HTTP/1.1\r\nhost: chat.localhost\r\ncontent-length: 10\r\n\r\nhalf").await;
    assert_eq!((answer.status, answer.title().as_str()), (408, "Request body did not arrive in time"));
}

#[tokio::test]
async fn an_instance_that_does_not_answer_in_time_is_504() {
    let service = Service::raw(async |mut socket| {
        let _forever = socket.read_to_end(&mut Vec::new()).await;
    });
    let edge = TestEdge::start(&short(&service));
    let begun = Instant::now();
    for request in [
        "GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: chat.localhost\r\ncontent-length: 4\r\n\r\nbody",
    ] {
        let answer = send(edge.address(), request).await;
        assert_eq!((answer.status, answer.title().as_str()), (504, "Instance answered too late"));
    }
    assert!(begun.elapsed() >= Duration::from_millis(600));
}

#[tokio::test]
async fn a_request_that_takes_too_long_in_all_is_504_or_cut_however_much_moves() {
    let service = Service::http(async |request| {
        if request.uri().path() == "/quick" {
            return text("quick");
        }
        let (answer, chunks) = streamed();
        if request.uri().path() == "/waits" {
            std::future::pending::<()>().await;
        }
        tokio::spawn(async move {
            while chunks.send("again and again").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        answer
    });
    let mut given = short(&service);
    given.routes[0].limits.body_idle_timeout_ms = 60_000;
    given.routes[0].limits.response_timeout_ms = 60_000;
    given.routes[0].limits.request_timeout_ms = 400;
    let edge = TestEdge::start(&given);
    let late = get(edge.address(), "chat.localhost", "/waits").await;
    assert_eq!((late.status, late.title()), (504, "Instance answered too late".into()));
    let mut client = Raw::connect(edge.address()).await;
    // What came before does not count for what comes after.
    for _ in 0..3 {
        let answer = client.ask("GET /quick HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
        assert_eq!(answer.text(), "quick");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let began = Instant::now();
    client.write("GET /talks HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
    assert_eq!(client.head().await.status, 200);
    let rest = client.rest().await;
    assert!(!rest.ends_with(b"0\r\n\r\n") && rest.len() > 15, "{}", rest.len());
    assert!((300..5_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_answer_that_stops_in_the_middle_is_cut() {
    let service = Service::raw(async |mut socket| {
        read_head(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
        let _forever = socket.read_to_end(&mut Vec::new()).await;
    });
    let edge = TestEdge::start(&short(&service));
    let mut client = Raw::connect(edge.address()).await;
    client.write("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.rest().await, b"half", "cut, so that the client knows it is not all");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let service = Service::http(async |_| text(vec![b'x'; 30_000_000]));
    let edge = TestEdge::start(&short(&service));
    let mut client = Raw::connect(edge.address()).await;
    client.write("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
    client.head().await;
    until("the connection is closed", async || edge.metric("mana_edge_connections_open").await == Some(0.0)).await;
    assert!(client.rest().await.len() < 30_000_000);
}

#[tokio::test]
async fn a_client_that_reads_slowly_but_reads_gets_everything() {
    let service = Service::http(async |_| text(vec![b'x'; 8_000_000]));
    // In all it takes longer than nothing may move, each pause is far shorter.
    let mut given = short(&service);
    given.routes[0].limits.body_idle_timeout_ms = 1_500;
    let edge = TestEdge::start(&given);
    let mut client = Raw::connect(edge.address()).await;
    client.write("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
    let length: usize = client.head().await.header("content-length").unwrap().parse().unwrap();
    for piece in 0..8 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(client.exactly(length / 8).await.len(), 1_000_000, "piece {piece}");
    }
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let service = Service::saying("ok");
    let mut given = snapshot(vec![route("chat", slots(&[service.address]))]);
    given.limits.max_connections = 3;
    let edge = TestEdge::start(&given);
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut client = Raw::connect(edge.address()).await;
        assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await.status, 200);
        open.push(client);
    }
    let mut fourth = Raw::connect(edge.address()).await;
    let answer = fourth.answer().await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(edge.metric("mana_edge_refused_total{reason=\"too_many_connections\"}").await, Some(1.0));
    drop(open);
    until("there is room again", async || edge.metric("mana_edge_connections_open").await == Some(0.0)).await;
    assert_eq!(get(edge.address(), "chat.localhost", "/").await.status, 200);
}

#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let service = Service::saying("chat");
    let mut given = snapshot(vec![route("chat", slots(&[service.address]))]);
    given.limits.max_connections_per_address = 3;
    let edge = TestEdge::start(&given);
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::connect(edge.address()).await;
        assert_eq!(raw.ask("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await.status, 200);
        open.push(raw);
    }
    assert_eq!(Raw::connect(edge.address()).await.head().await.status, 503);
    // Whoever closes one may open another.
    open.pop();
    until("its place is free", async || get(edge.address(), "chat.localhost", "/").await.status == 200).await;
    // A trusted proxy stands for many.
    given.generation = 2;
    given.trusted_proxies = vec!["127.0.0.1".into()];
    edge.admin().put(&given).await.unwrap();
    for _ in 0..5 {
        let mut raw = Raw::connect(edge.address()).await;
        assert_eq!(raw.ask("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await.status, 200);
        open.push(raw);
    }
}

#[tokio::test]
async fn programs_of_this_machine_may_open_more_than_one_address_may() {
    let service = Service::saying("chat");
    let mut given = snapshot(vec![route("chat", slots(&[service.address]))]);
    given.listeners.push(internal("chat"));
    given.limits.max_connections_per_address = 3;
    let edge = TestEdge::start(&given);
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut raw = Raw::connect(edge.addresses()[1]).await;
        assert_eq!(raw.ask("GET / HTTP/1.1\r\nhost: anything\r\n\r\n").await.status, 200);
        open.push(raw);
    }
    // They take nothing away from those who come in from outside.
    assert_eq!(get(edge.address(), "chat.localhost", "/").await.status, 200);
}

#[tokio::test]
async fn too_many_requests_at_once_are_refused_early() {
    let service = Service::http(async |request| {
        if request.uri().path() == "/slow" {
            tokio::time::sleep(SOON).await;
        }
        text("chat")
    });
    let mut given = snapshot(vec![route("chat", slots(&[service.address]))]);
    given.limits.max_concurrent_requests = 2;
    let edge = TestEdge::with_threads(&given, 1);
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::connect(edge.address()).await;
        raw.write("GET /slow HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
        slow.push(raw);
    }
    until("both are with the service", async || {
        edge.metric("mana_edge_requests_in_flight{route=\"chat\",slot=\"blue\",release=\"blue-1\"}").await == Some(2.0)
    })
    .await;
    let refused = get(edge.address(), "chat.localhost", "/").await;
    assert_eq!((refused.status, refused.title().as_str()), (503, "Too many requests at once"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    slow.clear();
    until("they have gone", async || get(edge.address(), "chat.localhost", "/").await.status == 200).await;
}
