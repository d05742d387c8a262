//! Files and folders that come into being as a whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::{StoreError, fail};
use crate::clock;

/// Begins the name of what is not whole yet.
pub(super) const UNFINISHED: &str = ".new-";

/// What is being made: gone again unless it is renamed.
pub(super) struct Unfinished(PathBuf);

impl Unfinished {
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn make(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(format!("{UNFINISHED}{}", clock::unique()));
        fs::create_dir_all(&path).map_err(fail("make", &path))?;
        Ok(Self(path))
    }

    pub(super) fn rename(self, to: &Path) -> Result<(), StoreError> {
        let rename = || {
            File::open(&self.0)?.sync_all()?;
            fs::rename(&self.0, to)?;
            to.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
        };
        rename().map_err(fail("write", to))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Not there any more where it was renamed. What cannot be removed now is removed by the next `collect`.
        let _ = remove(&self.0);
    }
}

/// Names in a folder, sorted; none where the folder is not there.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(fail("read", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(fail("read", folder))?.file_name();
        let name = name.into_string().map_err(|name| {
            let source = io::Error::new(io::ErrorKind::InvalidFilename, "its name is not UTF-8");
            StoreError::File { what: "use", path: folder.join(name), source }
        })?;
        names.push(name);
    }
    names.sort();
    Ok(names)
}

pub(super) fn text(path: &Path) -> Result<Option<String>, StoreError> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(fail("read", path)),
    }
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o444).open(path)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()
    };
    write().map_err(fail("write", path))
}

/// Removes a folder whose folders may be read-only.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    fn open(folder: &Path) -> io::Result<()> {
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open(&entry.path())?;
            }
        }
        Ok(())
    }
    let removed = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
        Ok(meta) if meta.is_dir() => open(path).and_then(|()| fs::remove_dir_all(path)),
        Ok(_) => fs::remove_file(path),
    };
    removed.map_err(fail("remove", path))
}
