//! One question and its answer in HTTP/1, over a stream that is nothing else before and after. Whoever asks hundreds of places every
//! few seconds keeps hundreds of streams; a connection of hyper's would keep buffers, a queue and a task with each, 25 kB, for the
//! moments between.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::header::CONNECTION;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

type Question = Request<Empty<Bytes>>;

/// So much is read at once: what most programs say of themselves. The head of an answer may not be longer.
const READ_BYTES: usize = 32 << 10;

/// What questions go over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An answer whose body is still to be read.
pub struct Answer<S: Stream> {
    /// Its head.
    pub response: Response<Incoming>,
    /// Its body has come to its end.
    read: bool,
    sender: SendRequest<Empty<Bytes>>,
    driven: Driven<S>,
}

/// Asks. The stream is lost with an error.
pub async fn ask<S: Stream>(stream: S, question: Question) -> hyper::Result<Answer<S>> {
    let (mut sender, connection) =
        http1::Builder::new().read_buf_exact_size(Some(READ_BYTES)).handshake(TokioIo::new(stream)).await?;
    let mut driven = Driven { connection: Some(connection), ended: None };
    let response = driven.until(sender.send_request(question)).await?;
    let read = response.body().is_end_stream();
    Ok(Answer { response, read, sender, driven })
}

impl<S: Stream> Answer<S> {
    /// How long the body is at least, as far as its head says.
    pub fn at_least(&self) -> u64 {
        self.response.body().size_hint().lower()
    }

