//! Requests that two servers could read differently get through to none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Raw, Service, TestEdge, route, slots, snapshot, text};

#[tokio::test]
async fn ambiguous_requests_are_refused_and_the_connection_closed() {
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    let service = Service::http(move |request| {
        count.fetch_add(usize::from(request.uri().path() == "/smuggled"), Ordering::Relaxed);
        async {
            let _body = http_body_util::BodyExt::collect(request.into_body()).await;
            text("reached")
        }
    });
    let edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[service.address]))]));
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: chat.localhost\r\n\r\n";
    for head in [
        "content-length: 6\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 6\r\n",
        "content-length: 6\r\ncontent-length: 5\r\n",
        "content-length: 6\r\ncontent-length: 6\r\n",
        "content-length: 6, 6\r\n",
        "content-length: +6\r\n",
        "content-length: -1\r\n",
        "content-length: 0x6\r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding:\x0bchunked\r\n",
        "content-length : 6\r\n",
        "x: a\r\n folded\r\n",
        "x: a\r\n\tfolded\r\n",
        "x: a\nb: c\r\n",
        "x: a\rb\r\n",
        "x: a\0b\r\n",
        "no colon\r\n",
        ": no name\r\n",
        "na me: x\r\n",
    ] {
        let mut client = Raw::connect(edge.address()).await;
        client.write(format!("POST / HTTP/1.1\r\nhost: chat.localhost\r\n{head}\r\n0\r\n\r\n{smuggled}")).await;
        let all = String::from_utf8(client.rest().await).unwrap();
        assert!(all.starts_with("HTTP/1.1 400 "), "{head:?}: {all:?}");
        assert_eq!(all.matches("HTTP/1.1").count(), 1, "{head:?}: {all:?}");
    }
    for (body, head) in [
        ("transfer-encoding: chunked\r\n", "zz\r\n"),
        ("transfer-encoding: chunked\r\n", "-1\r\n"),
        ("transfer-encoding: chunked\r\n", "0x1\r\na\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "1\na\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "1\r\nab0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "ffffffffffffffffff\r\n"),
    ] {
        let mut client = Raw::connect(edge.address()).await;
        client.write(format!("POST / HTTP/1.1\r\nhost: chat.localhost\r\n{body}\r\n{head}{smuggled}")).await;
        let all = String::from_utf8(client.rest().await).unwrap();
        assert!(all.is_empty() || all.starts_with("HTTP/1.1 400 "), "{head:?}: {all:?}");
        assert!(all.matches("HTTP/1.1").count() <= 1, "{head:?}: {all:?}");
    }
    assert_eq!(reached.load(Ordering::Relaxed), 0);
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
