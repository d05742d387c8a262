//! Bodies and tunnels while they pass: nothing waits for the whole.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    Raw, SOON, Service, TestEdge, read_head, route, slots, snapshot, streamed, text, until, websocket_echo,
};

const GET: &str = "GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n";

fn edge_of(service: &Service) -> TestEdge {
    TestEdge::start(&snapshot(vec![route("chat", slots(&[service.address]))]))
}

#[tokio::test]
async fn each_chunk_of_an_event_stream_passes_before_the_next_is_sent() {
    let (hand, mut sender) = mpsc::channel(1);
    let service = Service::http(move |_| {
        let hand = hand.clone();
        async move {
            let (mut answer, chunks) = streamed();
            answer.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
            hand.send(chunks).await.unwrap();
            answer
        }
    });
    let edge = edge_of(&service);
    let mut client = Raw::connect(edge.address()).await;
    client.write(GET).await;
    let chunks = sender.recv().await.unwrap();
    assert_eq!(client.head().await.header("content-type"), Some("text/event-stream"));
    for word in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
        chunks.send(word).await.unwrap();
        assert_eq!(client.chunk().await.unwrap(), word.as_bytes());
    }
    drop(chunks);
    assert_eq!(client.chunk().await, None);
    assert_eq!(
        edge.metric("mana_edge_requests_in_flight{route=\"chat\",slot=\"blue\",release=\"blue-1\"}").await,
        Some(0.0)
    );
}

#[tokio::test]
async fn each_chunk_of_an_upload_passes_before_the_next_is_sent() {
    let (seen, mut arrived) = mpsc::channel(1);
    let service = Service::http(move |request| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                seen.send(frame.unwrap().into_data().unwrap()).await.unwrap();
            }
            text("done")
        }
    });
    let edge = edge_of(&service);
    let mut client = Raw::connect(edge.address()).await;
    client.write("POST / HTTP/1.1\r\nhost: chat.localhost\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for word in ["one", "two"] {
        client.write(format!("3\r\n{word}\r\n")).await;
        assert_eq!(arrived.recv().await.unwrap(), word);
    }
    client.write("0\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "done");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_work_at_the_service() {
    let (begun, cancelled) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (signal, cancel) = (Arc::clone(&begun), Arc::clone(&cancelled));
    let service = Service::raw(move |mut socket| {
        let (signal, cancel) = (Arc::clone(&signal), Arc::clone(&cancel));
        async move {
            read_head(&mut socket).await;
            signal.notify_one();
            // The edge closes the connection: that is all a service can see, and all it needs.
            assert_eq!(socket.read(&mut [0; 16]).await.unwrap_or(0), 0);
            cancel.notify_one();
        }
    });
    let edge = edge_of(&service);
    let mut client = Raw::connect(edge.address()).await;
    client.write(GET).await;
    begun.notified().await;
    drop(client);
    tokio::time::timeout(SOON, cancelled.notified()).await.unwrap();
    until("the request is counted as aborted", async || {
        let series = "mana_edge_requests_total{route=\"chat\",slot=\"blue\",release=\"blue-1\",class=\"aborted\"}";
        edge.metric(series).await == Some(1.0)
    })
    .await;
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_of_a_stream_cancels_it() {
    let (hand, mut sender) = mpsc::channel(1);
    let service = Service::http(move |_| {
        let hand = hand.clone();
        async move {
            let (answer, chunks) = streamed();
            hand.send(chunks).await.unwrap();
            answer
        }
    });
    let edge = edge_of(&service);
    let mut client = Raw::connect(edge.address()).await;
    client.write(GET).await;
    let chunks = sender.recv().await.unwrap();
    chunks.send("word").await.unwrap();
    client.head().await;
    client.chunk().await;
    drop(client);
    tokio::time::timeout(SOON, chunks.closed()).await.unwrap();
}

#[tokio::test]
async fn the_body_is_asked_for_only_when_the_service_wants_it() {
    let service = Service::http(async |request| {
        if request.headers().contains_key("x-refuse") {
            let mut answer = text("no");
            *answer.status_mut() = StatusCode::UNAUTHORIZED;
            return answer;
        }
        // Reading makes hyper say `100 Continue`.
        text(request.into_body().collect().await.unwrap().to_bytes())
    });
    let edge = edge_of(&service);
    let head = "POST / HTTP/1.1\r\nhost: chat.localhost\r\nexpect: 100-continue\r\ncontent-length: 4\r\n";

    let mut client = Raw::connect(edge.address()).await;
    client.write(format!("{head}\r\n")).await;
    assert_eq!(client.head().await.status, 100);
    client.write("body").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "body"));

    let mut client = Raw::connect(edge.address()).await;
    client.write(format!("{head}x-refuse: 1\r\n\r\n")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (401, "no"), "no 100 before it");
}

