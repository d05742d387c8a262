//! A file that is gone when nobody holds it any more.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::clock;

const PREFIX: &str = "passing-";

/// A file on its way.
#[derive(Debug)]
pub(crate) struct Passing(PathBuf);

impl Passing {
    /// A new one in a folder, which is made where it is not there.
    pub(crate) fn make(folder: &Path) -> io::Result<(Self, File)> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("{PREFIX}{}", clock::unique()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((Self(path), file))
    }

    /// Removes what a control plane that was killed has left in a folder.
    pub(crate) fn sweep(folder: &Path) {
        let left = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in left.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
            drop(Self(entry.path()));
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // What cannot be removed is only in the way.
        let _ = fs::remove_file(&self.0);
    }
}
