//! Addresses of names, as this machine finds them. A server of names that does not answer makes whoever asks it wait for long, where no bound
//! reaches: so each is asked for by a thread of its own, and only few at a time.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

/// Threads that wait at most. Whoever finds no place within his time is answered by no name.
const AT_ONCE: usize = 4;

/// See the module's page.
pub(super) struct Names {
    turns: Arc<Semaphore>,
}

impl Default for Names {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Names {
    /// All of a name's; why there are none, else.
    pub(super) async fn of(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|error| error.to_string())?;
        let (sender, answer) = oneshot::channel::<Result<Vec<IpAddr>, String>>();
        let host = host.to_owned();
        let look = move || {
            let found = (host.as_str(), 0_u16).to_socket_addrs().map_err(|error| error.to_string());
            // Whoever waited for it may have gone on.
            let _ = sender.send(found.map(|found| found.map(|address| address.ip()).collect()));
            drop(turn);
        };
        std::thread::Builder::new().name("name".to_owned()).spawn(look).map_err(|error| error.to_string())?;
        let found = answer.await.map_err(|_| "looking for it broke off".to_owned())??;
        if found.is_empty() { Err("it has no address".to_owned()) } else { Ok(found) }
    }
}
