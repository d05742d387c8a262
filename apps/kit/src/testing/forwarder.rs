//! An address that leads to one server or another: what a failover changes.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes connections on, until dropped.
pub struct Forwarder {
    port: u16,
    target: watch::Sender<u16>,
    silenced: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Forwarder {
    /// Listens on a port of its own, and leads to this one of this machine.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let own = listener.local_addr().expect("a bound socket has an address").port();
        let (target, leads_to) = watch::channel(port);
        let (silenced, _) = watch::channel(());
        let hushed = silenced.clone();
        let task = tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(pass(from, *leads_to.borrow(), hushed.subscribe()));
            }
        });
        Self { port: own, target, silenced, task }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// New connections lead there from now on.
    pub fn lead_to(&self, port: u16) {
        self.target.send_replace(port);
    }

    /// Passes nothing on any more of the connections there are, without breaking them: as if the machine behind them were gone.
    pub fn silence(&self) {
        self.silenced.send_replace(());
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut from: TcpStream, port: u16, mut silenced: watch::Receiver<()>) {
    // Where nobody listens the caller is refused as well: its connection ends here.
    let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut from, &mut to) => {}
        // Held until there is no forwarder any more.
        Ok(()) = silenced.changed() => while silenced.changed().await.is_ok() {},
    }
}
