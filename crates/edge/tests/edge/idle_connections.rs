//! Connections by the thousand that do nothing, or next to nothing: others are answered meanwhile, and each costs little.
//!
//! Clients and edge are two processes, so that each stays within its limit of open files.

use std::net::SocketAddr;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Process, Raw, Service, get, route, slots, snapshot, text, until};

const CONNECTIONS: u16 = 10_000;

/// No more from one address than the edge lets in.
const PER_ADDRESS: u16 = 1_000;

/// What one connection may cost the edge; what the system keeps for it is not counted.
const MAX_BYTES_EACH: usize = 32 * 1024;

fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, raised).unwrap();
    let needed = u64::from(CONNECTIONS) + 3_000;
    assert!(limit.maximum.is_none_or(|most| most >= needed), "{needed} open files are needed: ulimit -Hn {needed}");
}

/// A connection from one of many addresses of this machine.
async fn connect(address: SocketAddr, number: u16) -> TcpStream {
    let host = u8::try_from(10 + number / PER_ADDRESS).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 1, host], 0).into()).unwrap();
    socket.connect(address).await.unwrap()
}

#[tokio::test]
async fn ten_thousand_connections_that_do_nothing_keep_nobody_from_being_answered() {
    allow_many_files();
    let service = Service::http(async |request| {
        let _body = http_body_util::BodyExt::collect(request.into_body()).await;
        text("chat")
    });
    let mut given = snapshot(vec![route("chat", slots(&[service.address]))]);
    given.routes[0].limits.body_idle_timeout_ms = 300_000;
    given.routes[0].limits.response_timeout_ms = 300_000;
    given.limits.max_connections = 12_000;
    // Long enough for a machine that is busy; that they end is shown with short ones in `limits`.
    given.limits.header_timeout_ms = 300_000;
    given.limits.idle_timeout_ms = 300_000;
    let process = Process::start(&given);
    let address = process.address().await;
    // What serving takes at all is there before it is measured.
    for _ in 0..100 {
        assert_eq!(get(address, "chat.localhost", "/").await.text(), "chat");
    }
    let before = process.resident_bytes();

    let mut idle = Vec::with_capacity(CONNECTIONS.into());
    for number in 0..CONNECTIONS {
        let mut socket = connect(address, number).await;
        match number % 10 {
            // Says nothing; half a head; half a body; has been answered once.
            0..=3 => {}
            4..=6 => socket.write_all(b"GET / HTTP/1.1\r\nhost: chat.loc").await.unwrap(),
            7 => {
                let half = b"POST / HTTP/1.1\r\nhost: chat.localhost\r\ncontent-length: 8\r\n\r\nhalf";
                socket.write_all(half).await.unwrap();
            }
            _ => {
                let mut client = Raw::over(socket);
                let answer = client.ask("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
                assert_eq!(answer.text(), "chat", "connection {number}");
                socket = client.socket;
            }
        }
        idle.push(socket);
        if number % 500 == 0 {
            assert_eq!(get(address, "chat.localhost", "/").await.text(), "chat", "beside {number}");
        }
    }
    until("all are open", async || process.metric("mana_edge_connections_open").await >= Some(CONNECTIONS.into()))
        .await;
    for _ in 0..100 {
        assert_eq!(get(address, "chat.localhost", "/").await.text(), "chat");
    }
    let each = process.resident_bytes().saturating_sub(before) / usize::from(CONNECTIONS);
    assert!(each < MAX_BYTES_EACH, "{each} bytes for a connection that does nothing");

    drop(idle);
    until("all are gone", async || process.metric("mana_edge_connections_open").await == Some(0.0)).await;
    assert_eq!(get(address, "chat.localhost", "/").await.text(), "chat");
}

/// Bytes of an answer that nobody reads; far more than the sockets between hold.
const LARGE: usize = 32 * 1024 * 1024;

#[tokio::test]
async fn answers_that_nobody_reads_are_not_kept_in_memory() {
    let service = Service::http(
        async |request| {
            if request.uri().path() == "/large" { text(vec![b'x'; LARGE]) } else { text("chat") }
        },
    );
    let mut given = snapshot(vec![route("chat", slots(&[service.address]))]);
    given.routes[0].limits.body_idle_timeout_ms = 300_000;
    let process = Process::start(&given);
    let address = process.address().await;
    assert_eq!(get(address, "chat.localhost", "/").await.text(), "chat");
    let before = process.resident_bytes();
    let mut clients = Vec::new();
    for number in 0..20 {
        let mut client = Raw::over(connect(address, number).await);
        client.write("GET /large HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
        let answer = client.head().await;
        assert_eq!(answer.header("content-length"), Some(LARGE.to_string().as_str()));
        clients.push(client);
    }
    for _ in 0..20 {
        assert_eq!(get(address, "chat.localhost", "/").await.text(), "chat");
    }
    let grown = process.resident_bytes().saturating_sub(before);
    assert!(grown < 20 * 1024 * 1024, "{grown} bytes for 20 answers that are not read");
    // Whoever begins to read gets all of it.
    assert_eq!(clients.remove(0).exactly(LARGE).await.len(), LARGE);
}
