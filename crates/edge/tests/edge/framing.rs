//! Requests that two servers could read differently get through to none: each is 400, its connection is closed, and no instance
//! hears a byte of it. `http2_framing` has the same for HTTP/2.

use crate::support::{Overheard, Raw, TestEdge, route, slots, snapshot};

/// What an attacker hopes that somebody takes for a request of its own.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: chat.localhost\r\n\r\n";

/// Paths that lead elsewhere, depending on who reads them.
pub(crate) const PATHS_WITH_TWO_READINGS: [&str; 37] = [
    "/.",
    "/..",
    "/../",
    "/a/..",
    "/a/../b",
    "/a/./b",
    "/a/.",
    "/%2e",
    "/%2e%2e/a",
    "/%2E%2E/a",
    "/.%2e/a",
    "/%2e./a",
    "/a/%2e%2E",
    "/..;/a",
    "/a/..;x=y/b",
    "/..%3b/a",
    "/%2e%2e;/a",
    "/.;/a",
    "/a%2fb",
    "/a%2Fb",
    "/..%2fa",
    "/%2e%2e%2fa",
    "/a%2f..%2fb",
    "/%2f",
    "/a%5cb",
    "/a%5Cb",
    "/..%5ca",
    "/a\\b",
    "/\\",
    "/..\\a",
    "/a%00",
    "/a%00.txt",
    "/%00",
    "/%",
    "/%4",
    "/a%zz",
    "/%u002e%u002e/a",
];

/// All that comes until the edge closes.
async fn said(edge: &TestEdge, request: &[u8]) -> String {
    let mut client = Raw::connect(edge.address()).await;
    client.write(request).await;
    String::from_utf8(client.rest().await).unwrap()
}

/// Sends each with a second request behind it.
async fn check_refused(rows: impl IntoIterator<Item = Vec<u8>>) {
    let overheard = Overheard::start();
    let edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[overheard.service.address]))]));
    for row in rows {
        let answers = said(&edge, &[&row[..], SMUGGLED.as_bytes()].concat()).await;
        let row = row.escape_ascii();
        assert!(answers.starts_with("HTTP/1.1 400 "), "{row}: {answers:?}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{row}: {answers:?}");
        assert_eq!(overheard.bytes().escape_ascii().to_string(), "", "{row}");
    }
    // What is in order does get there, so silence meant something.
    assert!(
        said(&edge, b"GET / HTTP/1.1\r\nhost: chat.localhost\r\nconnection: close\r\n\r\n").await.contains("heard")
    );
}

#[tokio::test]
async fn heads_with_two_readings_reach_nobody() {
    let heads = [
        // Both lengths, repeated and odd ones.
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5\r\ncontent-length: 5\r\n",
        "content-length: 5\r\nCONTENT-LENGTH: 5\r\n",
        "content-length: 5, 5\r\n",
        "content-length: 5,\r\n",
        "content-length: +5\r\n",
        "content-length: -1\r\n",
        "content-length: 0x5\r\n",
        "content-length: 5.0\r\n",
        "content-length: 5e0\r\n",
        "content-length: 5 5\r\n",
        "content-length: \"5\"\r\n",
        "content-length: \r\n",
        "content-length: \u{665}\r\n",
        "content-length: 99999999999999999999\r\n",
        "content-length: 18446744073709551621\r\n",
        // Codings that some know and others do not.
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: chunked,\r\n",
        "transfer-encoding: ,chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunkedx\r\n",
        "transfer-encoding: chunked;q=1\r\n",
        "transfer-encoding: \"chunked\"\r\n",
        "transfer-encoding: 'chunked'\r\n",
        "transfer-encoding: ch\u{0}unked\r\n",
        "transfer-encoding: chunked\u{0}\r\n",
        "transfer-encoding:\x0bchunked\r\n",
        "transfer-encoding:\x0cchunked\r\n",
        "transfer-encoding: chunked\x0b\r\n",
        "transfer-encoding: \u{a0}chunked\r\n",
        "transfer-encoding: \r\n",
        "transfer-encoding\r\n",
        // White space where it does not belong.
        "transfer-encoding : chunked\r\n",
        "transfer-encoding\t: chunked\r\n",
        "transfer-encoding\x0b: chunked\r\n",
        "content-length : 5\r\n",
        " content-length: 5\r\n",
        "\ttransfer-encoding: chunked\r\n",
        " x: y\r\n",
        "x: a\r\n folded\r\n",
        "x: a\r\n\tfolded\r\n",
        "x: a\r\n \r\n",
        "transfer-encoding:\r\n chunked\r\n",
        "content-length:\r\n 5\r\n",
        "na me: x\r\n",
        // Ends of lines that are some for some only.
        "x: a\nb: c\r\n",
        "x: a\r\nb: c\n",
        "x: a\rb\r\n",
        "x: a\r\r\n",
        "x: a\rtransfer-encoding: chunked\r\n",
        "x: a\ntransfer-encoding: chunked\r\n",
        "x: a\n\ntransfer-encoding: chunked\r\n",
        "x: a\n\r\ntransfer-encoding: chunked\r\n",
        "x: a\r\n\rtransfer-encoding: chunked\r\n",
        "\rx: a\r\n",
        // What is no field.
        "x: a\u{0}b\r\n",
        "x: a\u{1}b\r\n",
        "x: a\u{7f}b\r\n",
        "x\u{0}: a\r\n",
        "no colon\r\n",
        ": no name\r\n",
        "\"x\": y\r\n",
        "x(y): z\r\n",
        "\u{e9}: y\r\n",
        "host: other.localhost\r\n",
        "host: chat.localhost\r\n",
    ];
    let posts =
        heads.map(|head| format!("POST / HTTP/1.1\r\nhost: chat.localhost\r\n{head}\r\n0\r\n\r\n").into_bytes());
    check_refused(posts).await;
}

