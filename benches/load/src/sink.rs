//! The service behind large bodies and WebSockets: takes bodies and says how long they were, gives out as many bytes as the
//! path's end says, and echoes small WebSocket frames. A thread for each connection. It ends with its standard input.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::answer::length;
use crate::{MOST_CONNECTIONS, Problem};

/// What one read or write takes.
const PIECE: usize = 64 * 1024;
/// A thread needs little more than its piece, which is on the heap.
const STACK: usize = 128 * 1024;
const HEADERS: usize = 64;
/// The answer to the one key the load sends, as RFC 6455 computes it.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

enum Asked {
    Body(u64),
    Bytes(u64),
    WebSocket,
}

/// What the head asks for, and its size; none while it is not complete.
fn parse(bytes: &[u8]) -> Result<Option<(Asked, usize)>, Problem> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(size) = request.parse(bytes)? else { return Ok(None) };
    let path = request.path.unwrap_or_default();
    let asked = if request.method == Some("POST") {
        Asked::Body(length(request.headers)?.ok_or("a body without a length")?)
    } else if request.headers.iter().any(|header| header.name.eq_ignore_ascii_case("upgrade")) {
        Asked::WebSocket
    } else {
        Asked::Bytes(path.rsplit('/').next().unwrap_or_default().parse()?)
    };
    Ok(Some((asked, size)))
}

fn serve(stream: &mut TcpStream) -> Result<(), Problem> {
    stream.set_nodelay(true)?;
    let mut piece = vec![b'x'; PIECE];
    let mut filled = 0;
    loop {
        let Some((asked, head)) = parse(&piece[..filled])? else {
            match stream.read(&mut piece[filled..])? {
                0 => return Ok(()),
                read => filled += read,
            }
            continue;
        };
        match asked {
            Asked::Body(bytes) => {
                let mut left = bytes.saturating_sub((filled - head) as u64);
                while left > 0 {
                    match stream.read(&mut piece)? {
                        0 => return Err("cut".into()),
                        read => left = left.saturating_sub(read as u64),
                    }
                }
                let text = bytes.to_string();
                stream
                    .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).as_bytes())?;
            }
            Asked::Bytes(bytes) => {
                stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").as_bytes())?;
                let mut left = bytes;
                while left > 0 {
                    let size = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                    stream.write_all(&piece[..size])?;
                    left -= size as u64;
                }
            }
            Asked::WebSocket => {
                let headers = format!("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}");
                stream.write_all(format!("HTTP/1.1 101 Switching Protocols\r\n{headers}\r\n\r\n").as_bytes())?;
                return echo(stream);
            }
        }
        filled = 0;
    }
}

/// Small masked frames come back unmasked; whatever else comes ends it.
fn echo(stream: &mut TcpStream) -> Result<(), Problem> {
    loop {
        let mut head = [0; 6];
        stream.read_exact(&mut head)?;
        let size = usize::from(head[1] & 0x7f);
        if head[0] != 0x81 || head[1] & 0x80 == 0 || size > 125 {
            return Ok(());
        }
        let mut frame = vec![0; size];
        stream.read_exact(&mut frame)?;
        frame.iter_mut().zip(head[2..].iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        frame.splice(0..0, [head[0], head[1] & 0x7f]);
        stream.write_all(&frame)?;
    }
}

fn accept(listener: &TcpListener) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        if open.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let counted = Arc::clone(&open);
        let spawned = std::thread::Builder::new().stack_size(STACK).spawn(move || {
            // A client that goes away is no trouble: whoever measures sees it at the other end.
            serve(&mut stream).ok();
            stream.shutdown(Shutdown::Both).ok();
            counted.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

pub(crate) fn run(address: SocketAddr) -> Result<(), Problem> {
    let listener = TcpListener::bind(address)?;
    std::thread::spawn(move || accept(&listener));
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
