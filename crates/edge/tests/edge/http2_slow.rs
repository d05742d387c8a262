//! HTTP/2 clients that take their time: what they hold up ends, and nobody else notices.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use mana_edge::snapshot::{Issuer, Listener, LocalAuthority, Snapshot, Tls};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Http2, Outcome, RST_STREAM, SETTINGS, block, frame,
};
use crate::support::{Raw, SOON, Service, TestEdge, TlsClient, route, slots, snapshot, text, until};

/// Bytes of a large answer.
const LARGE: usize = 8 * 1024 * 1024;

struct Slow {
    edge: TestEdge,
    folder: TempDir,
    _service: Service,
}

impl Slow {
    fn start(change: impl FnOnce(&mut Snapshot)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::http(async |request| {
            let large = request.uri().path() == "/large";
            let _body = http_body_util::BodyExt::collect(request.into_body()).await;
            if large { text(vec![b'x'; LARGE]) } else { text("chat") }
        });
        let issuer = Issuer::Local(LocalAuthority { folder: folder.path().join("ca") });
        let mut given = Snapshot {
            listeners: vec![Listener::secure(([127, 0, 0, 1], 0).into())],
            tls: Some(Tls { issuer: Some(issuer), ..Tls::default() }),
            ..snapshot(vec![route("chat", slots(&[service.address]))])
        };
        change(&mut given);
        Self { edge: TestEdge::start(&given), folder, _service: service }
    }

    fn client(&self) -> TlsClient {
        TlsClient::trusting(&self.folder.path().join("ca/ca.pem"))
    }

    async fn connect(&self, settings: &[(u16, u32)]) -> Http2<TlsStream<TcpStream>> {
        let stream = self.client().offering(&["h2"]).connect(self.edge.address(), "chat.localhost").await.unwrap();
        Http2::begin(stream, settings).await
    }

    async fn check_well(&self) {
        let stream = self.client().connect(self.edge.address(), "chat.localhost").await.unwrap();
        let answer = Raw::over(stream).ask("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
        assert_eq!(answer.text(), "chat");
    }

    async fn all_closed(&self) {
        until("the connections are closed", async || self.edge.metric("mana_edge_connections_open").await == Some(0.0))
            .await;
    }
}

fn asking(method: &str, path: &str) -> Vec<u8> {
    block(&[(":method", method), (":scheme", "https"), (":path", path), (":authority", "chat.localhost")])
}

fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &asking("GET", path))
}

