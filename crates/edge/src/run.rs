//! Composition: everything is wired here, in the order things happen.
//!
//! Read and check the snapshot, bind its addresses, open the admin socket, start the workers, serve; on SIGTERM or
//! `POST /drain` stop accepting, let requests finish, end. Nothing is bound before everything is checked.

use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::LocalRuntime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Notify, mpsc, oneshot};

use crate::access_log::{LogBuffer, LogWriter};
use crate::admin::{server, socket};
use crate::compile::compile;
use crate::control::{self, Bound, Control, WorkerHandle};
use crate::error::Error;
use crate::handover::{self, Taken};
use crate::metrics::Registry;
use crate::metrics::readings::EVERY;
use crate::options::Options;
use crate::otlp::{self, Batch};
use crate::persist;
use crate::tls::{Keeper, Store, keeper};
use crate::worker::{Command, Shared, Worker};

/// Commands that may wait for a worker. The control thread waits for each answer, so there are never more than a few.
const COMMANDS: usize = 16;

/// Serves until SIGTERM, SIGINT or `POST /drain`, then lets requests finish. Blocks the calling thread.
///
/// # Errors
/// See [`Error`]; [`Error::exit_code`] says what the process should end with.
pub fn run(options: Options) -> Result<(), Error> {
    Edge::begin(options, true)?.wait()
}

/// An edge that runs in threads of this process.
#[derive(Debug)]
pub struct Edge {
    addresses: Vec<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: JoinHandle<Result<(), Error>>,
}

impl Edge {
    /// Starts an edge and returns once it accepts. Signals are left to the caller.
    pub fn start(options: Options) -> Result<Self, Error> {
        Self::begin(options, false)
    }

    /// Where it accepts, in the order of the declared addresses, with real ports in place of 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops gracefully: returns when the last request has ended, or after the snapshot's `drain_timeout_ms`.
    pub fn stop(mut self) -> Result<(), Error> {
        if let Some(stop) = self.stop.take() {
            // If nobody hears it, the edge has ended already, and `wait` says how.
            let _ended = stop.send(());
        }
        self.wait()
    }

    /// Waits until the edge ends by itself.
    pub fn wait(self) -> Result<(), Error> {
        // Kept until the thread has ended: dropping it would stop the edge.
        let stop = self.stop;
        let ended = self.thread.join().unwrap_or(Err(Error::Worker { index: 0 }));
        drop(stop);
        ended
    }

    fn begin(options: Options, signals: bool) -> Result<Self, Error> {
        let prepared = Prepared::new(options)?;
        let (stop, stopped) = oneshot::channel();
        let (started, ready) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("edge-control".into())
            .spawn(move || {
                let runtime = runtime()?;
                runtime.block_on(prepared.serve(stopped, signals, started))
            })
            .map_err(|source| Error::Start { what: "the control thread", source })?;
        match ready.recv() {
            Ok(addresses) => Ok(Self { addresses, stop: Some(stop), thread }),
            // It ended before it was ready, and says why.
            Err(_ended) => match thread.join() {
                Ok(Err(error)) => Err(error),
                Ok(Ok(())) | Err(_) => Err(Error::Worker { index: 0 }),
            },
        }
    }
}

/// Before what follows from a lease that ran out is tried again, where the disk did not take it.
const LEASE_RETRY: Duration = Duration::from_secs(1);

/// All that can fail for reasons of configuration has not.
struct Prepared {
    options: Options,
    shared: Arc<Shared>,
    certificates: keeper::Prepared,
    bound: Vec<Bound>,
    taken: Option<Taken>,
    admin: Option<UnixListener>,
    log: Option<LogWriter>,
    batches: mpsc::Receiver<Batch>,
    threads: usize,
}

