//! Who a stranger says it is: nobody believes it, neither the instance that is told an address nor the limit that counts by one.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use mana_edge::snapshot::{Issuer, Listener, LocalAuthority, Policies, RateKey, RateLimit, Tls};
use tempfile::TempDir;

use crate::support::{Answer, Raw, Service, TestEdge, TlsClient, route, slots, snapshot, text};

/// Fields by which somebody could pass for 10.9.9.9.
const FORGERIES: &[&[(&str, &str)]] = &[
    &[("X-Forwarded-For", "10.9.9.9")],
    &[("x-forwarded-for", "10.9.9.9, 127.0.0.1")],
    &[("x-forwarded-for", "127.0.0.1, 10.9.9.9")],
    &[("x-forwarded-for", "10.9.9.9"), ("x-forwarded-for", "10.9.9.9")],
    &[("x-forwarded-for", ""), ("X-FORWARDED-FOR", "10.9.9.9")],
    &[("x-forwarded-for", "10.9.9.9:80")],
    &[("x-forwarded-for", "::ffff:10.9.9.9")],
    &[("x-forwarded-for", "\"10.9.9.9\"")],
    &[("x-forwarded-for", "unknown, 10.9.9.9")],
    &[("X-Real-IP", "10.9.9.9")],
    &[("x-real-ip", "10.9.9.9"), ("x-real-ip", "127.0.0.1")],
    &[("x-real-ip", "127.0.0.1"), ("X-REAL-IP", "10.9.9.9")],
    &[("Forwarded", "for=10.9.9.9")],
    &[("forwarded", "for=\"10.9.9.9:80\";proto=https;host=10.9.9.9")],
    &[("forwarded", "for=127.0.0.1, for=10.9.9.9"), ("forwarded", "for=10.9.9.9")],
    &[("x-forwarded-host", "10.9.9.9"), ("x-forwarded-server", "10.9.9.9"), ("x-forwarded-prefix", "/10.9.9.9")],
    &[("x-forwarded-client-cert", "10.9.9.9"), ("x-forwarded-by", "10.9.9.9"), ("x-forwarded", "for=10.9.9.9")],
    // What becomes the same variable in a program that is told of fields by CGI's names.
    &[("x_real_ip", "10.9.9.9")],
    &[("X_Real-IP", "10.9.9.9")],
    &[("X_FORWARDED_FOR", "10.9.9.9")],
    &[("x-forwarded_for", "10.9.9.9"), ("x_forwarded-for", "10.9.9.9")],
    &[("x_forwarded_host", "10.9.9.9"), ("X_Forwarded_Proto", "10.9.9.9")],
    &[("x_request_id", "10.9.9.9")],
    &[("x-request-id", "10.9.9.9")],
];

/// The same, said in ways that HTTP/2 has no place for.
const FORGERIES_OF_HTTP1: &[&[(&str, &str)]] = &[
    // Not to be dropped as a matter of the connection, either.
    &[("connection", "x-real-ip"), ("x-real-ip", "10.9.9.9")],
    &[("connection", "close, X-Forwarded-For"), ("x-forwarded-for", "10.9.9.9")],
    &[("connection", "x-real-ip, x-forwarded-for, x-forwarded-proto, x-forwarded-host, forwarded, x-request-id")],
    &[("connection", "x_real_ip"), ("x_real_ip", "10.9.9.9")],
    &[("connection", "forwarded"), ("forwarded", "for=10.9.9.9"), ("x-real-ip", "10.9.9.9")],
    &[("proxy-connection", "x-real-ip"), ("x-real-ip", "10.9.9.9")],
    &[("te", "trailers"), ("trailer", "x-real-ip"), ("x-real-ip", "10.9.9.9")],
];

/// All that an instance is told, a line each, with names as CGI would have them.
fn telling() -> Service {
    Service::http(async |request| {
        let lines = request.headers().iter().map(|(name, value)| {
            format!("{}: {}\n", name.as_str().replace('_', "-"), String::from_utf8_lossy(value.as_bytes()))
        });
        text(lines.collect::<Vec<_>>().concat())
    })
}

