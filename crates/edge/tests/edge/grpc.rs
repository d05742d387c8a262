//! Instances that speak HTTP/2: streams both ways at once, trailers, and one connection for all requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mana_edge::snapshot::{Issuer, Listener, LocalAuthority, Protocol, Slot, Snapshot, Target, Tls};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::client::TlsStream;

use crate::support::{Raw, SOON, Service, TestEdge, TlsClient, get, public, route, slot, snapshot, until};

type Message = BoxBody<Bytes, Infallible>;

/// What comes through the channel, then these trailers.
fn messages(trailers: Option<HeaderMap>) -> (mpsc::Sender<Bytes>, Message) {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
    let mut trailers = trailers.map(Frame::trailers);
    let stream = futures_util::stream::poll_fn(move |cx| {
        let next = receiver.poll_recv(cx);
        next.map(|data| data.map(Frame::data).or_else(|| trailers.take()).map(Ok::<_, Infallible>))
    });
    (sender, BoxBody::new(StreamBody::new(stream)))
}

fn status(code: &'static str) -> HeaderMap {
    [("grpc-status".parse().unwrap(), HeaderValue::from_static(code))].into_iter().collect()
}

/// What a service has seen.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    ended: AtomicUsize,
}

/// Says each message back as it comes, and how it went in the trailers. Counts what it sees.
fn grpc(seen: &Arc<Seen>) -> Service {
    let seen = Arc::clone(seen);
    Service::raw(move |socket| {
        seen.connections.fetch_add(1, Ordering::Relaxed);
        let seen = Arc::clone(&seen);
        async move {
            let service = service_fn(|request: Request<Incoming>| {
                let answer = answer(request, &seen);
                async { Ok::<_, Infallible>(answer) }
            });
            let io = TokioIo::new(socket);
            // A client that goes away in the middle is what some tests are about.
            let _ended =
                hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
        }
    })
}

fn answer(request: Request<Incoming>, seen: &Arc<Seen>) -> Response<Message> {
    seen.requests.fetch_add(1, Ordering::Relaxed);
    let seen = Arc::clone(seen);
    assert_eq!((request.version(), request.uri().scheme_str()), (Version::HTTP_2, Some("http")));
    let shown = format!("{} {}", request.uri(), request.headers().get("te").map_or("", |te| te.to_str().unwrap()));
    let mut response = match request.uri().path() {
        "/refused" => {
            let mut response = Response::new(BoxBody::new(Empty::new()));
            response.headers_mut().extend(status("7"));
            response
        }
        "/healthy" => Response::new(BoxBody::new(Full::new("ok".into()))),
        _ => {
            let (sender, body) = messages(Some(status("0")));
            tokio::spawn(async move {
                let mut incoming = request.into_body();
                while let Some(Ok(frame)) = incoming.frame().await {
                    if let Ok(data) = frame.into_data()
                        && sender.send(data).await.is_err()
                    {
                        break;
                    }
                }
                seen.ended.fetch_add(1, Ordering::Relaxed);
            });
            Response::new(body)
        }
    };
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response.headers_mut().insert("x-asked", HeaderValue::try_from(shown).unwrap());
    response
}

struct Grpc {
    edge: TestEdge,
    folder: TempDir,
    service: Option<Service>,
    seen: Arc<Seen>,
}

fn speaking_h2c(instances: &[SocketAddr]) -> Slot {
    let mut slot = slot("blue", 1, instances);
    for instance in &mut slot.instances {
        instance.protocol = Protocol::H2c;
    }
    slot
}

fn of(instances: &[SocketAddr], folder: &Path) -> Snapshot {
    let issuer = Issuer::Local(LocalAuthority { folder: folder.join("ca") });
    Snapshot {
        listeners: vec![public(), Listener::secure(([127, 0, 0, 2], 0).into())],
        tls: Some(Tls { issuer: Some(issuer), ..Tls::default() }),
        ..snapshot(vec![route("grpc", Target::Slots(vec![speaking_h2c(instances)]))])
    }
}