#[tokio::test]
async fn request_lines_with_two_readings_reach_nobody() {
    let lines = [
        "POST / HTTP/1.1\nhost: chat.localhost",
        "POST / HTTP/1.1\r\r\nhost: chat.localhost",
        "POST  / HTTP/1.1\r\nhost: chat.localhost",
        "POST /  HTTP/1.1\r\nhost: chat.localhost",
        "POST\t/ HTTP/1.1\r\nhost: chat.localhost",
        "POST /\tHTTP/1.1\r\nhost: chat.localhost",
        "POST / HTTP/1.1 \r\nhost: chat.localhost",
        " POST / HTTP/1.1\r\nhost: chat.localhost",
        "POST /a b HTTP/1.1\r\nhost: chat.localhost",
        "POST /\u{0} HTTP/1.1\r\nhost: chat.localhost",
        "POST /\u{1} HTTP/1.1\r\nhost: chat.localhost",
        "POST /\rb HTTP/1.1\r\nhost: chat.localhost",
        "PO\u{0}ST / HTTP/1.1\r\nhost: chat.localhost",
        "PO:ST / HTTP/1.1\r\nhost: chat.localhost",
        "POST / HTTP/1.2\r\nhost: chat.localhost",
        "POST / HTTP/1.10\r\nhost: chat.localhost",
        "POST / HTTP/01.1\r\nhost: chat.localhost",
        "POST / HTTP/2.0\r\nhost: chat.localhost",
        "POST / HTTP/0.9\r\nhost: chat.localhost",
        "POST / http/1.1\r\nhost: chat.localhost",
        "POST / HTTP /1.1\r\nhost: chat.localhost",
        "POST / XHTTP/1.1\r\nhost: chat.localhost",
        "POST /\r\nhost: chat.localhost",
        "POST\r\nhost: chat.localhost",
        // Chunks that a server of HTTP/1.0 does not know.
        "POST / HTTP/1.0\r\nhost: chat.localhost\r\ntransfer-encoding: chunked",
        "POST / HTTP/1.0\r\nhost: chat.localhost\r\nconnection: keep-alive\r\ntransfer-encoding: chunked",
        // Who is asked?
        "POST / HTTP/1.1",
        "POST / HTTP/1.1\r\nhost:",
        "POST / HTTP/1.1\r\nhost: chat.localhost, other.localhost",
        "POST / HTTP/1.1\r\nhost: chat.localhost other.localhost",
        "POST / HTTP/1.1\r\nhost: other.localhost@chat.localhost",
        "POST / HTTP/1.1\r\nhost: chat.localhost/x",
        "POST / HTTP/1.1\r\nhost: chat.localhost#x",
        "POST / HTTP/1.1\r\nhost: chat.localhost\\x",
        "POST / HTTP/1.1\r\nhost: chat.localhost:80:80",
        "POST / HTTP/1.1\r\nhost: chat.localhost:x",
        "POST http://other.localhost/ HTTP/1.1\r\nhost: chat.localhost",
        "POST http://chat.localhost:81/ HTTP/1.1\r\nhost: chat.localhost",
        "POST http://chat.localhost/ HTTP/1.1\r\nhost: other.localhost",
        "POST http://other.localhost@chat.localhost/ HTTP/1.1\r\nhost: chat.localhost",
        "POST http://chat.localhost/ HTTP/1.1",
        "POST http:///x HTTP/1.1\r\nhost: chat.localhost",
        "POST ftp://chat.localhost/ HTTP/1.1\r\nhost: chat.localhost",
        // Forms of a target that belong to other methods, or to none.
        "POST chat.localhost HTTP/1.1\r\nhost: chat.localhost",
        "POST chat.localhost:80 HTTP/1.1\r\nhost: chat.localhost:80",
        "POST * HTTP/1.1\r\nhost: chat.localhost",
        "POST x/y HTTP/1.1\r\nhost: chat.localhost",
        "POST ?x HTTP/1.1\r\nhost: chat.localhost",
        "POST #x HTTP/1.1\r\nhost: chat.localhost",
        "POST \\ HTTP/1.1\r\nhost: chat.localhost",
    ];
    check_refused(lines.map(|line| format!("{line}\r\n\r\n").into_bytes())).await;
}