struct Strangers {
    edge: TestEdge,
    folder: TempDir,
    _services: [Service; 2],
}

impl Strangers {
    /// A plain and a secure listener; host `limited` answers one request an hour from each address.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let services = [telling(), telling()];
        let limit = RateLimit { key: RateKey::Address, requests: 1, per_ms: 3_600_000, burst: None };
        let mut limited = route("limited", slots(&[services[1].address]));
        limited.policies = Policies { rate_limits: vec![limit], ..Policies::default() };
        let issuer = Issuer::Local(LocalAuthority { folder: folder.path().join("ca") });
        let mut given = snapshot(vec![route("open", slots(&[services[0].address])), limited]);
        given.listeners.push(Listener::secure(([127, 0, 0, 2], 0).into()));
        given.tls = Some(Tls { issuer: Some(issuer), ..Tls::default() });
        // Somebody is trusted, but nobody here.
        given.trusted_proxies = vec!["10.0.0.0/8".into()];
        Self { edge: TestEdge::start(&given), folder, _services: services }
    }

    async fn ask(&self, host: &str, fields: &[(&str, &str)]) -> Answer {
        let lines: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let lines = lines.concat();
        let request = format!("GET / HTTP/1.1\r\nhost: {host}.localhost\r\n{lines}\r\n");
        Raw::connect(self.edge.addresses()[0]).await.ask(request).await
    }

    async fn ask_http2(&self, host: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let client = TlsClient::trusting(&self.folder.path().join("ca/ca.pem"));
        let mut client = client.http2(self.edge.addresses()[1], &format!("{host}.localhost")).await;
        let mut request = Request::get(format!("https://{host}.localhost/"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let answer = client.send_request(request.body(Full::new(Bytes::new())).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
    }
}

fn check_told(told: &str, fields: &[(&str, &str)]) {
    assert!(!told.contains("10.9.9.9"), "{fields:?}: {told}");
    for name in ["x-real-ip", "x-forwarded-for"] {
        let said: Vec<_> = told.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect();
        assert_eq!(said, ["127.0.0.1"], "{name} after {fields:?}: {told}");
    }
    assert!(!told.contains("forwarded: "), "{fields:?}: {told}");
}

#[tokio::test]
async fn an_instance_is_told_the_strangers_own_address() {
    let strangers = Strangers::start();
    for fields in FORGERIES.iter().chain(FORGERIES_OF_HTTP1) {
        check_told(strangers.ask("open", fields).await.text(), fields);
    }
    for fields in FORGERIES {
        check_told(&strangers.ask_http2("open", fields).await.1, fields);
    }
}

#[tokio::test]
async fn a_limit_counts_the_strangers_own_address() {
    let strangers = Strangers::start();
    assert_eq!(strangers.ask("limited", &[]).await.status, 200);
    for fields in FORGERIES.iter().chain(FORGERIES_OF_HTTP1) {
        assert_eq!(strangers.ask("limited", fields).await.status, 429, "{fields:?}");
    }
    for fields in FORGERIES {
        assert_eq!(strangers.ask_http2("limited", fields).await.0, 429, "{fields:?}");
    }
}

#[tokio::test]
async fn a_proxy_header_is_nothing_where_none_is_expected() {
    let strangers = Strangers::start();
    let request = b"GET / HTTP/1.1\r\nhost: open.localhost\r\n\r\n";
    let version_2 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[10, 9, 9, 9, 127, 0, 0, 1, 0, 80, 0, 80]].concat();
    for header in [&b"PROXY TCP4 10.9.9.9 127.0.0.1 4711 80\r\n"[..], b"PROXY UNKNOWN\r\n", &version_2] {
        let mut client = Raw::connect(strangers.edge.addresses()[0]).await;
        client.write([header, request].concat()).await;
        let answers = client.rest().await;
        let answers = String::from_utf8_lossy(&answers);
        assert!(answers.starts_with("HTTP/1.1 400 "), "{}: {answers:?}", header.escape_ascii());
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{}: {answers:?}", header.escape_ascii());
    }
}
