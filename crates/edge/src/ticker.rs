//! Coarse time for one worker: every deadline of every connection on one tick.
//!
//! A timer for each request would be armed and disarmed tens of thousands of times a second and would fire almost
//! never. Here a connection keeps one deadline in a cell, changing it costs a store, and a scan ten times a second
//! wakes those that are overdue. A deadline may therefore be late by [`TICK`], which no timeout of an edge notices.
//! With nothing to watch the ticker sleeps, so an idle edge does not wake the machine.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::conn_state::ConnState;

/// How late a deadline may be noticed.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Milliseconds since the worker started.
pub(crate) type Millis = u64;

/// No deadline.
pub(crate) const NEVER: Millis = Millis::MAX;

pub(crate) struct Ticker {
    started: Instant,
    now: Cell<Millis>,
    watched: RefCell<Vec<Option<Rc<ConnState>>>>,
    free: RefCell<Vec<usize>>,
    begin: Notify,
}

impl Ticker {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            now: Cell::new(0),
            watched: RefCell::default(),
            free: RefCell::default(),
            begin: Notify::new(),
        }
    }

    /// The time of the last tick.
    pub(crate) fn now(&self) -> Millis {
        self.now.get()
    }

    /// The time `after` from now.
    pub(crate) fn after(&self, after: Duration) -> Millis {
        self.now.get().saturating_add(millis(after))
    }

    /// Connections that are watched.
    pub(crate) fn len(&self) -> usize {
        self.watched.borrow().len() - self.free.borrow().len()
    }

    /// Watches a connection until the guard is dropped.
    pub(crate) fn watch(self: &Rc<Self>, state: &Rc<ConnState>) -> Watch {
        if self.len() == 0 {
            self.advance();
            self.begin.notify_one();
        }
        let mut watched = self.watched.borrow_mut();
        let key = self.free.borrow_mut().pop().unwrap_or(watched.len());
        if key == watched.len() {
            watched.push(None);
        }
        watched[key] = Some(Rc::clone(state));
        drop(watched);
        Watch { ticker: Rc::clone(self), key }
    }

    /// Calls `each` for every watched connection.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&ConnState)) {
        for state in self.watched.borrow().iter().flatten() {
            each(state);
        }
    }

    /// Ticks for ever; `on_tick` is called each time and says whether there is something to wait for besides
    /// connections.
    pub(crate) async fn run(&self, mut on_tick: impl FnMut() -> bool) {
        loop {
            tokio::time::sleep(TICK).await;
            self.advance();
            let now = self.now();
            self.for_each(|state| state.wake_if_overdue(now));
            let busy = on_tick();
            if self.len() == 0 && !busy {
                self.begin.notified().await;
                self.advance();
            }
        }
    }

    fn advance(&self) {
        self.now.set(millis(self.started.elapsed()));
    }
}

/// A connection being watched.
pub(crate) struct Watch {
    ticker: Rc<Ticker>,
    key: usize,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ticker.watched.borrow_mut()[self.key] = None;
        self.ticker.free.borrow_mut().push(self.key);
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(NEVER)
}