impl Prepared {
    fn new(options: Options) -> Result<Self, Error> {
        // The old edge changes nothing from here on until this one is ready, or has failed.
        let taken = options.replaced().map(handover::take).transpose();
        let mut taken = taken.map_err(|source| Error::Replace { source })?;
        let snapshot = Arc::new(persist::load(&options.config)?);
        let invalid = |problems| Error::Invalid { path: options.config.clone(), problems };
        let table = compile(&snapshot).map_err(invalid)?;
        let certificates = keeper::prepare(&Store::default(), None, &snapshot, &table).map_err(invalid)?;
        let threads = options.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, usize::from);
        let log = LogWriter::start(&options.access_log)?;
        let listeners = taken.as_mut().map(|taken| std::mem::take(&mut taken.listeners)).unwrap_or_default();
        let bound = control::bind(&table, |_| false, listeners, threads)?;
        let admin = options.admin.as_deref().map(|path| {
            let bound = if taken.is_some() { socket::replace(path) } else { socket::bind(path) };
            bound.map_err(|source| Error::Admin { path: path.to_owned(), source })
        });
        let admin = admin.transpose()?;
        let (spans, batches) = mpsc::channel(otlp::QUEUE);
        let shared = Arc::new(Shared::new(Arc::new(table), threads, spans)?);
        Ok(Self { options, shared, certificates, bound, taken, admin, log, batches, threads })
    }

    async fn serve(
        self,
        stopped: oneshot::Receiver<()>,
        signals: bool,
        started: std::sync::mpsc::Sender<Vec<SocketAddr>>,
    ) -> Result<(), Error> {
        let Self { options, shared, certificates, bound, taken, admin, log, batches, threads } = self;
        let keeper = Keeper::new(Arc::clone(&shared.certificates));
        keeper.take_over(certificates);
        tokio::task::spawn_local(Rc::clone(&keeper).run());
        let no_more_spans = Rc::new(Notify::new());
        let exporting = otlp::export::run(Arc::clone(&shared), batches, Rc::clone(&no_more_spans));
        let exporting = tokio::task::spawn_local(exporting);
        let (ended, mut ends) = mpsc::channel(threads);
        let mut handles = Vec::new();
        let mut workers = Vec::new();
        for index in 0..threads {
            let buffer = log.as_ref().map(LogWriter::buffer);
            let (worker, handle) = start_worker(index, Arc::clone(&shared), buffer, ended.clone())?;
            workers.push(worker);
            handles.push(handle);
        }
        drop(ended);
        let signals = if signals { Some(Signals::new()?) } else { None };
        let control = Rc::new(Mutex::new(Control::new(options.config, Arc::clone(&shared), keeper, handles)));
        control.lock().await.listen(bound).await;
        control.lock().await.note_applied();
        tokio::task::spawn_local({
            let control = Rc::clone(&control);
            async move {
                loop {
                    control.lock().await.read();
                    tokio::time::sleep(EVERY).await;
                }
            }
        });
        tokio::task::spawn_local({
            let control = Rc::clone(&control);
            async move {
                loop {
                    let (next, changed) = control.lock().await.next_lease();
                    match next {
                        Some(next) => drop(tokio::time::timeout_at(next.into(), changed.notified()).await),
                        None => changed.notified().await,
                    }
                    if !control.lock().await.end_leases().await {
                        tokio::time::sleep(LEASE_RETRY).await;
                    }
                }
            }
        });
        let addresses = control.lock().await.addresses();
        tracing::info!(threads, ?addresses, generation = shared.table().snapshot.generation, "serving");
        if let Some(taken) = taken
            && let Err(error) = taken.ready()
        {
            tracing::warn!(%error, "the edge before this one has ended already");
        }
        let socket_file = admin.as_ref().and(options.admin).map(SocketFile);
        let connections = server::Connections::new();
        if let Some(listener) = admin {
            let (control, connections) = (Rc::clone(&control), connections.clone());
            tokio::task::spawn_local(async move {
                if let Err(error) = server::serve(listener, control, connections).await {
                    tracing::error!(%error, "the admin socket cannot be served");
                }
            });
        }
        // Whoever started us may have gone; the edge serves on.
        let _gone = started.send(addresses);

        // The first worker to end has drained, or has panicked; in both cases the others are to end as well.
        tokio::select! {
            _ = stopped => {}
            () = stop_signal(signals) => {}
            _ = ends.recv() => {}
        }
        control.lock().await.drain().await;
        while ends.recv().await.is_some() {}
        if control.lock().await.is_handed_over() {
            // The path is the next edge's.
            std::mem::forget(socket_file);
        } else {
            drop(socket_file);
        }
        connections.finish().await;
        let result = join(workers);
        no_more_spans.notify_one();
        if tokio::time::timeout(otlp::export::PATIENCE, exporting).await.is_err() {
            tracing::warn!("the collector did not take the last spans in time");
        }
        if let Some(log) = log {
            log.finish();
        }
        tracing::info!("ended");
        result
    }
}

fn join(workers: Vec<JoinHandle<()>>) -> Result<(), Error> {
    // All are joined, whichever panicked.
    let ends: Vec<_> = workers.into_iter().map(JoinHandle::join).collect();
    match ends.iter().position(Result::is_err) {
        Some(index) => Err(Error::Worker { index }),
        None => Ok(()),
    }
}

/// Starts a worker thread. `ended` is dropped when the thread ends, however it ends.
fn start_worker(
    index: usize,
    shared: Arc<Shared>,
    log: Option<LogBuffer>,
    ended: mpsc::Sender<()>,
) -> Result<(JoinHandle<()>, WorkerHandle), Error> {
    let (commands, inbox) = mpsc::channel::<Command>(COMMANDS);
    let registry = Arc::new(Registry::default());
    let handle = WorkerHandle { commands, registry: Arc::clone(&registry) };
    let runtime = || runtime();
    let thread = std::thread::Builder::new()
        .name(format!("edge-{index}"))
        .spawn(move || {
            let told = End(ended);
            match runtime() {
                Ok(runtime) => runtime.block_on(Worker::new(shared, registry, log, index == 0).run(inbox)),
                Err(error) => tracing::error!(%error, "a worker cannot start"),
            }
            drop(told);
        })
        .map_err(|source| Error::Start { what: "a worker thread", source })?;
    Ok((thread, handle))
}

/// Says that a worker has ended, even by a panic.
struct End(mpsc::Sender<()>);

impl Drop for End {
    fn drop(&mut self) {
        // Full only if others have ended too, which says the same.
        let _full = self.0.try_send(());
    }
}

fn runtime() -> Result<LocalRuntime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .map_err(|source| Error::Start { what: "a thread's event loop", source })
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(|source| Error::Start { what: "listening for signals", source });
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }
}

async fn stop_signal(signals: Option<Signals>) {
    let Some(mut signals) = signals else { return std::future::pending().await };
    tokio::select! {
        _ = signals.terminate.recv() => {}
        _ = signals.interrupt.recv() => {}
    }
}

/// The admin socket's file, removed when the edge ends.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "the admin socket's file is left behind");
        }
    }
}
