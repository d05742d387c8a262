//! Which port an instance gets: its last one where that is free, else the next free one of the range.
//!
//! Free means: not given to another instance of ours, not claimed by another control plane of this machine, and a bind on 127.0.0.1 succeeds
//! now. Another program may still take it in the moment between; the instance then ends at its own bind and the next try gets another port.
//!
//! A claim is a socket with a name of its own (`@mana-port-20001`): those are as many as there are ports, in each network namespace, and end with
//! whoever holds them. Without it, two control planes could give out the same port at once, and each would take the instance that was quicker
//! for its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Mutex, PoisonError};

/// No port of the range can be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no free port from {low} to {high}: {taken} are given to instances, others are used by other programs; \
         give the environment another range of instance ports"
)]
pub struct NoFreePort {
    /// First of the range.
    pub low: u16,
    /// Last of the range.
    pub high: u16,
    /// How many of them belong to our own instances.
    pub taken: usize,
}

/// Ports for instances.
#[derive(Debug, Clone)]
pub struct Ports {
    low: u16,
    high: u16,
    /// Where the search starts. Two control planes that share a range start at different places, so that they seldom
    /// want the same port at the same moment.
    start: u16,
}

impl Ports {
    /// Ports `low` to `high`, both included; `seed` moves the place where the search starts.
    pub fn new((low, high): (u16, u16), seed: u64) -> Self {
        let width = u64::from(high.saturating_sub(low)) + 1;
        let shift = u16::try_from(seed % width).unwrap_or(0);
        Self { low, high, start: low.saturating_add(shift) }
    }

    /// A port that is not `taken`, `preferred` if possible.
    ///
    /// # Errors
    /// [`NoFreePort`] when there is none.
    pub fn pick(
        &self,
        preferred: Option<u16>,
        taken: &BTreeSet<u16>,
        is_free: impl Fn(u16) -> bool,
    ) -> Result<u16, NoFreePort> {
        let usable = |port: &u16| !taken.contains(port) && is_free(*port);
        preferred
            .into_iter()
            .filter(|port| (self.low..=self.high).contains(port))
            .chain(self.start..=self.high)
            .chain(self.low..self.start)
            .find(usable)
            .ok_or_else(|| NoFreePort {
                low: self.low,
                high: self.high,
                taken: taken.range(self.low..=self.high).count(),
            })
    }
}

/// Ports that are given to instances of ours, which need not listen yet.
#[derive(Debug, Default)]
pub struct Claims {
    held: Mutex<BTreeMap<u16, UnixDatagram>>,
}

impl Claims {
    /// Lets go of those of instances that have ended.
    pub fn keep_only(&self, given: &BTreeSet<u16>) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).retain(|port, _| given.contains(port));
    }

    /// Whether the port is free, and ours from now on.
    pub fn claim(&self, port: u16) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains_key(&port) {
            return can_be_bound(port);
        }
        match claimed(port) {
            Ok(claim) if can_be_bound(port) => {
                held.insert(port, claim);
                true
            }
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => false,
            // Out of file handles, say: instances are started without a claim rather than not at all.
            Err(_) => can_be_bound(port),
        }
    }
}

fn claimed(port: u16) -> io::Result<UnixDatagram> {
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(format!("mana-port-{port}"))?)
}

/// Whether a program could listen on this port of 127.0.0.1 now. (`SO_REUSEADDR` is set, as every server does: closed
/// connections of the last run do not count, a listening socket does.)
fn can_be_bound(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(preferred: Option<u16>, taken: &[u16], used: &[u16], expected: Option<u16>) {
        let ports = Ports::new((10, 14), 2);
        let taken = taken.iter().copied().collect();
        let got = ports.pick(preferred, &taken, |port| !used.contains(&port)).ok();
        assert_eq!(got, expected, "preferred {preferred:?}, taken {taken:?}, used {used:?}");
    }

    #[test]
    fn the_last_port_is_kept_where_it_is_free() {
        check(Some(11), &[], &[], Some(11));
        check(Some(11), &[11], &[], Some(12));
        check(Some(11), &[], &[11], Some(12));
        check(Some(99), &[], &[], Some(12));
    }

    #[test]
    fn the_whole_range_is_searched_from_its_own_start() {
        check(None, &[], &[], Some(12));
        check(None, &[12, 13], &[14], Some(10));
        check(None, &[10, 11, 12, 13, 14], &[], None);
    }

    #[test]
    fn a_listening_socket_takes_a_port() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        let port = listener.local_addr().expect("address").port();
        assert!(!can_be_bound(port) && !Claims::default().claim(port));
    }

    #[test]
    fn of_two_control_planes_one_gives_a_port_until_its_instance_has_ended() {
        // Below those that the system gives to others meanwhile.
        let port = (30_000..32_000).find(|port| can_be_bound(*port)).expect("a free port");
        let (ours, theirs) = (Claims::default(), Claims::default());
        assert!(ours.claim(port) && ours.claim(port) && !theirs.claim(port));
        ours.keep_only(&BTreeSet::from([port]));
        assert!(!theirs.claim(port));
        ours.keep_only(&BTreeSet::new());
        assert!(theirs.claim(port) && !ours.claim(port));
    }
}