#[tokio::test]
async fn a_service_that_knows_nothing_of_100_continue_gets_the_body_all_the_same() {
    let service = Service::raw(async |mut socket| {
        let head = read_head(&mut socket).await.unwrap();
        assert!(head.contains("expect: 100-continue"));
        let mut body = [0; 4];
        socket.read_exact(&mut body).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n").await.unwrap();
        socket.write_all(&body).await.unwrap();
    });
    let edge = edge_of(&service);
    let mut client = Raw::connect(edge.address()).await;
    client.write("POST / HTTP/1.1\r\nhost: chat.localhost\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n").await;
    assert_eq!(client.head().await.status, 100);
    client.write("body").await;
    assert_eq!(client.answer().await.text(), "body");
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_is_all_there_arrives() {
    let service = Service::raw(async |mut socket| {
        read_head(&mut socket).await;
        socket.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
        // Goes on reading, as a polite server does.
        let _rest = socket.read_to_end(&mut Vec::new()).await;
    });
    let edge = edge_of(&service);
    let mut client = Raw::connect(edge.address()).await;
    client.write("POST / HTTP/1.1\r\nhost: chat.localhost\r\ncontent-length: 1000000\r\n\r\nbegun").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (403, "no"));
}

async fn websocket(edge: &TestEdge) -> tokio_tungstenite::WebSocketStream<TcpStream> {
    let socket = TcpStream::connect(edge.address()).await.unwrap();
    let (socket, answer) = tokio_tungstenite::client_async("ws://chat.localhost/socket", socket).await.unwrap();
    assert_eq!(answer.status(), 101);
    assert!(answer.headers().contains_key("x-request-id"));
    socket
}

#[tokio::test]
async fn a_websocket_passes_messages_both_ways() {
    let service = websocket_echo();
    let edge = edge_of(&service);
    let mut socket = websocket(&edge).await;
    let large = "x".repeat(1_000_000);
    for words in ["one", "two", large.as_str()] {
        socket.send(Message::text(words)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), words);
    }
    socket.close(None).await.unwrap();
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    let sent = "mana_edge_sent_bytes_total{route=\"chat\",slot=\"blue\",release=\"blue-1\"}";
    until("the tunnel's bytes are counted", async || edge.metric(sent).await.is_some_and(|bytes| bytes > 1_000_000.0))
        .await;
}

