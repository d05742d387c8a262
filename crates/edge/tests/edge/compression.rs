//! Answers as they are compressed for those who take it.

use std::io::{Read as _, Write as _};

use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use mana_edge::snapshot::{Issuer, Listener, LocalAuthority, Policies, Route, Snapshot, Tls};
use tokio::sync::mpsc;

use crate::support::{
    Answer, Raw, Service, TestEdge, TlsClient, internal, route, send, site, slots, snapshot, streamed, text, until,
};

const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];

/// Text that gets smaller.
fn prose(bytes: usize) -> String {
    let lines = (0_u64..).map(|number| format!("{{\"line\":{number},\"square\":{}}}\n", number * number));
    // No line is shorter than that.
    let mut text: String = lines.take(bytes / 20 + 1).collect();
    text.truncate(bytes);
    text
}

fn unpacked(coding: Option<&str>, packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        Some("zstd") => plain = zstd::decode_all(packed).unwrap(),
        Some("br") => drop(brotli::Decompressor::new(packed, 4_096).read_to_end(&mut plain).unwrap()),
        Some("gzip") => drop(flate2::read::GzDecoder::new(packed).read_to_end(&mut plain).unwrap()),
        Some(other) => panic!("{other}"),
        None => plain.extend(packed),
    }
    plain
}

/// Answers with the headers of the query (`name=value&…`) and as many bytes of JSON as the path says.
fn service() -> Service {
    Service::http(|request| async move {
        let bytes = request.uri().path()[1..].parse().unwrap_or(0);
        let mut answer = text(prose(bytes));
        answer.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        for (name, value) in
            request.uri().query().iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.split_once('='))
        {
            if name == "status" {
                *answer.status_mut() = value.parse().unwrap();
            } else {
                answer
                    .headers_mut()
                    .insert(name.parse::<http::HeaderName>().unwrap(), value.replace("%22", "\"").parse().unwrap());
            }
        }
        answer
    })
}

fn edge_of(service: &Service) -> TestEdge {
    TestEdge::start(&snapshot(vec![route("chat", slots(&[service.address]))]))
}

async fn ask(edge: &TestEdge, path: &str, headers: &str) -> Answer {
    send(edge.address(), &format!("GET {path} HTTP/1.1\r\nhost: chat.localhost\r\n{headers}\r\n")).await
}

#[tokio::test]
async fn bodies_of_all_sizes_come_back_as_they_were_in_every_coding() {
    let service = service();
    let edge = edge_of(&service);
    for coding in CODINGS {
        for bytes in [1_024, 20_000, 32 * 1_024, 32 * 1_024 + 1, 300_000, 3_000_000] {
            let answer = ask(&edge, &format!("/{bytes}"), &format!("accept-encoding: {coding}\r\n")).await;
            assert_eq!(answer.header("content-encoding"), Some(coding), "{bytes}");
            assert_eq!(answer.header("vary"), Some("accept-encoding"), "{coding} {bytes}");
            assert!(answer.body.len() < bytes / 2, "{coding}: {} of {bytes}", answer.body.len());
            assert!(unpacked(Some(coding), &answer.body) == prose(bytes).into_bytes(), "{coding} {bytes}");
        }
    }
}

#[tokio::test]
async fn a_kept_answer_is_compressed_for_the_first_who_asks() {
    let service = service();
    let edge = edge_of(&service);
    let plain = prose(200_000);
    for coding in CODINGS {
        let ask =
            async || ask(&edge, "/200000?cache-control=max-age=60", &format!("accept-encoding: {coding}\r\n")).await;
        let (first, second) = (ask().await, ask().await);
        assert_eq!(first.header("content-length"), None, "{coding}: made as it passes");
        assert_eq!(
            second.header("content-length"),
            Some(first.body.len().to_string().as_str()),
            "{coding}: made before"
        );
        assert_eq!(first.body, second.body);
        assert!(unpacked(Some(coding), &second.body) == plain.as_bytes(), "{coding}");
    }
    let rest = ask(&edge, "/200000?cache-control=max-age=60", "").await;
    assert_eq!((rest.header("content-encoding"), rest.body.len()), (None, plain.len()));
    let bytes = edge.metric("mana_edge_cache_bytes").await.unwrap();
    assert!((400_000.0..402_000.0).contains(&bytes), "{bytes}: counted with all its forms");
}

