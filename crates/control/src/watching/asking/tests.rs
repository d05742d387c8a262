//! Asking servers of the test's own, over real connections.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::watching::subjects::ByName;

const PATIENCE: Duration = Duration::from_secs(30);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Answers every request alike, and counts connections. An answer that says `close` closes.
async fn server(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    if stream.write_all(answer.as_bytes()).await.is_err() || answer.contains("close") {
                        return;
                    }
                }
            });
        }
    });
    (address, connections)
}

fn ways() -> Ways {
    Ways::new(PathBuf::from("/nonexistent/ca.pem"))
}

fn asked(address: SocketAddr) -> Asked {
    Asked { address, tls: false, host: "chat.localhost".into(), path: "/api/health".into(), by_name: None }
}

#[tokio::test]
async fn probes_share_a_connection_until_it_is_old_or_closed() {
    for (line, answer, made) in [
        (Line::default(), OK, 1),
        (Line::renewed_every(Duration::ZERO), OK, 5),
        (Line::default(), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok", 5),
    ] {
        let (address, connections) = server(answer).await;
        for _ in 0..5 {
            assert_eq!(probe(&line, &ways(), PATIENCE, &asked(address)).await, Ok(()));
        }
        assert_eq!(connections.load(Ordering::Relaxed), made, "{answer}");
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_nobody_used_it_says_nothing_of_who_is_asked() {
    // It does not say that it closes.
    let (address, connections) = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: close\r\n\r\nok").await;
    let line = Line::default();
    for _ in 0..3 {
        assert_eq!(probe(&line, &ways(), PATIENCE, &asked(address)).await, Ok(()));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn what_cannot_answer_is_told_from_what_answers_that_it_cannot() {
    for (answer, expected) in [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", Ok(())),
        ("HTTP/1.1 503 Oh\r\ncontent-length: 0\r\n\r\n", Err("answer")),
        ("HTTP/1.1 429 Oh\r\ncontent-length: 0\r\n\r\n", Err("answer")),
        ("no HTTP\r\n\r\nclose", Err("connection")),
    ] {
        let (address, _) = server(answer).await;
        let found = probe(&Line::default(), &ways(), PATIENCE, &asked(address)).await;
        assert_eq!(found.map_err(|failure| failure.word()), expected, "{answer}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("bound").local_addr().expect("an address");
    let found = probe(&Line::default(), &ways(), PATIENCE, &asked(nobody)).await;
    assert!(matches!(found, Err(Failure::Connection(_))), "{found:?}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_to_its_end_is_one() {
    let (address, _) = server("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nok").await;
    assert_eq!(probe(&Line::default(), &ways(), PATIENCE, &asked(address)).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn silence_is_none() {
    let (address, _) = server("").await;
    let found = probe(&Line::default(), &ways(), PATIENCE, &asked(address)).await;
    assert_eq!(found, Err(Failure::Time(PATIENCE)));
}

#[tokio::test]
async fn by_a_public_name_only_our_edge_is_the_service() {
    let by_name = |host: &str, address: SocketAddr| Asked {
        host: host.into(),
        by_name: Some(ByName { tls: true, port: 443 }),
        ..asked(address)
    };
    // A name that leads to this machine: our own edge is asked, and shows that it is.
    let (ours, _) = server("HTTP/1.1 200 OK\r\nx-request-id: 1\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(probe(&Line::default(), &ways(), PATIENCE, &by_name("localhost", ours)).await, Ok(()));
    let (others, _) = server(OK).await;
    let found = probe(&Line::default(), &ways(), PATIENCE, &by_name("localhost", others)).await.expect_err("not ours");
    assert_eq!(found.to_string(), "localhost leads elsewhere: whoever answers 200 OK there is not our edge");
    // No name can be as long as its first part.
    let nowhere = format!("{}.example", "a".repeat(64));
    let found = probe(&Line::default(), &ways(), PATIENCE, &by_name(&nowhere, ours)).await;
    assert!(matches!(found, Err(Failure::Nowhere { .. })), "{found:?}");
}

#[test]
fn a_host_is_called_as_its_clients_call_it() {
    let address = SocketAddr::from(([127, 0, 0, 1], 8080));
    let host = |asked: &Asked| question(asked).expect("a question").headers()[HOST].to_str().expect("text").to_owned();
    assert_eq!(host(&asked(address)), "chat.localhost:8080");
    let public = |tls, port| Asked { by_name: Some(ByName { tls, port }), ..asked(address) };
    assert_eq!(host(&public(true, 443)), "chat.localhost");
    assert_eq!(host(&public(true, 8443)), "chat.localhost:8443");
    assert_eq!(host(&public(false, 80)), "chat.localhost");
    let wrong = Asked { path: "no path".into(), ..asked(address) };
    assert!(matches!(question(&wrong), Err(Failure::Question(_))));
}

#[tokio::test]
async fn scrapes_share_a_connection_and_tell_an_exposition_from_anything_else() {
    let text = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: 5\r\n\r\nup 1\n";
    let (address, connections) = server(text).await;
    let line = Line::default();
    for _ in 0..3 {
        let given = scrape(&line, address.port(), PATIENCE).await;
        assert!(matches!(&given, Ok(Given::Exposition(Format::Text, body)) if body == b"up 1\n"), "{given:?}");
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 404 Oh\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let (address, connections) = server(answer).await;
        let line = Line::default();
        for _ in 0..2 {
            assert!(matches!(scrape(&line, address.port(), PATIENCE).await, Ok(Given::Nothing)), "{answer}");
        }
        assert_eq!(connections.load(Ordering::Relaxed), 1, "{answer}");
    }
    let large = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 999999999\r\n\r\nup 1\n";
    let (address, _) = server(large).await;
    assert!(matches!(scrape(&Line::default(), address.port(), PATIENCE).await, Err(Failure::Size(MAX_BODY_BYTES))));
}

#[tokio::test]
async fn who_is_asked_at_the_same_moment_has_a_connection_of_their_own_and_few_are_kept() {
    let (address, connections) = server(OK).await;
    let (line, ways, asked) = (Line::default(), ways(), asked(address));
    for made in [6, 8] {
        let six = futures_util::future::join_all((0..6).map(|_| probe(&line, &ways, PATIENCE, &asked))).await;
        assert!(six.iter().all(Result::is_ok), "{six:?}");
        assert_eq!(connections.load(Ordering::Relaxed), made);
    }
}
