//! Large bodies, to the sink or from it, one after the other on each of the connections. What has begun at the end is finished.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};

use crate::answer::Head;
use crate::{Problem, SILENCE, Target, per_second, request};

/// What one read or write takes.
const PIECE: usize = 64 * 1024;

fn connect(target: &Target) -> Result<TcpStream, Problem> {
    let stream = TcpStream::connect_timeout(&target.address, SILENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    Ok(stream)
}

fn upload(target: &Target, stream: &mut TcpStream, bytes: u64, piece: &[u8]) -> Result<(), Problem> {
    let head = request("POST", &target.path, &format!("Content-Length: {bytes}\r\n"));
    stream.write_all(head.as_bytes())?;
    let mut left = bytes;
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        stream.write_all(&piece[..size])?;
        left -= size as u64;
    }
    // The sink answers how much came.
    let (head, mut body) = Head::read(stream)?;
    let rest = usize::try_from(head.length.ok_or("an answer without a length")?)?.saturating_sub(body.len());
    let mut more = vec![0; rest];
    stream.read_exact(&mut more)?;
    body.extend(more);
    if head.status != 200 || body != bytes.to_string().as_bytes() {
        return Err(format!("status {}, {}", head.status, String::from_utf8_lossy(&body)).into());
    }
    Ok(())
}

fn download(target: &Target, stream: &mut TcpStream, bytes: u64, piece: &mut [u8]) -> Result<(), Problem> {
    stream.write_all(request("GET", &format!("{}/{bytes}", target.path), "").as_bytes())?;
    let (head, body) = Head::read(stream)?;
    if head.status != 200 || head.length != Some(bytes) {
        return Err(format!("status {}, length {:?}", head.status, head.length).into());
    }
    let mut left = bytes - body.len() as u64;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let read = stream.read(&mut piece[..most])?;
        if read == 0 {
            return Err(format!("cut, {left} bytes before the end").into());
        }
        left -= read as u64;
    }
    Ok(())
}

fn thread(target: &Target, bytes: u64, up: bool, end: Instant) -> Result<u64, Problem> {
    let mut stream = connect(target)?;
    let mut piece = vec![b'x'; PIECE];
    let mut bodies = 0;
    while Instant::now() < end {
        if up {
            upload(target, &mut stream, bytes, &piece)?;
        } else {
            download(target, &mut stream, bytes, &mut piece)?;
        }
        bodies += 1;
    }
    Ok(bodies)
}

pub(crate) fn run(target: &Target, bytes: u64, up: bool) -> Value {
    let begin = Instant::now();
    let end = begin + target.duration;
    let (bodies, errors, last_error) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..target.connections).map(|_| scope.spawn(|| thread(target, bytes, up, end))).collect();
        let (mut bodies, mut errors, mut last_error) = (0, 0_u64, None);
        for thread in threads {
            match thread.join() {
                Ok(Ok(done)) => bodies += done,
                Ok(Err(problem)) => (errors, last_error) = (errors + 1, Some(problem.to_string())),
                Err(_) => errors += 1,
            }
        }
        (bodies, errors, last_error)
    });
    let elapsed = begin.elapsed();
    json!({
        "requests": bodies,
        "requests_per_second": per_second(bodies, elapsed),
        "bytes": bodies * bytes,
        "bytes_per_second": per_second(bodies * bytes, elapsed),
        "errors": errors,
        "last_error": last_error,
    })
}
