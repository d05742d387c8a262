//! TLS: certificates by host, from files and from an authority of the machine's own, HTTP/2 inside, and the way there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use mana_edge::snapshot::{
    CertificateFiles, Issuer, Listener, LocalAuthority, Policies, Redirect, Route, Snapshot, Target, Tls,
};
use rustls::HandshakeKind;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::support::{
    Raw, Service, TestEdge, TlsClient, get, route, send, slots, snapshot, text, until, websocket_echo,
};

/// TLS with the local authority, and a listener that redirects to it.
fn secured(routes: Vec<Route>, folder: &Path) -> Snapshot {
    let issuer = Issuer::Local(LocalAuthority { folder: folder.join("ca") });
    Snapshot {
        listeners: vec![
            Listener::secure(([127, 0, 0, 1], 0).into()),
            Listener::to_https(([127, 0, 0, 2], 0).into(), 8443),
        ],
        tls: Some(Tls { issuer: Some(issuer), strict_transport: true, ..Tls::default() }),
        ..snapshot(routes)
    }
}

fn client(folder: &Path) -> TlsClient {
    TlsClient::trusting(&folder.join("ca/ca.pem"))
}

const ASK: &str = "GET /x?y=1 HTTP/1.1\r\nhost: chat.localhost\r\n\r\n";

#[tokio::test]
async fn http1_over_tls_is_answered_with_the_hosts_own_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::http(async |request| {
        let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        text(format!("{} {} {}", request.uri(), header("x-forwarded-proto"), header("x-real-ip")))
    });
    let edge = TestEdge::start(&secured(vec![route("chat", slots(&[service.address]))], folder.path()));
    let mut raw = Raw::over(client(folder.path()).connect(edge.address(), "chat.localhost").await.unwrap());
    for _ in 0..3 {
        let answer = raw.ask(ASK).await;
        assert_eq!((answer.status, answer.text()), (200, "/x?y=1 https 127.0.0.1"));
        let strict = answer.header("strict-transport-security");
        assert_eq!(strict, Some("max-age=31536000; includeSubDomains; preload"));
    }
    // A host that is not served has no certificate, and neither has an address.
    for host in ["other.localhost", "127.0.0.1"] {
        client(folder.path()).connect(edge.address(), host).await.unwrap_err();
    }
    assert_eq!(edge.metric("mana_edge_tls_handshakes_total{result=\"full\"}").await, Some(1.0));
    assert_eq!(edge.metric("mana_edge_tls_handshakes_total{result=\"failed\"}").await, Some(2.0));
}

#[tokio::test]
async fn every_answer_over_tls_makes_the_same_promise_whoever_gives_it() {
    const PROMISE: &str = "max-age=31536000; includeSubDomains; preload";
    let folder = tempfile::tempdir().unwrap();
    let service = Service::http(async |_| {
        let mut answer = text("chat");
        answer.headers_mut().insert("strict-transport-security", "max-age=1".parse().unwrap());
        answer
    });
    let at = |path: &str, target| Route {
        path: path.into(),
        hosts: vec!["chat.localhost".into()],
        ..route(path.trim_matches('/'), target)
    };
    let redirect = Redirect { to: "https://chat.localhost".into(), status: 308, keep_path: true };
    let mut routes = vec![
        route("chat", slots(&[service.address])),
        at("/old", Target::Redirect(redirect)),
        at("/down", slots(&[])),
        at("/denied", slots(&[service.address])),
    ];
    routes[0].response_headers.insert("strict-transport-security".into(), "max-age=2".into());
    routes[3].policies.deny = vec!["127.0.0.0/8".into()];
    let edge = TestEdge::start(&secured(routes, folder.path()));
    let asked = [("/", 200), ("/old/x", 308), ("/down", 503), ("/denied", 403), ("/a/../b", 400)];
    for (path, status) in asked {
        let mut raw = Raw::over(client(folder.path()).connect(edge.address(), "chat.localhost").await.unwrap());
        let answer = raw.ask(format!("GET {path} HTTP/1.1\r\nhost: chat.localhost\r\n\r\n")).await;
        let promises = answer.headers.iter().filter(|(name, _)| name == "strict-transport-security");
        let promises: Vec<_> = promises.map(|(_, promise)| promise.as_str()).collect();
        assert_eq!((answer.status, promises), (status, vec![PROMISE]), "{path}");
    }
    let mut http2 = client(folder.path()).http2(edge.address(), "chat.localhost").await;
    for (path, status) in asked {
        let request = Request::get(format!("https://chat.localhost{path}")).body(Full::default()).unwrap();
        let answer = http2.send_request(request).await.unwrap();
        let promises = answer.headers().get_all("strict-transport-security").iter();
        let promises: Vec<_> = promises.map(|promise| promise.to_str().unwrap()).collect();
        assert_eq!((answer.status().as_u16(), promises), (status, vec![PROMISE]), "{path}");
    }
}

