//! Opening files beneath a folder, and sending large ones piece by piece.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::ReadWriteFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::negotiate::{self, FORMS};
use crate::compress::{Accepted, Coding};

/// Read from the page cache in one go: as much as a socket takes at once, and while it is still near the processor.
const CACHED_PIECE_BYTES: u64 = 128 * 1024;

/// Read in one go from a disk, or sent in one go from memory: large enough that the trip to the blocking pool is small beside it.
pub(crate) const PIECE_BYTES: u64 = 256 * 1024;

/// What a name leads to.
pub(super) enum Found {
    File(Opened),
    Folder,
}

/// A regular file.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) metadata: Metadata,
}

impl Opened {
    pub(super) fn length(&self) -> u64 {
        self.metadata.len()
    }
}

/// The folder itself; it may be a link, so that a site can be replaced by turning one.
pub(super) fn open_root(root: &Path) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, root, flags, Mode::empty())?.into())
}

/// Opens a name beneath the root. Whatever cannot be given out (no such file, no permission, a device, a link that
/// leads outside) is nothing.
pub(super) fn find(root: &File, name: &Path) -> Option<Found> {
    let opened = open(root, name)?;
    if opened.metadata.is_dir() {
        Some(Found::Folder)
    } else if opened.metadata.is_file() {
        Some(Found::File(opened))
    } else {
        None
    }
}

/// The precompressed file beside `name` that the client likes best.
pub(super) fn variant(root: &File, name: &Path, accepted: Accepted) -> Option<(Coding, Opened)> {
    accepted.codings(FORMS).find_map(|coding| {
        let mut variant = PathBuf::from(name).into_os_string();
        variant.push(negotiate::suffix(coding));
        match find(root, Path::new(&variant))? {
            Found::File(opened) => Some((coding, opened)),
            Found::Folder => None,
        }
    })
}

fn open(root: &File, name: &Path) -> Option<Opened> {
    // Non-blocking, so that a named pipe does not hold up the thread.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let handle: OwnedFd = rustix::fs::openat2(root, name, flags, Mode::empty(), resolve).ok()?;
    let file = File::from(handle);
    let metadata = file.metadata().ok()?;
    Some(Opened { file, metadata })
}

/// Part of a large file, read piece by piece as the client takes it: at once where it is in the page cache, else on the blocking
/// pool, since a disk would hold up all connections of the thread.
pub(crate) struct FileBody {
    file: Arc<File>,
    from: u64,
    left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    pub(super) fn new(file: File, from: u64, length: u64) -> Self {
        Self { file: Arc::new(file), from, left: length, reading: None }
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
            read_at_once(&self.file, self.from, length.min(CACHED_PIECE_BYTES))
        } else {
            None
        };
        let piece = if let Some(bytes) = at_once {
            Ok(bytes)
        } else {
            let reading = self.reading.get_or_insert_with(|| {
                let (file, from) = (Arc::clone(&self.file), self.from);
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
                Ok(rustix::fs::sendfile(socket, &*self.file, Some(&mut from), length)?)
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
    fn is_cached(&self, length: u64) -> bool {
        [self.from, self.from + length - 1].iter().all(|at| read_at_once(&self.file, *at, 1).is_some())
    }
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
