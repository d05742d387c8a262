//! Database servers of a test's own, for what cannot be done to the shared ones: stopping, starting again, halting, filling,
//! failing over. Each is in a temporary folder on a port of its own, and ended by its process id.

use std::net::TcpListener;
use std::time::Duration;

pub use super::own_postgres::OwnPostgres;
pub use super::own_redis::OwnRedis;

/// Longest wait for a server to be there.
pub(super) const START: Duration = Duration::from_secs(30);

/// How often that is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(20);

pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}