#[tokio::test]
async fn a_second_connection_resumes_the_session() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::saying("chat");
    let edge = TestEdge::start(&secured(vec![route("chat", slots(&[service.address]))], folder.path()));
    let client = client(folder.path());
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let stream = client.connect(edge.address(), "chat.localhost").await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected));
        // The ticket comes behind the handshake: an answer brings it along.
        assert_eq!(Raw::over(stream).ask(ASK).await.status, 200);
    }
    assert_eq!(edge.metric("mana_edge_tls_handshakes_total{result=\"resumed\"}").await, Some(1.0));
}

#[tokio::test]
async fn many_requests_pass_at_once_over_http2() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::http(async |request| {
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        let cookie = request.headers()["cookie"].to_str().unwrap().to_owned();
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        text(format!("{host}{path} {cookie} {}", body.len()))
    });
    let edge = TestEdge::start(&secured(vec![route("chat", slots(&[service.address]))], folder.path()));
    let sender = client(folder.path()).http2(edge.address(), "chat.localhost").await;
    let asked = (0..50).map(|number| {
        let mut sender = sender.clone();
        async move {
            let request = Request::post(format!("https://chat.localhost/{number}"))
                .header("cookie", "a=1")
                .header("cookie", "b=2")
                .body(Full::new(Bytes::from(vec![b'x'; number * 2_000])))
                .unwrap();
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            assert!(answer.headers().contains_key("strict-transport-security"));
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, format!("chat.localhost/{number} a=1; b=2 {}", number * 2_000));
        }
    });
    futures_util::future::join_all(asked).await;
}

#[tokio::test]
async fn a_certificate_of_ones_own_is_reloaded_when_its_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let files = issue(folder.path(), &["chat.example.org", "*.api.example.org"]);
    let service = Service::saying("chat");
    let hosts = vec!["chat.example.org".to_owned(), "v1.api.example.org".to_owned()];
    let given = Snapshot {
        listeners: vec![Listener::secure(([127, 0, 0, 1], 0).into())],
        tls: Some(Tls { certificates: vec![files.clone()], ..Tls::default() }),
        ..snapshot(vec![Route { hosts, ..route("chat", slots(&[service.address])) }])
    };
    let edge = TestEdge::start(&given);
    let leaf = async || {
        let client = TlsClient::trusting(&files.certificate);
        let stream = client.connect(edge.address(), "chat.example.org").await.ok()?;
        let leaf = stream.get_ref().1.peer_certificates()?.first()?.to_vec();
        client.connect(edge.address(), "v1.api.example.org").await.ok()?;
        Some(leaf)
    };
    let first = leaf().await.unwrap();
    std::fs::write(&files.certificate, "broken").unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    issue(folder.path(), &["chat.example.org", "*.api.example.org"]);
    until("the new certificate is served", async || leaf().await.is_some_and(|now| now != first)).await;
    let report = edge.admin().certificates().await.unwrap();
    assert_eq!(
        report.iter().map(|one| one.host.as_str()).collect::<Vec<_>>(),
        ["*.api.example.org", "chat.example.org"]
    );
}

