//! The table as one thread works with it: its own counters and its own connections beside each slot.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use crate::metrics::{Cells, Key, Registry};
use crate::pool::Upstream;
use crate::probing::Probe;
use crate::snapshot::{Instance, Protocol};
use crate::table::{Route, Slots, Table, Target};

/// Made anew for each snapshot; requests in progress keep theirs until they end.
pub(crate) struct View {
    /// Grows with each table.
    pub(crate) epoch: u64,
    pub(crate) table: Arc<Table>,
    /// In the order of `table.routes`.
    pub(crate) routes: Vec<RouteView>,
    upstreams: HashMap<(Box<str>, SocketAddr, Protocol), Rc<Upstream>>,
    /// Those of earlier tables that requests are still with.
    retired: Vec<Weak<Upstream>>,
}

pub(crate) struct RouteView {
    /// Of requests that reach no slot: files, redirects, and "no ready instance".
    pub(crate) cells: Arc<Cells>,
    /// In the order of the table's slots.
    pub(crate) slots: Vec<SlotView>,
}

pub(crate) struct SlotView {
    pub(crate) cells: Arc<Cells>,
    pub(crate) upstreams: Vec<Rc<Upstream>>,
}

impl View {
    /// Takes over a table. Connections to instances that stay are kept, those to others are closed when idle.
    pub(crate) fn new(epoch: u64, table: &Arc<Table>, before: Option<&Self>, registry: &Registry) -> Self {
        registry.begin();
        let (routes, upstreams, retired) = Default::default();
        let mut view = Self { epoch, routes, upstreams, retired, table: Arc::clone(table) };
        view.routes = table.routes.iter().map(|route| view.route(route, before, registry)).collect();
        registry.end();
        if let Some(before) = before {
            // Whatever else could lead to them is gone once nobody holds them any more.
            view.retired.extend(before.retired.iter().filter(|upstream| upstream.strong_count() > 0).cloned());
            for (key, upstream) in &before.upstreams {
                if !view.upstreams.contains_key(key) {
                    upstream.retire();
                    view.retired.push(Rc::downgrade(upstream));
                }
            }
        }
        view
    }

    fn route(&mut self, route: &Route, before: Option<&Self>, registry: &Registry) -> RouteView {
        let key = |slot: &Arc<str>, release: &Arc<str>| Key {
            route: Arc::clone(&route.name),
            slot: Arc::clone(slot),
            release: Arc::clone(release),
        };
        let nothing: Arc<str> = "".into();
        let probe = route.probe.clone().map(Rc::new);
        let slots = match &route.target {
            Target::Slots(Slots { slots, .. }) => slots.as_slice(),
            Target::Static(_) | Target::Redirect(_) => &[],
        };
        RouteView {
            cells: registry.cells(key(&nothing, &nothing)),
            slots: slots
                .iter()
                .map(|slot| SlotView {
                    cells: registry.cells(key(&slot.name, &slot.release)),
                    upstreams: slot
                        .instances
                        .iter()
                        .map(|instance| self.upstream(instance, probe.as_ref(), before))
                        .collect(),
                })
                .collect(),
        }
    }

    fn upstream(&mut self, instance: &Instance, probe: Option<&Rc<Probe>>, before: Option<&Self>) -> Rc<Upstream> {
        let Instance { id, address, protocol } = instance;
        let key = (Box::from(id.as_str()), *address, *protocol);
        let earlier = before.and_then(|before| before.upstreams.get(&key));
        let make = || earlier.map_or_else(|| Upstream::new(id, *address, *protocol), Rc::clone);
        let first = !self.upstreams.contains_key(&key);
        let upstream = Rc::clone(self.upstreams.entry(key.clone()).or_insert_with(make));
        // Of several routes to one instance, one that says how to ask it is enough.
        if first || probe.is_some() {
            upstream.set_probe(probe);
        }
        upstream
    }

    /// Instances that are to be asked how they are, and are not yet.
    pub(crate) fn to_probe(&self) -> impl Iterator<Item = &Rc<Upstream>> {
        self.upstreams.values().filter(|upstream| upstream.probe().is_some() && !upstream.probing.get())
    }

    /// Instances that get nothing new, and how many requests are still with them.
    pub(crate) fn retired(&self) -> impl Iterator<Item = (Box<str>, u32)> {
        let retired = self.retired.iter().filter_map(Weak::upgrade);
        retired.map(|upstream| (upstream.id.clone(), upstream.in_flight())).filter(|(_, in_flight)| *in_flight > 0)
    }

    /// Closes connections that lay idle too long. Returns how many are kept.
    pub(crate) fn sweep(&self, now: u64) -> usize {
        self.upstreams.values().map(|upstream| upstream.sweep(now)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Policies, Route, RouteLimits, Slot, Snapshot, Target};

    fn table(instances: &[(&str, u16)]) -> Arc<Table> {
        let slot = Slot {
            name: "blue".into(),
            release: "v1".into(),
            weight: 1,
            instances: instances.iter().map(|(id, port)| Instance::new(*id, ([127, 0, 0, 1], *port).into())).collect(),
        };
        let route = Route {
            name: "chat".into(),
            hosts: vec!["chat.localhost".into()],
            path: "/".into(),
            target: Target::Slots(vec![slot]),
            response_headers: std::collections::BTreeMap::new(),
            limits: RouteLimits::default(),
            policies: Policies::default(),
            probe: None,
        };
        let snapshot = Snapshot { generation: 1, listeners: Vec::new(), routes: vec![route], ..Snapshot::default() };
        Arc::new(snapshot.compile().unwrap())
    }

    #[test]
    fn an_instance_that_stays_keeps_its_connections_and_a_restarted_one_does_not() {
        let registry = Registry::default();
        let first = View::new(1, &table(&[("a", 1), ("b", 2)]), None, &registry);
        let second = View::new(2, &table(&[("a", 1), ("c", 2)]), Some(&first), &registry);
        let upstreams = |view: &View| view.routes[0].slots[0].upstreams.clone();
        assert!(Rc::ptr_eq(&upstreams(&first)[0], &upstreams(&second)[0]));
        assert!(!Rc::ptr_eq(&upstreams(&first)[1], &upstreams(&second)[1]), "same port, other process");
    }
}
