//! The control plane as a process: the folder it owns, its log, its signals, and the wiring of everything else.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mana_edge::admin::socket;
use mana_runtime::process::ProcessDriver;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind};

use crate::key::{Key, KeyError};
use crate::passing::Passing;
use crate::server::{self, App};
use crate::store::{Store, StoreError};
use crate::supervisor::{Message, Parts, Supervisor};
use crate::traces::Traces;
use crate::{door, log, paths, status_page, traces, watching};

/// Threads for work that blocks (rotation of logs, reading a manifest). Idle ones end soon: memory counts.
const MAX_BLOCKING_THREADS: usize = 2;
const BLOCKING_KEEP_ALIVE: Duration = Duration::from_secs(1);
/// How long a control plane that holds the folder is given to end, and how often that is looked at.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_RETRY: Duration = Duration::from_millis(10);
/// Time for the last event of a stream to reach its reader.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// What `mana control` is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder it owns, absolute. Made (0700) where it does not exist.
    pub data: PathBuf,
    /// Program and leading arguments that start an edge; `--config FILE --admin SOCKET` is appended.
    pub edge_argv: Vec<String>,
    /// Leaves the terminal's session, so that closing the terminal does not end it.
    pub detach: bool,
    /// Writes its log lines to standard error as well (`mana up --foreground`).
    pub log_to_stderr: bool,
}

impl Options {
    /// The usual: this very binary as the edge, detached, silent.
    ///
    /// # Errors
    /// When the path of the running binary cannot be found out.
    pub fn new(data: PathBuf) -> std::io::Result<Self> {
        let binary = std::env::current_exe()?.to_string_lossy().into_owned();
        Ok(Self { data, edge_argv: vec![binary, "edge".into()], detach: true, log_to_stderr: false })
    }
}

/// Why the control plane ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// `mana down`: everything it started is stopped.
    Down,
    /// SIGTERM or SIGINT: it ended itself alone; the instances live on.
    Signal,
}

/// Why the control plane cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another control plane owns the data folder.
    #[error("another control plane (pid {pid}) already runs on {}; `mana status` asks it, `mana down` ends it", data.display())]
    AlreadyRunning {
        /// The folder.
        data: PathBuf,
        /// Its process id, as far as known.
        pid: String,
    },
    /// The data folder is open to others and holds things that are not ours.
    #[error(
        "{} is open to other users and holds other things; choose a folder of its own as data folder, or `chmod 700` it",
        data.display()
    )]
    NotOurs {
        /// The folder.
        data: PathBuf,
    },
    /// A folder, file or socket of its own is unusable.
    #[error("cannot use {}: {what}", path.display())]
    Folder {
        /// Which one.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Its memory is unusable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its key is unusable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The system gives no event loop or signals.
    #[error("the control plane cannot run: no event loop")]
    Runtime(#[source] io::Error),
}

/// Runs the control plane until it is told to end. Blocks; brings its own single-threaded runtime.
///
/// # Errors
/// [`Error`]; nothing was started then.
pub fn run(options: Options) -> Result<ExitReason, Error> {
    let Options { data, edge_argv, detach, log_to_stderr } = options;
    let _lock = take_folder(&data)?;
    if detach {
        leave_session();
    }
    let log = paths::control_log(&data);
    log::begin(&log, log_to_stderr).map_err(folder(&log, "it cannot be opened for logging"))?;
    Passing::sweep(&paths::builds(&data));
    let key = Key::of(&data)?;
    let mut store = Store::open(&paths::database(&data))?;
    let seal = key.of_second_factors();
    let sealed = store.seal_second_factors(|operator, secret| seal.seal(operator, secret))?;
    if sealed > 0 {
        tracing::info!(sealed, "second factors of an earlier version are sealed now");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_KEEP_ALIVE)
        .build()
        .map_err(Error::Runtime)?;
    let parts = Parts { data, edge_argv, store, driver: Arc::new(ProcessDriver), door: 0, traces: None };
    // Tasks that are still about (probes, waits) are dropped with the runtime; processes are not.
    runtime.block_on(live(parts, &key))
}

async fn live(mut parts: Parts, key: &Key) -> Result<ExitReason, Error> {
    let data = parts.data.clone();
    parts.traces = receive_spans(&data, key).await;
    let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::Runtime)?;
    parts.door = door.local_addr().map_err(Error::Runtime)?.port();
    let mut supervisor = Supervisor::new(parts);
    tracing::info!(data = %data.display(), pid = std::process::id(), version = env!("CARGO_PKG_VERSION"), "begins");
    let (mut terminate, mut interrupt) = (watch_for(SignalKind::terminate())?, watch_for(SignalKind::interrupt())?);
    supervisor.resume().await?;
    let mailbox = supervisor.mailbox();
    let socket = paths::control_socket(&data);
    let listener = socket::bind(&socket).map_err(folder(&socket, "the socket cannot be made"))?;
    let listener = UnixListener::from_std(listener).map_err(folder(&socket, "the socket cannot be used"))?;
    let watching = watching::start(&data, mailbox.clone());
    supervisor.reads(watching.clone());
    status_page::start(&data, mailbox.clone(), watching.clone());
    let app =
        App { data, mailbox: mailbox.clone(), watching, gate: Arc::new(door::Gate::new(key.of_second_factors())) };
    let door = tokio::spawn(door::serve(door, app.clone()));
    let server = tokio::spawn(server::serve(listener, app));
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // The owner is gone only when the process ends.
        let _ = mailbox.send(Message::Quit).await;
    });
    let reason = supervisor.run().await;
    tracing::info!(?reason, "ends");
    // What was already said to clients goes out before the process ends.
    tokio::time::sleep(LAST_WORDS).await;
    server.abort();
    door.abort();
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "the socket could not be removed");
        }
        _ => {}
    }
    Ok(reason)
}

