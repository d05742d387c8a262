//! Files on their way into the store.

use std::fs::{self, File as OpenFile, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{List, Mode};

/// Why the files cannot be copied.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct CopyError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Copies the files of a list from one folder to another, which must be new. All of it is on disk when this answers, and
/// nobody may write to it any more. Whoever calls compares what has arrived with the list: files may change while they are
/// read.
///
/// # Errors
/// Where the system refuses; what is half-made is for the caller to remove.
pub fn copy(list: &List, from: &Path, to: &Path) -> Result<(), CopyError> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| CopyError { path, source }
    };
    fs::create_dir_all(to).map_err(fail(to))?;
    for file in list.files() {
        let (source, target) = (from.join(&file.path), to.join(&file.path));
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(fail(folder))?;
        }
        let copied = match file.mode {
            Mode::Link => fs::read_link(&source).and_then(|leads| std::os::unix::fs::symlink(leads, &target)),
            Mode::Plain => copy_file(&source, &target, 0o444),
            Mode::Executable => copy_file(&source, &target, 0o555),
        };
        copied.map_err(fail(&target))?;
    }
    close_folders(to).map_err(fail(to))?;
    // One call for all of them: an artefact may have tens of thousands of files.
    OpenFile::open(to).and_then(|folder| Ok(rustix::fs::syncfs(folder)?)).map_err(fail(to))
}

fn copy_file(source: &Path, target: &Path, mode: u32) -> io::Result<()> {
    let mut from = OpenOptions::new().read(true).custom_flags(no_links()).open(source)?;
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
    io::copy(&mut from, &mut to)?;
    to.set_permissions(Permissions::from_mode(mode))
}

#[expect(clippy::cast_possible_wrap, reason = "flags are bits; the standard library takes them signed")]
fn no_links() -> i32 {
    rustix::fs::OFlags::NOFOLLOW.bits() as i32
}

fn close_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            close_folders(&entry.path())?;
        }
    }
    fs::set_permissions(folder, Permissions::from_mode(0o555))
}
