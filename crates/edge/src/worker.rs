//! One thread: its listeners' sockets, its connections, its view of the table.
//!
//! Nothing here is shared with other workers but what [`Shared`] holds, and that is read, or touched once a connection.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use quinn::crypto::rustls::QuicServerConfig;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::acceptor::Acceptor;
use crate::access_log::LogBuffer;
use crate::cache::{self, Unfit};
use crate::conn_state::ConnState;
use crate::error::Error;
use crate::metrics::Registry;
use crate::otlp::export::Lost;
use crate::otlp::{Batch, SpanBuffer};
use crate::policy::maintenance::MAX_HELD;
use crate::policy::rate;
use crate::record::Record;
use crate::table::{Listener, Role, Table};
use crate::ticker::{Millis, Ticker};
use crate::tls::{self, Store};
use crate::upstreams::Upstreams;
use crate::view::View;
use crate::{clock, probing, static_site};

/// The part of its time that a patient end waits for idle clients to ask once more.
const PATIENT_SHARE: f64 = 0.75;

/// The part of its time that an end leaves to WebSockets: they do not finish by themselves, and are told to go before they
/// are cut.
const TUNNELS_SHARE: f64 = 0.6;

/// Longest wait at the end for what was said last on HTTP/3's connections to be sent.
const LINGER: Duration = Duration::from_secs(1);

/// Whether the edge is about to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    Patiently,
    Now,
}

/// What all workers and the control thread share.
pub(crate) struct Shared {
    table: ArcSwap<Table>,
    /// Counts the tables. Workers compare it with their view's on each request: one load of a line that is written
    /// once a snapshot.
    epoch: AtomicU64,
    connections: AtomicUsize,
    pub(crate) certificates: Arc<Store>,
    /// Open connections by client, of all threads. Touched once a connection.
    addresses: Mutex<HashMap<u128, usize>>,
    threads: usize,
    /// What clients have used of their rate limits.
    pub(crate) rates: rate::Store,
    /// To whom spans are handed.
    pub(crate) spans: mpsc::Sender<Batch>,
    /// Those that the collector did not take.
    pub(crate) spans_lost: Lost,
    /// Answers that are kept.
    pub(crate) cache: Arc<cache::Store>,
    /// How TLS is spoken, with those certificates.
    pub(crate) tls: Arc<ServerConfig>,
    /// The same for HTTP/3.
    pub(crate) quic: Arc<QuicServerConfig>,
}

impl Shared {
    pub(crate) fn new(table: Arc<Table>, threads: usize, spans: mpsc::Sender<Batch>) -> Result<Self, Error> {
        let certificates = Arc::new(Store::default());
        Ok(Self {
            table: ArcSwap::new(table),
            epoch: AtomicU64::new(1),
            connections: AtomicUsize::new(0),
            addresses: Mutex::default(),
            threads,
            rates: rate::Store::default(),
            spans,
            spans_lost: Lost::default(),
            cache: Arc::default(),
            tls: tls::config::server(&certificates)?,
            quic: tls::config::quic(&certificates)?,
            certificates,
        })
    }

