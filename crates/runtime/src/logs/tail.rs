//! The last lines of a log, across rotated files.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::rotate::{KEEP_FILES, data_start};
use super::{rotated, text};

/// Read in pieces of this size, from the end.
const PIECE_BYTES: u64 = 64 * 1024;
/// So far back is looked at most: `--tail 1000000` must not fill the memory.
const MAX_TAIL_BYTES: u64 = 32 * 1024 * 1024;

/// Halvings of a file at most: more than any has bytes for.
const MAX_HALVINGS: usize = 64;

/// Whether a line was written later than those that are wanted; `None` where it does not say when.
pub type IsLater<'a> = &'a dyn Fn(&str) -> Option<bool>;

/// The last `lines` lines of a log, oldest first, across rotated files.
///
/// # Errors
/// When the file cannot be read; one that does not exist yet is empty.
pub fn tail(path: &Path, lines: usize) -> io::Result<Vec<String>> {
    last(path, lines, None)
}

/// As [`tail`], of what comes before the first line that is later: lines are in the order of their times, so it is found by halving. Where
/// many lines say nothing of theirs, some later ones may follow.
///
/// # Errors
/// As there.
pub fn tail_until(path: &Path, lines: usize, is_later: IsLater<'_>) -> io::Result<Vec<String>> {
    last(path, lines, Some(is_later))
}

fn last(path: &Path, lines: usize, is_later: Option<IsLater<'_>>) -> io::Result<Vec<String>> {
    let Some(mut log) = open(path)? else { return Ok(Vec::new()) };
    flock(&log, FlockOperation::LockShared)?;
    last_lines(&mut log, path, lines, is_later)
}

pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// As [`tail`], on a log whose lock is held.
pub(super) fn last_lines(
    log: &mut File,
    path: &Path,
    lines: usize,
    is_later: Option<IsLater<'_>>,
) -> io::Result<Vec<String>> {
    let end = |file: &mut File, start: u64| {
        let length = file.metadata()?.len();
        is_later.map_or(Ok(length), |is_later| end_before(file, start, length, is_later))
    };
    let mut bytes = Vec::new();
    if lines > 0 {
        let start = data_start(log)?;
        let until = end(log, start)?;
        let mut enough = prepend(log, start..until, lines, &mut bytes)?;
        for number in 1..KEEP_FILES {
            if enough {
                break;
            }
            let Some(mut older) = open(&rotated(path, number))? else { break };
            let until = end(&mut older, 0)?;
            enough = prepend(&mut older, 0..until, lines, &mut bytes)?;
        }
    }
    let mut found: Vec<String> = bytes.split_inclusive(|byte| *byte == b'\n').map(text).collect();
    Ok(found.split_off(found.len().saturating_sub(lines)))
}

/// Where the first later line begins; the end where none is.
fn end_before(file: &mut File, start: u64, length: u64, is_later: IsLater<'_>) -> io::Result<u64> {
    let (mut low, mut high) = (start, length);
    for _ in 0..MAX_HALVINGS {
        if high - low <= PIECE_BYTES {
            break;
        }
        let middle = low + (high - low) / 2;
        match dated(file, middle..middle + PIECE_BYTES, true, &|_| true, is_later)? {
            Some((begin, true)) if begin < high => high = begin,
            Some((_, false)) => low = middle,
            // Nothing there says when it was written.
            _ => break,
        }
    }
    let rest = low..high.min(low + PIECE_BYTES);
    Ok(dated(file, rest, low > start, &|later| later, is_later)?.map_or(high, |(begin, _)| begin))
}

/// The first line of a range that says when it was written and is `wanted`: where it begins, and whether it is later.
fn dated(
    file: &mut File,
    range: Range<u64>,
    begins_within_a_line: bool,
    wanted: &dyn Fn(bool) -> bool,
    is_later: IsLater<'_>,
) -> io::Result<Option<(u64, bool)>> {
    let mut piece = Vec::new();
    file.seek(SeekFrom::Start(range.start))?;
    file.take(range.end - range.start).read_to_end(&mut piece)?;
    let mut at = range.start;
    for (number, line) in piece.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let begin = at;
        at += line.len() as u64;
        if number == 0 && begins_within_a_line {
            continue;
        }
        if let Some(later) = is_later(&text(line)).filter(|later| wanted(*later)) {
            return Ok(Some((begin, later)));
        }
    }
    Ok(None)
}

/// Puts pieces of `file` before `bytes`, from the end of a range of it backwards, until enough lines are there.
fn prepend(file: &mut File, range: Range<u64>, lines: usize, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let Range { start, mut end } = range;
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
    fn what_is_later_is_passed_over_in_each_file_wherever_it_begins() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.log");
        let mut writer = OpenOptions::new().append(true).create(true).open(&path).expect("open");
        for line in 0..60_000 {
            // Every third one says nothing of its time.
            let when = if line % 3 == 0 { "-".to_owned() } else { line.to_string() };
            writeln!(writer, "{when} line {line}").expect("write");
            if line % 500 == 0 {
                rotate(&path, Limits { max_bytes: 256 * 1024, keep_files: 5 }).expect("rotate");
            }
        }
        let number = |text: &str| text.rsplit(' ').next().and_then(|word| word.parse::<usize>().ok());
        let read = std::cell::Cell::new(0);
        for last in [0, 1, 4_321, 19_999, 20_000, 31_000, 59_998, 80_000] {
            let is_later = |line: &str| {
                read.set(read.get() + 1);
                Some(line.split(' ').next()?.parse::<usize>().ok()? > last)
            };
            let got = tail_until(&path, 12_000, &is_later).expect("tail");
            let numbers: Vec<usize> = got.iter().filter_map(|line| number(line)).collect();
            let wanted = last.min(59_999);
            // Of each file that is later as a whole, the end of the line that it begins within and one that says nothing may follow.
            let after = got.iter().filter(|line| number(line).is_none_or(|number| number > wanted)).count();
            assert!(numbers.contains(&wanted) && after <= 8, "{last}: {after} are later");
            assert!(read.replace(0) < 20_000, "{last}");
        }
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