#[tokio::test]
async fn a_head_that_does_not_end_in_time_ends_the_connection() {
    let slow = Slow::start(|given| given.limits.header_timeout_ms = 300);
    let mut client = slow.connect(&[]).await;
    client.send(&frame(HEADERS, END_STREAM, 1, &asking("GET", "/"))).await;
    // A byte now and then does not help: the bound is on the whole head.
    let rest = frame(CONTINUATION, END_HEADERS, 1, &block(&[("x", &"y".repeat(16_000))]));
    let begun = Instant::now();
    let drip = async {
        for byte in rest {
            if !client.send(&[byte]).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, drip).await.expect("it is closed");
    assert!(begun.elapsed() >= Duration::from_millis(200));
    slow.all_closed().await;
    slow.check_well().await;
}

/// Sends byte by byte, until the edge has closed.
async fn drip(client: &mut Http2<TlsStream<TcpStream>>, bytes: &[u8], each: Duration) {
    let drip = async {
        for byte in bytes {
            if !client.send(&[*byte]).await {
                return;
            }
            tokio::time::sleep(each).await;
        }
    };
    tokio::time::timeout(SOON, drip).await.expect("it is closed");
}

#[tokio::test]
async fn what_does_not_end_in_time_ends_the_connection_after_a_request_too() {
    let slow = Slow::start(|given| given.limits.header_timeout_ms = 300);
    let head = frame(HEADERS, END_STREAM, 5, &asking("GET", "/"));
    let rest = frame(CONTINUATION, END_HEADERS, 5, &block(&[("x", &"y".repeat(16_000))]));
    let setting = frame(SETTINGS, 0, 0, &[0; 6 * 100]);
    let (fast, leisurely) = (Duration::from_millis(10), Duration::from_millis(100));
    for (begin, bytes, each) in [
        (&head[..], &rest[..], fast),
        // No byte of a whole head, and nothing but the begin of a frame.
        (&[], &head[..8], leisurely),
        (&[], &setting[..], fast),
    ] {
        // With a request that is open meanwhile, whose answer is not taken, and without.
        for open in [true, false] {
            let mut client = slow.connect(if open { &[(4, 0)] } else { &[] }).await;
            client.send(&get(1, "/")).await;
            assert_eq!(client.outcome(1).await, Outcome::Ok);
            if open {
                client.send(&get(3, "/large")).await;
            }
            client.send(begin).await;
            let begun = Instant::now();
            drip(&mut client, bytes, each).await;
            while client.next().await.is_some() {}
            assert!(begun.elapsed() >= Duration::from_millis(200));
            assert!(begun.elapsed() < SOON);
        }
    }
    slow.all_closed().await;
    assert_eq!(slow.edge.metric("mana_edge_refused_total{reason=\"timeout\"}").await, Some(6.0));
    slow.check_well().await;
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_no_head_that_does_not_end() {
    let slow = Slow::start(|given| given.limits.header_timeout_ms = 300);
    let mut client = slow.connect(&[]).await;
    client.send(&frame(HEADERS, END_HEADERS, 1, &asking("POST", "/"))).await;
    for byte in frame(DATA, END_STREAM, 1, &[b'x'; 60]) {
        assert!(client.send(&[byte]).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(client.outcome(1).await, Outcome::Ok);
}

#[tokio::test]
async fn a_connection_that_lies_idle_is_kept_for_the_idle_timeout_and_no_longer() {
    let slow = Slow::start(|given| {
        given.limits.header_timeout_ms = 300;
        given.limits.idle_timeout_ms = 1_500;
    });
    let mut client = slow.connect(&[]).await;
    client.send(&get(1, "/")).await;
    assert_eq!(client.outcome(1).await, Outcome::Ok);
    // Longer than a head may take, which this is not.
    tokio::time::sleep(Duration::from_millis(600)).await;
    client.send(&get(3, "/")).await;
    assert_eq!(client.outcome(3).await, Outcome::Ok);
    slow.all_closed().await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_was_asked_yet_is_as_idle_as_any() {
    let slow = Slow::start(|given| {
        given.limits.header_timeout_ms = 300;
        given.limits.idle_timeout_ms = 2_000;
    });
    let mut early = slow.connect(&[]).await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    early.send(&get(1, "/")).await;
    assert_eq!(early.outcome(1).await, Outcome::Ok, "it was kept");
    slow.all_closed().await;
}

#[tokio::test]
async fn a_client_that_opens_no_window_is_cut_and_costs_little_meanwhile() {
    let slow = Slow::start(|given| given.routes[0].limits.body_idle_timeout_ms = 500);
    let mut clients = Vec::new();
    for _ in 0..5 {
        // Initial window: nothing of any answer's body is taken.
        let mut client = slow.connect(&[(4, 0)]).await;
        for stream in 0..50 {
            client.send(&get(2 * stream + 1, "/large")).await;
        }
        clients.push(client);
    }
    slow.check_well().await;
    for client in &mut clients {
        // The heads come, and then nothing but the end, of each stream or of all.
        let mut ended = HashSet::new();
        while ended.len() < 50 {
            let Some(frame) = client.next().await else { break };
            assert!(frame.kind != DATA || frame.payload.is_empty(), "there was no window");
            if frame.kind == RST_STREAM {
                ended.insert(frame.stream);
            }
        }
    }
    slow.check_well().await;
}

#[tokio::test]
async fn a_body_that_stops_coming_ends_its_stream_and_no_other() {
    let slow = Slow::start(|given| given.routes[0].limits.body_idle_timeout_ms = 300);
    let mut client = slow.connect(&[]).await;
    client.send(&frame(HEADERS, END_HEADERS, 1, &asking("POST", "/"))).await;
    client.send(&frame(DATA, 0, 1, b"half")).await;
    let outcome = client.outcome(1).await;
    assert!(matches!(outcome, Outcome::Other | Outcome::Reset), "408, or cut: {outcome:?}");
    client.send(&get(3, "/")).await;
    assert_eq!(client.outcome(3).await, Outcome::Ok);
}