/// A certificate for these hosts that is its own authority, with the names of its files.
fn issue(folder: &Path, hosts: &[&str]) -> CertificateFiles {
    let key = rcgen::KeyPair::generate().unwrap();
    let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let certificate = rcgen::CertificateParams::new(hosts).unwrap().self_signed(&key).unwrap();
    let files = CertificateFiles { certificate: folder.join("own.pem"), key: folder.join("own-key.pem") };
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    std::fs::write(&files.certificate, certificate.pem()).unwrap();
    files
}

#[tokio::test]
async fn what_cannot_be_served_refuses_the_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::saying("chat");
    let good = secured(vec![route("chat", slots(&[service.address]))], folder.path());
    let edge = TestEdge::start(&good);
    let files = issue(folder.path(), &["chat.example.org"]);
    let other = issue(
        &{
            let sub = folder.path().join("other");
            std::fs::create_dir(&sub).unwrap();
            sub
        },
        &["x.example.org"],
    );
    let missing = PathBuf::from("/nowhere/cert.pem");
    let check = async |tls: Tls, hosts: &[&str], expected: &str| {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let routes = vec![Route { hosts, ..good.routes[0].clone() }];
        let given = Snapshot { generation: 2, routes, tls: Some(tls), ..good.clone() };
        let error = edge.admin().put(&given).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let own = |files: CertificateFiles| Tls { certificates: vec![files], ..Tls::default() };
    check(own(files.clone()), &["app.example.org"], "there is no certificate for `app.example.org`").await;
    check(own(CertificateFiles { key: other.key, ..files.clone() }), &["chat.example.org"], "does not belong").await;
    check(own(CertificateFiles { certificate: missing, ..files.clone() }), &[], "/nowhere/cert.pem cannot be read")
        .await;
    check(own(CertificateFiles { key: files.certificate.clone(), ..files }), &[], "holds no PEM private key").await;
    check(good.tls.clone().unwrap(), &["chat.example.org"], "certifies only names that lead nowhere").await;
    // Whatever was refused, the served one stays.
    assert_eq!(
        Raw::over(client(folder.path()).connect(edge.address(), "chat.localhost").await.unwrap()).ask(ASK).await.status,
        200
    );
}

#[tokio::test]
async fn plain_http_is_sent_to_tls() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::saying("chat");
    let edge = TestEdge::start(&secured(vec![route("chat", slots(&[service.address]))], folder.path()));
    let address = edge.addresses()[1];
    let answer = get(address, "chat.localhost:8080", "/a/b?c=d").await;
    assert_eq!((answer.status, answer.header("location")), (308, Some("https://chat.localhost:8443/a/b?c=d")));
    assert_eq!(answer.header("strict-transport-security"), None, "a promise over plain HTTP means nothing");
    for method in ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"] {
        let ask =
            format!("{method} /a HTTP/1.1\r\nhost: chat.localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        let mut client = Raw::connect(address).await;
        client.write(ask).await;
        let answer = client.answer_to(method).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (308, Some("https://chat.localhost:8443/a")),
            "{method}"
        );
    }
    assert_eq!(get(address, "evil.example.org", "/").await.status, 404);
    assert_eq!(get(address, "chat.localhost", "/.well-known/acme-challenge/x").await.status, 308);
    let options = send(address, "OPTIONS * HTTP/1.1\r\nhost: chat.localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!(options.header("location"), Some("https://chat.localhost:8443/"));
}

