//! Providers that misbehave below the protocol: a server that sends exactly the bytes it is told, pause by pause, and closes
//! when it is told. What comes of it is either the answer or an error with a name, in time.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up fails its test")]

use std::time::{Duration, Instant};

use ai::openai::{Address, Client, Setup};
use ai::timeouts::Timeouts;
use ai::{Delta, Error, Message, Provider, Request, Role};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    first_byte: Duration::from_millis(400),
    between_tokens: Duration::from_millis(400),
    total: Duration::from_secs(2),
};

/// What the server does after the request has come.
#[derive(Debug, Clone)]
enum Act {
    Send(Vec<u8>),
    /// Byte by byte, each in a packet of its own.
    Trickle(Vec<u8>),
    Stall,
}

use Act::{Send, Stall, Trickle};

async fn client(acts: Vec<Act>) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let acts = acts.clone();
            tokio::spawn(async move {
                socket.set_nodelay(true).unwrap();
                read_request(&mut socket).await;
                for act in acts {
                    let written = match act {
                        Send(bytes) => socket.write_all(&bytes).await,
                        Trickle(bytes) => trickle(&mut socket, &bytes).await,
                        Stall => std::future::pending().await,
                    };
                    // The client may have had enough.
                    if written.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let address = Address::Compatible { base, key: None };
    Client::new(Setup { name: "odd".into(), address, models: vec!["m".into()], timeouts: TIMEOUTS }).unwrap()
}

async fn trickle(socket: &mut tokio::net::TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        socket.write_all(&[*byte]).await?;
        socket.flush().await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Reads head and body, so that closing afterwards is no reset.
async fn read_request(socket: &mut tokio::net::TcpStream) {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap().trim();
            if body.len() >= length.parse::<usize>().unwrap() {
                return;
            }
        }
        let n = socket.read(&mut buffer).await.unwrap_or(0);
        if n == 0 {
            return;
        }
        read.extend_from_slice(&buffer[..n]);
    }
}

fn request() -> Request {
    let messages = vec![Message { role: Role::User, content: "hi".into() }];
    Request { model: "m".into(), messages, ..Request::default() }
}

/// What comes of a stream: its text and how it ended, by code.
async fn streamed(acts: Vec<Act>) -> (String, String) {
    let client = client(acts).await;
    let mut text = String::new();
    let began = Instant::now();
    let mut deltas = match client.stream(&request()).await {
        Ok(deltas) => deltas,
        Err(error) => return (text, error.code().into()),
    };
    let mut end = None;
    while let Some(delta) = deltas.next().await {
        assert!(end.is_none(), "nothing follows the end");
        match delta {
            Ok(Delta::Content(piece)) => text += &piece,
            Ok(Delta::Choices(choices)) => text.extend(vec!["<>"; choices.len()]),
            Ok(Delta::End(ending)) => end = Some(ending.finish.as_str().to_owned()),
            Err(error) => end = Some(error.code().to_owned()),
        }
    }
    assert!(began.elapsed() < Duration::from_secs(4), "every wait has a bound");
    (text, end.unwrap())
}

async fn plain(acts: Vec<Act>) -> Result<String, Error> {
    client(acts).await.complete(&request()).await.map(|completion| completion.content)
}

/// A response whose body ends with the connection.
fn open(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}").into_bytes()
}

fn chunked(parts: &[&str], end: bool) -> Vec<u8> {
    let mut text =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    for part in parts {
        text.extend([format!("{:x}", part.len()).as_str(), "\r\n", part, "\r\n"]);
    }
    if end {
        text += "0\r\n\r\n";
    }
    text.into_bytes()
}

fn json(claimed: usize, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {claimed}\r\nconnection: close\r\n\r\n{body}").into_bytes()
}

const A: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"gr\u{fc}\u{df} \"}}]}\n\n";
const B: &str = "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"dich\"},\"content_filter_results\":{}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

async fn check(what: &str, acts: Vec<Act>, text: &str, end: &str) {
    let got = streamed(acts).await;
    assert_eq!((got.0.as_str(), got.1.as_str()), (text, end), "{what}");
}

#[tokio::test]
async fn odd_pieces_are_the_same_stream() {
    let whole = [A, B, STOP, DONE].concat();
    check("at once", vec![Send(open(&whole))], "grüß dich", "stop").await;
    check("byte by byte", vec![Trickle(open(&whole))], "grüß dich", "stop").await;
    check("CRLF", vec![Send(open(&whole.replace('\n', "\r\n")))], "grüß dich", "stop").await;
    check(
        "comments and other fields",
        vec![Send(open(&format!(": hello\n\nevent: message\nid: 7\nretry: 1\n{whole}")))],
        "grüß dich",
        "stop",
    )
    .await;
    let middle = whole.find("ich").unwrap();
    check("cut within a word", vec![Send(chunked(&[&whole[..middle], &whole[middle..]], true))], "grüß dich", "stop")
        .await;
    // Two lines of data are one event with a line end between them, which JSON allows.
    check(
        "data over two lines",
        vec![Send(open(&whole.replace(",\"choices\"", ",\ndata: \"choices\"")))],
        "grüß dich",
        "stop",
    )
    .await;
    check("done without the last chunk", vec![Send(chunked(&[&whole], false)), Stall], "grüß dich", "stop").await;
}

