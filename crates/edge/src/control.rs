//! The control thread's work: which snapshot is served, and how the next one takes its place.
//!
//! One owner of the listeners and of the order of things. A snapshot is checked whole, its new addresses are bound, it
//! is on disk, and only then is it served; whatever fails before leaves everything as it was.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot};

use crate::admin::{Applied, Certificate, Health, Refusal, Renewed, Retired, Status, Window};
use crate::cache::Purge;
use crate::clock::Anchor;
use crate::compile::compile;
use crate::error::Error;
use crate::handover::Listeners;
use crate::lease::Leases;
use crate::metrics::readings::Readings;
use crate::metrics::window::{About, Since};
use crate::metrics::{Facts, Registry, render, totals};
use crate::snapshot::Snapshot;
use crate::table::{Problem, Table};
use crate::tls::Keeper;
use crate::worker::{Command, Shared};
use crate::{http3, listen, persist};

/// A worker, as the control thread knows it.
pub(crate) struct WorkerHandle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) registry: Arc<Registry>,
}

pub(crate) struct Control {
    config: PathBuf,
    shared: Arc<Shared>,
    keeper: Rc<Keeper>,
    workers: Vec<WorkerHandle>,
    /// What windows are measured by.
    anchor: Anchor,
    readings: Readings,
    leases: Leases,
    /// The leases are others than before.
    leases_changed: Rc<Notify>,
    /// By the address as declared.
    listeners: BTreeMap<SocketAddr, Listening>,
    draining: bool,
    handed_over: bool,
    refused: u64,
    leases_ended: u64,
    /// What is served is not on disk yet.
    unsaved: bool,
    started_seconds: u64,
}

/// Sockets of an address that nobody accepts on yet: declared, real, one for each worker at least.
pub(crate) struct Bound {
    declared: SocketAddr,
    real: SocketAddr,
    sockets: Vec<TcpListener>,
}

/// An address that is accepted on.
struct Listening {
    /// As bound; it differs from the declared one for port 0.
    real: SocketAddr,
    /// The workers' sockets once more, for the edge that comes after this one.
    sockets: Vec<TcpListener>,
}

/// Binds what `table` declares, unless `present` says that it is there already. What was `taken` over from an earlier edge
/// is used instead of new sockets.
pub(crate) fn bind(
    table: &Table,
    present: impl Fn(&SocketAddr) -> bool,
    mut taken: Listeners,
    workers: usize,
) -> Result<Vec<Bound>, Error> {
    let mut new: Vec<_> = table.listeners.keys().filter(|address| !present(address)).copied().collect();
    new.sort_unstable();
    new.into_iter()
        .map(|address| {
            let taken = taken.remove(&address);
            let is_new = taken.is_none();
            let sockets = match taken {
                Some(sockets) => listen::complete(sockets, workers),
                None => listen::bind(address, workers),
            };
            let sockets = sockets.map_err(|source| listen_error(address, source))?;
            let real = sockets.first().map_or(Ok(address), TcpListener::local_addr);
            let real = real.map_err(|source| listen_error(address, source))?;
            // Of an address that was taken over, the earlier edge has the UDP port for as long as it finishes.
            if is_new {
                check_http3(table, address, real)?;
            }
            Ok(Bound { declared: address, real, sockets })
        })
        .collect()
}

/// Whether the UDP port of an address can be bound, if it is to be. It is bound for good by the thread that speaks HTTP/3.
fn check_http3(table: &Table, declared: SocketAddr, real: SocketAddr) -> Result<(), Error> {
    if !table.listeners.get(&declared).is_some_and(|listener| listener.http3) {
        return Ok(());
    }
    http3::bind(real).map(drop).map_err(|source| listen_error(real, source))
}

fn listen_error(address: SocketAddr, source: std::io::Error) -> Error {
    if source.kind() == std::io::ErrorKind::AddrInUse {
        Error::AddressInUse { address }
    } else {
        Error::Listen { address, source }
    }
}

