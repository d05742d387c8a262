//! Opening files beneath a folder, and sending large ones piece by piece.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::HeaderValue;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, ReadWriteFlags};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::negotiate;
use crate::compress::Coding;
use crate::validators::Validators;

/// Read from the page cache in one go: as much as a socket takes at once, and while it is still near the processor.
const CACHED_PIECE_BYTES: u64 = 128 * 1024;

/// Read in one go from a disk, or sent in one go from memory: large enough that the trip to the blocking pool is small beside it.
pub(crate) const PIECE_BYTES: u64 = 256 * 1024;

/// What a name leads to.
pub(super) enum Opening {
    File(Box<Opened>),
    Folder,
}

/// A regular file, as it was when it was opened.
pub(super) struct Opened {
    pub(super) file: Arc<File>,
    pub(super) validators: Validators,
    /// As an answer's header says it.
    pub(super) last_modified: Option<HeaderValue>,
    state: Stat,
    /// All of it was found in the page cache.
    in_memory: Cell<bool>,
}

impl Opened {
    fn new(file: File, state: Stat) -> Self {
        let validators = negotiate::validators(&state, None);
        let last_modified = validators.last_modified();
        Self { file: Arc::new(file), validators, last_modified, state, in_memory: Cell::new(false) }
    }

    /// The same as a form of another file.
    pub(super) fn in_form(self, coding: Coding) -> Self {
        Self { validators: negotiate::validators(&self.state, Some(coding)), ..self }
    }

    pub(super) fn length(&self) -> u64 {
        length(&self.state)
    }

    /// Whether it is still the file that was opened, under a name, and nobody wrote to it. A change of any kind moves the
    /// time of change, and what is of the same length and time is the same by its tag, too.
    pub(super) fn is_current(&self) -> bool {
        rustix::fs::fstat(&*self.file).is_ok_and(|now| {
            let of = |state: &Stat| {
                let modified = (state.st_mtime, state.st_mtime_nsec);
                (state.st_size, modified, (state.st_ctime, state.st_ctime_nsec), state.st_nlink, state.st_mode)
            };
            of(&now) == of(&self.state)
        })
    }
}

fn length(state: &Stat) -> u64 {
    u64::try_from(state.st_size).unwrap_or_default()
}

/// The folder itself; it may be a link, so that a site can be replaced by turning one.
pub(super) fn open_root(root: &Path) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, root, flags, Mode::empty())?.into())
}

/// Opens a name beneath the root. Whatever cannot be given out (no such file, no permission, a device, a link that
/// leads outside) is nothing; that it cannot be told, since no handle is free, say, is an error.
pub(super) fn open(root: &File, name: &Path) -> io::Result<Option<Opening>> {
    // Non-blocking, so that a named pipe does not hold up the thread.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let open = || rustix::fs::openat2(root, name, flags, Mode::empty(), resolve);
    // Something was renamed in the middle of following a `..`: once more, then it is somebody's mischief.
    let opened = open().or_else(|error| if error == Errno::AGAIN { open() } else { Err(error) });
    let handle: OwnedFd = match opened {
        Ok(handle) => handle,
        Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::IO | Errno::AGAIN)) => {
            return Err(error.into());
        }
        Err(_) => return Ok(None),
    };
    let state = rustix::fs::fstat(&handle)?;
    Ok(match FileType::from_raw_mode(state.st_mode) {
        FileType::RegularFile => Some(Opening::File(Box::new(Opened::new(File::from(handle), state)))),
        FileType::Directory => Some(Opening::Folder),
        _ => None,
    })
}

/// Part of a large file, read piece by piece as the client takes it: at once where it is in the page cache, else on the blocking
/// pool, since a disk would hold up all connections of the thread.
pub(crate) struct FileBody {
    opened: Rc<Opened>,
    from: u64,
    left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    pub(super) fn new(opened: Rc<Opened>, from: u64, length: u64) -> Self {
        Self { opened, from, left: length, reading: None }
    }

    /// Bytes that have not been handed on yet.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = self.left.min(PIECE_BYTES);
        let at_once = if self.reading.is_none() {
            read_at_once(&self.opened.file, self.from, length.min(CACHED_PIECE_BYTES))
        } else {
            None
        };
        let piece = if let Some(bytes) = at_once {
            Ok(bytes)
        } else {
            let reading = self.reading.get_or_insert_with(|| {
                let (file, from) = (Arc::clone(&self.opened.file), self.from);
                tokio::task::spawn_blocking(move || read(&file, from, length))
            });
            let piece = ready!(Pin::new(reading).poll(cx));
            self.reading = None;
            piece.map_err(io::Error::other).flatten()
        };
        Poll::Ready(Some(piece.inspect(|bytes| {
            self.from += bytes.len() as u64;
            self.left -= bytes.len() as u64;
        })))
    }
}

impl FileBody {
    /// Sends a piece from the page cache to a socket without touching it. `None`: it is not there, and is to be read.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, socket: &TcpStream) -> Option<Poll<io::Result<usize>>> {
        let length = self.left.min(PIECE_BYTES);
        if length == 0 || self.reading.is_some() || !self.is_cached(length) {
            return None;
        }
        loop {
            match socket.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                failed_or_full => return Some(failed_or_full.map_ok(|()| 0)),
            }
            let mut from = self.from;
            let sent = socket.try_io(Interest::WRITABLE, || {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                Ok(rustix::fs::sendfile(socket, &*self.opened.file, Some(&mut from), length)?)
            });
            return Some(Poll::Ready(match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                // It shrank meanwhile; its length is promised already.
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(sent) => {
                    self.from += sent as u64;
                    self.left -= sent as u64;
                    Ok(sent)
                }
                failed => failed,
            }));
        }
    }

    /// Whether the next piece is in the page cache, judged by its ends: files are read ahead in large pieces and forgotten whole.
    /// One that is a single piece is judged once: it is not kept open for so long that it would be forgotten meanwhile.
    fn is_cached(&self, length: u64) -> bool {
        if self.opened.in_memory.get() {
            return true;
        }
        let is_cached = [self.from, self.from + length - 1].iter().all(|at| is_at_hand(&self.opened.file, *at));
        self.opened.in_memory.set(is_cached && self.from == 0 && length == self.opened.length());
        is_cached
    }
}

/// Whether a byte can be had without waiting for a disk.
fn is_at_hand(file: &File, at: u64) -> bool {
    let mut byte = [0];
    rustix::io::preadv2(file, &mut [io::IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT)
        .is_ok_and(|read| read > 0)
}

/// What of it can be had without waiting for a disk; `None`: nothing, or the file system cannot tell.
fn read_at_once(file: &File, from: u64, length: u64) -> Option<Bytes> {
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    let into = &mut [io::IoSliceMut::new(&mut bytes)];
    let read = rustix::io::preadv2(file, into, from, ReadWriteFlags::NOWAIT).ok().filter(|read| *read > 0)?;
    bytes.truncate(read);
    Some(bytes.into())
}

fn read(file: &File, from: u64, length: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    // A file that shrank meanwhile ends here with an error, and the connection with it: its length is promised already.
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes.into())
}