#[tokio::test]
async fn paths_with_two_readings_reach_nobody() {
    // In HTTP/2, what follows `#` is dropped before anybody could read it.
    let fragments = ["/a#b", "/#", "/a?b#c", "/a#/../b"];
    let absolute = ["http://chat.localhost/../a", "http://chat.localhost/a%2fb", "http://chat.localhost/a#b"];
    let paths = PATHS_WITH_TWO_READINGS.into_iter().chain(fragments).chain(absolute);
    check_refused(paths.map(|path| format!("GET {path} HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").into_bytes())).await;
}

#[tokio::test]
async fn paths_with_one_reading_pass_as_they_are() {
    let overheard = Overheard::start();
    let edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[overheard.service.address]))]));
    for path in [
        "/a//b",
        "/a%20b",
        "/a%252fb",
        "/a%252e%252e/b",
        "/...",
        "/a..b",
        "/.well-known/x",
        "/%2ewell-known/x",
        "/a;b=c/d",
        "/a;..",
        "/%61",
        "/%C3%A9",
        "/a?b=/../c",
        "/a?b=%2f%5c%00\\",
        "/a:b@c!$&'()*+,=~",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: chat.localhost\r\nconnection: close\r\n\r\n");
        assert!(said(&edge, request.as_bytes()).await.starts_with("HTTP/1.1 200 "), "{path}");
        let heard = String::from_utf8(overheard.bytes()).unwrap();
        assert!(heard.contains(&format!("GET {path} HTTP/1.1\r\n")), "{path}: {heard}");
    }
}

#[tokio::test]
async fn malformed_chunks_never_pass_for_a_whole_body_nor_for_a_request() {
    let overheard = Overheard::start();
    let mut edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[overheard.service.address]))]));
    let long = "x".repeat(20_000);
    for body in [
        "\r\n",
        "\n",
        "g\r\n",
        "zz\r\n",
        "-1\r\n",
        "+1\r\na\r\n",
        " 1\r\na\r\n",
        "1 \r\na\r\n",
        "1\t\r\na\r\n",
        "0x1\r\na\r\n",
        "1\na\r\n",
        "1\ra\r\n",
        "1\r\r\na\r\n",
        "\u{661}\r\na\r\n",
        // More, fewer or other bytes than announced.
        "1\r\nab0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "2\r\na\r\n0\r\n\r\n",
        "1\r\na0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\na\r0\r\n\r\n",
        "1\r\na\r\n\r\n0\r\n\r\n",
        // Too large for anything that counts in 32 or 64 bits, or that stops after some digits.
        "10000000000000001\r\na\r\n",
        "ffffffffffffffffff\r\na\r\n",
        "fffffffffffffffff\r\na\r\n",
        &format!("{}1\r\na\r\n0\r\n\r\n", "0".repeat(20_000)),
        // Extensions that hide an end of line, or have none.
        "1;a\nb\r\na\r\n",
        "1;\na\r\n0\r\n\r\n",
        "1;a\rb\r\na\r\n",
        "1;\u{0}\r\na\r\n",
        &format!("1;{long}\r\na\r\n0\r\n\r\n"),
        // Trailers with two readings.
        "0\nx: y\r\n\r\n",
        "0\r\nx: y\n\r\n",
        "0\r\nx: y\r\n z\r\n\r\n",
        "0\r\nx y: z\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\nx: a\rb\r\n\r\n",
        "0\r\n\n",
        "0\r\n\rx",
    ] {
        for begun in ["", "3\r\nabc\r\n"] {
            let head = "POST / HTTP/1.1\r\nhost: chat.localhost\r\ntransfer-encoding: chunked\r\n\r\n";
            let answers = said(&edge, format!("{head}{begun}{body}{SMUGGLED}").as_bytes()).await;
            let row = body.get(..40).unwrap_or(body);
            assert!(answers.starts_with("HTTP/1.1 400 "), "{begun:?} {row:?}: {answers:?}");
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{begun:?} {row:?}: {answers:?}");
        }
    }
    edge.stop();
    for heard in overheard.closed().await {
        let heard = heard.escape_ascii().to_string();
        assert!(!heard.contains("smuggled"), "{heard}");
        assert!(heard.matches("HTTP/1.1").count() <= 1, "{heard}");
        assert!(!heard.ends_with("0\\r\\n\\r\\n"), "passed for a whole body: {heard}");
    }
}

#[tokio::test]
async fn what_is_no_http_at_all_is_refused() {
    let edge = TestEdge::start(&snapshot(Vec::new()));
    for bytes in [
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}",
        "GET / HTTP/9.9\r\n\r\n",
        "GET  /  HTTP/1.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = Raw::connect(edge.address()).await;
        client.write(bytes).await;
        tokio::io::AsyncWriteExt::shutdown(&mut client.socket).await.unwrap();
        let all = String::from_utf8(client.rest().await).unwrap();
        assert!(all.is_empty() || all.starts_with("HTTP/1.1 400 "), "{bytes:?}: {all:?}");
    }
}
