//! The control plane's own log: `logs/control.log`, rotated by itself by renaming (it holds the only descriptor).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mana_runtime::logs::{KEEP_FILES, MAX_BYTES, rotated};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

/// Environment variable that chooses what is logged (`info` by default), in the form of `tracing`'s filters.
const FILTER_VARIABLE: &str = "MANA_LOG";

/// Begins to log. A second call in one process changes nothing.
pub(crate) fn begin(path: &Path, and_stderr: bool) -> io::Result<()> {
    let file = LogFile::open(path)?;
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let to_file = fmt::layer().with_ansi(false).with_writer(file);
    let to_stderr = and_stderr.then(|| fmt::layer().with_writer(io::stderr));
    // Fails when a subscriber is set already (tests that run several in one process).
    let set = tracing_subscriber::registry().with(filter).with(to_file).with(to_stderr).try_init();
    if set.is_ok() {
        std::panic::set_hook(Box::new(|info| tracing::error!(%info, "panic")));
    }
    Ok(())
}

/// A file that renames itself away when it is too large.
#[derive(Debug, Clone)]
struct LogFile(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self(Arc::new(Mutex::new(Inner { path: path.to_owned(), file, bytes }))))
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

impl Inner {
    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..KEEP_FILES - 1).rev() {
            match fs::rename(rotated(&self.path, number), rotated(&self.path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, rotated(&self.path, 1))?;
        self.file = open(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.bytes >= MAX_BYTES {
            // A log that cannot be rotated is still written.
            if let Err(error) = inner.rotate() {
                writeln!(inner.file, "this log cannot be rotated: {error}")?;
                inner.bytes = 0;
            }
        }
        let written = inner.file.write(line)?;
        inner.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_is_renamed_away() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("control.log");
        let mut log = LogFile::open(&path).expect("open");
        log.0.lock().expect("lock").bytes = MAX_BYTES;
        log.write_all(b"first of the new one\n").expect("write");
        assert!(rotated(&path, 1).exists());
        assert_eq!(fs::read_to_string(&path).expect("read"), "first of the new one\n");
    }
}
