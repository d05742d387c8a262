//! Streamed answers (server-sent events), all at once: each connection sends one request, at its turn within the time given, and reads to the end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::histogram::Histogram;
use crate::{Problem, SILENCE, Target};

/// Of a thread that reads a socket.
const STACK_BYTES: usize = 128 * 1024;
/// A piece of text, as OpenAI's protocol has it. The first event of a stream names the role only.
const TOKEN: &[u8] = b"\"content\":\"";
/// The first one may be there with nothing in it.
const EMPTY: &[u8] = b"\"content\":\"\"";
const LAST: &[u8] = b"data: [DONE]";

/// One answer.
struct Stream {
    first: Duration,
    tokens: usize,
    /// The longest time between two of them.
    gap: Duration,
}

/// How often it is in the text, as far as it ends behind `from`.
fn count(text: &[u8], from: usize, wanted: &[u8]) -> usize {
    text[from.saturating_sub(wanted.len() - 1)..].windows(wanted.len()).filter(|window| *window == wanted).count()
}

fn one(target: &Target, call: &[u8], at: Instant) -> Result<Stream, Problem> {
    let mut stream = TcpStream::connect_timeout(&target.address, SILENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
    let sent = Instant::now();
    stream.write_all(call)?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    let (mut seen, mut first, mut last, mut gap) = (0, None, sent, Duration::ZERO);
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(format!("closed after {seen} tokens").into());
        }
        let from = answer.len();
        answer.extend_from_slice(&buffer[..read]);
        if answer.len() > 12 && !answer.starts_with(b"HTTP/1.1 200") {
            return Err(String::from_utf8_lossy(&answer[..answer.len().min(300)]).into_owned().into());
        }
        let tokens = count(&answer, from, TOKEN).saturating_sub(count(&answer, from, EMPTY));
        if tokens > 0 {
            let now = Instant::now();
            if first.is_none() {
                first = Some(now - sent);
            } else {
                gap = gap.max(now - last);
            }
            (seen, last) = (seen + tokens, now);
        }
        if count(&answer, from, LAST) > 0 {
            return Ok(Stream { first: first.ok_or("no token")?, tokens: seen, gap });
        }
    }
}

pub(crate) fn run(target: &Target, call: &[u8]) -> Result<Value, Problem> {
    let begin = Instant::now() + Duration::from_secs(1);
    let apart = target.duration / u32::try_from(target.connections)?;
    let results: Vec<Result<Stream, Problem>> = std::thread::scope(|scope| {
        let threads: Result<Vec<_>, std::io::Error> = (0..target.connections)
            .map(|number| {
                let at = begin + apart * u32::try_from(number).unwrap_or(u32::MAX);
                std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, move || one(target, call, at))
            })
            .collect();
        Ok::<_, Problem>(threads?.into_iter().map(|thread| thread.join().expect("no panic")).collect())
    })?;
    let (mut first, mut gaps) = (Histogram::default(), Histogram::default());
    let (mut tokens, mut errors, mut last_error, mut fewest) = (0, 0_u64, None, usize::MAX);
    for result in results {
        match result {
            Ok(stream) => {
                first.record(stream.first);
                gaps.record(stream.gap);
                tokens += stream.tokens;
                fewest = fewest.min(stream.tokens);
            }
            Err(problem) => {
                errors += 1;
                last_error = Some(problem.to_string());
            }
        }
    }
    Ok(json!({
        "streams": first.count(),
        "tokens": tokens,
        "fewest_tokens": fewest,
        "first_token_p50_seconds": first.seconds_at(500),
        "first_token_p99_seconds": first.seconds_at(990),
        "longest_gap_p50_seconds": gaps.seconds_at(500),
        "longest_gap_p99_seconds": gaps.seconds_at(990),
        "errors": errors,
        "last_error": last_error,
    }))
}
