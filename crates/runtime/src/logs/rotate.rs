//! Rotation by size that loses nothing, though the instance keeps its own descriptor on the file.
//!
//! The head of the log is copied to `NAME.1`, then taken away from the log in one of three ways, the first that the
//! file system can do:
//!
//! | way | where | what a writer loses |
//! |---|---|---|
//! | collapse (`FALLOC_FL_COLLAPSE_RANGE`) | ext4, xfs | nothing: the file's head is cut off beneath its appends |
//! | punch (`FALLOC_FL_PUNCH_HOLE`) | tmpfs, btrfs, most others | nothing: the head becomes a hole that takes no space; the file's apparent size goes on growing |
//! | truncate | the rest (NFS, FAT) | lines written in the microseconds between the last copy and the cut |
//!
//! Killed half-way, lines may stand in two files; none is missing: the copy lies in `NAME.0` until the cut is made, and a
//! copy found there by the next rotation is kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock, ftruncate};
use rustix::io::Errno;

use super::rotated;

/// A log that grew past this is rotated.
pub const MAX_BYTES: u64 = 10 * 1024 * 1024;
/// Files kept of one log, the one being written included: 50 MiB for each instance.
pub const KEEP_FILES: usize = 5;
/// Rotations of one log in one go: a writer faster than this is cut again at the next look.
const MAX_ROUNDS: usize = 16;

/// When to rotate, and how much to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Size past which a log is rotated.
    pub max_bytes: u64,
    /// Files kept, the one being written included; at least 2.
    pub keep_files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: MAX_BYTES, keep_files: KEEP_FILES }
    }
}

/// How the head was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Cut off.
    Collapsed,
    /// Made a hole.
    Punched,
    /// The whole file emptied; lines may be missing.
    Truncated,
}

/// What a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// Bytes moved to rotated files.
    pub bytes: u64,
    /// How.
    pub how: How,
}

/// Why a log could not be rotated. It goes on growing until that succeeds.
#[derive(Debug, thiserror::Error)]
#[error("cannot rotate the log {}: {step}", path.display())]
pub struct RotateError {
    path: PathBuf,
    step: &'static str,
    #[source]
    source: io::Error,
}

/// Rotates the log when it is too large. `None`: nothing to do, or somebody reads it right now (then the next look
/// does it).
///
/// # Errors
/// [`RotateError`]; what was written stays where it is.
pub fn rotate(path: &Path, limits: Limits) -> Result<Option<Rotated>, RotateError> {
    let fail = |step| move |source| RotateError { path: path.to_owned(), step, source };
    let log = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail("opening it")(error)),
    };
    if rotated(path, 0).exists() {
        shift(path, limits.keep_files).map_err(fail("keeping the copy of a rotation that was interrupted"))?;
    }
    let mut done: Option<Rotated> = None;
    for _ in 0..MAX_ROUNDS {
        let meta = log.metadata().map_err(fail("reading its size"))?;
        let start = data_start(&log).map_err(fail("looking for its first byte"))?;
        let held = meta.len().saturating_sub(start);
        if held <= limits.max_bytes {
            break;
        }
        // Whole blocks, and never the last byte: cutting up to the very end is not a cut but a truncation.
        let block = meta.blksize().max(1);
        let cut = (held - 1) / block * block;
        let cut = cut.min(limits.max_bytes.div_ceil(block) * block);
        let Some(round) = round(&log, path, start, cut, limits).map_err(|(step, source)| fail(step)(source))? else {
            break;
        };
        done = Some(Rotated { bytes: round.bytes + done.map_or(0, |done| done.bytes), how: round.how });
    }
    Ok(done)
}

