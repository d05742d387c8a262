//! An instance that remembers every byte it was sent.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Service, until};

/// Answers what came to its end with `heard`.
pub(crate) struct Overheard {
    pub(crate) service: Service,
    connections: Arc<Mutex<Vec<Connection>>>,
}

#[derive(Default)]
struct Connection {
    bytes: Vec<u8>,
    is_closed: bool,
}

impl Overheard {
    pub(crate) fn start() -> Self {
        let connections = Arc::default();
        let all = Arc::clone(&connections);
        let service = Service::raw(move |socket| hear(socket, Arc::clone(&all)));
        Self { service, connections }
    }

    /// All it heard so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.connections.lock().unwrap().iter().flat_map(|connection| connection.bytes.clone()).collect()
    }

    /// What came on each connection, once all of them are closed.
    pub(crate) async fn closed(&self) -> Vec<Vec<u8>> {
        let is_open = || self.connections.lock().unwrap().iter().any(|connection| !connection.is_closed);
        until("all connections are closed", async || !is_open()).await;
        self.connections.lock().unwrap().iter().map(|connection| connection.bytes.clone()).collect()
    }
}

async fn hear(mut socket: TcpStream, connections: Arc<Mutex<Vec<Connection>>>) {
    let place = {
        let mut connections = connections.lock().unwrap();
        connections.push(Connection::default());
        connections.len() - 1
    };
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = socket.read(&mut piece).await {
        request.extend_from_slice(&piece[..count]);
        connections.lock().unwrap()[place].bytes.extend_from_slice(&piece[..count]);
        if is_whole(&request) {
            request.clear();
            // Whoever has gone away is seen to have with the next read.
            let _sent = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nheard").await;
        }
    }
    connections.lock().unwrap()[place].is_closed = true;
}

/// Whether this is a head, with all of its body.
pub(crate) fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length: "));
    match length {
        Some(length) => body.len() >= length.parse().unwrap(),
        None if head.contains("transfer-encoding") => format!("\r\n{body}").ends_with("\r\n0\r\n\r\n"),
        None => true,
    }
}
