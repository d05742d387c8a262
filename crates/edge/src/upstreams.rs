//! The instances that one thread has to do with, over all snapshots.
//!
//! Invariant: whoever is known is in the newest table that was taken over. An instance is made known by its first request, or at
//! once if it is to be probed: a snapshot of a thousand routes costs a thread only what it uses of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use crate::pool::Upstream;
use crate::snapshot::Instance;
use crate::table::Table;

#[derive(Default)]
pub(crate) struct Upstreams {
    /// The newest one.
    table: RefCell<Option<Arc<Table>>>,
    known: RefCell<HashMap<Instance, Rc<Upstream>>>,
    /// Those of earlier tables that requests are still with.
    retired: RefCell<Vec<Weak<Upstream>>>,
}

impl Upstreams {
    /// Goes by this table from now on. Connections to instances that stay are kept, those to others are closed when idle.
    pub(crate) fn take_over(&self, table: &Arc<Table>) {
        self.table.replace(Some(Arc::clone(table)));
        let (mut known, mut retired) = (self.known.borrow_mut(), self.retired.borrow_mut());
        retired.retain(|upstream| upstream.strong_count() > 0);
        known.retain(|instance, upstream| {
            let stays = table.instances.get(instance);
            match stays {
                Some(probe) => upstream.set_probe(probe.as_ref()),
                None => retire(upstream, &mut retired),
            }
            stays.is_some()
        });
        for (instance, probe) in table.instances.iter().filter(|(_, probe)| probe.is_some()) {
            if !known.contains_key(instance) {
                let upstream = Upstream::new(instance);
                upstream.set_probe(probe.as_ref());
                known.insert(instance.clone(), upstream);
            }
        }
    }

    /// An instance. One that only an earlier table has, whose request asks for it late, is retired already.
    pub(crate) fn get(&self, instance: &Instance) -> Rc<Upstream> {
        let mut known = self.known.borrow_mut();
        if let Some(upstream) = known.get(instance) {
            return Rc::clone(upstream);
        }
        let upstream = Upstream::new(instance);
        if self.table.borrow().as_ref().is_some_and(|table| table.instances.contains_key(instance)) {
            known.insert(instance.clone(), Rc::clone(&upstream));
        } else {
            retire(&upstream, &mut self.retired.borrow_mut());
        }
        upstream
    }

    /// Instances that are to be asked how they are, and are not yet.
    pub(crate) fn to_probe(&self) -> Vec<Rc<Upstream>> {
        let known = self.known.borrow();
        known.values().filter(|upstream| upstream.probe().is_some() && !upstream.probing.get()).cloned().collect()
    }

    /// Instances that get nothing new, and how many requests are still with them.
    pub(crate) fn retired(&self) -> Vec<(Box<str>, u32)> {
        let retired = self.retired.borrow();
        let retired = retired.iter().filter_map(Weak::upgrade);
        retired
            .map(|upstream| (upstream.id.clone(), upstream.in_flight()))
            .filter(|(_, in_flight)| *in_flight > 0)
            .collect()
    }

    /// Closes connections that lay idle too long. Returns how many are kept.
    pub(crate) fn sweep(&self, now: u64) -> usize {
        self.known.borrow().values().map(|upstream| upstream.sweep(now)).sum()
    }

    #[cfg(test)]
    pub(crate) fn knows(&self, upstream: &Rc<Upstream>) -> bool {
        self.known.borrow().values().any(|known| Rc::ptr_eq(known, upstream))
    }
}

fn retire(upstream: &Rc<Upstream>, retired: &mut Vec<Weak<Upstream>>) {
    upstream.retire();
    retired.push(Rc::downgrade(upstream));
}
