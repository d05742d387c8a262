//! HTTP/3 beside TLS: the same routes, limits and ends, over QUIC.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use h3_quinn::OpenStreams;
use http::{Request, Response};
use http_body_util::BodyExt;
use mana_edge::snapshot::{Issuer, Listener, LocalAuthority, Snapshot, Tls};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::framing::PATHS_WITH_TWO_READINGS;
use crate::support::{SOON, Service, TestEdge, TlsClient, route, slots, snapshot, streamed, text, until};

/// Says how it was asked, or the body back.
fn service() -> Service {
    Service::http(|request: Request<hyper::body::Incoming>| async move {
        let asked = format!("{} {}", request.method(), request.uri());
        let forwarded = request.headers()["x-forwarded-proto"].clone();
        let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let mut answer = text(if body.is_empty() { asked.clone().into() } else { body });
        answer.headers_mut().insert("x-asked", asked.parse().unwrap());
        answer.headers_mut().insert("x-scheme", forwarded);
        answer
    })
}

struct Http3 {
    edge: TestEdge,
    folder: TempDir,
    _service: Service,
}

fn listening(service: &Service, folder: &Path, http3: bool) -> Snapshot {
    let issuer = Issuer::Local(LocalAuthority { folder: folder.join("ca") });
    Snapshot {
        listeners: vec![Listener { http3, ..Listener::secure(([127, 0, 0, 1], 0).into()) }],
        tls: Some(Tls { issuer: Some(issuer), ..Tls::default() }),
        ..snapshot(vec![route("app", slots(&[service.address]))])
    }
}

impl Http3 {
    fn start() -> Self {
        Self::of(service(), |_| {})
    }

    fn of(service: Service, change: impl FnOnce(&mut Snapshot)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut snapshot = listening(&service, folder.path(), true);
        change(&mut snapshot);
        Self { edge: TestEdge::start(&snapshot), folder, _service: service }
    }

    async fn connect(&self) -> Client {
        Client::connect(&self.folder.path().join("ca/ca.pem"), self.edge.address()).await.unwrap()
    }
}

/// One connection, driven by a task of its own.
struct Client {
    send: SendRequest<OpenStreams, Bytes>,
    connection: quinn::Connection,
    driver: tokio::task::JoinHandle<h3::error::ConnectionError>,
    _endpoint: Endpoint,
}

impl Client {
    async fn connect(ca: &Path, address: SocketAddr) -> Option<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let mut tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap())));
        let connection = endpoint.connect(address, "app.localhost").unwrap().await.ok()?;
        let (mut driver, send) = h3::client::new(h3_quinn::Connection::new(connection.clone())).await.ok()?;
        let driver = tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
        Some(Self { send, connection, driver, _endpoint: endpoint })
    }

    async fn ask(&mut self, request: Request<()>, body: &[Bytes]) -> Option<(Response<()>, Vec<u8>)> {
        let mut stream = self.send.send_request(request).await.ok()?;
        for piece in body {
            // An answer that comes before the body has passed is what some tests are about.
            if stream.send_data(piece.clone()).await.is_err() {
                break;
            }
        }
        let _early = stream.finish().await;
        let response = stream.recv_response().await.ok()?;
        let mut received = Vec::new();
        while let Some(mut data) = stream.recv_data().await.ok()? {
            received.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
        Some((response, received))
    }

    async fn get(&mut self, uri: &str) -> (Response<()>, Vec<u8>) {
        self.ask(Request::get(uri).body(()).unwrap(), &[]).await.unwrap()
    }
}

#[tokio::test]
async fn requests_take_the_same_way_as_over_tcp() {
    let http3 = Http3::start();
    let mut client = http3.connect().await;
    let (head, body) = client.get("https://app.localhost/a?b=c").await;
    assert_eq!((head.status().as_u16(), &body[..]), (200, &b"GET /a?b=c"[..]));
    assert_eq!(
        (&head.headers()["x-scheme"], head.headers().contains_key("x-request-id")),
        (&"https".parse().unwrap(), true)
    );
    assert!(head.headers().contains_key("date") && !head.headers().contains_key("alt-svc"));

    let (head, body) = client.ask(Request::head("https://app.localhost/h").body(()).unwrap(), &[]).await.unwrap();
    assert_eq!((&head.headers()["x-asked"], body.len()), (&"HEAD /h".parse().unwrap(), 0));
    assert_eq!(client.get("https://other.localhost/").await.0.status(), 404);
    assert_eq!(client.get("https://app.localhost/a/../b").await.0.status(), 400);
    let mismatch = Request::get("https://app.localhost/").header("host", "other.localhost").body(()).unwrap();
    assert!(client.ask(mismatch, &[]).await.is_none_or(|(head, _)| head.status() == 400));
}