impl Control {
    pub(crate) fn new(config: PathBuf, shared: Arc<Shared>, keeper: Rc<Keeper>, workers: Vec<WorkerHandle>) -> Self {
        let anchor = Anchor::now();
        Self {
            config,
            shared,
            keeper,
            workers,
            anchor,
            readings: Readings::default(),
            leases: Leases::default(),
            leases_changed: Rc::default(),
            listeners: BTreeMap::new(),
            draining: false,
            handed_over: false,
            refused: 0,
            leases_ended: 0,
            unsaved: false,
            started_seconds: anchor.unix_millis() / 1_000,
        }
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.values().map(|listening| listening.real).collect()
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shared.table().snapshot)
    }

    pub(crate) fn health(&self) -> Health {
        Health {
            pid: std::process::id(),
            status: if self.draining { Status::Draining } else { Status::Serving },
            generation: self.snapshot().generation,
            threads: self.workers.len(),
            connections: self.shared.connections(),
            addresses: self.addresses(),
        }
    }

    fn registries(&self) -> Vec<Arc<Registry>> {
        self.workers.iter().map(|worker| Arc::clone(&worker.registry)).collect()
    }

    /// Keeps a reading of all counters for windows.
    pub(crate) fn read(&mut self) {
        let totals = totals(&self.registries());
        self.readings.tick(self.anchor.unix_millis(), self.snapshot().generation, &totals);
    }

    /// What happened since.
    pub(crate) fn window(&mut self, since: Since, about: &About<'_>) -> Option<Window> {
        let totals = totals(&self.registries());
        let generation = self.snapshot().generation;
        self.readings.since(since, self.anchor.unix_millis(), generation, &totals, about)
    }

    /// A snapshot is in effect from now on; whoever put it there watches its leases.
    pub(crate) fn note_applied(&mut self) {
        self.leases.begin(&self.snapshot(), Instant::now());
        self.leases_changed.notify_one();
        self.note_reading();
    }

    fn note_reading(&mut self) {
        let totals = totals(&self.registries());
        self.readings.applied(self.anchor.unix_millis(), &self.snapshot(), &totals);
    }

    pub(crate) fn metrics(&self) -> String {
        let registries = self.registries();
        let facts = Facts {
            generation: self.snapshot().generation,
            routes: self.shared.table().routes.iter().map(|route| Arc::clone(&route.name)).collect(),
            started_seconds: self.started_seconds,
            admin_refused: self.refused,
            leases_ended: self.leases_ended,
            certificates: self.certificates(),
            cache: self.shared.cache.facts(),
            spans_lost: self.shared.spans_lost.get(),
        };
        render(&registries, &facts)
    }

    pub(crate) fn certificates(&self) -> Vec<Certificate> {
        self.keeper.report()
    }

    /// Forgets kept answers of a host. Says how many.
    pub(crate) fn purge(&self, host: &str, what: &Purge) -> usize {
        let purged = self.shared.cache.purge(host, what);
        tracing::info!(host, ?what, purged, "cache purged");
        purged
    }

    /// A route's lease begins anew, if it has not run out.
    pub(crate) fn renew(&mut self, route: &str) -> Result<Renewed, Refusal> {
        if self.draining {
            return Err(draining());
        }
        let renewed = self.leases.renew(&self.snapshot(), route, Instant::now());
        let good_for = renewed.ok_or_else(|| {
            let detail =
                format!("The route `{route}` has no lease, or it has run out. Read the snapshot, and offer one anew.");
            refusal(409, "No lease", &detail)
        })?;
        self.leases_changed.notify_one();
        Ok(Renewed { ms: u64::try_from(good_for.as_millis()).unwrap_or(u64::MAX) })
    }

    /// When the next lease runs out, or what follows from one is to be written to disk; and where changes of that are told.
    pub(crate) fn next_lease(&self) -> (Option<Instant>, Rc<Notify>) {
        let next = if self.unsaved { Some(Instant::now()) } else { self.leases.next() };
        (next.filter(|_| !self.draining), Rc::clone(&self.leases_changed))
    }

    /// Takes the weight from those whose lease has run out. Traffic first, and the disk as soon as it takes it: nothing that a snapshot
    /// may be refused for stands in the way. False: the disk did not take it yet.
    pub(crate) async fn end_leases(&mut self) -> bool {
        if self.draining {
            return true;
        }
        let current = self.shared.table();
        if let Some(after) = self.leases.end(&current.snapshot, Instant::now()) {
            let generation = after.generation;
            match compile(&Arc::new(after)) {
                Ok(mut table) => {
                    table.go_on_from(&current);
                    self.shared.swap(Arc::new(table));
                    self.refresh(Vec::new()).await;
                    self.note_reading();
                    self.leases_ended += 1;
                    self.unsaved = true;
                    tracing::warn!(generation, "a lease has run out: nobody watches, its slot gets nothing more");
                }
                Err(problems) => tracing::error!(?problems, "what follows from a lease that ran out is no snapshot"),
            }
        }
        if self.unsaved {
            match persist::store(&self.config, &self.snapshot()) {
                Ok(()) => self.unsaved = false,
                Err(error) => {
                    tracing::error!(%error, "the disk does not take the snapshot after a lease; it is tried again");
                }
            }
        }
        !self.unsaved
    }

    /// Instances that are in the snapshot no more, and that requests are still with.
    pub(crate) async fn retired(&self) -> Result<Vec<Retired>, Refusal> {
        // Its workers take no more commands.
        if self.draining {
            return Err(draining());
        }
        let mut told = Vec::new();
        for worker in &self.workers {
            let (done, retired) = oneshot::channel();
            tell(worker, Command::Retired { done }).await;
            told.push(retired);
        }
        let mut all: BTreeMap<String, u64> = BTreeMap::new();
        for retired in told {
            for (id, in_flight) in retired.await.unwrap_or_default() {
                *all.entry(id.into()).or_default() += u64::from(in_flight);
            }
        }
        Ok(all.into_iter().map(|(id, in_flight)| Retired { id, in_flight }).collect())
    }

    /// Puts a snapshot into effect, or says why not.
    pub(crate) async fn apply(&mut self, snapshot: Snapshot) -> Result<Applied, Refusal> {
        let applied = self.try_apply(snapshot).await;
        match &applied {
            Ok(Applied { generation, changed: true, .. }) => tracing::info!(generation, "snapshot applied"),
            Ok(_) => {}
            Err(refusal) => {
                self.refused += 1;
                tracing::warn!(title = refusal.title, detail = refusal.detail, problems = ?refusal.problems, "snapshot refused");
            }
        }
        applied
    }

    async fn try_apply(&mut self, snapshot: Snapshot) -> Result<Applied, Refusal> {
        let current = self.shared.table();
        if self.draining {
            return Err(draining());
        }
        if snapshot == *current.snapshot {
            return Ok(self.applied(false));
        }
        let generation = snapshot.generation;
        if generation <= current.snapshot.generation {
            let detail = format!(
                "Generation {} is served; {generation} is not above it. Read the served one, and offer a higher one.",
                current.snapshot.generation
            );
            return Err(Refusal {
                current: Some(current.snapshot.generation),
                ..refusal(409, "Stale snapshot", &detail)
            });
        }
        let snapshot = Arc::new(snapshot);
        let mut table = compile(&snapshot).map_err(|problems| invalid(&problems))?;
        let certificates = self.keeper.prepare(&snapshot, &table).map_err(|problems| invalid(&problems))?;
        let bound = bind(&table, |address| self.listeners.contains_key(address), Listeners::new(), self.workers.len())
            .and_then(|bound| self.check_more_http3(&table, &current).map(|()| bound))
            .map_err(|error| refusal(409, "Address not available", &error.to_string()))?;
        persist::store(&self.config, &snapshot).map_err(|error| {
            let detail = format!("{} cannot be written: {error}", self.config.display());
            refusal(500, "Snapshot not stored", &detail)
        })?;
        self.unsaved = false;
        table.go_on_from(&current);
        let gone: Vec<_> =
            self.listeners.keys().filter(|declared| !table.listeners.contains_key(declared)).copied().collect();
        self.keeper.take_over(certificates);
        self.shared.swap(Arc::new(table));
        self.listen(bound).await;
        self.refresh(gone).await;
        self.note_applied();
        Ok(self.applied(true))
    }

    /// The same of addresses that are accepted on already.
    fn check_more_http3(&self, table: &Table, current: &Table) -> Result<(), Error> {
        let spoken = |declared| current.listeners.get(declared).is_some_and(|listener| listener.http3);
        let more = self.listeners.iter().filter(|(declared, _)| !spoken(declared));
        more.into_iter().try_for_each(|(declared, listening)| check_http3(table, *declared, listening.real))
    }

    fn applied(&self, changed: bool) -> Applied {
        Applied { generation: self.snapshot().generation, changed, addresses: self.addresses() }
    }

    /// Lets every worker accept on its sockets.
    pub(crate) async fn listen(&mut self, bound: Vec<Bound>) {
        for Bound { declared, real, sockets } in bound {
            // Without the copies this edge serves just as well; only the one after it would have to bind anew.
            let copies = sockets.iter().map(TcpListener::try_clone).collect::<Result<_, _>>().unwrap_or_default();
            self.listeners.insert(declared, Listening { real, sockets: copies });
            // An edge that had more threads hands over more sockets: each has to be accepted on.
            for (worker, socket) in self.workers.iter().cycle().zip(sockets) {
                let (done, listening) = oneshot::channel();
                tell(worker, Command::Listen { declared, socket, done }).await;
                match listening.await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::error!(%declared, %error, "a worker cannot accept on this address"),
                    Err(_gone) => tracing::error!(%declared, "a worker ended before it could accept on this address"),
                }
            }
        }
    }

    /// Waits until every worker works with the current table.
    async fn refresh(&mut self, gone: Vec<SocketAddr>) {
        for declared in &gone {
            self.listeners.remove(declared);
        }
        let mut refreshed = Vec::new();
        for worker in &self.workers {
            let (done, when) = oneshot::channel();
            tell(worker, Command::Refresh { gone: gone.clone(), done }).await;
            refreshed.push(when);
        }
        for when in refreshed {
            if when.await.is_err() {
                tracing::error!("a worker ended before it took over the snapshot");
            }
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether another edge has taken over.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.handed_over
    }

    /// All sockets, for the next edge.
    pub(crate) fn sockets(&self) -> std::io::Result<Listeners> {
        let copy = |sockets: &[TcpListener]| sockets.iter().map(TcpListener::try_clone).collect::<Result<_, _>>();
        self.listeners.iter().map(|(declared, listening)| Ok((*declared, copy(&listening.sockets)?))).collect()
    }

    /// Begins a graceful stop.
    pub(crate) async fn drain(&mut self) {
        self.stop(false).await;
    }

    /// The next edge accepts: this one ends, with patience for connections that are only idle.
    pub(crate) async fn hand_over(&mut self) {
        self.handed_over = true;
        self.stop(true).await;
    }

    async fn stop(&mut self, patient: bool) {
        if std::mem::replace(&mut self.draining, true) {
            return;
        }
        // A socket that is still open somewhere would go on taking connections that nobody accepts.
        self.listeners.clear();
        let within = self.shared.table().limits.drain_timeout;
        tracing::info!(connections = self.shared.connections(), patient, "draining");
        for worker in &self.workers {
            tell(worker, Command::Drain { within, patient }).await;
        }
    }
}

async fn tell(worker: &WorkerHandle, command: Command) {
    // A worker that has ended is noticed by whoever waits for its thread.
    let _ended = worker.commands.send(command).await;
}

fn invalid(problems: &[Problem]) -> Refusal {
    Refusal {
        problems: problems.iter().map(ToString::to_string).collect(),
        ..refusal(422, "Invalid snapshot", "Correct what is listed; the served snapshot is unchanged.")
    }
}

fn draining() -> Refusal {
    refusal(503, "Edge is draining", "It ends soon; ask the next one.")
}

fn refusal(status: u16, title: &str, detail: &str) -> Refusal {
    Refusal { title: title.into(), status, detail: detail.into(), current: None, problems: Vec::new() }
}
