//! What is appended to a log, as it comes, over rotations.
//!
//! A rotation takes bytes away from the head of the file beneath the reader. The reader notices by the newest rotated
//! file: it is another one than before, and as long as what was taken away. The lock on the log makes sure that it never
//! looks in the middle of that.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::rotate::data_start;
use super::tail::{last_lines, open};
use super::{MAX_LINE_BYTES, rotated, text};

/// How often the file is looked at: soon enough for a person, rare enough to cost nothing.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Read at once at most, so that a rotation never waits long for the lock.
const MAX_READ_BYTES: u64 = 256 * 1024;
/// The line that stands for those that were gone before they could be read.
pub const ROTATED_AWAY: &str = "[lines were rotated away before they could be read here]";

/// Reads what is appended to a log, over rotations.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    /// The file being read: device and inode.
    file: Option<(u64, u64)>,
    /// Where the next byte is in it.
    offset: u64,
    /// The newest rotated file at the last look.
    newest: Option<Rotated>,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
}

impl Follow {
    /// Will read a log from its beginning, piece by piece. It need not exist yet.
    #[must_use]
    pub fn from_beginning(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, offset: 0, newest: None, partial: Vec::new() }
    }

    /// Opens the log; answers its last `lines` lines first. It need not exist yet.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    pub fn open(path: &Path, lines: usize) -> io::Result<(Vec<String>, Self)> {
        let mut follow = Self::from_beginning(path);
        let Some(mut log) = open(path)? else { return Ok((Vec::new(), follow)) };
        flock(&log, FlockOperation::LockShared)?;
        let last = last_lines(&mut log, path, lines, None)?;
        let meta = log.metadata()?;
        follow.file = Some((meta.dev(), meta.ino()));
        follow.offset = meta.len();
        follow.newest = identify(&rotated(path, 1))?;
        Ok((last, follow))
    }

    /// Waits for at least one new line. Safe to drop while waiting.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub async fn next(&mut self) -> io::Result<Vec<String>> {
        loop {
            let lines = self.poll()?;
            if !lines.is_empty() {
                return Ok(lines);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The lines that came since the last look; does not wait.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn poll(&mut self) -> io::Result<Vec<String>> {
        let Some(mut log) = open(&self.path)? else { return Ok(Vec::new()) };
        flock(&log, FlockOperation::LockShared)?;
        let meta = log.metadata()?;
        let mut bytes = Vec::new();
        let file = Some((meta.dev(), meta.ino()));
        if self.file == file {
            self.catch_up(&log, &mut bytes)?;
        } else {
            // Another file under the same name: from its beginning, after what was not read yet of the one before, where whoever
            // writes puts full files aside by itself.
            if let Some(before) = self.file
                && let Some(mut aside) = open(&rotated(&self.path, 1))?
                && aside.metadata().map(|meta| (meta.dev(), meta.ino()))? == before
            {
                aside.seek(SeekFrom::Start(self.offset))?;
                aside.read_to_end(&mut bytes)?;
            }
            self.file = file;
            self.offset = 0;
            self.newest = identify(&rotated(&self.path, 1))?;
        }
        if meta.len() < self.offset {
            // Somebody emptied it by hand.
            self.offset = 0;
        }
        if bytes.is_empty() {
            log.seek(SeekFrom::Start(self.offset))?;
            let read = log.take(MAX_READ_BYTES).read_to_end(&mut bytes)?;
            self.offset += read as u64;
        }
        Ok(self.split(bytes))
    }

    /// Finds the place again after rotations; what was not read yet and was rotated away comes into `bytes`.
    fn catch_up(&mut self, log: &File, bytes: &mut Vec<u8>) -> io::Result<()> {
        let newest = identify(&rotated(&self.path, 1))?;
        if newest == self.newest {
            return Ok(());
        }
        // All rotated files since the last look, from the oldest.
        let mut fresh = Vec::new();
        let mut known = None;
        for number in 1.. {
            let path = rotated(&self.path, number);
            known = identify(&path)?;
            if known.is_none() || known == self.newest {
                break;
            }
            fresh.insert(0, path);
        }
        let gap = self.newest.is_some() && known.is_none();
        self.newest = newest;
        let start = data_start(log)?;
        let sizes = fresh.iter().map(|path| Ok(fs::metadata(path)?.len())).collect::<io::Result<Vec<u64>>>()?;
        let taken: u64 = sizes.iter().sum();
        // Where the bytes of the oldest fresh file began, in the coordinates of our offset.
        let mut begin = if start > 0 { start.saturating_sub(taken) } else { 0 };
        if gap {
            bytes.extend(ROTATED_AWAY.as_bytes());
            bytes.push(b'\n');
            self.offset = begin;
        }
        for (path, size) in fresh.iter().zip(sizes) {
            let end = begin + size;
            if self.offset < end {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(self.offset.saturating_sub(begin)))?;
                file.read_to_end(bytes)?;
                self.offset = end;
            }
            begin = end;
        }
        if start == 0 {
            self.offset = self.offset.saturating_sub(taken);
        }
        Ok(())
    }

    fn split(&mut self, bytes: Vec<u8>) -> Vec<String> {
        self.partial.extend(bytes);
        let mut lines = Vec::new();
        let mut rest = self.partial.as_slice();
        while let Some(end) =
            rest.iter().take(MAX_LINE_BYTES).position(|byte| *byte == b'\n').or_else(|| too_long(rest))
        {
            let (line, tail) = rest.split_at(end + 1);
            lines.push(text(line));
            rest = tail;
        }
        self.partial = rest.to_vec();
        lines
    }
}