#[tokio::test]
async fn every_answer_makes_the_promise_of_tls() {
    let http3 = Http3::of(service(), |snapshot| snapshot.tls.as_mut().unwrap().strict_transport = true);
    let mut client = http3.connect().await;
    for (uri, status) in
        [("https://app.localhost/", 200), ("https://other.localhost/", 404), ("https://app.localhost/a/../b", 400)]
    {
        let (head, _) = client.get(uri).await;
        let promise = head.headers().get("strict-transport-security").unwrap();
        assert_eq!(
            (head.status().as_u16(), promise),
            (status, &"max-age=31536000; includeSubDomains; preload".parse().unwrap())
        );
    }
}

#[tokio::test]
async fn requests_with_two_readings_reach_nobody() {
    let whole = Arc::new(AtomicUsize::new(0));
    let http3 = Http3::of(counting(&whole), |_| {});
    let mut client = http3.connect().await;
    for path in PATHS_WITH_TWO_READINGS {
        let request = Request::get(format!("https://app.localhost{path}")).body(()).unwrap();
        let (head, _) = client.ask(request, &[]).await.unwrap();
        assert_eq!(head.status(), 400, "{path}");
    }
    for field in [
        ("host", "other.localhost"),
        ("connection", "x-real-ip"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("content-length", ""),
        ("content-length", "+0"),
        ("content-length", "0, 0"),
    ] {
        let mut client = http3.connect().await;
        let request = Request::get("https://app.localhost/").header(field.0, field.1).body(()).unwrap();
        let answered = client.ask(request, &[]).await;
        assert!(answered.is_none_or(|(head, _)| head.status() == 400), "{field:?}");
    }
    assert_eq!(whole.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn clients_over_tcp_are_told_where_it_is() {
    let http3 = Http3::start();
    let tcp = TlsClient::trusting(&http3.folder.path().join("ca/ca.pem"));
    let mut client = tcp.http2(http3.edge.address(), "app.localhost").await;
    let request = Request::get("https://app.localhost/").body(http_body_util::Full::default()).unwrap();
    let answer = client.send_request(request).await.unwrap();
    let expected = format!("h3=\":{}\"; ma=86400", http3.edge.address().port());
    assert_eq!(answer.headers()["alt-svc"], expected);
}

#[tokio::test]
async fn large_bodies_pass_whole_both_ways() {
    let http3 = Http3::start();
    let mut client = http3.connect().await;
    let pieces: Vec<_> = (0..64_u8).map(|piece| Bytes::from(vec![piece; 128 * 1024])).collect();
    let expected = pieces.concat();
    for length in [None, Some(expected.len())] {
        let mut request = Request::post("https://app.localhost/upload");
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let (head, body) = client.ask(request.body(()).unwrap(), &pieces).await.unwrap();
        assert_eq!(head.status(), 200);
        assert!(body == expected, "{length:?}: {} bytes", body.len());
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let http3 = Http3::of(service(), |snapshot| snapshot.routes[0].limits.max_body_bytes = 1_000);
    let mut client = http3.connect().await;
    let large = [Bytes::from(vec![b'x'; 2_000])];
    let said = Request::post("https://app.localhost/").header("content-length", 2_000).body(()).unwrap();
    assert_eq!(client.ask(said, &large).await.unwrap().0.status(), 413);
    let unsaid = Request::post("https://app.localhost/").body(()).unwrap();
    assert_eq!(client.ask(unsaid, &large).await.unwrap().0.status(), 413);
    assert_eq!(client.get("https://app.localhost/").await.0.status(), 200);
}

/// A service that counts the requests it got whole.
fn counting(whole: &Arc<AtomicUsize>) -> Service {
    let whole = Arc::clone(whole);
    Service::http(move |request: Request<hyper::body::Incoming>| {
        let whole = Arc::clone(&whole);
        async move {
            if request.into_body().collect().await.is_ok() {
                whole.fetch_add(1, Ordering::Relaxed);
            }
            text("done")
        }
    })
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_it_says_never_passes_for_a_whole_one() {
    let whole = Arc::new(AtomicUsize::new(0));
    let http3 = Http3::of(counting(&whole), |_| {});
    for (said, sent) in [("10", "short"), ("3", "longer"), ("x", "y"), ("-1", "")] {
        let mut client = http3.connect().await;
        let request = Request::post("https://app.localhost/").header("content-length", said).body(()).unwrap();
        let answered = client.ask(request, &[Bytes::from_static(sent.as_bytes())]).await;
        assert!(answered.is_none_or(|(head, _)| head.status() == 400), "{said}: {sent}");
    }
    let mut client = http3.connect().await;
    let smuggled = Request::post("https://app.localhost/").header("transfer-encoding", "chunked").body(()).unwrap();
    assert!(client.ask(smuggled, &[]).await.is_none());
    assert_eq!(whole.load(Ordering::Relaxed), 0);
    assert_eq!(http3.connect().await.get("https://app.localhost/").await.1, b"done");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_work_at_the_service() {
    let cancelled = Arc::new(AtomicUsize::new(0));
    let (service_cancelled, started) = (Arc::clone(&cancelled), Arc::new(AtomicUsize::new(0)));
    let service_started = Arc::clone(&started);
    let service = Service::raw(move |mut socket| {
        let (cancelled, started) = (Arc::clone(&service_cancelled), Arc::clone(&service_started));
        async move {
            crate::support::read_head(&mut socket).await.unwrap();
            started.fetch_add(1, Ordering::Relaxed);
            let _end = tokio::io::AsyncReadExt::read_u8(&mut socket).await;
            cancelled.fetch_add(1, Ordering::Relaxed);
        }
    });
    let http3 = Http3::of(service, |_| {});
    let mut client = http3.connect().await;
    let mut stream = client.send.send_request(Request::get("https://app.localhost/").body(()).unwrap()).await.unwrap();
    stream.finish().await.unwrap();
    until("it is asked", async || started.load(Ordering::Relaxed) == 1).await;
    client.connection.close(0_u32.into(), b"");
    until("it is told", async || cancelled.load(Ordering::Relaxed) == 1).await;
}

#[tokio::test]
async fn a_snapshot_begins_and_ends_it() {
    let service = service();
    let folder = tempfile::tempdir().unwrap();
    let edge = TestEdge::start(&listening(&service, folder.path(), false));
    let ca = folder.path().join("ca/ca.pem");
    let http3 = |generation, http3| Snapshot { generation, ..listening(&service, folder.path(), http3) };
    edge.admin().put(&http3(2, true)).await.unwrap();
    let mut client = Client::connect(&ca, edge.address()).await.unwrap();
    assert_eq!(client.get("https://app.localhost/").await.0.status(), 200);

    edge.admin().put(&http3(3, false)).await.unwrap();
    let refused = tokio::time::timeout(SOON, Client::connect(&ca, edge.address())).await;
    assert!(!matches!(refused, Ok(Some(_))));

    // The port is free as soon as the connections of before have ended.
    client.connection.close(0_u32.into(), b"");
    let mut taken = None;
    until("the port is free", async || {
        taken = std::net::UdpSocket::bind(edge.address()).ok();
        taken.is_some()
    })
    .await;
    let error = edge.admin().put(&http3(4, true)).await.unwrap_err();
    assert!(error.to_string().contains(&edge.address().to_string()), "{error}");
    drop(taken);
    edge.admin().put(&http3(4, true)).await.unwrap();
    let mut client = Client::connect(&ca, edge.address()).await.unwrap();
    assert_eq!(client.get("https://app.localhost/").await.0.status(), 200);
}

#[tokio::test]
async fn what_is_in_progress_finishes_when_the_edge_ends() {
    let (answer, chunks) = streamed();
    let answer = Arc::new(std::sync::Mutex::new(Some(answer)));
    let service = Service::http(move |_| {
        let answer = answer.lock().unwrap().take().unwrap();
        async move { answer }
    });
    let mut http3 = Http3::of(service, |snapshot| snapshot.limits.drain_timeout_ms = 10_000);
    let mut client = http3.connect().await;
    let mut stream = client.send.send_request(Request::get("https://app.localhost/").body(()).unwrap()).await.unwrap();
    stream.finish().await.unwrap();
    assert_eq!(stream.recv_response().await.unwrap().status(), 200);
    chunks.send("before").await.unwrap();
    assert_eq!(stream.recv_data().await.unwrap().unwrap().chunk(), b"before");
    let (stopped, stopping) = oneshot::channel();
    std::thread::spawn(move || {
        http3.edge.stop();
        let _done = stopped.send(());
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let more = client.send.send_request(Request::get("https://app.localhost/").body(()).unwrap()).await;
    let refused = match more {
        Ok(mut more) => more.finish().await.is_err() || more.recv_response().await.is_err(),
        Err(_) => true,
    };
    assert!(refused, "the connection takes no more");
    chunks.send("after").await.unwrap();
    assert_eq!(stream.recv_data().await.unwrap().unwrap().chunk(), b"after");
    drop(chunks);
    assert!(stream.recv_data().await.unwrap().is_none());
    tokio::time::timeout(SOON, stopping).await.unwrap().unwrap();
    let _closed = tokio::time::timeout(SOON, client.driver).await.unwrap();
}