#[tokio::test]
async fn the_coding_is_the_one_the_client_likes_best() {
    let service = service();
    let edge = edge_of(&service);
    for (accepts, path, expected) in [
        ("gzip, deflate, br, zstd", "/5000", Some("zstd")),
        ("gzip, br", "/5000", Some("br")),
        ("gzip, br;q=0.5", "/5000", Some("gzip")),
        ("zstd;q=0, br;q=0, *", "/5000", Some("gzip")),
        ("identity", "/5000", None),
        ("gzip;q=0.5, identity", "/5000", None),
        ("deflate", "/5000", None),
        ("gzip", "/1023", None),
        ("gzip, identity;q=0", "/1023", Some("gzip")),
    ] {
        let answer = ask(&edge, path, &format!("accept-encoding: {accepts}\r\n")).await;
        assert_eq!(answer.header("content-encoding"), expected, "{accepts} {path}");
        assert!(!unpacked(expected, &answer.body).is_empty(), "{accepts} {path}");
    }
    let plain = ask(&edge, "/5000", "").await;
    assert_eq!((plain.header("content-encoding"), plain.body.len()), (None, 5_000));
}

#[tokio::test]
async fn what_must_stay_as_it_is_does() {
    let service = service();
    let edge = edge_of(&service);
    for query in [
        "content-type=image/png",
        "content-type=text/event-stream",
        "content-type=application/grpc",
        "content-encoding=br",
        "cache-control=no-transform",
        "content-digest=x",
        "status=206",
    ] {
        let answer = ask(&edge, &format!("/5000?{query}"), "accept-encoding: gzip\r\n").await;
        assert!(answer.header("content-encoding") != Some("gzip") && answer.body.len() == 5_000, "{query}");
        assert_eq!(answer.header("content-length"), Some("5000"), "{query}");
        assert_eq!(answer.header("vary"), None, "{query}");
    }
}

