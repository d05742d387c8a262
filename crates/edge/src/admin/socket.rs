//! Unix sockets that only their owner can open, at paths of any length.
//!
//! `sun_path` holds 108 bytes, which a project folder easily exceeds. The way round: open the folder, and address the
//! socket as `/proc/self/fd/N/NAME`, which is short whatever the folder is called.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Longest path that is surely usable as it is: `sun_path` without its final NUL.
const MAX_DIRECT_PATH_BYTES: usize = 107;

/// Binds a non-blocking socket with mode 0600, in place of one that a dead process left behind.
///
/// Never answers before its mode is set: it is bound under another name and renamed.
///
/// # Errors
/// `AddrInUse` when a living process answers there; else what the system says.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    if connect_blocking(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "a living process answers there"));
    }
    replace(path)
}

/// Connects, and blocks.
pub(crate) fn connect_blocking(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(Short::of(path)?.path())
}

/// Binds like [`bind`], and also in place of a living process, which is not reached by this path any more.
pub(crate) fn replace(path: &Path) -> io::Result<UnixListener> {
    let (folder, name) = parts(path)?;
    let hidden = folder.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    match fs::remove_file(&hidden) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(Short::of(&hidden)?.path())?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(&hidden, Permissions::from_mode(0o600))?;
    fs::rename(&hidden, path)?;
    Ok(listener)
}

/// Connects, for use inside a tokio runtime.
///
/// # Errors
/// `NotFound` or `ConnectionRefused` when nobody answers there; else what the system says.
pub async fn connect(path: &Path) -> io::Result<tokio::net::UnixStream> {
    let short = Short::of(path)?;
    tokio::net::UnixStream::connect(short.path()).await
}

/// A path to the same file that fits into a socket address, valid while this value lives.
struct Short {
    path: PathBuf,
    /// Keeps `/proc/self/fd/N` meaningful.
    _folder: Option<File>,
}

impl Short {
    fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= MAX_DIRECT_PATH_BYTES {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let (folder, name) = parts(path)?;
        let folder = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        if path.as_os_str().len() > MAX_DIRECT_PATH_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidFilename,
                "the socket's own name is too long: at most 80 bytes",
            ));
        }
        Ok(Self { path, _folder: Some(folder) })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

fn parts(path: &Path) -> io::Result<(&Path, &OsStr)> {
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidFilename, "the path names no file"))?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Ok((folder, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// Binds at `path`, connects, and looks at the mode.
    fn check(path: &Path) {
        let listener = bind(path).unwrap();
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        runtime().block_on(connect(path)).unwrap();
        listener.set_nonblocking(false).unwrap();
        listener.accept().unwrap();
    }

    #[test]
    fn short_path_is_bound_and_reached() {
        let folder = tempfile::tempdir().unwrap();
        check(&folder.path().join("edge.sock"));
    }

    #[test]
    fn path_beyond_108_bytes_is_bound_and_reached() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(120)).join("e".repeat(120));
        fs::create_dir_all(&deep).unwrap();
        check(&deep.join("edge.sock"));
    }

    #[test]
    fn socket_of_a_living_process_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.sock");
        let _living = bind(&path).unwrap();
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn socket_of_a_dead_process_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.sock");
        drop(bind(&path).unwrap());
        assert!(path.exists());
        check(&path);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["edge.sock"]);
    }

    #[test]
    fn nobody_there_is_an_error_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = runtime().block_on(connect(&folder.path().join("none.sock"))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