#[tokio::test]
async fn whoever_does_not_shake_hands_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut given = secured(vec![route("chat", slots(&[]))], folder.path());
    given.limits.handshake_timeout_ms = 200;
    let edge = TestEdge::start(&given);
    assert!(Raw::connect(edge.address()).await.is_closed().await, "it said nothing");
    let mut plain = Raw::connect(edge.address()).await;
    plain.write("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
    // A TLS alert, and the end.
    let mut alert = Vec::new();
    let _reset = plain.socket.read_to_end(&mut alert).await;
    assert_eq!(alert.first(), Some(&21), "{alert:?}");
    assert_eq!(edge.metric("mana_edge_tls_handshakes_total{result=\"timeout\"}").await, Some(1.0));
}

#[tokio::test]
async fn a_websocket_passes_through_http2() {
    let folder = tempfile::tempdir().unwrap();
    let service = websocket_echo();
    let edge = TestEdge::start(&secured(vec![route("chat", slots(&[service.address]))], folder.path()));
    let mut sender = client(folder.path()).http2(edge.address(), "chat.localhost").await;
    // The server's settings, which allow it, are there once it has answered anything.
    let plain = Request::get("https://chat.localhost/").body(Full::new(Bytes::new())).unwrap();
    assert_eq!(sender.send_request(plain).await.unwrap().status(), StatusCode::BAD_GATEWAY);
    let request = Request::builder()
        .method(http::Method::CONNECT)
        .uri("https://chat.localhost/socket")
        .header("sec-websocket-version", "13")
        .extension(hyper::ext::Protocol::from_static("websocket"))
        .body(Full::new(Bytes::new()))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!((answer.status(), answer.headers().get("upgrade")), (StatusCode::OK, None));
    let upgraded = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await;
    for word in ["one", "two", "three"] {
        socket.send(Message::text(word)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(word));
    }
    socket.close(None).await.unwrap();
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    // The connection goes on, and a protocol that the service does not speak is refused by it.
    let plain = Request::get("https://chat.localhost/").body(Full::new(Bytes::new())).unwrap();
    assert_eq!(sender.send_request(plain).await.unwrap().status(), StatusCode::BAD_GATEWAY);
    until("it is counted as ended", async || {
        edge.metric("mana_edge_requests_in_flight{route=\"chat\",slot=\"blue\",release=\"blue-1\"}").await == Some(0.0)
    })
    .await;
}

/// What `testssl.sh` finds about the authority of this test rather than about the edge: a local one revokes nothing.
const ABOUT_THE_AUTHORITY: [&str; 1] = ["cert_revocation"];

#[tokio::test(flavor = "multi_thread")]
async fn testssl_finds_nothing_of_medium_severity_or_worse() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::saying("chat");
    let policies = Policies { security_headers: true, ..Policies::default() };
    let careful = Route { policies, ..route("chat", slots(&[service.address])) };
    let edge = TestEdge::start(&secured(vec![careful], folder.path()));
    let report = folder.path().join("report.json");
    let mut command = tokio::process::Command::new("testssl");
    command.args(["--quiet", "--color", "0", "--ip", "127.0.0.1", "--severity", "MEDIUM"]);
    command.arg("--add-ca").arg(folder.path().join("ca/ca.pem")).arg("--jsonfile").arg(&report);
    command.arg(format!("https://chat.localhost:{}/", edge.address().port()));
    let ended = command.output().await;
    let ended = ended.unwrap_or_else(|error| panic!("{error}; `scripts/test-services.sh install` installs testssl.sh"));
    let said = String::from_utf8_lossy(&ended.stdout);
    let report = std::fs::read(&report).unwrap_or_else(|error| panic!("no report: {error}: {said}"));
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&report).unwrap();
    let bad = findings.iter().filter(|finding| {
        matches!(finding["severity"].as_str().unwrap(), "MEDIUM" | "HIGH" | "CRITICAL" | "FATAL")
            && !ABOUT_THE_AUTHORITY.contains(&finding["id"].as_str().unwrap())
    });
    assert_eq!(bad.collect::<Vec<_>>(), Vec::<&serde_json::Value>::new());
    assert!(said.contains("TLS 1.3"), "it looked: {said}");
}
