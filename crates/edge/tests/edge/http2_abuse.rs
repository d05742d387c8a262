//! HTTP/2 clients that keep the edge busy at little cost to themselves: each is stopped, and others are answered meanwhile.

use std::time::Duration;

use mana_edge::snapshot::{Issuer, Listener, LocalAuthority, Snapshot, Tls};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::http2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame,
};
use crate::support::{Raw, SOON, Service, TestEdge, TlsClient, route, slots, snapshot, text};

struct Abused {
    edge: TestEdge,
    folder: TempDir,
    _services: [Service; 2],
}

impl Abused {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let quick = Service::saying("quick");
        let never = Service::http(async |_| {
            tokio::time::sleep(SOON).await;
            text("late")
        });
        let issuer = Issuer::Local(LocalAuthority { folder: folder.path().join("ca") });
        let edge = TestEdge::start(&Snapshot {
            listeners: vec![Listener::secure(([127, 0, 0, 1], 0).into())],
            tls: Some(Tls { issuer: Some(issuer), ..Tls::default() }),
            ..snapshot(vec![route("quick", slots(&[quick.address])), route("never", slots(&[never.address]))])
        });
        Self { edge, folder, _services: [quick, never] }
    }

    fn client(&self) -> TlsClient {
        TlsClient::trusting(&self.folder.path().join("ca/ca.pem"))
    }

    /// A connection on which HTTP/2 has begun.
    async fn connect(&self) -> TlsStream<TcpStream> {
        let client = self.client().offering(&["h2"]);
        let mut stream = client.connect(self.edge.address(), "never.localhost").await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        stream
    }

    /// Others are answered.
    async fn check_well(&self) {
        let stream = self.client().connect(self.edge.address(), "quick.localhost").await.unwrap();
        let answer = Raw::over(stream).ask("GET / HTTP/1.1\r\nhost: quick.localhost\r\n\r\n").await;
        assert_eq!(answer.text(), "quick");
    }
}

/// A request that is not answered for long.
fn get() -> Vec<u8> {
    asking("GET")
}

/// The same with a body to come.
fn post() -> Vec<u8> {
    asking("POST")
}

fn asking(method: &str) -> Vec<u8> {
    block(&[(":method", method), (":scheme", "https"), (":path", "/"), (":authority", "never.localhost")])
}

/// Writes until the edge has had enough or there is nothing `left`, while its answers are read. Gives how many bytes it took.
async fn write_until_refused(stream: TlsStream<TcpStream>, mut next: impl FnMut() -> Vec<u8>, left: &mut u32) -> usize {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let read = async {
        let mut answers = vec![0; 64 * 1024];
        while let Ok(1..) = reader.read(&mut answers).await {}
    };
    let mut taken = 0;
    let write = async {
        while *left > 0 {
            let frames = next();
            let written = tokio::time::timeout(SOON, writer.write_all(&frames)).await;
            if written.expect("taken or refused, in time").is_err() {
                return;
            }
            taken += frames.len();
            *left -= 1;
        }
    };
    tokio::select! { () = read => {}, () = write => {} }
    taken
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let abused = Abused::start();
    let stream = abused.connect().await;
    let mut number = 1;
    let taken = write_until_refused(
        stream,
        || {
            let mut frames = frame(HEADERS, END_STREAM | END_HEADERS, number, &get());
            frames.extend(frame(RST_STREAM, 0, number, &8_u32.to_be_bytes()));
            number += 2;
            frames
        },
        &mut 100_000,
    )
    .await;
    assert!(taken < 1024 * 1024, "{taken}");
    abused.check_well().await;
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let abused = Abused::start();
    let mut stream = abused.connect().await;
    stream.write_all(&frame(HEADERS, END_STREAM, 1, &get())).await.unwrap();
    // One literal field of 4 KiB in each.
    let mut field = vec![0x00, 0x01, b'x', 0x7f, 0x81, 0x1f];
    field.extend([b'y'; 4096]);
    let taken = write_until_refused(stream, || frame(CONTINUATION, 0, 1, &field), &mut 16_000).await;
    assert!(taken < 8 * 1024 * 1024, "{taken}");
    abused.check_well().await;
}

#[tokio::test]
async fn settings_and_pings_without_end_cost_no_memory() {
    let abused = Abused::start();
    let before = resident_bytes();
    for flood in [frame(SETTINGS, 0, 0, &[]), frame(PING, 0, 0, &[0; 8])] {
        let mut stream = abused.connect().await;
        let flood = flood.repeat(1_000);
        // Nothing is read: what the edge wants to answer has to wait.
        let mut sent = 0;
        while sent < 64 * 1024 * 1024 {
            match tokio::time::timeout(Duration::from_secs(1), stream.write_all(&flood)).await {
                Ok(Ok(())) => sent += flood.len(),
                // It takes no more, or has closed.
                Ok(Err(_)) | Err(_) => break,
            }
        }
        abused.check_well().await;
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 32 * 1024 * 1024, "{grown} bytes more");
}

/// What a whole abuse may cost in memory, many times more of which is sent.
const MAX_GROWTH: usize = 32 * 1024 * 1024;

