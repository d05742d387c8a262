//! Is an instance up? Asked by HTTP over one kept-alive connection per instance.
//!
//! A new connection for every probe would leave thousands of sockets in `TIME_WAIT`; a probe that could not be made is
//! [`Answer::Unknown`], never up. Intervals carry jitter so that instances are not asked in step.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::io::Errno;
use tokio::net::TcpStream;

use crate::exchange;
pub use crate::lifecycle::Answer;

/// Longest wait for one answer. Well above the slowest healthy one, so that a busy machine takes nobody down.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between probes of an instance that is starting: what it costs is one refused connection.
pub const STARTING_INTERVAL: Duration = Duration::from_millis(25);
/// Pause between probes of a ready instance.
pub const READY_INTERVAL: Duration = Duration::from_secs(3);
/// Pause between probes of one whose last probe failed: it should be back in traffic, or out of it, soon.
pub const DOUBT_INTERVAL: Duration = Duration::from_millis(500);
/// An answer's body is read so far (the connection can then be used again) and shown so far.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// So much of a body goes into a reason.
const MAX_REASON_CHARS: usize = 300;

/// The pause before the next probe: between 3/4 and 5/4 of `interval`, by `jitter` in 0.0..=1.0.
pub fn jittered(interval: Duration, jitter: f64) -> Duration {
    interval.mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 2.0)
}

/// Asks one instance.
#[derive(Debug)]
pub struct Prober {
    address: SocketAddr,
    h2c: bool,
    kept: Option<Kept>,
}

/// A connection, in the version that the instance speaks.
#[derive(Debug)]
enum Kept {
    Http1(TcpStream),
    Http2(SendRequest<Empty<Bytes>>),
}

impl Kept {
    /// The connection, where it is open still.
    fn open(mut self) -> Option<Self> {
        let open = match &mut self {
            Self::Http1(stream) => exchange::is_open(stream),
            Self::Http2(sender) => !sender.is_closed(),
        };
        open.then_some(self)
    }

    /// Asks, and gives the connection back where it can be used again. A body that is too long or breaks off does not change what the
    /// status said.
    async fn ask(self, request: Request<Empty<Bytes>>) -> Result<(StatusCode, Bytes, Option<Self>), hyper::Error> {
        match self {
            Self::Http1(stream) => {
                let mut answer = exchange::ask(stream, request).await?;
                let status = answer.response.status();
                let mut body = BytesMut::new();
                while let Some(piece) = answer.piece().await {
                    match piece {
                        Ok(piece) if body.len() + piece.len() <= MAX_BODY_BYTES => body.extend_from_slice(&piece),
                        _ => return Ok((status, Bytes::new(), None)),
                    }
                }
                Ok((status, body.freeze(), answer.stream().await.map(Self::Http1)))
            }
            Self::Http2(mut sender) => {
                sender.ready().await?;
                let response = sender.send_request(request).await?;
                let status = response.status();
                let Ok(body) = Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await else {
                    return Ok((status, Bytes::new(), None));
                };
                Ok((status, body.to_bytes(), Some(Self::Http2(sender))))
            }
        }
    }
}

/// Why a probe got no answer.
enum Failure {
    /// The instance's doing.
    Instance(String),
    /// Ours.
    Own(String),
    /// The kept-alive connection was closed while nobody used it: says nothing, a new one is made.
    Stale,
}

impl Prober {
    /// For the instance at this address, which speaks HTTP/1.1, or HTTP/2 without TLS (`h2c`). Nothing is opened yet.
    pub fn new(address: SocketAddr, h2c: bool) -> Self {
        Self { address, h2c, kept: None }
    }

    /// Asks once. Never takes longer than [`PROBE_TIMEOUT`].
    pub async fn ask(&mut self, path: &str) -> Answer {
        let Ok(answer) = tokio::time::timeout(PROBE_TIMEOUT, self.ask_unbounded(path)).await else {
            return Answer::Down(format!("{path} did not answer within {} s", PROBE_TIMEOUT.as_secs()));
        };
        answer
    }

    async fn ask_unbounded(&mut self, path: &str) -> Answer {
        let mut answer = self.exchange(path).await;
        if matches!(answer, Err(Failure::Stale)) {
            answer = self.exchange(path).await;
        }
        match answer {
            Ok((status, _)) if status.is_success() => Answer::Up,
            Ok((status, body)) => Answer::Down(format!("{path} answered {}{}", status.as_u16(), shown(&body))),
            Err(Failure::Instance(why)) => Answer::Down(why),
            Err(Failure::Own(why)) => Answer::Unknown(why),
            Err(Failure::Stale) => Answer::Down(format!("{path}: the connection was closed without an answer")),
        }
    }

