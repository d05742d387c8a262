//! The trait every way of running instances implements.
//!
//! A driver is handed a [`Spec`] and gives a [`Handle`]; what identifies the running thing ([`Identity`]) can be written
//! down and later adopted by another process. Futures are boxed so that a caller can hold any driver behind one pointer:
//! starts and exits are rare, the allocation does not matter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Environment variable that carries the instance's id. It is how a process is found again whose start was intended but
/// never recorded.
pub const INSTANCE_VARIABLE: &str = "MANA_INSTANCE";

/// A boxed future.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A way of running instances.
pub trait Driver: fmt::Debug + Send + Sync {
    /// Starts an instance. When this answers, it runs (which says nothing about its health).
    fn start<'a>(&'a self, spec: &'a Spec) -> Pending<'a, Result<Arc<dyn Handle>, StartError>>;

    /// Takes over an instance that runs already.
    ///
    /// # Errors
    /// [`AdoptError::Gone`] when what runs under this identity is not that instance any more.
    fn adopt(&self, instance: &str, identity: &Identity) -> Result<Arc<dyn Handle>, AdoptError>;

    /// Finds running instances by their ids alone. One that was started in this very moment may be missed: look a second
    /// time before taking one for never started.
    ///
    /// # Errors
    /// When the driver cannot look at all.
    fn find(&self, instances: &BTreeSet<String>) -> io::Result<BTreeMap<String, Identity>>;
}

/// A running instance.
pub trait Handle: fmt::Debug + Send + Sync {
    /// What to write down so that it can be adopted later.
    fn identity(&self) -> &Identity;

    /// Sends a signal. One that has ended already is no error: it has what it was asked for.
    ///
    /// # Errors
    /// When the system refuses.
    fn signal(&self, signal: Signal) -> io::Result<()>;

    /// Waits for its end. May be called again, and dropped while waiting.
    fn exited(&self) -> Pending<'_, Exit>;
}

/// What is started.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Unique id of the instance.
    pub instance: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Folder it starts in.
    pub cwd: PathBuf,
    /// Environment. Values may be secret, so none is ever shown.
    pub env: BTreeMap<String, SecretString>,
    /// File that takes its standard output and error.
    pub log_file: PathBuf,
}

/// What tells one running instance from every other, on this machine, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// Start of the process, in clock ticks since boot: with the pid, unique since boot.
    pub start_time_ticks: u64,
    /// Which boot of the machine.
    pub boot_id: String,
}

/// What can be asked of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Finish what is in flight and end.
    Terminate,
    /// End now, with every process it started.
    Kill,
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// Another process was its parent, so only the fact is known.
    Unobserved,
}

impl Exit {
    /// Whether it ended as a program does that has done its work.
    pub fn success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(out, "exit code {code}"),
            Self::Signal(number) => match signal_name(*number) {
                Some(name) => write!(out, "signal {number} ({name})"),
                None => write!(out, "signal {number}"),
            },
            Self::Unobserved => out.write_str("exited while adopted (status not observable)"),
        }
    }
}

/// Names of the signals that end processes in practice.
fn signal_name(number: i32) -> Option<&'static str> {
    use rustix::process::Signal as S;
    let known = [
        (S::HUP, "SIGHUP"),
        (S::INT, "SIGINT"),
        (S::QUIT, "SIGQUIT"),
        (S::ILL, "SIGILL"),
        (S::TRAP, "SIGTRAP"),
        (S::ABORT, "SIGABRT"),
        (S::BUS, "SIGBUS"),
        (S::FPE, "SIGFPE"),
        (S::KILL, "SIGKILL"),
        (S::USR1, "SIGUSR1"),
        (S::SEGV, "SIGSEGV"),
        (S::USR2, "SIGUSR2"),
        (S::PIPE, "SIGPIPE"),
        (S::ALARM, "SIGALRM"),
        (S::TERM, "SIGTERM"),
        (S::XCPU, "SIGXCPU"),
        (S::XFSZ, "SIGXFSZ"),
        (S::SYS, "SIGSYS"),
    ];
    known.iter().find(|(signal, _)| signal.as_raw() == number).map(|(_, name)| *name)
}

/// Why an instance could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is nothing to start: `argv` is empty.
    #[error("there is no program to start")]
    NoProgram,
    /// The folder it should start in is not there.
    #[error("the folder {} to start in is not there", folder.display())]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// The program is not there or must not be executed. Trying again helps only after somebody did something.
    #[error("cannot execute {program}: {source}; is it built, and executable?")]
    Program {
        /// What was to be executed.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// Its log file cannot be opened.
    #[error("cannot open its log file {}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The system could not make a process now (out of memory, processes or descriptors).
    #[error("cannot start {program} now: {source}")]
    System {
        /// What was to be started.
        program: String,
        /// Why not.
        source: io::Error,
    },
}

impl StartError {
    /// Whether a person has to act before another try makes sense.
    pub fn needs_a_person(&self) -> bool {
        matches!(self, Self::NoProgram | Self::NoFolder { .. } | Self::Program { .. })
    }
}

/// Why an instance could not be adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It does not run any more; its pid is free, belongs to another process, or the machine was booted since.
    #[error("it does not run any more: {why}")]
    Gone {
        /// What shows that.
        why: &'static str,
    },
    /// The system refuses to say.
    #[error("cannot look at process {pid}")]
    System {
        /// The process id.
        pid: u32,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn exits_read_like_sentences_for_people() {
        assert_eq!(Exit::Code(1).to_string(), "exit code 1");
        assert_eq!(Exit::Signal(9).to_string(), "signal 9 (SIGKILL)");
        assert_eq!(Exit::Signal(63).to_string(), "signal 63");
        assert!(Exit::Code(0).success() && !Exit::Signal(15).success() && !Exit::Unobserved.success());
    }
}
