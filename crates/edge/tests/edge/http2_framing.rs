//! Requests of HTTP/2 that another server could read differently, or that mean something else once they are said in HTTP/1: each is
//! answered with 400, or its stream or connection ended, and no instance hears a byte of it.

use mana_edge::snapshot::{Issuer, Listener, LocalAuthority, Snapshot, Tls};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::framing::PATHS_WITH_TWO_READINGS;
use crate::support::http2::{DATA, END_HEADERS, END_STREAM, HEADERS, Http2, Outcome, block, frame};
use crate::support::{Overheard, TestEdge, TlsClient, is_whole, route, slots, snapshot};

struct Secure {
    edge: TestEdge,
    folder: TempDir,
    overheard: Overheard,
}

impl Secure {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let overheard = Overheard::start();
        let issuer = Issuer::Local(LocalAuthority { folder: folder.path().join("ca") });
        let edge = TestEdge::start(&Snapshot {
            listeners: vec![Listener::secure(([127, 0, 0, 1], 0).into())],
            tls: Some(Tls { issuer: Some(issuer), ..Tls::default() }),
            ..snapshot(vec![route("chat", slots(&[overheard.service.address]))])
        });
        Self { edge, folder, overheard }
    }

    async fn connect(&self) -> Http2<TlsStream<TcpStream>> {
        let client = TlsClient::trusting(&self.folder.path().join("ca/ca.pem")).offering(&["h2"]);
        Http2::begin(client.connect(self.edge.address(), "chat.localhost").await.unwrap(), &[]).await
    }

    /// What becomes of a request without a body, on a connection of its own.
    async fn ask(&self, fields: &[(&str, &str)]) -> Outcome {
        let mut client = self.connect().await;
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields))).await;
        client.outcome(1).await
    }

    async fn check_refused(&self, fields: &[(&str, &str)]) {
        let outcome = self.ask(fields).await;
        assert!(matches!(outcome, Outcome::BadRequest | Outcome::Reset | Outcome::Gone), "{fields:?}: {outcome:?}");
        assert_eq!(self.overheard.bytes().escape_ascii().to_string(), "", "{fields:?}");
    }
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "https");
const PATH: (&str, &str) = (":path", "/");
const AUTHORITY: (&str, &str) = (":authority", "chat.localhost");
const GET: [(&str, &str); 4] = [METHOD, SCHEME, PATH, AUTHORITY];

#[tokio::test]
async fn a_request_in_order_is_answered() {
    let secure = Secure::start();
    assert_eq!(secure.ask(&GET).await, Outcome::Ok);
    assert_eq!(secure.ask(&[METHOD, SCHEME, PATH, ("host", "chat.localhost")]).await, Outcome::Ok);
    assert_eq!(secure.ask(&[&GET[..], &[("host", "chat.localhost"), ("te", "trailers")]].concat()).await, Outcome::Ok);
}