    /// The next piece of the body; `None` at its end.
    pub async fn piece(&mut self) -> Option<hyper::Result<Bytes>> {
        let body = self.response.body_mut();
        loop {
            match self.driven.until(body.frame()).await.transpose() {
                // Behind the body there may be trailers, which say nothing here.
                Ok(Some(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Ok(None) => {
                    self.read = true;
                    return None;
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The stream, where another question can be asked over it: the whole body was read, and nobody closes it.
    pub async fn stream(self) -> Option<S> {
        let Self { response, read, sender, mut driven } = self;
        if !read || !is_kept(&response) {
            return None;
        }
        // Nothing more is asked, so it comes to its end as soon as it can.
        drop(sender);
        std::future::poll_fn(|context| if driven.poll(context) { Poll::Ready(()) } else { Poll::Pending }).await;
        let ended = driven.ended.is_some_and(|ended| ended.is_ok());
        let parts = driven.connection?.into_parts();
        let mut stream = parts.io.into_inner();
        // What was sent without having been asked for is the beginning of nothing. (Looking at the stream also lets go of who asked: it is
        // he who would be woken else, and kept for that.)
        (ended && parts.read_buf.is_empty() && is_open(&mut stream)).then_some(stream)
    }
}

/// Whether another question may follow, by what an answer says. Whoever switches to another protocol, unasked, does not speak HTTP any more.
fn is_kept<B>(response: &Response<B>) -> bool {
    let closes = response
        .headers()
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close")));
    response.version() == Version::HTTP_11 && response.status() != StatusCode::SWITCHING_PROTOCOLS && !closes
}

/// Whether a stream is as it was left: open, with nothing to read.
pub fn is_open<S: Stream>(stream: &mut S) -> bool {
    let mut byte = [0];
    let read = Pin::new(stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut ReadBuf::new(&mut byte));
    read.is_pending()
}

/// A connection that goes on while somebody waits for something of it.
struct Driven<S: Stream> {
    /// Until it has ended and somebody waits for something that it does not give any more.
    connection: Option<Connection<TokioIo<S>, Empty<Bytes>>>,
    ended: Option<hyper::Result<()>>,
}

impl<S: Stream> Driven<S> {
    /// Goes on; whether it has come to its end.
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        if self.ended.is_none()
            && let Some(connection) = &mut self.connection
            && let Poll::Ready(ended) = connection.poll_without_shutdown(context)
        {
            self.ended = Some(ended);
        }
        self.ended.is_some() || self.connection.is_none()
    }

    async fn until<T>(&mut self, wanted: impl Future<Output = T>) -> T {
        let mut wanted = pin!(wanted);
        std::future::poll_fn(|context| {
            if let Poll::Ready(found) = wanted.as_mut().poll(context) {
                return Poll::Ready(found);
            }
            let ended = self.poll(context);
            let found = wanted.as_mut().poll(context);
            if found.is_pending() && ended {
                // Whoever waits for it is told that it is gone.
                self.connection = None;
                return wanted.as_mut().poll(context);
            }
            found
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn question() -> Question {
        Request::get("/metrics").header("host", "a").body(Empty::new()).expect("a question")
    }

    /// Somebody who answers a question so; the end of the stream at which it is asked, and his.
    async fn answered(answer: &str) -> (hyper::Result<(String, Option<DuplexStream>)>, DuplexStream) {
        let (stream, mut other) = tokio::io::duplex(64 * 1024);
        let asked = async {
            let mut answer = ask(stream, question()).await?;
            let mut body = Vec::new();
            while let Some(piece) = answer.piece().await {
                body.extend_from_slice(&piece?);
            }
            Ok((String::from_utf8(body).expect("text"), answer.stream().await))
        };
        let ends = !answer.contains("length") && !answer.contains("chunked");
        let answers = async {
            let mut taken = [0; 1024];
            let length = other.read(&mut taken).await.expect("asked");
            assert!(
                taken[..length].starts_with(b"GET /metrics HTTP/1.1\r\n") && taken[..length].ends_with(b"\r\n\r\n")
            );
            other.write_all(answer.as_bytes()).await.expect("answered");
            if ends {
                other.shutdown().await.expect("closed");
            }
        };
        let (found, ()) = tokio::join!(asked, answers);
        (found, other)
    }

    #[tokio::test]
    async fn a_stream_comes_back_where_another_question_can_be_asked_over_it() {
        const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n";
        for (answer, body, comes_back) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc".to_owned(), "abc", true),
            ("HTTP/1.1 204 No\r\ncontent-length: 0\r\n\r\n".to_owned(), "", true),
            ("HTTP/1.1 503 Oh\r\ncontent-length: 0\r\n\r\n".to_owned(), "", true),
            (format!("{CHUNKED}\r\n"), "abc", true),
            (format!("{CHUNKED}checksum: 1\r\n\r\n"), "abc", true),
            ("HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc".to_owned(), "abc", true),
            ("HTTP/1.1 200 OK\r\nconnection: foo, Close\r\ncontent-length: 3\r\n\r\nabc".to_owned(), "abc", false),
            (
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: a\r\ncontent-length: 0\r\n\r\n"
                    .to_owned(),
                "",
                false,
            ),
            ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 3\r\n\r\nabc".to_owned(), "abc", false),
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n".to_owned(), "abc", false),
        ] {
            let (found, mut other) = answered(&answer).await;
            let (text, stream) = found.expect("an answer");
            assert_eq!((text.as_str(), stream.is_some()), (body, comes_back), "{answer}");
            let Some(mut stream) = stream else { continue };
            assert!(is_open(&mut stream));
            other.write_all(b"?").await.expect("sent");
            assert!(!is_open(&mut stream), "nobody asked");
        }
    }

    #[tokio::test]
    async fn a_stream_that_ends_or_breaks_off_is_not_kept() {
        let (found, _other) = answered("HTTP/1.1 200 OK\r\n\r\nabc").await;
        let (text, stream) = found.expect("an answer that ends with its stream");
        assert_eq!(text, "abc");
        assert!(stream.is_none());
        for broken in ["", "HTTP/1.1 20", "nonsense\r\n\r\n"] {
            assert!(answered(broken).await.0.is_err(), "{broken}");
        }
    }

    #[tokio::test]
    async fn a_stream_that_the_other_side_closes_later_is_not_open() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let mut stream = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
        let (other, _) = listener.accept().await.expect("accepted");
        assert!(is_open(&mut stream));
        drop(other);
        for _ in 0..1_000 {
            if !is_open(&mut stream) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it was closed long ago");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error_and_one_that_nobody_reads_costs_the_stream() {
        const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        let (stream, mut whole) = tokio::io::duplex(1024);
        let answers = async {
            assert!(whole.read(&mut [0; 1024]).await.is_ok_and(|length| length > 0), "asked");
            whole.write_all(WHOLE.as_bytes()).await.expect("answered");
        };
        let (unread, ()) = tokio::join!(ask(stream, question()), answers);
        assert!(unread.expect("a head").stream().await.is_none(), "the next answer would begin with this one's body");

        let (stream, mut other) = tokio::io::duplex(1024);
        let answers = async move {
            other.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await.expect("answered");
            other
        };
        let (answer, other) = tokio::join!(ask(stream, question()), answers);
        let mut answer = answer.expect("a head");
        assert_eq!(answer.at_least(), 9);
        assert_eq!(answer.piece().await.expect("a piece").expect("whole"), "abc");
        drop(other);
        assert!(answer.piece().await.expect("an end").is_err());
        assert!(answer.stream().await.is_none());
    }
}