#[tokio::test]
async fn frames_that_mean_nothing_cost_no_memory_and_hold_nobody_up() {
    let abused = Abused::start();
    let before = resident_bytes();
    let mut head = frame(HEADERS, END_HEADERS, 1, &post());
    head.extend(frame(HEADERS, END_HEADERS, 3, &post()));
    let floods = [
        ("empty data", frame(DATA, 0, 1, &[])),
        ("padding", frame(DATA, PADDED, 1, &[255; 256])),
        ("priorities", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 16])),
        ("priorities of streams to come", frame(PRIORITY, 0, 1_001, &[0, 0, 0, 1, 16])),
        ("a stream's window", frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())),
        ("the connection's window", frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
        ("settings", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255].repeat(100))),
        ("acknowledgements", frame(SETTINGS, ACK, 0, &[])),
        ("pings", frame(PING, 0, 0, &[7; 8])),
        ("answers to no ping", frame(PING, ACK, 0, &[7; 8])),
        ("unknown frames", frame(0xfa, 0, 1, &[0; 64])),
        ("resets of closed streams", frame(RST_STREAM, 0, 3, &8_u32.to_be_bytes())),
    ];
    for (name, flood) in floods {
        let mut stream = abused.connect().await;
        stream.write_all(&head).await.unwrap();
        let piece = flood.repeat(32 * 1024 / flood.len());
        let mut left = 512;
        let taken = write_until_refused(stream, || piece.clone(), &mut left).await;
        abused.check_well().await;
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < MAX_GROWTH, "{name}: {grown} bytes more after {taken}");
    }
}

#[tokio::test]
async fn a_head_in_ever_more_empty_pieces_is_refused() {
    let abused = Abused::start();
    let mut stream = abused.connect().await;
    stream.write_all(&frame(HEADERS, END_STREAM, 1, &get())).await.unwrap();
    let pieces = frame(CONTINUATION, 0, 1, &[]).repeat(1_000);
    let mut left = 8 * 1024;
    write_until_refused(stream, || pieces.clone(), &mut left).await;
    assert!(left > 0, "millions of pieces, and no end");
    abused.check_well().await;
}

#[tokio::test]
async fn a_small_head_that_unpacks_to_a_large_one_is_refused_unpacked_or_not() {
    let abused = Abused::start();
    let before = resident_bytes();
    for _ in 0..20 {
        let stream = abused.connect().await;
        // A field of 3.9 KiB is put into the table once, and then named 16,000 times, each with one byte.
        let mut bomb = get();
        bomb.extend([0x40, 0x01, b'x', 0x7f, 0xbd, 0x1d]);
        bomb.extend([b'y'; 3_900]);
        bomb.resize(16 * 1024, 0xbe);
        let mut frames = frame(HEADERS, END_STREAM | END_HEADERS, 1, &bomb);
        let again = [&get()[..], &[0xbe; 16_000]].concat();
        for stream in 1..20 {
            frames.extend(frame(HEADERS, END_STREAM | END_HEADERS, 2 * stream + 1, &again));
        }
        let mut left = 1;
        write_until_refused(stream, || frames.clone(), &mut left).await;
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < MAX_GROWTH, "{grown} bytes more");
    abused.check_well().await;
}

#[tokio::test]
async fn requests_that_are_reset_by_an_error_of_the_client_end_the_connection_too() {
    let abused = Abused::start();
    let stream = abused.connect().await;
    let (mut number, mut left) = (1, 20_000);
    // The client makes the edge reset each: by a window that overflows (CVE-2025-8671).
    let next = || {
        let mut frames = frame(HEADERS, END_STREAM | END_HEADERS, number, &get());
        frames.extend(frame(WINDOW_UPDATE, 0, number, &0x7fff_ffff_u32.to_be_bytes()));
        number += 2;
        frames
    };
    write_until_refused(stream, next, &mut left).await;
    assert!(left > 0, "twenty thousand requests begun and reset, and no end");
    abused.check_well().await;
}

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn requests_above_the_bound_are_refused_and_the_others_answered() {
    let abused = Abused::start();
    let mut stream = abused.connect().await;
    for number in 0..150_u32 {
        stream.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &get())).await.unwrap();
    }
    stream.flush().await.unwrap();
    // REFUSED_STREAM (7) for each above 100: it was not begun, and may be sent again.
    let (mut refused, mut bytes) = (0, Vec::new());
    while refused < 50 {
        let mut piece = vec![0; 4096];
        let read = tokio::time::timeout(SOON, stream.read(&mut piece)).await.unwrap().unwrap();
        assert!(read > 0, "closed after {refused}");
        bytes.extend(&piece[..read]);
        while bytes.len() >= 9 {
            let length = usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
            if bytes.len() < 9 + length {
                break;
            }
            let whole: Vec<u8> = bytes.drain(..9 + length).collect();
            refused += usize::from(whole[3] == RST_STREAM && whole[9..] == 7_u32.to_be_bytes());
        }
    }
    abused.check_well().await;
}