#[tokio::test]
async fn a_tunnel_ends_at_the_service_when_the_client_goes_away() {
    let (ended, mut end) = mpsc::channel(1);
    let service = Service::raw(move |socket| {
        let ended = ended.clone();
        async move {
            let mut socket = tokio_tungstenite::accept_async(socket).await.unwrap();
            while socket.next().await.is_some_and(|message| message.is_ok()) {}
            ended.send(()).await.unwrap();
        }
    });
    let edge = edge_of(&service);
    let socket = websocket(&edge).await;
    drop(socket);
    tokio::time::timeout(SOON, end.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_the_service_says_right_behind_its_101_arrives() {
    let service = Service::raw(async |mut socket| {
        read_head(&mut socket).await;
        let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: lines\r\n\r\nhello\n";
        socket.write_all(answer.as_bytes()).await.unwrap();
        let mut said = [0; 4];
        socket.read_exact(&mut said).await.unwrap();
        socket.write_all(&said).await.unwrap();
    });
    let edge = edge_of(&service);
    let mut client = Raw::connect(edge.address()).await;
    client.write("GET / HTTP/1.1\r\nhost: chat.localhost\r\nconnection: upgrade\r\nupgrade: lines\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!((head.status, head.header("upgrade")), (101, Some("lines")));
    assert_eq!(client.exactly(6).await, b"hello\n");
    client.write("bye\n").await;
    assert_eq!(client.exactly(4).await, b"bye\n");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_service_may_refuse_an_upgrade() {
    let service = Service::saying("plain");
    let edge = edge_of(&service);
    let mut client = Raw::connect(edge.address()).await;
    for _ in 0..2 {
        let answer = client
            .ask("GET / HTTP/1.1\r\nhost: chat.localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            .await;
        assert_eq!((answer.status, answer.text()), (200, "plain"));
    }
}

#[tokio::test]
async fn a_tunnel_that_is_silent_too_long_is_cut() {
    let service = websocket_echo();
    let mut given = snapshot(vec![route("chat", slots(&[service.address]))]);
    given.routes[0].limits.body_idle_timeout_ms = 2_000;
    let edge = TestEdge::start(&given);
    let mut socket = websocket(&edge).await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        socket.send(Message::text("still here")).await.unwrap();
        assert!(socket.next().await.unwrap().is_ok(), "as long as something is said, it stays");
    }
    assert!(tokio::time::timeout(SOON, socket.next()).await.unwrap().is_none_or(|message| message.is_err()));
}

/// Asserts that a WebSocket goes on, and is then closed with 1001.
async fn goes_on_and_is_told_to_go(mut socket: tokio_tungstenite::WebSocketStream<TcpStream>) {
    socket.send(Message::text("still there?")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still there?"));
    let end = tokio::time::timeout(SOON, socket.next()).await.unwrap().unwrap().unwrap();
    let Message::Close(Some(frame)) = end else { panic!("{end:?}") };
    assert_eq!(u16::from(frame.code), 1001);
}

#[tokio::test]
async fn a_websocket_of_a_replaced_instance_goes_on_for_a_while_and_is_closed_with_1001() {
    let (old, new) = (websocket_echo(), websocket_echo());
    let of = |generation, service: &Service| {
        let mut route = route("chat", slots(&[service.address]));
        route.limits.drain_timeout_ms = 500;
        mana_edge::snapshot::Snapshot { generation, ..snapshot(vec![route]) }
    };
    let edge = TestEdge::start(&of(1, &old));
    let before = websocket(&edge).await;
    edge.admin().put(&of(2, &new)).await.unwrap();
    let mut after = websocket(&edge).await;
    assert_eq!(edge.admin().retired().await.unwrap().iter().map(|retired| retired.in_flight).sum::<u64>(), 1);
    goes_on_and_is_told_to_go(before).await;
    until("nothing is with the old one", async || edge.admin().retired().await.unwrap().is_empty()).await;
    after.send(Message::text("untouched")).await.unwrap();
    assert_eq!(after.next().await.unwrap().unwrap(), Message::text("untouched"));
}

#[tokio::test]
async fn a_websocket_of_an_edge_that_ends_is_closed_with_1001() {
    let service = websocket_echo();
    let mut short = snapshot(vec![route("chat", slots(&[service.address]))]);
    short.limits.drain_timeout_ms = 1_500;
    let edge = TestEdge::start(&short);
    let socket = websocket(&edge).await;
    edge.admin().drain().await.unwrap();
    goes_on_and_is_told_to_go(socket).await;
}
