//! A server of Redis: `INFO`, over one connection, in its own protocol (RESP 2), of which no more is spoken.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use mana_watch::redis::COMMAND;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Address, tls};

/// What the server shows of whoever asks.
const NAME: &str = "mana-watch";
/// Largest answer: some ten times what one of hundreds of commands and databases has.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// Longest line before an answer.
const MAX_LINE_BYTES: u64 = 4_096;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection.
pub(super) struct Connection(BufReader<Box<dyn Stream>>);

/// An answer, and how long it took.
#[derive(Debug)]
pub(in super::super) struct Read {
    pub(in super::super) info: String,
    pub(in super::super) took: Duration,
}

pub(super) async fn connect(address: &Address) -> Result<Connection, String> {
    let url = address.url()?;
    let host = url.host_str().unwrap_or("localhost").trim_matches(['[', ']']).to_owned();
    let stream = TcpStream::connect((host.as_str(), url.port().unwrap_or(6379)));
    let stream = stream.await.map_err(|error| error.to_string())?;
    let stream: Box<dyn Stream> = if url.scheme() == "rediss" {
        let protected = tls::connector(&tls::Trusted::ByThisMachine)?.connect(tls::name(&host)?, stream);
        Box::new(protected.await.map_err(|error| error.to_string())?)
    } else {
        Box::new(stream)
    };
    let mut connection = Connection(BufReader::new(stream));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    if let Some(password) = url.password().map(decoded) {
        let user = Some(decoded(url.username())).filter(|user| !user.is_empty());
        let words: Vec<&str> = ["AUTH"].into_iter().chain(user.as_deref()).chain([password.as_str()]).collect();
        connection.command(&words).await?;
    }
    // Whoever may not is asked all the same.
    match connection.command(&["CLIENT", "SETNAME", NAME]).await {
        Ok(_) => {}
        Err(why) if why.starts_with(SAID) => tracing::debug!(why, "Redis takes no name"),
        Err(why) => return Err(why),
    }
    Ok(connection)
}

/// What stands before an error that the server said.
const SAID: &str = "it says: ";

impl Connection {
    pub(super) async fn ask(&mut self) -> Result<Read, String> {
        let began = Instant::now();
        let info = self.command(&COMMAND).await?;
        Ok(Read { info, took: began.elapsed() })
    }

    async fn command(&mut self, words: &[&str]) -> Result<String, String> {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            // Writing to a String cannot fail.
            let _ = write!(text, "${}\r\n{word}\r\n", word.len());
        }
        let gone = |error: std::io::Error| error.to_string();
        self.0.write_all(text.as_bytes()).await.map_err(gone)?;
        self.0.flush().await.map_err(gone)?;
        let mut line = String::new();
        (&mut self.0).take(MAX_LINE_BYTES).read_line(&mut line).await.map_err(gone)?;
        let Some(line) = line.strip_suffix("\r\n") else { return Err("it closed the connection".to_owned()) };
        match line.split_at_checked(1) {
            Some(("+" | ":", text)) => Ok(text.to_owned()),
            Some(("-", why)) => Err(format!("{SAID}{why}")),
            Some(("$", length)) => {
                let length = length.parse().ok().filter(|length| *length <= MAX_ANSWER_BYTES);
                let length = length.ok_or_else(|| format!("its answer is larger than {MAX_ANSWER_BYTES} bytes"))?;
                let mut body = vec![0; length + 2];
                self.0.read_exact(&mut body).await.map_err(gone)?;
                body.truncate(length);
                Ok(String::from_utf8_lossy(&body).into_owned())
            }
            _ => Err("what is there does not speak Redis' language".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(answer: &'static [u8]) -> Result<String, String> {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let task = tokio::spawn(async move {
            let mut asked = [0; 31];
            theirs.read_exact(&mut asked).await.expect("asked");
            assert_eq!(&asked, b"*2\r\n$4\r\nINFO\r\n$10\r\neverything\r\n");
            // Whoever was told enough goes away.
            let _gone = theirs.write_all(answer).await;
        });
        let answer = Connection(BufReader::new(Box::new(ours))).command(&COMMAND).await;
        task.await.expect("no panic");
        answer
    }

    #[tokio::test]
    async fn answers_are_read_and_everything_else_is_said() {
        assert_eq!(asked(b"$12\r\nredis_mode:a\r\n").await.as_deref(), Ok("redis_mode:a"));
        assert_eq!(asked(b"+OK\r\n").await.as_deref(), Ok("OK"));
        for (answer, why) in [
            (&b"-NOAUTH Authentication required.\r\n"[..], "it says: NOAUTH Authentication required."),
            (b"", "it closed the connection"),
            (b"HTTP/1.1 400 Bad Request\r\n", "what is there does not speak Redis' language"),
            (b"$99999999\r\n", "its answer is larger than 1048576 bytes"),
            (b"$-1\r\n", "its answer is larger than 1048576 bytes"),
        ] {
            assert_eq!(asked(answer).await.expect_err("no answer"), why);
        }
    }
}