#[tokio::test]
async fn the_head_tells_what_is_true_of_the_compressed_form() {
    let service = service();
    let edge = edge_of(&service);
    let path = "/5000?etag=%22one%22&accept-ranges=bytes&vary=Origin";
    let answer = ask(&edge, path, "accept-encoding: gzip\r\n").await;
    for (name, expected) in
        [("etag", Some("W/\"one\"")), ("accept-ranges", None), ("content-type", Some("application/json"))]
    {
        assert_eq!(answer.header(name), expected, "{name}");
    }
    let vary: Vec<_> =
        answer.headers.iter().filter(|(name, _)| name == "vary").map(|(_, value)| value.as_str()).collect();
    assert_eq!(vary, ["Origin", "accept-encoding"]);
    let length: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert!(length < 5_000, "what is compressed at once has a length");

    let mut client = Raw::connect(edge.address()).await;
    client.write(format!("HEAD {path} HTTP/1.1\r\nhost: chat.localhost\r\naccept-encoding: gzip\r\n\r\n")).await;
    let head = client.answer_to("HEAD").await;
    assert_eq!(head.header("content-encoding"), Some("gzip"));
    assert_eq!((head.header("etag"), head.header("content-length")), (Some("W/\"one\""), None));
    let next = client.ask("GET /2000 HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
    assert_eq!((next.status, next.body.len()), (200, 2_000), "the connection goes on after HEAD");

    let current = ask(&edge, "/0?status=304&etag=%22one%22", "accept-encoding: gzip\r\n").await;
    assert_eq!((current.status, current.header("etag")), (304, Some("W/\"one\"")));
    assert_eq!((current.header("content-encoding"), current.header("vary")), (None, Some("accept-encoding")));
}

#[tokio::test]
async fn a_route_can_do_without_and_programs_on_this_machine_do() {
    let service = service();
    let plain = Route {
        policies: Policies { compress: Some(false), ..Policies::default() },
        ..route("chat", slots(&[service.address]))
    };
    let mut both = snapshot(vec![plain, route("inside", slots(&[service.address]))]);
    both.listeners.push(internal("inside"));
    let edge = TestEdge::start(&both);
    assert_eq!(ask(&edge, "/5000", "accept-encoding: gzip\r\n").await.header("content-encoding"), None);
    let inside = send(edge.addresses()[1], "GET /5000 HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\n\r\n").await;
    assert_eq!(inside.header("content-encoding"), None);
}

/// Decoders that are fed piece by piece, as a browser does it.
enum Decoder {
    Zstd(zstd::stream::write::Decoder<'static, Vec<u8>>),
    Brotli(Box<brotli::DecompressorWriter<Vec<u8>>>),
    Gzip(Box<flate2::write::GzDecoder<Vec<u8>>>),
}

impl Decoder {
    fn of(coding: &str) -> Self {
        match coding {
            "zstd" => Self::Zstd(zstd::stream::write::Decoder::new(Vec::new()).unwrap()),
            "br" => Self::Brotli(Box::new(brotli::DecompressorWriter::new(Vec::new(), 4_096))),
            _ => Self::Gzip(Box::new(flate2::write::GzDecoder::new(Vec::new()))),
        }
    }

    /// All that can be read so far.
    fn read(&mut self, piece: &[u8]) -> String {
        let plain = match self {
            Self::Zstd(decoder) => {
                decoder.write_all(piece).unwrap();
                decoder.flush().unwrap();
                decoder.get_ref()
            }
            Self::Brotli(decoder) => {
                decoder.write_all(piece).unwrap();
                decoder.flush().unwrap();
                decoder.get_ref()
            }
            Self::Gzip(decoder) => {
                decoder.write_all(piece).unwrap();
                decoder.flush().unwrap();
                decoder.get_ref()
            }
        };
        String::from_utf8(plain.clone()).unwrap()
    }
}

#[tokio::test]
async fn each_line_of_a_slow_stream_can_be_read_before_the_next_is_sent() {
    let (hand, mut sender) = mpsc::channel(1);
    let service = Service::http(move |_| {
        let hand = hand.clone();
        async move {
            let (mut answer, chunks) = streamed();
            answer.headers_mut().insert("content-type", HeaderValue::from_static("application/x-ndjson"));
            hand.send(chunks).await.unwrap();
            answer
        }
    });
    let edge = edge_of(&service);
    for coding in CODINGS {
        let mut client = Raw::connect(edge.address()).await;
        client.write(format!("GET / HTTP/1.1\r\nhost: chat.localhost\r\naccept-encoding: {coding}\r\n\r\n")).await;
        let chunks = sender.recv().await.unwrap();
        assert_eq!(client.head().await.header("content-encoding"), Some(coding));
        let mut decoder = Decoder::of(coding);
        let mut expected = String::new();
        for line in ["{\"token\":\"one\"}\n", "{\"token\":\"two\"}\n", "{\"token\":\"three\"}\n"] {
            chunks.send(line).await.unwrap();
            expected += line;
            let mut plain = String::new();
            while plain.len() < expected.len() {
                plain = decoder.read(&client.chunk().await.unwrap());
            }
            assert_eq!(plain, expected, "{coding}");
        }
        drop(chunks);
        while let Some(piece) = client.chunk().await {
            assert_eq!(decoder.read(&piece), expected, "{coding}: the end adds nothing");
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_cut_in_its_compressed_form_too() {
    let service = Service::raw(|mut socket| async move {
        use tokio::io::AsyncWriteExt as _;
        if crate::support::read_head(&mut socket).await.is_some() {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
            socket.write_all(head.as_bytes()).await.unwrap();
        }
    });
    let edge = edge_of(&service);
    let mut client = Raw::connect(edge.address()).await;
    client.write("GET / HTTP/1.1\r\nhost: chat.localhost\r\naccept-encoding: gzip\r\n\r\n").await;
    assert_eq!(client.head().await.header("content-encoding"), Some("gzip"));
    assert_eq!(Decoder::of("gzip").read(&client.chunk().await.unwrap()), "hello");
    let rest = client.rest().await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
    assert_eq!(
        edge.metric("mana_edge_broken_off_total{route=\"chat\",slot=\"blue\",release=\"blue-1\"}").await,
        Some(1.0)
    );
}

#[tokio::test]
async fn trailers_pass_behind_a_compressed_body() {
    let service = Service::raw(|mut socket| async move {
        use tokio::io::AsyncWriteExt as _;
        if crate::support::read_head(&mut socket).await.is_some() {
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
                          5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n";
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let edge = edge_of(&service);
    let mut client = Raw::connect(edge.address()).await;
    client
        .write("GET / HTTP/1.1\r\nhost: chat.localhost\r\nconnection: te, close\r\nte: trailers\r\naccept-encoding: gzip\r\n\r\n")
        .await;
    assert_eq!(client.head().await.header("content-encoding"), Some("gzip"));
    let rest = client.rest().await;
    assert!(rest.ends_with(b"0\r\nx-sum: 7\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn files_without_a_smaller_form_beside_them_are_compressed_on_their_way() {
    let folder = tempfile::tempdir().unwrap();
    let (small, large) = (prose(40_000), prose(2_000_000));
    for (name, content) in [("small.js", &small), ("large.json", &large), ("beside.css", &small)] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    std::fs::write(folder.path().join("beside.css.gz"), "gz css").unwrap();
    let edge = TestEdge::start(&snapshot(vec![route("chat", site(folder.path()))]));
    for coding in CODINGS {
        for (path, plain) in [("/small.js", &small), ("/large.json", &large)] {
            let answer = ask(&edge, path, &format!("accept-encoding: {coding}\r\n")).await;
            assert_eq!((answer.status, answer.header("content-encoding")), (200, Some(coding)), "{path}");
            assert_eq!((answer.header("vary"), answer.header("accept-ranges")), (Some("accept-encoding"), None));
            assert!(unpacked(Some(coding), &answer.body) == plain.as_bytes(), "{coding} {path}");
            let etag = answer.header("etag").unwrap();
            assert!(etag.starts_with("W/"), "{etag}");
            let again = ask(&edge, path, &format!("accept-encoding: {coding}\r\nif-none-match: {etag}\r\n")).await;
            assert_eq!((again.status, again.header("etag")), (304, Some(etag)), "{coding} {path}");
        }
    }
    let part = ask(&edge, "/large.json", "accept-encoding: gzip\r\nrange: bytes=0-4999\r\n").await;
    assert_eq!((part.status, part.header("content-encoding")), (206, None));
    assert!(part.body == large.as_bytes()[..5_000]);
    let beside = ask(&edge, "/beside.css", "accept-encoding: gzip, zstd;q=0.5\r\n").await;
    assert_eq!((beside.header("content-encoding"), beside.text()), (Some("gzip"), "gz css"));
}

#[tokio::test]
async fn many_answers_at_once_are_compressed_over_http2_too() {
    let folder = tempfile::tempdir().unwrap();
    let service = service();
    let issuer = Issuer::Local(LocalAuthority { folder: folder.path().join("ca") });
    let edge = TestEdge::start(&Snapshot {
        listeners: vec![Listener::secure(([127, 0, 0, 1], 0).into())],
        tls: Some(Tls { issuer: Some(issuer), ..Tls::default() }),
        ..snapshot(vec![route("chat", slots(&[service.address]))])
    });
    let client = TlsClient::trusting(&folder.path().join("ca/ca.pem"));
    let sender = client.http2(edge.address(), "chat.localhost").await;
    let asked = (0..60).map(|number| {
        let (mut sender, coding, bytes) = (sender.clone(), CODINGS[number % 3], 1_024 + number * 5_000);
        async move {
            let request = Request::get(format!("https://chat.localhost/{bytes}")).header("accept-encoding", coding);
            let answer = sender.send_request(request.body(Full::default()).unwrap()).await.unwrap();
            assert_eq!(answer.headers()["content-encoding"], coding);
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(unpacked(Some(coding), &body) == prose(bytes).into_bytes(), "{coding} {bytes}");
        }
    });
    futures_util::future::join_all(asked).await;
}

#[tokio::test]
async fn a_large_body_does_not_keep_others_of_the_thread_waiting() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("large.json"), prose(10_000_000)).unwrap();
    std::fs::write(folder.path().join("small.txt"), "small").unwrap();
    let edge = TestEdge::with_threads(&snapshot(vec![route("chat", site(folder.path()))]), 1);
    let mut large = Raw::connect(edge.address()).await;
    large.write("GET /large.json HTTP/1.1\r\nhost: chat.localhost\r\naccept-encoding: br\r\n\r\n").await;
    assert_eq!(large.head().await.header("content-encoding"), Some("br"));
    let all = tokio::spawn(async move {
        let mut packed = Vec::new();
        while let Some(piece) = large.chunk().await {
            packed.extend(piece);
        }
        packed
    });
    let mut answered = 0;
    while !all.is_finished() {
        assert_eq!(ask(&edge, "/small.txt", "").await.text(), "small");
        answered += 1;
    }
    assert!(answered > 25, "only {answered} others had their turn");
    assert!(unpacked(Some("br"), &all.await.unwrap()).len() == 10_000_000);
}

#[tokio::test]
async fn what_is_more_than_a_thread_compresses_at_once_passes_as_it_is() {
    let (hand, mut sender) = mpsc::channel(1);
    let service = Service::http(move |_| {
        let hand = hand.clone();
        async move {
            let (mut answer, chunks) = streamed();
            answer.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
            hand.send(chunks).await.unwrap();
            answer
        }
    });
    let edge = TestEdge::with_threads(&snapshot(vec![route("chat", slots(&[service.address]))]), 1);
    let mut open = Vec::new();
    let begin = async |sender: &mut mpsc::Receiver<_>| {
        let mut client = Raw::connect(edge.address()).await;
        client.write("GET / HTTP/1.1\r\nhost: chat.localhost\r\naccept-encoding: gzip\r\n\r\n").await;
        let chunks: mpsc::Sender<&'static str> = sender.recv().await.unwrap();
        let coding = client.head().await.header("content-encoding").map(ToOwned::to_owned);
        ((client, chunks), coding)
    };
    for number in 0..64 {
        let (stream, coding) = begin(&mut sender).await;
        open.push(stream);
        assert_eq!(coding.as_deref(), Some("gzip"), "{number}");
    }
    let ((mut client, chunks), coding) = begin(&mut sender).await;
    assert_eq!(coding, None);
    chunks.send("plain").await.unwrap();
    assert_eq!(client.chunk().await.unwrap(), b"plain");
    // Clients that go away make room.
    open.clear();
    until("there is room again", async || begin(&mut sender).await.1.is_some()).await;
}
