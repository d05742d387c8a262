//! How a process ended, as far as the system tells.

use std::os::fd::AsFd;

use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::driver::Exit;

/// Reaps an ended process through its pidfd. A process whose parent is another one (adopted) cannot be waited for: its
/// status belongs to that parent.
pub(crate) fn reap(pidfd: impl AsFd) -> Exit {
    match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
        Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Unobserved,
        },
        // ECHILD: not our child. Nothing yet: cannot be, the caller saw the pidfd become readable.
        Ok(None) | Err(_) => Exit::Unobserved,
    }
}
