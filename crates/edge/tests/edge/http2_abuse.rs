//! HTTP/2 clients that keep the edge busy at little cost to themselves: each is stopped, and others are answered meanwhile.

use std::time::Duration;

use mana_edge::snapshot::{Issuer, Listener, LocalAuthority, Snapshot, Tls};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::http2::{
    CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, block, frame,
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
    block(&[(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "never.localhost")])
}

/// Writes until the edge has had enough, while its answers are read. Gives how many bytes it took.
async fn write_until_refused(stream: TlsStream<TcpStream>, mut next: impl FnMut() -> Vec<u8>, most: usize) -> usize {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut answers = vec![0; 64 * 1024];
    let mut taken = 0;
    loop {
        let frames = next();
        tokio::select! {
            read = reader.read(&mut answers) => match read {
                Ok(0) | Err(_) => return taken,
                Ok(_) => {}
            },
            written = tokio::time::timeout(SOON, writer.write_all(&frames)) => match written {
                Ok(Ok(())) => {
                    taken += frames.len();
                    assert!(taken < most, "{taken} bytes and no end");
                }
                _ => return taken,
            },
        }
    }
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
        10 * 1024 * 1024,
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
    let taken = write_until_refused(stream, || frame(CONTINUATION, 0, 1, &field), 64 * 1024 * 1024).await;
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