type Step = (&'static str, io::Error);

/// Moves `cut` bytes at `start` to `NAME.1`.
fn round(log: &File, path: &Path, start: u64, cut: u64, limits: Limits) -> Result<Option<Rotated>, Step> {
    let fresh = rotated(path, 0);
    // The head does not change any more, so it is copied without holding up readers.
    let cut_off = copy(log, start, cut, &fresh).map_err(|error| ("copying its head", error)).and_then(|mut copy| {
        match flock(log, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => take_away(log, start, cut, &mut copy).map(|how| Some((copy, how))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(("locking it", error.into())),
        }
    });
    let result = match cut_off {
        Ok(Some((copy, how))) => shift(path, limits.keep_files)
            .and_then(|()| Ok(Some(Rotated { bytes: copy.metadata()?.len(), how })))
            .map_err(|error| ("renaming older files", error)),
        // Nothing was taken away: the copy is one too many.
        not_cut => match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(("removing a copy that is not needed", error)),
            _ => not_cut.map(|_| None),
        },
    };
    flock(log, FlockOperation::Unlock).map_err(|error| ("unlocking it", error.into()))?;
    result
}

/// First byte that is not in a hole: where an earlier rotation by punching ended.
pub(super) fn data_start(log: &File) -> io::Result<u64> {
    match rustix::fs::seek(log, rustix::fs::SeekFrom::Data(0)) {
        Ok(start) => Ok(start),
        // Nothing but holes, or nothing at all.
        Err(Errno::NXIO) => Ok(log.metadata()?.len()),
        // A file system that does not know holes has none.
        Err(Errno::INVAL | Errno::NOTSUP) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

fn copy(log: &File, start: u64, bytes: u64, to: &Path) -> io::Result<File> {
    let mut from = log.try_clone()?;
    from.seek(SeekFrom::Start(start))?;
    let mut copy = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    let copied = io::copy(&mut from.take(bytes), &mut copy)?;
    if copied != bytes {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the log became shorter while it was copied"));
    }
    Ok(copy)
}

fn take_away(log: &File, start: u64, cut: u64, copy: &mut File) -> Result<How, Step> {
    let cannot = |error| matches!(error, Errno::NOTSUP | Errno::INVAL | Errno::NOSYS);
    if start == 0 {
        match fallocate(log, FallocateFlags::COLLAPSE_RANGE, 0, cut) {
            Ok(()) => return Ok(How::Collapsed),
            Err(error) if cannot(error) => {}
            Err(error) => return Err(("cutting off its head", error.into())),
        }
    }
    match fallocate(log, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, start + cut) {
        Ok(()) => return Ok(How::Punched),
        Err(error) if cannot(error) => {}
        Err(error) => return Err(("making a hole of its head", error.into())),
    }
    // Everything is copied up to now, then everything is cut: what is written in between is lost.
    let mut rest = log.try_clone().map_err(|error| ("copying its end", error))?;
    rest.seek(SeekFrom::Start(start + cut)).map_err(|error| ("copying its end", error))?;
    io::copy(&mut rest, copy).map_err(|error| ("copying its end", error))?;
    ftruncate(log, 0).map_err(|error| ("emptying it", error.into()))?;
    Ok(How::Truncated)
}

/// `NAME.3` → `NAME.4`, …, the fresh copy (`NAME.0`) → `NAME.1`. The oldest is overwritten.
fn shift(path: &Path, keep_files: usize) -> io::Result<()> {
    let last = keep_files.max(2) - 1;
    let mut to = 1;
    while to < last && rotated(path, to).exists() {
        to += 1;
    }
    for number in (0..to).rev() {
        fs::rename(rotated(path, number), rotated(path, number + 1))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::test_folders;
    use super::*;

    const SMALL: Limits = Limits { max_bytes: 16 * 1024, keep_files: 3 };

    fn appender(path: &Path) -> File {
        OpenOptions::new().append(true).create(true).open(path).expect("open")
    }

    fn joined(path: &Path) -> Vec<u8> {
        let mut all = Vec::new();
        for number in (1..10).rev() {
            all.extend(fs::read(rotated(path, number)).unwrap_or_default());
        }
        let mut log = File::open(path).expect("open");
        let start = data_start(&log).expect("start");
        log.seek(SeekFrom::Start(start)).expect("seek");
        log.read_to_end(&mut all).expect("read");
        all
    }

    #[test]
    fn a_small_log_is_left_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.log");
        assert_eq!(rotate(&path, SMALL).expect("no file is fine"), None);
        appender(&path).write_all(&vec![b'x'; 16 * 1024]).expect("write");
        assert_eq!(rotate(&path, SMALL).expect("rotate"), None);
    }

    #[test]
    fn the_stream_stays_whole_over_rotations_and_the_writer_keeps_its_descriptor() {
        for folder in test_folders() {
            let path = folder.path().join("a.log");
            let mut writer = appender(&path);
            let mut expected = Vec::new();
            for line in 0..5_000 {
                let line = format!("line {line} of the log\n");
                writer.write_all(line.as_bytes()).expect("write");
                expected.extend(line.as_bytes());
                rotate(&path, SMALL).expect("rotate");
            }
            let all = joined(&path);
            assert!(rotated(&path, 1).exists() && rotated(&path, 2).exists() && !rotated(&path, 3).exists());
            assert!(expected.ends_with(&all), "what is kept is the end of what was written");
            assert!(all.len() > 32 * 1024, "two rotated files and the present one: {}", all.len());
        }
    }

    #[test]
    fn a_reader_in_the_middle_of_a_read_postpones_the_rotation() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.log");
        appender(&path).write_all(&vec![b'x'; 64 * 1024]).expect("write");
        let reader = File::open(&path).expect("open");
        flock(&reader, FlockOperation::LockShared).expect("lock");
        assert_eq!(rotate(&path, SMALL).expect("rotate"), None);
        assert!(!rotated(&path, 0).exists());
        drop(reader);
        assert!(rotate(&path, SMALL).expect("rotate").is_some());
    }
}
