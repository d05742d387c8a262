//! Ports for tests, each held by one test process for as long as it lives: a port that is only looked at may be another's by the time
//! somebody listens on it, and is nobody's for a moment whenever a server is started anew.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Below those that outgoing connections get, and instances; above those at which control planes listen for spans
/// (`mana-control`'s `traces`), any of them at any time, and the last that a manifest may not name (11,211).
const PORTS: Range<u16> = 15_318..19_000;
/// Processes look from different places on, which is quicker; the locks keep them apart.
const APART: usize = 64;

/// A port that nobody listens on, and no other test takes until this process has ended.
///
/// # Panics
/// When there is none, or the temporary folder cannot be written.
pub fn free_port() -> u16 {
    /// Those of this process; the system lets go of them when it ends.
    static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = std::env::temp_dir().join("mana-test-ports");
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    let first = std::process::id() as usize * APART + held.len();
    for port in all_from(PORTS, first) {
        let lock = OpenOptions::new().create(true).append(true).open(folder.join(port.to_string()));
        let lock = lock.expect("the temporary folder is writable");
        if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            held.push(lock);
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}

/// All of them once, from the `first` on, counted round and round.
fn all_from(ports: Range<u16>, first: usize) -> impl Iterator<Item = u16> {
    let all = ports.len();
    ports.cycle().skip(first % all).take(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_though_nobody_listens_on_it() {
        let ports: Vec<u16> = (0..200).map(|_| free_port()).collect();
        let mut different = ports.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), ports.len());
        assert!(ports.iter().all(|port| PORTS.contains(port)));
    }

    #[test]
    fn each_is_looked_at_once_wherever_it_begins() {
        assert_eq!(all_from(5..8, 7).collect::<Vec<_>>(), [6, 7, 5]);
    }
}
