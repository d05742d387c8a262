//! Services to stand behind the edge. They run on a runtime of their own, so that a test that blocks does not stop them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::LazyLock;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// What a service answers with.
pub(crate) type Text = Response<BoxBody<Bytes, Infallible>>;

/// An answer with this body.
pub(crate) fn text(body: impl Into<Bytes>) -> Text {
    Response::new(BoxBody::new(Full::new(body.into())))
}

/// A program that listens, until dropped.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Service {
    /// Answers HTTP by a function.
    pub(crate) fn http<F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Text> + Send,
    {
        Self::raw(move |socket| {
            let answer = answer.clone();
            async move {
                let service = service_fn(|request| {
                    let answer = answer(request);
                    async { Ok::<_, Infallible>(answer.await) }
                });
                // A client that goes away in the middle is what some tests are about.
                let _ended = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service)
                    .with_upgrades()
                    .await;
            }
        })
    }

    /// Always answers with the same text.
    pub(crate) fn saying(body: &'static str) -> Self {
        Self::http(move |_| async move { text(body) })
    }

    /// Gets each connection as it is.
    pub(crate) fn raw<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let task = RUNTIME.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let mut connections = tokio::task::JoinSet::new();
            loop {
                if let Ok((socket, _)) = listener.accept().await {
                    connections.spawn(serve(socket));
                }
            }
        });
        Self { address, task }
    }

    /// An address nobody listens on, and nobody will: it is bound for as long as the test runs.
    pub(crate) fn nobody() -> SocketAddr {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        std::mem::forget(socket);
        address
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer whose body comes through a channel, chunk by chunk.
pub(crate) fn streamed() -> (Text, mpsc::Sender<&'static str>) {
    let (sender, mut chunks) = mpsc::channel::<&'static str>(1);
    let stream = futures_util::stream::poll_fn(move |cx| {
        chunks.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk.into()))))
    });
    (Response::new(BoxBody::new(StreamBody::new(stream))), sender)
}

/// Reads up to the end of a head; `None` when the other side closed first.
pub(crate) async fn read_head(socket: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// A WebSocket service that says everything back.
pub(crate) fn websocket_echo() -> Service {
    Service::raw(async |socket| {
        let Ok(mut socket) = tokio_tungstenite::accept_async(socket).await else { return };
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() || socket.send(message).await.is_err() {
                break;
            }
        }
    })
}