fn too_long(bytes: &[u8]) -> Option<usize> {
    (bytes.len() >= MAX_LINE_BYTES).then_some(MAX_LINE_BYTES - 1)
}

/// What tells one rotated file from another. They do not change any more; an inode alone would not do, since the system
/// gives it to a new file as soon as the old one is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rotated {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

fn identify(path: &Path) -> io::Result<Option<Rotated>> {
    match fs::metadata(path) {
        Ok(meta) => {
            let changed = (meta.mtime(), meta.mtime_nsec());
            Ok(Some(Rotated { inode: meta.ino(), bytes: meta.len(), changed }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::super::test_folders;
    use super::super::{Limits, rotate};
    use super::*;

    #[test]
    fn what_was_written_before_the_file_was_put_aside_by_its_writer_comes_too() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("access.log");
        let append = |text: &str| {
            let file = OpenOptions::new().append(true).create(true).open(&path);
            file.and_then(|mut file| write!(file, "{text}")).expect("write");
        };
        append("one\n");
        let (_, mut follow) = Follow::open(&path, 0).expect("open");
        append("two\n");
        fs::rename(&path, rotated(&path, 1)).expect("rename");
        append("three\n");
        let mut lines = follow.poll().expect("read");
        lines.extend(follow.poll().expect("read"));
        assert_eq!(lines, ["two", "three"]);
        append("four\n");
        assert_eq!(follow.poll().expect("read"), ["four"]);
    }

    #[test]
    fn every_line_comes_once_over_rotations_however_far_behind_the_reader_is() {
        for folder in test_folders() {
            for lag in [1, 7, 400, 1_500] {
                let path = folder.path().join(format!("{lag}.log"));
                let mut writer = OpenOptions::new().append(true).create(true).open(&path).expect("open");
                writeln!(writer, "before").expect("write");
                let (last, mut follow) = Follow::open(&path, 5).expect("open");
                assert_eq!(last, ["before"]);
                let mut got = Vec::new();
                for line in 0..6_000 {
                    writeln!(writer, "line {line}").expect("write");
                    if line % 250 == 0 {
                        rotate(&path, Limits { max_bytes: 8 * 1024, keep_files: 5 }).expect("rotate");
                    }
                    if line % lag == 0 {
                        got.extend(follow.poll().expect("poll"));
                    }
                }
                loop {
                    let more = follow.poll().expect("poll");
                    if more.is_empty() {
                        break;
                    }
                    got.extend(more);
                }
                let expected: Vec<String> = (0..6_000).map(|line| format!("line {line}")).collect();
                assert_eq!(got.len(), expected.len(), "lag {lag} in {}", folder.path().display());
                assert_eq!(got, expected, "lag {lag}");
            }
        }
    }

    #[test]
    fn a_reader_that_comes_too_late_is_told_so_and_goes_on_with_what_is_left() {
        for folder in test_folders() {
            let path = folder.path().join("a.log");
            let limits = Limits { max_bytes: 8 * 1024, keep_files: 3 };
            let mut writer = OpenOptions::new().append(true).create(true).open(&path).expect("open");
            let mut write = |from: u32, to: u32| {
                for line in from..to {
                    writeln!(writer, "line {line}").expect("write");
                }
                rotate(&path, limits).expect("rotate");
            };
            write(0, 2_000);
            let (_, mut follow) = Follow::open(&path, 0).expect("open");
            write(2_000, 20_000);
            let first = follow.poll().expect("poll");
            assert!(first[0].starts_with(ROTATED_AWAY), "{}", first[0]);
            let mut last = first.last().cloned();
            while let Some(line) = follow.poll().expect("poll").pop() {
                last = Some(line);
            }
            assert_eq!(last.as_deref(), Some("line 19999"));
        }
    }

    #[test]
    fn a_log_that_is_new_is_read_from_its_beginning_piece_by_piece() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.log");
        let mut follow = Follow::from_beginning(&path);
        assert!(follow.poll().expect("poll").is_empty(), "it is not there yet");
        let all: Vec<String> = (0..40_000).map(|line| format!("line {line}")).collect();
        fs::write(&path, all.join("\n") + "\n").expect("write");
        let mut got = follow.poll().expect("poll");
        assert!(!got.is_empty() && got.len() < all.len(), "{} at once", got.len());
        for _ in 0..10 {
            got.extend(follow.poll().expect("poll"));
        }
        assert_eq!(got, all);
    }

    #[test]
    fn half_a_line_waits_for_its_end_and_an_endless_one_comes_in_pieces() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.log");
        let (_, mut follow) = Follow::open(&path, 0).expect("open");
        let mut writer = OpenOptions::new().append(true).create(true).open(&path).expect("open");
        write!(writer, "ha").expect("write");
        assert!(follow.poll().expect("poll").is_empty());
        writeln!(writer, "lf").expect("write");
        assert_eq!(follow.poll().expect("poll"), ["half"]);
        writer.write_all(&vec![b'x'; MAX_LINE_BYTES + 10]).expect("write");
        assert_eq!(follow.poll().expect("poll"), ["x".repeat(MAX_LINE_BYTES)]);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_next_line() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.log");
        let (_, mut follow) = Follow::open(&path, 0).expect("open");
        fs::write(&path, "hello\n").expect("write");
        let lines = tokio::time::timeout(Duration::from_secs(5), follow.next()).await;
        assert_eq!(lines.expect("in time").expect("read"), ["hello"]);
    }
}