    pub(crate) fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Puts a table into effect: every request that begins after this is answered from it.
    pub(crate) fn swap(&self, table: Arc<Table>) {
        self.table.store(table);
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Counts a connection of this client; gives how many it had.
    fn enter(&self, client: u128) -> usize {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let open = addresses.entry(client).or_default();
        *open += 1;
        *open - 1
    }

    fn leave(&self, client: u128) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut open) = addresses.entry(client) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// What a worker is told. Each is answered when done.
pub(crate) enum Command {
    /// Accept on this socket, which the snapshot declares as `declared`.
    Listen { declared: SocketAddr, socket: std::net::TcpListener, done: oneshot::Sender<std::io::Result<()>> },
    /// Take over the current table, and stop accepting on these listeners.
    Refresh { gone: Vec<SocketAddr>, done: oneshot::Sender<()> },
    /// Say how many requests are still with which instances that get nothing new.
    Retired { done: oneshot::Sender<Vec<(Box<str>, u32)>> },
    /// Stop accepting, let requests finish for at most this long, then end. With patience, a client that is only idle is told
    /// to go with its next answer rather than at once: it may be asking at this moment.
    Drain { within: Duration, patient: bool },
}

pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) ticker: Rc<Ticker>,
    view: RefCell<Rc<View>>,
    upstreams: Rc<Upstreams>,
    log: Option<RefCell<LogBuffer>>,
    spans: RefCell<SpanBuffer>,
    /// Requests of a second (since 1970) that are traced.
    traced: Cell<(u64, u32)>,
    /// Of all threads, this one speaks HTTP/3.
    leads: bool,
    leaving: Cell<Leaving>,
    /// A connection has ended.
    pub(crate) closed: Notify,
    /// A new table is in effect.
    pub(crate) changed: Notify,
    /// Requests that wait for it.
    held: Cell<usize>,
    /// Endpoints of HTTP/3 that accept nothing any more, and are still needed.
    lingering: Cell<usize>,
    /// Requests being answered.
    pub(crate) requests: Cell<usize>,
    /// What the cache need not be asked for.
    pub(crate) unfit: Unfit,
    /// Files that are given out now.
    pub(crate) files: static_site::Kept,
    /// Kept answers that are being renewed.
    pub(crate) renewals: Cell<usize>,
    /// When tunnels are to end because the edge does.
    pub(crate) tunnels_end: Cell<Option<Millis>>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, registry: Arc<Registry>, log: Option<LogBuffer>, leads: bool) -> Rc<Self> {
        let epoch = shared.epoch.load(Ordering::Acquire);
        let upstreams = Rc::default();
        let view = View::new(epoch, &shared.table(), &upstreams, &registry);
        Rc::new(Self {
            view: RefCell::new(Rc::new(view)),
            upstreams,
            spans: RefCell::new(SpanBuffer::new(shared.spans.clone())),
            traced: Cell::default(),
            shared,
            registry,
            ticker: Rc::new(Ticker::new()),
            log: log.map(RefCell::new),
            leads,
            leaving: Cell::new(Leaving::No),
            closed: Notify::new(),
            changed: Notify::new(),
            held: Cell::new(0),
            lingering: Cell::new(0),
            requests: Cell::new(0),
            unfit: Unfit::default(),
            files: static_site::Kept::default(),
            renewals: Cell::new(0),
            tunnels_end: Cell::new(None),
        })
    }

    /// The current view. Made anew first if there is a new table.
    pub(crate) fn view(&self) -> Rc<View> {
        let epoch = self.shared.epoch.load(Ordering::Acquire);
        let mut view = self.view.borrow_mut();
        if view.epoch != epoch {
            *view = Rc::new(View::new(epoch, &self.shared.table(), &self.upstreams, &self.registry));
        }
        Rc::clone(&view)
    }

    /// Begins to ask those instances how they are that are not asked yet.
    fn probe(self: &Rc<Self>) {
        self.view();
        for upstream in self.upstreams.to_probe() {
            tokio::task::spawn_local(probing::run(Rc::clone(self), upstream));
        }
    }

    /// Whether connections end as soon as no request is on them.
    pub(crate) fn is_draining(&self) -> bool {
        self.leaving.get() == Leaving::Now
    }

    /// Whether each connection's next answer is its last.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.get() != Leaving::No
    }

    /// A place among the requests that wait for a new table, if one is free.
    pub(crate) fn hold(self: &Rc<Self>) -> Option<Hold> {
        if self.held.get() >= MAX_HELD {
            return None;
        }
        self.held.set(self.held.get() + 1);
        Some(Hold(Rc::clone(self)))
    }

    /// The worker goes on for a moment as long as this lives.
    pub(crate) fn linger(self: &Rc<Self>) -> Linger {
        self.lingering.set(self.lingering.get() + 1);
        Linger(Rc::clone(self))
    }

    /// Whether an access log is written.
    pub(crate) fn logs(&self) -> bool {
        self.log.is_some()
    }

    /// Whether another request of this second may be traced, which then is; this thread has its share of what all may.
    pub(crate) fn has_room_for_a_trace(&self, per_second: Option<u32>) -> bool {
        let Some(per_second) = per_second else { return true };
        let share = per_second.div_ceil(u32::try_from(self.shared.threads).unwrap_or(u32::MAX).max(1));
        let second = clock::unix_millis() / 1_000;
        let (of, before) = self.traced.get();
        let traced = if of == second { before } else { 0 };
        let has_room = traced < share;
        self.traced.set((second, traced + u32::from(has_room)));
        has_room
    }

    /// Writes a request's line, if an access log is written, and its span, if it is traced.
    pub(crate) fn log(&self, record: &Record) {
        if let Some(log) = &self.log {
            log.borrow_mut().write(record, &self.registry.thread);
        }
        if record.span.is_some() {
            self.spans.borrow_mut().write(record, &self.registry.thread);
        }
    }

    /// Carries out commands until the edge ends.
    pub(crate) async fn run(self: Rc<Self>, mut commands: mpsc::Receiver<Command>) {
        let ticking = tokio::task::spawn_local({
            let worker = Rc::clone(&self);
            async move {
                let ticker = Rc::clone(&worker.ticker);
                ticker.run(|| worker.tick()).await;
            }
        });
        self.probe();
        let mut acceptors: HashMap<SocketAddr, Vec<Acceptor>> = HashMap::new();
        let mut endpoints: HashMap<SocketAddr, Acceptor> = HashMap::new();
        let (mut within, mut patient) = (Duration::ZERO, false);
        while let Some(command) = commands.recv().await {
            match command {
                Command::Listen { declared, socket, done } => {
                    let started = TcpListener::from_std(socket)
                        .map(|socket| Acceptor::start(&self, declared, socket))
                        .map(|acceptor| acceptors.entry(declared).or_default().push(acceptor));
                    self.speak_http3(&acceptors, &mut endpoints).await;
                    let _gone = done.send(started);
                }
                Command::Refresh { gone, done } => {
                    self.probe();
                    self.changed.notify_waiters();
                    self.wake_tunnels();
                    for declared in gone {
                        for acceptor in acceptors.remove(&declared).into_iter().flatten() {
                            acceptor.stop().await;
                        }
                        self.close_connections_of(declared);
                    }
                    self.speak_http3(&acceptors, &mut endpoints).await;
                    let _gone = done.send(());
                }
                Command::Retired { done } => {
                    self.view();
                    drop(done.send(self.upstreams.retired()));
                }
                Command::Drain { within: bound, patient: asked } => {
                    (within, patient) = (bound, asked);
                    break;
                }
            }
        }
        for acceptor in acceptors.into_values().flatten().chain(endpoints.into_values()) {
            acceptor.stop().await;
        }
        self.tunnels_end.set(Some(self.ticker.after(within.mul_f64(TUNNELS_SHARE))));
        self.wake_tunnels();
        if patient {
            self.leaving.set(Leaving::Patiently);
            self.end_connections(within.mul_f64(PATIENT_SHARE)).await;
        }
        self.leaving.set(Leaving::Now);
        // Whoever waits for another table would wait in vain.
        self.changed.notify_waiters();
        self.ticker.for_each(ConnState::wake);
        let within = if patient { within.mul_f64(1.0 - PATIENT_SHARE) } else { within };
        if !self.end_connections(within).await {
            tracing::warn!(connections = self.ticker.len(), "drain timeout: connections are cut");
        }
        let gone = async {
            while self.lingering.get() > 0 {
                self.closed.notified().await;
            }
        };
        // A client that does not hear of the end finds out by itself.
        let _unheard = tokio::time::timeout(LINGER, gone).await;
        ticking.abort();
        self.spans.borrow_mut().flush(&self.registry.thread);
        if let Some(log) = &self.log {
            log.borrow_mut().flush(&self.registry.thread);
        }
    }

    /// Begins and ends to speak HTTP/3, as the table says of the addresses that are accepted on.
    async fn speak_http3(
        self: &Rc<Self>,
        acceptors: &HashMap<SocketAddr, Vec<Acceptor>>,
        endpoints: &mut HashMap<SocketAddr, Acceptor>,
    ) {
        let view = self.view();
        let wanted = |declared: &SocketAddr| {
            let listener = view.table.listeners.get(declared);
            self.leads && acceptors.contains_key(declared) && listener.is_some_and(|listener| listener.http3)
        };
        let gone: Vec<_> = endpoints.keys().filter(|declared| !wanted(declared)).copied().collect();
        for declared in gone {
            if let Some(endpoint) = endpoints.remove(&declared) {
                endpoint.stop().await;
            }
        }
        for (declared, acceptors) in acceptors {
            if let (true, Some(acceptor)) = (wanted(declared), acceptors.first()) {
                let address = acceptor.address;
                endpoints.entry(*declared).or_insert_with(|| Acceptor::of_http3(self, *declared, address));
            }
        }
    }

    /// Once a tick. Says whether there is anything left to do when no connection is open.
    fn tick(&self) -> bool {
        self.files.forget();
        self.spans.borrow_mut().flush(&self.registry.thread);
        if let Some(log) = &self.log {
            log.borrow_mut().flush(&self.registry.thread);
        }
        self.upstreams.sweep(self.ticker.now()) > 0
    }

    /// Waits until the last connection has ended, at most this long. Says whether it has.
    async fn end_connections(&self, within: Duration) -> bool {
        let all_closed = async {
            while self.ticker.len() > 0 {
                self.closed.notified().await;
            }
        };
        tokio::time::timeout(within, all_closed).await.is_ok()
    }

    /// Tunnels look whether they have to end.
    fn wake_tunnels(&self) {
        self.ticker.for_each(|state| {
            if state.tunnelling.get() {
                state.wake();
            }
        });
    }

    /// Lets connections of a listener that is gone end after the request in progress.
    fn close_connections_of(&self, listener: SocketAddr) {
        self.ticker.for_each(|state| {
            if state.listener == listener {
                state.closing.set(true);
                state.wake();
            }
        });
    }

    /// A connection was accepted at this listener; `None` when there are too many, in all or from this address.
    pub(crate) fn admit(self: &Rc<Self>, peer: IpAddr, listener: SocketAddr) -> Option<Admission> {
        let view = self.view.borrow();
        let limits = &view.table.limits;
        self.registry.thread.accepted.add(1);
        // A proxy of ours stands for many; so do programs of this machine that call one another, which all have one address.
        let internal = matches!(view.table.listeners.get(&listener), Some(Listener { role: Role::Internal(_), .. }));
        let client = (!internal && !view.table.trusts(peer)).then(|| rate::network(peer));
        let admission = Admission { worker: Rc::clone(self), client };
        // Counted first and looked at then, so that all threads together never exceed the bound.
        let before = self.shared.connections.fetch_add(1, Ordering::Relaxed);
        let of_client = client.map_or(0, |client| self.shared.enter(client));
        (before < limits.max_connections && of_client < limits.max_connections_per_address).then_some(admission)
    }

    /// Whether more requests are being answered than this thread may.
    pub(crate) fn is_overloaded(&self) -> bool {
        let all = self.view.borrow().table.limits.max_concurrent_requests;
        self.requests.get() > all.div_ceil(self.shared.threads)
    }
}

/// A request that waits for a new table.
pub(crate) struct Hold(Rc<Worker>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.held.set(self.0.held.get() - 1);
    }
}

/// Something that is about to end.
pub(crate) struct Linger(Rc<Worker>);

impl Drop for Linger {
    fn drop(&mut self) {
        self.0.lingering.set(self.0.lingering.get() - 1);
        self.0.closed.notify_one();
    }
}

/// An open client connection.
pub(crate) struct Admission {
    worker: Rc<Worker>,
    /// Whose it is, as far as that is counted.
    client: Option<u128>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.worker.shared.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(client) = self.client {
            self.worker.shared.leave(client);
        }
        self.worker.registry.thread.closed.add(1);
        self.worker.closed.notify_one();
    }
}