/// Begins to receive spans. Where that cannot be, nothing else suffers.
async fn receive_spans(data: &Path, key: &Key) -> Option<Traces> {
    match Traces::bind(data, key).await {
        Ok((listener, receiving)) => {
            let (data, traces) = (data.to_owned(), receiving.clone());
            tokio::spawn(async move {
                if let Err(error) = traces::serve(listener, traces, &data).await {
                    tracing::error!(%error, "spans are not received any more");
                }
            });
            Some(receiving)
        }
        Err(error) => {
            tracing::warn!(%error, "spans of services are not received: there is no port for it");
            None
        }
    }
}

fn watch_for(kind: SignalKind) -> Result<Signal, Error> {
    tokio::signal::unix::signal(kind).map_err(Error::Runtime)
}

/// Makes the folders, and makes sure that no other control plane uses them. The lock is held until the process ends,
/// however it ends.
fn take_folder(data: &Path) -> Result<File, Error> {
    make_data_folder(data)?;
    let path = paths::control_lock(data);
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(folder(&path, "the lock cannot be opened"))?;
    let began = Instant::now();
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            // One that is just ending (`mana down`, then `mana up`) is waited for.
            Err(Errno::WOULDBLOCK) if began.elapsed() < LOCK_PATIENCE => std::thread::sleep(LOCK_RETRY),
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                // Without the number the message is still true.
                let _ = lock.read_to_string(&mut pid);
                let pid = if pid.trim().is_empty() { "unknown".to_owned() } else { pid.trim().to_owned() };
                return Err(Error::AlreadyRunning { data: data.to_owned(), pid });
            }
            Err(error) => return Err(folder(&path, "the lock cannot be taken")(error.into())),
        }
    }
    let write = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
    write.map_err(folder(&path, "the lock cannot be written"))?;
    Ok(lock)
}

/// Makes the data folder and what must be in it, for its owner alone; what is there stays.
///
/// # Errors
/// When it is another's folder, or the file system refuses.
pub fn make_data_folder(data: &Path) -> Result<(), Error> {
    make_private(data)?;
    make_folder(&paths::logs(data))?;
    make_folder(&paths::status_page(data))?;
    make_folder(&paths::service_data(data))
}

fn make_folder(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(folder(path, "the folder cannot be made"))
}

/// Makes the data folder its owner's alone. One that holds other things is somebody else's matter: it is not touched.
fn make_private(data: &Path) -> Result<(), Error> {
    make_folder(data)?;
    let unusable = || folder(data, "it cannot be looked into");
    let mode = std::fs::metadata(data).map_err(unusable())?.permissions().mode();
    let private = mode & 0o700 == mode & 0o777;
    let empty = || -> Result<bool, Error> { Ok(std::fs::read_dir(data).map_err(unusable())?.next().is_none()) };
    if private {
        return Ok(());
    }
    if !paths::control_lock(data).exists() && !empty()? {
        return Err(Error::NotOurs { data: data.to_owned() });
    }
    std::fs::set_permissions(data, Permissions::from_mode(0o700))
        .map_err(folder(data, "it cannot be made private (is it yours?)"))
}

/// Away from the terminal: its hang-up and its Ctrl-C are not meant for us. Fails where we lead a process group already,
/// which is as good.
fn leave_session() {
    let _ = rustix::process::setsid();
}

fn folder(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Folder { path: path.to_owned(), what, source }
}