    async fn exchange(&mut self, path: &str) -> Result<(StatusCode, Bytes), Failure> {
        let kept = self.kept.take().and_then(Kept::open);
        let (kept, reused) = match kept {
            Some(kept) => (kept, true),
            None => (self.connect().await?, false),
        };
        let broken = |error: hyper::Error| {
            if reused { Failure::Stale } else { Failure::Instance(format!("{path}: no answer ({error})")) }
        };
        let address = self.address;
        let request = if self.h2c { Request::get(format!("http://{address}{path}")) } else { Request::get(path) };
        let request = if self.h2c { request } else { request.header("host", address.to_string()) };
        let request = request
            .header("user-agent", "mana-probe")
            .body(Empty::new())
            .map_err(|error| Failure::Own(format!("{path} cannot be asked for: {error}")))?;
        let (status, body, kept) = kept.ask(request).await.map_err(broken)?;
        self.kept = kept;
        Ok((status, body))
    }

    async fn connect(&self) -> Result<Kept, Failure> {
        let address = self.address;
        let stream = TcpStream::connect(address).await.map_err(|error| {
            let ours = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::ADDRNOTAVAIL];
            let why = format!("no connection to {address}: {error}");
            if ours.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
                Failure::Own(why)
            } else {
                Failure::Instance(why)
            }
        })?;
        if !self.h2c {
            return Ok(Kept::Http1(stream));
        }
        let failed = |error| Failure::Instance(format!("no HTTP with {address}: {error}"));
        // A connection's errors reach the sender; it ends when the sender is dropped.
        let io = TokioIo::new(stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.map_err(failed)?;
        tokio::spawn(connection);
        Ok(Kept::Http2(sender))
    }
}

/// The start of a body, on one line.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() {
        return words;
    }
    if let Some((end, _)) = words.char_indices().nth(MAX_REASON_CHARS) {
        words.truncate(end);
        words.push('…');
    }
    format!(": {words}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hyper::Response;
    use hyper::body::Incoming;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers every request on every connection with `answer`; counts connections.
    async fn serve(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while let Ok(1..) = stream.read(&mut buffer).await {
                        if answer.is_empty() {
                            std::future::pending::<()>().await;
                        }
                        if stream.write_all(answer.as_bytes()).await.is_err() || answer.contains("close") {
                            return;
                        }
                    }
                });
            }
        });
        (address, connections)
    }

    #[tokio::test]
    async fn probes_share_one_connection() {
        let (address, connections) = serve("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        let mut prober = Prober::new(address, false);
        for _ in 0..5 {
            assert_eq!(prober.ask("/api/health").await, Answer::Up);
        }
        assert_eq!(connections.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn an_instance_of_http2_is_asked_in_http2() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection, and only one");
            let service = hyper::service::service_fn(async |request: Request<Incoming>| {
                let mut response = Response::new(Empty::<Bytes>::new());
                if request.uri().path() != "/ready" {
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                }
                Ok::<_, std::convert::Infallible>(response)
            });
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder.serve_connection(TokioIo::new(stream), service).await.expect("HTTP/2");
        });
        let mut prober = Prober::new(address, true);
        assert_eq!(prober.ask("/ready").await, Answer::Up);
        assert_eq!(prober.ask("/live").await, Answer::Down("/live answered 503".into()));
    }

    #[tokio::test]
    async fn a_closed_connection_is_replaced_without_a_verdict() {
        let (address, connections) = serve("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: close\r\n\r\nok").await;
        let mut prober = Prober::new(address, false);
        for _ in 0..3 {
            assert_eq!(prober.ask("/api/health").await, Answer::Up);
            tokio::task::yield_now().await;
        }
        assert!(connections.load(Ordering::Relaxed) >= 2);
    }

    #[tokio::test]
    async fn an_unhappy_answer_is_down_and_says_what_it_said() {
        let (address, _) = serve("HTTP/1.1 503 Oh\r\ncontent-length: 14\r\n\r\n{\"db\":\n\"gone\"}").await;
        let answer = Prober::new(address, false).ask("/api/health/ready").await;
        assert_eq!(answer, Answer::Down("/api/health/ready answered 503: {\"db\": \"gone\"}".into()));
    }

    #[tokio::test]
    async fn a_refused_connection_is_down() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        drop(listener);
        assert!(
            matches!(Prober::new(address, false).ask("/").await, Answer::Down(why) if why.contains("no connection"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_down_after_the_timeout() {
        let (address, _) = serve("").await;
        assert!(matches!(Prober::new(address, false).ask("/x").await, Answer::Down(why) if why.contains("within 2 s")));
    }

    #[tokio::test]
    async fn a_path_that_cannot_be_asked_for_is_unknown() {
        let (address, _) = serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        assert!(matches!(Prober::new(address, false).ask("no path").await, Answer::Unknown(_)));
    }
}
