//! Port offsets: each running ecosystem holds one that no other test on this machine holds.

use std::fs::File;
use std::net::TcpListener;

use rustix::fs::{FlockOperation, flock};

/// Internal ports of the shipped manifest and its public one; all are moved by the offset.
const BASE_PORTS: [u16; 5] = [3001, 3002, 3090, 3100, 8080];

/// Offsets tried, in hundreds: every one keeps the public port below the instances' range (20000), and none makes it 10080,
/// which browsers refuse to open.
const OFFSETS: std::ops::Range<u16> = 21..110;

/// An offset, held until dropped.
pub struct Offset {
    /// Added to every port of the manifest.
    pub value: u16,
    _lock: File,
}

impl Offset {
    /// Takes a free one.
    ///
    /// # Panics
    /// When none is free.
    pub fn take() -> Self {
        for step in OFFSETS {
            let value = step * 100;
            let path = std::env::temp_dir().join(format!("mana-test-offset-{value}.lock"));
            let lock = File::create(path).expect("temporary folder is writable");
            let held = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
            let free = || BASE_PORTS.iter().all(|port| TcpListener::bind(("127.0.0.1", port + value)).is_ok());
            if held && free() {
                return Self { value, _lock: lock };
            }
        }
        panic!("no free port offset: is something left running from an earlier test?");
    }
}
