//! What `mana edge` is told on its command line; everything else stands in the snapshot.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// How to run an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The snapshot to serve. A snapshot taken through the admin socket is written back to it.
    pub config: PathBuf,
    /// Where to answer the admin API; `None`: nowhere, the snapshot never changes.
    pub admin: Option<PathBuf>,
    /// Worker threads; `None`: one for each core this process may use.
    pub threads: Option<NonZeroUsize>,
    /// Where a line for each request goes.
    pub access_log: AccessLog,
    /// Whether to take the place of the edge that answers on `admin`.
    pub replace: bool,
}

impl Options {
    /// Serves `config` with the defaults: no admin socket, a worker for each core, no access log.
    pub fn new(config: impl Into<PathBuf>) -> Self {
        Self { config: config.into(), admin: None, threads: None, access_log: AccessLog::Off, replace: false }
    }

    /// Answers the admin API on this unix socket.
    #[must_use]
    pub fn admin(mut self, socket: impl Into<PathBuf>) -> Self {
        self.admin = Some(socket.into());
        self
    }

    /// Takes the place of the edge that answers on the admin socket, without refusing or cutting anybody.
    #[must_use]
    pub fn replace(mut self) -> Self {
        self.replace = true;
        self
    }

    /// The admin socket of the edge to be replaced.
    pub(crate) fn replaced(&self) -> Option<&Path> {
        self.admin.as_deref().filter(|_| self.replace)
    }

    /// Uses this many worker threads.
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Writes access log lines there.
    #[must_use]
    pub fn access_log(mut self, to: AccessLog) -> Self {
        self.access_log = to;
        self
    }
}

/// Where access log lines go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere: not even formatted.
    #[default]
    Off,
    /// To standard output.
    Stdout,
    /// Appended to a file, created with mode 0640 when missing.
    File(PathBuf),
}
