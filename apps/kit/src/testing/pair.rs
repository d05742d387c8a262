//! Two PostgreSQL servers behind one address: what is answered is on both, and the second takes over.

use tokio::task::block_in_place;

use super::{Forwarder, OwnPostgres};

/// How a server is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Its processes end: connections break.
    Killed,
    /// Its machine is gone: nobody says so, connections stay.
    Gone,
}

/// A primary and its synchronous standby. Needs a runtime of several threads.
pub struct Pair {
    /// Takes the changes, until it is lost.
    pub primary: OwnPostgres,
    /// Has all of them that were answered.
    pub standby: OwnPostgres,
    address: Forwarder,
}

impl Pair {
    /// Starts both, for so many connections each.
    ///
    /// # Panics
    /// When they cannot start.
    pub async fn start(connections: u32) -> Self {
        let (primary, standby) = block_in_place(|| {
            let primary = OwnPostgres::start(connections);
            let standby = primary.standby();
            (primary, standby)
        });
        let address = Forwarder::to(primary.port()).await;
        Self { primary, standby, address }
    }

    /// The `DATABASE_URL` that leads to whichever takes changes.
    pub fn url(&self) -> String {
        format!("postgres://mana@127.0.0.1:{}/postgres", self.address.port())
    }

    /// Loses the primary; the standby takes over.
    ///
    /// # Panics
    /// When it cannot.
    pub fn fail_over(&mut self, loss: Loss) {
        block_in_place(|| {
            match loss {
                Loss::Killed => self.primary.kill(),
                Loss::Gone => {
                    self.address.silence();
                    self.primary.halt();
                }
            }
            self.standby.promote();
        });
        self.address.lead_to(self.standby.port());
    }
}
