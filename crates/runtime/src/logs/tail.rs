//! The last lines of a log, across rotated files.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::rotate::{KEEP_FILES, data_start};
use super::{rotated, text};

/// Read in pieces of this size, from the end.
const PIECE_BYTES: u64 = 64 * 1024;
/// So far back is looked at most: `--tail 1000000` must not fill the memory.
const MAX_TAIL_BYTES: u64 = 32 * 1024 * 1024;

/// The last `lines` lines of a log, oldest first, across rotated files.
///
/// # Errors
/// When the file cannot be read; one that does not exist yet is empty.
pub fn tail(path: &Path, lines: usize) -> io::Result<Vec<String>> {
    let Some(mut log) = open(path)? else { return Ok(Vec::new()) };
    flock(&log, FlockOperation::LockShared)?;
    last_lines(&mut log, path, lines)
}

pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// As [`tail`], on a log whose lock is held.
pub(super) fn last_lines(log: &mut File, path: &Path, lines: usize) -> io::Result<Vec<String>> {
    let mut bytes = Vec::new();
    if lines > 0 {
        let start = data_start(log)?;
        let mut enough = prepend(log, start, lines, &mut bytes)?;
        for number in 1..KEEP_FILES {
            if enough {
                break;
            }
            let Some(mut older) = open(&rotated(path, number))? else { break };
            enough = prepend(&mut older, 0, lines, &mut bytes)?;
        }
    }
    let mut found: Vec<String> = bytes.split_inclusive(|byte| *byte == b'\n').map(text).collect();
    Ok(found.split_off(found.len().saturating_sub(lines)))
}

/// Puts pieces of `file` before `bytes`, from its end backwards to `start`, until enough lines are there.
fn prepend(file: &mut File, start: u64, lines: usize, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut end = file.metadata()?.len();
    let mut pieces = Vec::new();
    let mut ends = line_ends(bytes);
    let mut held = bytes.len() as u64;
    // One more line end than lines: only then is the first of them whole.
    while end > start && ends <= lines && held < MAX_TAIL_BYTES {
        let from = end.saturating_sub(PIECE_BYTES).max(start);
        let mut piece = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.take(end - from).read_to_end(&mut piece)?;
        ends += line_ends(&piece);
        held += piece.len() as u64;
        pieces.push(piece);
        end = from;
    }
    let tail = std::mem::take(bytes);
    bytes.extend(pieces.into_iter().rev().flatten());
    bytes.extend(tail);
    Ok(ends > lines || held >= MAX_TAIL_BYTES)
}

#[expect(clippy::naive_bytecount, reason = "a few hundred KiB for a person; not worth a dependency")]
fn line_ends(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::super::test_folders;
    use super::super::{Limits, rotate};
    use super::*;

    #[track_caller]
    fn check(content: &str, lines: usize, expected: &[&str]) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.log");
        fs::write(&path, content).expect("write");
        assert_eq!(tail(&path, lines).expect("tail"), expected);
    }

    #[test]
    fn the_last_lines_come_oldest_first() {
        check("", 3, &[]);
        check("a\nb\nc\n", 0, &[]);
        check("a\nb\nc\n", 2, &["b", "c"]);
        check("a\nb\nc", 2, &["b", "c"]);
        check("a\r\n\nc\n", 9, &["a", "", "c"]);
    }

    #[test]
    fn a_log_that_does_not_exist_is_empty() {
        let folder = tempfile::tempdir().expect("folder");
        assert!(tail(&folder.path().join("none.log"), 5).expect("tail").is_empty());
    }

    #[test]
    fn lines_are_found_across_rotated_files_and_long_pieces() {
        for folder in test_folders() {
            let path = folder.path().join("a.log");
            let mut writer = OpenOptions::new().append(true).create(true).open(&path).expect("open");
            for line in 0..20_000 {
                writeln!(writer, "line {line}").expect("write");
                if line % 500 == 0 {
                    rotate(&path, Limits { max_bytes: 64 * 1024, keep_files: 5 }).expect("rotate");
                }
            }
            let got = tail(&path, 12_000).expect("tail");
            let expected: Vec<String> = (8_000..20_000).map(|line| format!("line {line}")).collect();
            assert_eq!(got, expected);
        }
    }
}
