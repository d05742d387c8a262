//! The connection to one instance, which all requests of a thread share.
//!
//! Many requests are on it at once, so it is driven by a task of its own, unlike those of HTTP/1. It is opened by the first
//! request that finds none, and ends with the last one after its instance is retired.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;

use hyper::client::conn::http2;
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::Carried;

/// How much of an answer is on its way before the client takes it, and what all of a connection's are.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// How much of a request is taken from its client before the instance takes it.
const SEND_BUFFER: usize = 64 * 1024;

/// Largest head of an answer.
const MAX_HEAD_BYTES: u32 = 256 * 1024;

/// What begins requests on the connection.
pub(crate) type Sender = http2::SendRequest<Carried>;

/// The connection to one instance.
#[derive(Default)]
pub(crate) struct Shared {
    sender: Mutex<Option<Sender>>,
    retired: Cell<bool>,
}

impl Shared {
    /// The connection, opened if need be; and whether it was there before.
    pub(crate) async fn sender(&self, address: SocketAddr) -> io::Result<(Sender, bool)> {
        // Whoever comes while it is being opened waits for it rather than open another one.
        let mut kept = self.sender.lock().await;
        if let Some(sender) = kept.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok((sender.clone(), true));
        }
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let mut builder = http2::Builder::new(Tasks);
        builder
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(MAX_HEAD_BYTES);
        let (sender, connection) = builder.handshake(TokioIo::new(socket)).await.map_err(io::Error::other)?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%address, %error, "HTTP/2 with an instance ended");
            }
        });
        if !self.retired.get() {
            *kept = Some(sender.clone());
        }
        Ok((sender, false))
    }

    /// Lets the connection end with the last request on it.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        // Locked: a request is opening it at this moment, and will see the mark.
        if let Ok(mut kept) = self.sender.try_lock() {
            *kept = None;
        }
    }
}

/// Runs what a connection needs as tasks of this thread.
#[derive(Clone, Copy)]
struct Tasks;

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