impl Grpc {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seen = Arc::default();
        let service = grpc(&seen);
        let edge = TestEdge::start(&of(&[service.address], folder.path()));
        Self { edge, folder, service: Some(service), seen }
    }

    async fn stream(&self) -> TlsStream<TcpStream> {
        let client = TlsClient::trusting(&self.folder.path().join("ca/ca.pem"));
        client.offering(&["h2"]).connect(self.edge.addresses()[1], "grpc.localhost").await.unwrap()
    }

    async fn connect(&self) -> http2::SendRequest<Message> {
        let io = TokioIo::new(self.stream().await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

fn call(path: &str, body: Message) -> Request<Message> {
    let request = Request::builder().method(Method::POST).uri(format!("https://grpc.localhost{path}"));
    request.header("te", "trailers").header("content-type", "application/grpc").body(body).unwrap()
}

fn one(message: &'static str) -> Message {
    BoxBody::new(Full::new(Bytes::from_static(message.as_bytes())))
}

#[tokio::test]
async fn messages_pass_both_ways_at_once_and_trailers_follow() {
    let grpc = Grpc::start();
    let mut client = grpc.connect().await;
    let (sender, body) = messages(None);
    sender.send("first".into()).await.unwrap();
    let response = client.send_request(call("/chat.Chat/Talk", body)).await.unwrap();
    assert_eq!(response.headers()["x-asked"], "http://grpc.localhost/chat.Chat/Talk trailers");
    let mut answers = response.into_body();
    assert_eq!(answers.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    for message in ["second", "third"] {
        // The next is said only once the one before was answered.
        sender.send(message.into()).await.unwrap();
        assert_eq!(answers.frame().await.unwrap().unwrap().into_data().unwrap(), message);
    }
    drop(sender);
    let trailers = answers.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert!(answers.frame().await.is_none());
}

#[tokio::test]
async fn an_answer_of_nothing_but_trailers_arrives() {
    let grpc = Grpc::start();
    let response = grpc.connect().await.send_request(call("/refused", one("x"))).await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["grpc-status"]),
        (StatusCode::OK, &HeaderValue::from_static("7"))
    );
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn large_messages_pass_and_all_requests_share_one_connection() {
    let grpc = Grpc::start();
    let large = Bytes::from(vec![b'x'; 8 * 1024 * 1024]);
    let calls = (0..20).map(|_| async {
        let mut client = grpc.connect().await;
        let body = BoxBody::new(Full::new(large.clone()));
        let response = client.send_request(call("/large", body)).await.unwrap();
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
        assert!(body.to_bytes() == large);
    });
    futures_util::future::join_all(calls).await;
    assert!(grpc.seen.connections.load(Ordering::Relaxed) <= 2, "one for each thread of the edge");
}

#[tokio::test]
async fn a_client_of_http1_is_served_too() {
    let grpc = Grpc::start();
    let answer = get(grpc.edge.address(), "grpc.localhost", "/healthy").await;
    assert_eq!((answer.status, answer.text()), (200, "ok"));
}

#[tokio::test]
async fn what_a_client_takes_back_is_taken_back_at_the_instance() {
    let grpc = Grpc::start();
    let (mut client, connection) = h2::client::handshake(grpc.stream().await).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::post("https://grpc.localhost/talk").body(()).unwrap();
    let (answer, mut upload) = client.send_request(request, false).unwrap();
    upload.send_data("first".into(), false).unwrap();
    let mut answer = answer.await.unwrap().into_body();
    assert_eq!(answer.data().await.unwrap().unwrap(), "first");
    connection.abort();
    until("the service is told", async || grpc.seen.ended.load(Ordering::Relaxed) == 1).await;
    let mut client = grpc.connect().await;
    let again = client.send_request(call("/talk", one("x"))).await.unwrap();
    assert_eq!(again.into_body().collect().await.unwrap().to_bytes(), "x");
    assert!(grpc.seen.connections.load(Ordering::Relaxed) <= 2, "only the stream ended");
}

#[tokio::test]
async fn an_instance_that_goes_away_is_found_again_when_it_is_back_elsewhere() {
    let mut grpc = Grpc::start();
    let mut client = grpc.connect().await;
    let asked = client.send_request(call("/talk", one("x"))).await.unwrap();
    assert_eq!(asked.into_body().collect().await.unwrap().to_bytes(), "x");
    drop(grpc.service.take());
    let gone = client.send_request(call("/talk", one("x"))).await.unwrap();
    assert_eq!(gone.status(), StatusCode::BAD_GATEWAY);

    let other = self::grpc(&grpc.seen);
    let next = Snapshot { generation: 2, ..of(&[other.address], grpc.folder.path()) };
    grpc.edge.admin().put(&next).await.unwrap();
    let asked = client.send_request(call("/talk", one("y"))).await.unwrap();
    assert_eq!(asked.into_body().collect().await.unwrap().to_bytes(), "y");
}

#[tokio::test]
async fn probes_are_asked_in_the_protocol_of_the_instance() {
    let folder = tempfile::tempdir().unwrap();
    let seen = Arc::default();
    let service = grpc(&seen);
    let mut snapshot = of(&[service.address], folder.path());
    snapshot.routes[0].probe =
        Some(mana_edge::snapshot::Probe { path: "/healthy".into(), interval_ms: 100, timeout_ms: 1_000 });
    let edge = TestEdge::start(&snapshot);
    until("it is asked", async || seen.requests.load(Ordering::Relaxed) > 10).await;
    assert_eq!(edge.metric("mana_edge_probe_failures_total").await, Some(0.0));
}

/// An instance in a few frames: says half an answer, and takes it back.
fn cancelling() -> Service {
    Service::raw(async |socket| {
        let mut connection = h2::server::handshake(socket).await.unwrap();
        while let Some(Ok((_request, mut respond))) = connection.accept().await {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data("half".into(), false).unwrap();
            tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                stream.send_reset(h2::Reason::CANCEL);
            });
        }
    })
}

