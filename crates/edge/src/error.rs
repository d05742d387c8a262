//! Why an edge could not start or go on. Answers to clients are in `answer`, refused snapshots in `table`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::table::Problem;

/// Why [`crate::run`] ended other than well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The snapshot file cannot be read.
    #[error("cannot read the snapshot {}: write it first, or name another one with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The snapshot file is no snapshot.
    #[error("the snapshot {} is not understood: correct it at the place named", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line and column.
        source: serde_json::Error,
    },
    /// The snapshot contradicts itself.
    #[error("the snapshot {} cannot be served:\n{}", path.display(), list(problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong, at once.
        problems: Vec<Problem>,
    },
    /// Another process serves on an address of ours.
    #[error("{address} is in use by another process: stop it (`ss -ltnp 'sport = :{}'` names it) or choose another port", address.port())]
    AddressInUse {
        /// The address.
        address: SocketAddr,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: check that the address is this machine's and the port is permitted")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The admin socket cannot be made.
    #[error("cannot make the admin socket {}: {}", path.display(), advice(source))]
    Admin {
        /// The socket's path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The edge that runs does not hand over.
    #[error(
        "cannot replace the edge that runs: {source}; is one running on this admin socket? Without --replace a new one starts"
    )]
    Replace {
        /// What it said.
        source: io::Error,
    },
    /// A file for the access log cannot be opened.
    #[error("cannot open the access log {}: check the folder and its permissions", path.display())]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A thread or runtime cannot be started.
    #[error("cannot start {what}: the machine is out of threads or file handles")]
    Start {
        /// What was to be started.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A worker thread panicked; the others were stopped too, so that a supervisor starts a whole edge again.
    #[error("worker {index} ended by a panic: see the log above, and report it")]
    Worker {
        /// Which one.
        index: usize,
    },
}

impl Error {
    pub(crate) fn tls(source: rustls::Error) -> Self {
        Self::Start { what: "TLS", source: io::Error::other(source) }
    }

    /// Whether the configuration is to blame, and no socket was bound yet: a process ends with 64 then, else with 1.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Parse { .. } | Self::Invalid { .. })
    }

    /// The exit code of a process that ends with this error.
    pub fn exit_code(&self) -> u8 {
        if self.is_configuration() { 64 } else { 1 }
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("  - {problem}")).collect::<Vec<_>>().join("\n")
}

fn advice(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::AddrInUse {
        "another edge answers there; stop it first, or name another socket with --admin"
    } else {
        "check that its folder exists and belongs to you"
    }
}