#[tokio::test]
async fn fields_that_http2_has_no_place_for_reach_nobody() {
    let secure = Secure::start();
    for field in [
        ("X-Upper", "a"),
        ("Transfer-Encoding", "chunked"),
        ("connection", "close"),
        ("connection", "x-real-ip"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("te", "chunked"),
        // Twice, too late, unknown, or an answer's.
        METHOD,
        SCHEME,
        PATH,
        AUTHORITY,
        (":x", "y"),
        (":status", "200"),
        (":protocol", "websocket"),
        // Who is asked?
        ("host", "other.localhost"),
        ("host", ""),
        ("host", "chat.localhost:81"),
        // Whatever becomes another field in HTTP/1.
        ("x", "a\r\nb: c"),
        ("x", "a\nb: c"),
        ("x", "a\rb"),
        ("x", "a\0b"),
        ("x\r\ny", "z"),
        ("x: y\r\nz", "a"),
        ("x y", "z"),
        ("x:", "y"),
        ("", "x"),
        ("x\0", "y"),
        ("content-length ", "5"),
        // A length that is none, or that nothing follows.
        ("content-length", "x"),
        ("content-length", "-1"),
        ("content-length", "+0"),
        ("content-length", "0, 0"),
        ("content-length", ""),
        ("content-length", "99999999999999999999"),
        ("content-length", "5"),
    ] {
        secure.check_refused(&[&GET[..], &[field]].concat()).await;
    }
    secure.check_refused(&[&GET[..], &[("content-length", "0"), ("content-length", "0")]].concat()).await;
    secure.check_refused(&[&GET[..], &[("host", "chat.localhost"), ("host", "chat.localhost")]].concat()).await;
    secure.check_refused(&[METHOD, ("x", "y"), SCHEME, PATH, AUTHORITY]).await;
    secure.check_refused(&[("x", "y"), METHOD, SCHEME, PATH, AUTHORITY]).await;
}

#[tokio::test]
async fn requests_that_do_not_say_what_they_ask_for_reach_nobody() {
    let secure = Secure::start();
    let with = |method, scheme, path, authority| {
        [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]
    };
    for missing in 0..3 {
        let mut fields = GET.to_vec();
        fields.remove(missing);
        secure.check_refused(&fields).await;
    }
    secure.check_refused(&[METHOD, SCHEME, PATH]).await;
    for fields in [
        with("GET /smuggled HTTP/1.1\r\nx:", "https", "/", "chat.localhost"),
        with("GET ", "https", "/", "chat.localhost"),
        with("", "https", "/", "chat.localhost"),
        with("GET", "", "/", "chat.localhost"),
        with("GET", "ftp", "/", "chat.localhost"),
        with("GET", "https://x", "/", "chat.localhost"),
        with("GET", "https", "/", ""),
        with("GET", "https", "/", "other.localhost@chat.localhost"),
        with("GET", "https", "/", "chat.localhost/x"),
        with("GET", "https", "/", "chat.localhost\\x"),
        with("GET", "https", "/", "chat.localhost:x"),
        with("GET", "https", "/", "chat.localhost\r\nx: y"),
        with("GET", "https", "", "chat.localhost"),
        with("GET", "https", "*", "chat.localhost"),
        with("GET", "https", "a", "chat.localhost"),
        with("GET", "https", "?a", "chat.localhost"),
        with("GET", "https", "https://chat.localhost/", "chat.localhost"),
        with("GET", "https", "chat.localhost", "chat.localhost"),
        with("GET", "https", "/a b", "chat.localhost"),
        with("GET", "https", "/a\tb", "chat.localhost"),
        with("GET", "https", "/ HTTP/1.1\r\nx: y\r\n\r\n", "chat.localhost"),
        with("GET", "https", "/\n", "chat.localhost"),
        with("GET", "https", "/\0", "chat.localhost"),
    ] {
        secure.check_refused(&fields).await;
    }
    for path in PATHS_WITH_TWO_READINGS {
        secure.check_refused(&with("GET", "https", path, "chat.localhost")).await;
    }
}

#[tokio::test]
async fn a_fragment_is_passed_on_to_nobody() {
    let secure = Secure::start();
    for path in ["/a#b", "/#", "/a?b#c", "/a#/../b", "#"] {
        secure.ask(&[METHOD, SCHEME, (":path", path), AUTHORITY]).await;
    }
    let heard = String::from_utf8(secure.overheard.bytes()).unwrap();
    assert!(!heard.contains('#') && !heard.contains(".."), "{heard}");
}

#[tokio::test]
async fn a_body_of_another_length_than_said_never_passes_for_a_whole_one() {
    let mut secure = Secure::start();
    let post = |length| block(&[(":method", "POST"), SCHEME, PATH, AUTHORITY, ("content-length", length)]);
    for (said, sent) in [("10", "short"), ("3", "longer"), ("1", ""), ("6", "x"), ("18446744073709551615", "x")] {
        for in_pieces in [false, true] {
            let mut frames = frame(HEADERS, END_HEADERS, 1, &post(said));
            if in_pieces {
                for byte in sent.as_bytes() {
                    frames.extend(frame(DATA, 0, 1, &[*byte]));
                }
                frames.extend(frame(DATA, END_STREAM, 1, b""));
            } else {
                frames.extend(frame(DATA, END_STREAM, 1, sent.as_bytes()));
            }
            let mut client = secure.connect().await;
            client.send(&frames).await;
            let outcome = client.outcome(1).await;
            let refused = matches!(outcome, Outcome::BadRequest | Outcome::Reset | Outcome::Gone | Outcome::Other);
            assert!(refused, "{said} {sent:?} {in_pieces}: {outcome:?}");
        }
    }
    secure.edge.stop();
    for heard in secure.overheard.closed().await {
        assert!(!is_whole(&heard), "passed for a whole body: {}", heard.escape_ascii());
    }
}
