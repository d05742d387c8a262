//! WebSockets that say one thing when they are open, then nothing until standard input ends, then one thing more: those that are
//! not answered by then were not kept.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::answer::Head;
use crate::{Problem, SILENCE, Target, request};

/// They are not held longer than this, whatever becomes of whoever asked for them.
const HELD: Duration = Duration::from_mins(2);

/// A text frame of a client, with its mask.
const HELLO: [u8; 11] = [0x81, 0x85, 1, 2, 3, 4, b'h' ^ 1, b'e' ^ 2, b'l' ^ 3, b'l' ^ 4, b'o' ^ 1];
/// What comes back: the same, unmasked.
const ECHO: [u8; 7] = [0x81, 0x05, b'h', b'e', b'l', b'l', b'o'];

fn open(target: &Target) -> Result<TcpStream, Problem> {
    let mut stream = TcpStream::connect_timeout(&target.address, SILENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    let headers = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \
                   dGhlIHNhbXBsZSBub25jZQ==\r\n";
    stream.write_all(request("GET", &target.path, headers).as_bytes())?;
    let (head, rest) = Head::read(&mut stream)?;
    if head.status != 101 || !rest.is_empty() {
        return Err(format!("status {}, {} bytes after it", head.status, rest.len()).into());
    }
    greet(&mut stream)?;
    Ok(stream)
}

fn greet(stream: &mut TcpStream) -> Result<(), Problem> {
    stream.write_all(&HELLO)?;
    let mut echo = [0; ECHO.len()];
    stream.read_exact(&mut echo)?;
    if echo == ECHO { Ok(()) } else { Err(format!("{echo:02x?} came back").into()) }
}

pub(crate) fn run(target: &Target) -> Result<Value, Problem> {
    let mut sockets = (0..target.connections).map(|_| open(target)).collect::<Result<Vec<_>, _>>()?;
    println!("{}", json!({ "open": sockets.len() }));
    wait_for_standard_input(HELD);
    let lost = sockets.iter_mut().filter_map(|socket| greet(socket).err()).count();
    Ok(json!({ "requests": sockets.len(), "errors": lost }))
}

/// Until standard input ends, but not longer than `most`.
fn wait_for_standard_input(most: Duration) {
    let (ended, wait) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        // Whatever ends it, ends it.
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok();
        drop(ended);
    });
    wait.recv_timeout(most).ok();
}
