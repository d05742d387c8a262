//! Accepting clients on one socket, until told to stop.

use std::future::Future as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::metrics::Refused;
use crate::worker::Worker;
use crate::{connection, http3, listen};

/// After an error of `accept` that would come again at once (no file handles left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts on one socket.
pub(crate) struct Acceptor {
    /// As bound.
    pub(crate) address: SocketAddr,
    stop: Rc<Notify>,
    task: JoinHandle<()>,
}

impl Acceptor {
    pub(crate) fn start(worker: &Rc<Worker>, declared: SocketAddr, socket: TcpListener) -> Self {
        let stop = Rc::new(Notify::new());
        let address = socket.local_addr().unwrap_or(declared);
        let task = tokio::task::spawn_local(accept(Rc::clone(worker), declared, socket, Rc::clone(&stop)));
        Self { address, stop, task }
    }

    pub(crate) fn of_http3(worker: &Rc<Worker>, declared: SocketAddr, address: SocketAddr) -> Self {
        let stop = Rc::new(Notify::new());
        let task = tokio::task::spawn_local(http3::listen(Rc::clone(worker), declared, address, Rc::clone(&stop)));
        Self { address, stop, task }
    }

    /// Stops accepting once what waits in the socket's queue is accepted: closing it would reset those clients.
    pub(crate) async fn stop(self) {
        self.stop.notify_one();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "acceptor ended by a panic");
        }
    }
}

async fn accept(worker: Rc<Worker>, declared: SocketAddr, socket: TcpListener, stop: Rc<Notify>) {
    // Connections still taken from the queue once it is time to stop; `None` until then.
    let mut last = None;
    while last != Some(0) {
        let accepted = match &mut last {
            None => tokio::select! {
                accepted = socket.accept() => accepted,
                () = stop.notified() => {
                    last = Some(listen::BACKLOG);
                    continue;
                }
            },
            Some(left) => {
                *left -= 1;
                match std::pin::pin!(socket.accept()).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(accepted) => accepted,
                    Poll::Pending => return,
                }
            }
        };
        match accepted {
            Ok((stream, peer)) => begin(&worker, stream, peer, declared),
            Err(error) => {
                worker.registry.thread.accept_errors.add(1);
                if !is_about_one_connection(&error) {
                    tracing::warn!(listener = %declared, %error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn begin(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, declared: SocketAddr) {
    if let Some(admission) = worker.admit(peer.ip(), declared) {
        tokio::task::spawn_local(connection::drive(Rc::clone(worker), stream, peer, declared, admission));
    } else {
        worker.registry.thread.refuse(Refused::Connection);
        if worker.view().table.listeners.get(&declared).is_some_and(|listener| !listener.tls) {
            connection::turn_away(&stream);
        }
    }
}

fn is_about_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
