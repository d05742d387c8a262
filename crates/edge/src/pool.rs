//! Connections to instances, kept between requests. One pool a thread and instance, no lock.
//!
//! A connection is driven by the task of the request that uses it, not by a task of its own: no channel between tasks,
//! no wake-ups across them, and dropping the request drops the connection, which is how a client that goes away cancels
//! work at the instance. While a connection is idle nobody polls it; whether it is still open shows at its next use,
//! before anything is sent, and the sweep closes what lay idle too long.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::balance::{Latency, Load};
use crate::clock;
use crate::h2c::connection::Shared;
use crate::http1::link::Link;
use crate::outlier::Standing;
use crate::probing::{Health, Probe};
use crate::snapshot::{Instance, Protocol};
use crate::ticker::{Millis, Ticker};

/// How long a connection may lie idle. Below the 5 s after which Node's servers (and many like them) close, so that a
/// request seldom meets a connection that the instance is closing at this moment.
const MAX_IDLE: Duration = Duration::from_secs(4);

/// Idle connections kept for one instance by one thread. Each holds a socket on both sides, and no buffer.
const MAX_IDLE_CONNECTIONS: usize = 512;

/// One instance, as one thread sees it.
pub(crate) struct Upstream {
    pub(crate) id: Box<str>,
    pub(crate) address: SocketAddr,
    /// The last used is at the end and is used next, so that the others can be closed when the load goes down.
    #[expect(clippy::vec_box, reason = "links move between pool, request and body; a pointer is cheaper to move")]
    idle: RefCell<Vec<Box<Link>>>,
    /// The connection, to one that speaks HTTP/2.
    pub(crate) h2c: Option<Shared>,
    outstanding: Cell<u32>,
    latency: Cell<Latency>,
    standing: Cell<Standing>,
    /// How it is asked how it is.
    probe: RefCell<Option<Arc<Probe>>>,
    /// Whether it is asked now.
    pub(crate) probing: Cell<bool>,
    pub(crate) health: Cell<Health>,
    /// Not in the table any more: nothing is kept for it.
    retired: Cell<bool>,
}

impl Upstream {
    pub(crate) fn new(instance: &Instance) -> Rc<Self> {
        Rc::new(Self {
            id: instance.id.as_str().into(),
            address: instance.address,
            idle: RefCell::default(),
            h2c: (instance.protocol == Protocol::H2c).then(Shared::default),
            outstanding: Cell::new(0),
            latency: Cell::default(),
            standing: Cell::default(),
            probe: RefCell::default(),
            probing: Cell::new(false),
            health: Cell::default(),
            retired: Cell::new(false),
        })
    }

    /// How busy and how fast it is, as far as this thread knows.
    pub(crate) fn load(&self) -> Load {
        Load { outstanding: self.outstanding.get(), latency: self.latency.get() }
    }

    /// It answered after this time.
    pub(crate) fn answered(&self, took: Duration, now: Millis) {
        self.latency.set(self.latency.get().observed(took.as_secs_f64() * 1e3, now));
        self.standing.set(self.standing.get().succeeded(now));
    }

    /// It could not be reached, broke off or did not answer in time. Says whether it is ejected for that.
    pub(crate) fn failed(&self, now: Millis) -> bool {
        let (standing, ejected) = self.standing.get().failed(now);
        self.standing.set(standing);
        ejected
    }

    /// Whether it is ejected at present.
    pub(crate) fn is_out(&self, now: Millis) -> bool {
        self.health.get().is_unwell() || self.standing.get().is_out(now)
    }

    /// Whether it takes a request: not while it is ejected, and fewer than others after it.
    pub(crate) fn takes(&self, now: Millis) -> bool {
        !self.health.get().is_unwell() && self.standing.get().takes(now, clock::chance())
    }

    /// How it is to be asked how it is; `None`: not at all.
    pub(crate) fn probe(&self) -> Option<Arc<Probe>> {
        self.probe.borrow().clone().filter(|_| !self.retired.get())
    }

    pub(crate) fn set_probe(&self, probe: Option<&Arc<Probe>>) {
        let none = probe.is_none();
        self.probe.replace(probe.map(Arc::clone));
        if none {
            // Nobody would take it back.
            self.health.set(Health::default());
        }
    }

    /// It was unwell, and gets a growing share.
    pub(crate) fn returns(&self, now: Millis) {
        self.standing.set(self.standing.get().returning(now));
    }

    /// Counts a request as being with the instance while the lease lives.
    pub(crate) fn lease(self: &Rc<Self>) -> Lease {
        self.outstanding.set(self.outstanding.get() + 1);
        Lease { upstream: Rc::clone(self) }
    }

    /// A kept connection, if there is one that is still open.
    pub(crate) fn take(&self) -> Option<Box<Link>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(mut link) = idle.pop() {
            if link.is_quiet() {
                return Some(link);
            }
        }
        None
    }

    /// Keeps a connection for the next request, if it can be used for one.
    pub(crate) fn keep(&self, mut link: Box<Link>, ticker: &Ticker) {
        let mut idle = self.idle.borrow_mut();
        if link.is_free() && !self.retired.get() && idle.len() < MAX_IDLE_CONNECTIONS {
            link.idle_since = ticker.now();
            idle.push(link);
        }
    }

    /// Opens a new connection.
    pub(crate) async fn connect(&self) -> io::Result<Box<Link>> {
        Link::open(self.address).await
    }

    /// Closes what lay idle too long, or what the instance closed. Returns how many connections stay.
    pub(crate) fn sweep(&self, now: Millis) -> usize {
        let max_idle = u64::try_from(MAX_IDLE.as_millis()).unwrap_or(Millis::MAX);
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|link| link.idle_since + max_idle > now && link.is_quiet());
        idle.len()
    }

    /// Requests that are with it, tunnels among them.
    pub(crate) fn in_flight(&self) -> u32 {
        self.outstanding.get()
    }

    /// Whether it is not in the table any more.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    /// The instance is not in the table any more: closes what is idle and keeps nothing from now on. Requests that
    /// are with it end in peace.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
        if let Some(shared) = &self.h2c {
            shared.retire();
        }
    }
}

/// A request that is with an instance.
pub(crate) struct Lease {
    pub(crate) upstream: Rc<Upstream>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.upstream.outstanding.set(self.upstream.outstanding.get() - 1);
    }
}