#[tokio::test]
async fn half_an_answer_does_not_pass_for_a_whole_one() {
    let service = cancelling();
    let folder = tempfile::tempdir().unwrap();
    let edge = TestEdge::start(&of(&[service.address], folder.path()));
    let mut client = Raw::connect(edge.address()).await;
    client.write("GET / HTTP/1.1\r\nhost: grpc.localhost\r\n\r\n").await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.chunk().await.unwrap(), b"half");
    assert!(client.rest().await.is_empty(), "no end of the body, but of the connection");
}

#[tokio::test]
async fn half_an_upload_does_not_pass_for_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let (told, mut seen) = mpsc::unbounded_channel();
    let service = Service::raw(move |mut socket| {
        let told = told.clone();
        async move {
            let mut all = Vec::new();
            let _cut = tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut all).await;
            let _over = told.send(String::from_utf8(all).unwrap());
        }
    });
    let mut snapshot = of(&[], folder.path());
    snapshot.routes[0].target = Target::Slots(vec![slot("blue", 1, &[service.address])]);
    let edge = TestEdge::start(&snapshot);
    let client = TlsClient::trusting(&folder.path().join("ca/ca.pem"));
    let stream = client.offering(&["h2"]).connect(edge.addresses()[1], "grpc.localhost").await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("https://grpc.localhost/upload").body(()).unwrap();
    let (_answer, mut upload) = sender.send_request(request, false).unwrap();
    upload.send_data("half".into(), false).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    upload.send_reset(h2::Reason::CANCEL);
    let received = tokio::time::timeout(SOON, seen.recv()).await.unwrap().unwrap();
    assert!(received.ends_with("\r\n\r\n4\r\nhalf\r\n"), "{received:?}");
}