#[tokio::test]
async fn what_ends_early_is_broken_and_never_a_shorter_answer() {
    check("closed after a word", vec![Send(open(A))], "grüß ", "model_stream_broken").await;
    check("closed within an event", vec![Send(open(&[A, &B[..20]].concat()))], "grüß ", "model_stream_broken").await;
    check("no last chunk", vec![Send(chunked(&[A, B], false))], "grüß dich", "model_stream_broken").await;
    check("no [DONE]", vec![Send(open(&[A, STOP].concat()))], "grüß ", "model_stream_broken").await;
    check("no finish_reason", vec![Send(open(&[A, DONE].concat()))], "grüß ", "model_stream_broken").await;
    check("not even a status line", vec![], "", "model_stream_broken").await;
    check("half a status line", vec![Send(b"HTTP/1.1 20".to_vec())], "", "model_stream_broken").await;
    check(
        "a chunk longer than it says",
        vec![Send([chunked(&[A], false), b"3\r\ndata: {}\n\n\r\n".to_vec()].concat())],
        "grüß ",
        "model_stream_broken",
    )
    .await;
    check(
        "a chunk's length that is none",
        vec![Send([chunked(&[A], false), b"zz\r\n".to_vec()].concat())],
        "grüß ",
        "model_stream_broken",
    )
    .await;
}

#[tokio::test]
async fn what_makes_no_sense_is_a_bad_answer() {
    check(
        "broken JSON",
        vec![Send(open(&[A, "data: {\"choices\":[{\"ind\n\n", DONE].concat()))],
        "grüß ",
        "model_bad_answer",
    )
    .await;
    check(
        "JSON of another kind",
        vec![Send(open(&[A, "data: {\"choices\":7}\n\n"].concat()))],
        "grüß ",
        "model_bad_answer",
    )
    .await;
    check(
        "no UTF-8",
        vec![Send([open(A), b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}\n\n".to_vec()].concat())],
        "grüß ",
        "model_bad_answer",
    )
    .await;
    check(
        "an error in the stream",
        vec![Send(open(&[A, "data: {\"error\":{\"message\":\"overloaded\"}}\n\n"].concat()))],
        "grüß ",
        "model_stream_broken",
    )
    .await;
    check("a page of HTML", vec![Send(json(6, "<html>"))], "", "model_bad_answer").await;
    let error = plain(vec![Send(json(5, "{\"a\":"))]).await.unwrap_err();
    assert_eq!(error.code(), "model_bad_answer", "{error}");
}

#[tokio::test]
async fn who_stalls_is_left() {
    check("nothing at all", vec![Stall], "", "model_timed_out").await;
    check("a head and nothing", vec![Send(open("")), Stall], "", "model_timed_out").await;
    check("a word and nothing", vec![Send(open(A)), Stall], "grüß ", "model_timed_out").await;
    // Keeping the line open is no progress.
    let comments: Vec<_> =
        std::iter::once(Send(open(A))).chain((0..200_000).map(|_| Send(b": still here\n\n".to_vec()))).collect();
    let (text, end) = streamed([comments, vec![Stall]].concat()).await;
    assert_eq!((text.as_str(), end.as_str()), ("grüß ", "model_timed_out"));
    let error = plain(vec![Send(json(100, "{")), Stall]).await.unwrap_err();
    assert_eq!(error.code(), "model_timed_out", "{error}");
}

#[tokio::test]
async fn who_lies_about_lengths_is_not_believed() {
    let body = r#"{"choices":[{"index":0,"message":{"content":"hello"},"finish_reason":"stop"}]}"#;
    assert_eq!(plain(vec![Send(json(body.len(), body))]).await.unwrap(), "hello");
    let error = plain(vec![Send(json(body.len() + 10, body))]).await.unwrap_err();
    assert_eq!(error.code(), "model_stream_broken", "longer than it is: {error}");
    let error = plain(vec![Send(json(body.len() - 10, body))]).await.unwrap_err();
    assert_eq!(error.code(), "model_bad_answer", "shorter than it is: {error}");
    let error = plain(vec![Send(json(4 << 20, &"x".repeat(2 << 20)))]).await.unwrap_err();
    assert_eq!(error.code(), "model_answer_too_long", "more than anybody wants: {error}");
}

#[tokio::test]
async fn what_is_longer_than_we_take_ends_at_a_limit() {
    let endless = format!("data: {}", "x".repeat(70_000));
    check("an event without end", vec![Send(open(&endless)), Stall], "", "model_answer_too_long").await;
    let after_a_word = vec![Send(open(A)), Send(endless.into_bytes()), Stall];
    check("an event without end, after a word", after_a_word, "grüß ", "model_answer_too_long").await;
}
