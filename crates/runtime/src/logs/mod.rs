//! Log files that instances write themselves.
//!
//! An instance holds its log open for appending and never learns of a rotation: nobody asks it to reopen anything, and
//! no pipe stands between it and the file. [`rotate`] therefore takes the *head* of the file away beneath it.
//! Reading ([`tail`], [`Follow`]) knows about that.
//!
//! Files: `NAME` is written to; `NAME.1` (newest) to `NAME.4` (oldest) hold what was rotated away. Joined from the oldest
//! to the newest they are the exact stream; a cut may fall inside a line.
//!
//! Rotation and reading exclude each other through an advisory lock (flock) on the log itself, so that a reader never
//! sees a half-done rotation. Instances neither take nor mind that lock.

mod follow;
mod rotate;
mod tail;

use std::path::{Path, PathBuf};

pub use follow::{Follow, ROTATED_AWAY};
pub use rotate::{How, KEEP_FILES, Limits, MAX_BYTES, RotateError, Rotated, rotate};
pub use tail::{IsLater, tail, tail_until};

/// Longest line that is handed on whole; a longer one is handed on in pieces of this size.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// The path of the `number`-th rotated file, 1 being the newest.
pub fn rotated(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// A line for people: whatever the instance wrote, without its line end.
fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(line).into_owned()
}

/// The kinds of file system at hand: the one of temporary files, and tmpfs where there is one.
#[cfg(test)]
fn test_folders() -> Vec<tempfile::TempDir> {
    let mut folders = vec![tempfile::tempdir().expect("folder")];
    folders.extend(tempfile::tempdir_in("/dev/shm").ok());
    folders
}
