//! Driver `process`: an instance is a process of this machine, held by a pidfd.
//!
//! Invariants:
//! - A pidfd is opened first and the identity checked after; every signal goes through that pidfd. A pid that was given
//!   to another process in between can therefore never be hit.
//! - The rest of an instance's process group is found by scanning for its group *and* its id in the environment, and
//!   each member is signalled through a pidfd of its own.
//! - When the leader ends, what is left of its group is killed before the end is reported: a forgotten child must not
//!   hold the port of the next run.

mod exit;
pub(crate) mod identity;
mod spawn;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal as RawSignal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::driver::{AdoptError, Driver, Exit, Handle, INSTANCE_VARIABLE, Identity, Pending, Signal, Spec, StartError};

/// Runs instances as processes.
#[derive(Debug, Default)]
pub struct ProcessDriver;

/// A process that runs an instance.
#[derive(Debug)]
struct Process {
    instance: String,
    identity: Identity,
    pidfd: AsyncFd<OwnedFd>,
    /// How it ended, once that is known: a status can be read only once.
    exit: OnceLock<Exit>,
}

impl Driver for ProcessDriver {
    fn start<'a>(&'a self, spec: &'a Spec) -> Pending<'a, Result<Arc<dyn Handle>, StartError>> {
        Box::pin(async move {
            let mut child = spawn::spawn(spec)?;
            let held = hold(child.id()).and_then(|pidfd| Ok((identity::identify(child.id())?, pidfd)));
            match held {
                Ok((identity, pidfd)) => {
                    let process = Process { instance: spec.instance.clone(), identity, pidfd, exit: OnceLock::new() };
                    Ok(Arc::new(process) as Arc<dyn Handle>)
                }
                Err(source) => {
                    // A process that cannot be held cannot be looked after: better none at all. It is our child and not
                    // waited for yet, so its pid is still its own.
                    let ended = child.kill().and_then(|()| child.wait());
                    if let Err(error) = ended {
                        tracing::error!(instance = %spec.instance, %error, "a process that cannot be held lives on");
                    }
                    Err(StartError::System { program: spec.argv[0].clone(), source })
                }
            }
        })
    }

    fn adopt(&self, instance: &str, identity: &Identity) -> Result<Arc<dyn Handle>, AdoptError> {
        let pidfd = match hold(identity.pid) {
            Ok(pidfd) => pidfd,
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {
                return Err(AdoptError::Gone { why: "its pid is free" });
            }
            Err(source) => return Err(AdoptError::System { pid: identity.pid, source }),
        };
        identity::check(identity)?;
        let process =
            Process { instance: instance.to_owned(), identity: identity.clone(), pidfd, exit: OnceLock::new() };
        Ok(Arc::new(process))
    }

    fn find(&self, instances: &BTreeSet<String>) -> io::Result<BTreeMap<String, Identity>> {
        if instances.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut found = BTreeMap::new();
        for pid in identity::own_processes()? {
            let Some(instance) = identity::environment_variable(pid, INSTANCE_VARIABLE) else { continue };
            // Children inherit the variable; the instance itself is the one that leads its group.
            let leads = identity::stat(pid).is_ok_and(|stat| stat.group == pid && !stat.ended());
            if leads
                && instances.contains(&instance)
                && let Ok(identity) = identity::identify(pid)
            {
                found.insert(instance, identity);
            }
        }
        Ok(found)
    }
}

#[expect(
    deprecated,
    reason = "its successor is an unsafe function, for descriptors that might be closed meanwhile; this one is owned"
)]
fn hold(pid: u32) -> io::Result<AsyncFd<OwnedFd>> {
    let pid = identity::pid(pid).ok_or_else(|| io::Error::from(Errno::SRCH))?;
    AsyncFd::with_interest(pidfd_open(pid, PidfdFlags::empty())?, Interest::READABLE)
}

impl Process {
    /// Kills what is left of the group, the leader excepted.
    fn kill_members(&self) {
        let pids = match identity::own_processes() {
            Ok(pids) => pids,
            Err(error) => {
                tracing::error!(instance = %self.instance, %error, "cannot look for what the instance left behind");
                return;
            }
        };
        for pid in pids.filter(|pid| *pid != self.identity.pid) {
            if !self.is_member(pid) {
                continue;
            }
            let Some(raw) = identity::pid(pid) else { continue };
            let Ok(pidfd) = pidfd_open(raw, PidfdFlags::empty()) else { continue };
            // Once more, now that the pidfd holds whoever has this pid.
            if self.is_member(pid)
                && let Err(error) = send(&pidfd, RawSignal::KILL)
            {
                tracing::warn!(instance = %self.instance, pid, %error, "cannot kill a process the instance started");
            }
        }
    }

    fn is_member(&self, pid: u32) -> bool {
        identity::stat(pid).is_ok_and(|stat| stat.group == self.identity.pid && !stat.ended())
            && identity::environment_variable(pid, INSTANCE_VARIABLE).as_deref() == Some(&self.instance)
    }
}

impl Handle for Process {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        match signal {
            Signal::Terminate => send(self.pidfd.get_ref(), RawSignal::TERM),
            Signal::Kill => {
                let killed = send(self.pidfd.get_ref(), RawSignal::KILL);
                self.kill_members();
                killed
            }
        }
    }

    fn exited(&self) -> Pending<'_, Exit> {
        Box::pin(async move {
            if let Some(exit) = self.exit.get() {
                return exit.clone();
            }
            // A pidfd becomes readable when its process ends and stays so; readiness is never cleared here.
            if let Err(error) = self.pidfd.readable().await {
                tracing::error!(instance = %self.instance, %error, "cannot wait for the end of the instance");
                return Exit::Unobserved;
            }
            self.exit
                .get_or_init(|| {
                    self.kill_members();
                    exit::reap(self.pidfd.get_ref())
                })
                .clone()
        })
    }
}

/// Sends a signal through a pidfd. A process that has ended is no error.
fn send(pidfd: &OwnedFd, signal: RawSignal) -> io::Result<()> {
    match pidfd_send_signal(pidfd, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
