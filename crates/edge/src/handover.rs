//! Replacing the process of an edge without refusing or cutting anybody: the next one gets the listening sockets themselves.
//!
//! The next edge asks on the admin socket (`POST /hand-over`), gets every socket as a descriptor (`SCM_RIGHTS`), accepts on them,
//! and says so; only then does the old one stop accepting, finish what it has, and end. Connections that wait in a socket's
//! queue wait in the same queue all the while. If the next one dies before it is ready, the old one just goes on.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use crate::admin::socket;

/// What the connection becomes after `POST /hand-over`.
pub(crate) const PROTOCOL: &str = "mana-edge-listeners";

/// Longest wait for the other side: it reads its snapshot and starts threads meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// Each message: an address and how many sockets of it come along, padded with spaces.
const RECORD_BYTES: usize = 64;
/// Sockets in one message; the kernel allows 253.
const MAX_SOCKETS: usize = 128;

/// What the next edge says when it accepts.
const READY: u8 = b'1';

/// Sockets by the address they were declared with.
pub(crate) type Listeners = BTreeMap<SocketAddr, Vec<TcpListener>>;

/// What was taken over. The old edge goes on until it is told.
pub(crate) struct Taken {
    stream: UnixStream,
    pub(crate) listeners: Listeners,
}

impl Taken {
    /// Tells the old edge that this one accepts.
    pub(crate) fn ready(mut self) -> io::Result<()> {
        self.stream.write_all(&[READY])
    }
}

/// Asks the edge on `admin` for its sockets.
pub(crate) fn take(admin: &Path) -> io::Result<Taken> {
    let mut stream = socket::connect_blocking(admin)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST /hand-over HTTP/1.1\r\nhost: edge\r\nconnection: upgrade\r\nupgrade: {PROTOCOL}\r\ncontent-length: 0\r\n\r\n"
    )?;
    let head = head(&mut stream)?;
    if !head.starts_with(b"HTTP/1.1 101 ") {
        let status = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        return Err(io::Error::other(format!("it answers {}", String::from_utf8_lossy(status))));
    }
    let mut listeners = Listeners::new();
    while let Some((address, sockets)) = receive(&stream)? {
        listeners.entry(address).or_default().extend(sockets);
    }
    Ok(Taken { stream, listeners })
}

/// The head of an answer, and not a byte more: what follows belongs to the sockets.
fn head(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    const MAX_HEAD_BYTES: usize = 4 * 1024;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD_BYTES {
            return Err(io::Error::other("its answer has no end"));
        }
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}

/// Gives every socket to the next edge, and waits until it accepts. Blocks.
pub(crate) fn give(mut stream: UnixStream, listeners: &Listeners) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    for (address, sockets) in listeners {
        for some in sockets.chunks(MAX_SOCKETS) {
            send(&stream, &format!("{address} {}", some.len()), some)?;
        }
    }
    send(&stream, "end", &[])?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    if answer[0] == READY { Ok(()) } else { Err(io::Error::other("the next edge says something else than ready")) }
}

fn send(stream: &UnixStream, text: &str, sockets: &[TcpListener]) -> io::Result<()> {
    let record = format!("{text:<RECORD_BYTES$}");
    let descriptors: Vec<_> = sockets.iter().map(TcpListener::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    let sent = sendmsg(stream, &[IoSlice::new(record.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    if sent == RECORD_BYTES { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// One message; `None`: it was the last.
fn receive(stream: &UnixStream) -> io::Result<Option<(SocketAddr, Vec<TcpListener>)>> {
    let mut record = [0; RECORD_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
    let received = recvmsg(stream, &mut [IoSliceMut::new(&mut record)], &mut control, flags)?;
    if received.bytes != RECORD_BYTES {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            sockets.extend(descriptors.map(|descriptor: OwnedFd| TcpListener::from(descriptor)));
        }
    }
    let odd = || io::Error::other("it speaks another version's language");
    let text = std::str::from_utf8(&record).map_err(|_| odd())?.trim_end();
    if text == "end" {
        return Ok(None);
    }
    let (address, count) = text.split_once(' ').ok_or_else(odd)?;
    let address = address.parse().map_err(|_| odd())?;
    if count.parse() != Ok(sockets.len()) {
        return Err(odd());
    }
    Ok(Some((address, sockets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_arrive_as_they_are() {
        let (one, other) = UnixStream::pair().unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let bind = |count| (0..count).map(|_| TcpListener::bind(any).unwrap()).collect::<Vec<_>>();
        let offered = Listeners::from([(any, bind(MAX_SOCKETS + 3)), (([0, 0, 0, 0], 443).into(), bind(1))]);
        let addresses = |listeners: &Listeners| {
            let real = |socket: &TcpListener| socket.local_addr().unwrap();
            listeners.iter().map(|(at, all)| (*at, all.iter().map(real).collect::<Vec<_>>())).collect::<Vec<_>>()
        };
        let expected = addresses(&offered);
        let giver = std::thread::spawn(move || give(one, &offered));
        let mut taken = Taken { stream: other, listeners: Listeners::new() };
        while let Some((address, sockets)) = receive(&taken.stream).unwrap() {
            taken.listeners.entry(address).or_default().extend(sockets);
        }
        assert_eq!(addresses(&taken.listeners), expected);
        taken.ready().unwrap();
        giver.join().unwrap().unwrap();
    }

    #[test]
    fn one_that_dies_before_it_is_ready_takes_nothing() {
        let (one, other) = UnixStream::pair().unwrap();
        let giver = std::thread::spawn(move || give(one, &Listeners::new()));
        receive(&other).unwrap();
        drop(other);
        assert!(giver.join().unwrap().is_err());
    }
}
