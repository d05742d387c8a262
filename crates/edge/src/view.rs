//! The table as one thread works with it: its own counters and its own connections beside each slot.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::metrics::{Cells, Key, Registry};
use crate::pool::Upstream;
use crate::table::{Route, Slots, Table, Target};
use crate::upstreams::Upstreams;

/// Made anew for each snapshot; requests in progress keep theirs until they end.
pub(crate) struct View {
    /// Grows with each table.
    pub(crate) epoch: u64,
    pub(crate) table: Arc<Table>,
    /// In the order of `table.routes`; each is made with its first request, so that a snapshot of many costs none of them time.
    routes: Box<[OnceCell<RouteView>]>,
    upstreams: Rc<Upstreams>,
    registry: Arc<Registry>,
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
    /// Takes over a table, for a thread with these upstreams.
    pub(crate) fn new(epoch: u64, table: &Arc<Table>, upstreams: &Rc<Upstreams>, registry: &Arc<Registry>) -> Self {
        upstreams.take_over(table);
        registry.take_over(table);
        Self {
            epoch,
            routes: std::iter::repeat_with(OnceCell::new).take(table.routes.len()).collect(),
            table: Arc::clone(table),
            upstreams: Rc::clone(upstreams),
            registry: Arc::clone(registry),
        }
    }

    /// What this thread has of a route, by its place in the table.
    pub(crate) fn route(&self, route: usize) -> &RouteView {
        self.routes[route].get_or_init(|| self.make(&self.table.routes[route]))
    }

    #[cold]
    fn make(&self, route: &Route) -> RouteView {
        let key = |slot: &Arc<str>, release: &Arc<str>| Key {
            route: Arc::clone(&route.name),
            slot: Arc::clone(slot),
            release: Arc::clone(release),
        };
        let nothing: Arc<str> = "".into();
        let slots = match &route.target {
            Target::Slots(Slots { slots, .. }) => slots.as_slice(),
            Target::Static(_) | Target::Redirect(_) => &[],
        };
        RouteView {
            cells: self.registry.cells(key(&nothing, &nothing)),
            slots: slots
                .iter()
                .map(|slot| SlotView {
                    cells: self.registry.cells(key(&slot.name, &slot.release)),
                    upstreams: slot.instances.iter().map(|instance| self.upstreams.get(instance)).collect(),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Instance, Policies, Route, RouteLimits, Slot, Snapshot, Target};

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
            lease: None,
        };
        let snapshot = Snapshot { generation: 1, listeners: Vec::new(), routes: vec![route], ..Snapshot::default() };
        Arc::new(snapshot.compile().unwrap())
    }

    #[test]
    fn an_instance_that_stays_keeps_its_connections_and_a_restarted_one_does_not() {
        let (known, registry) = (Rc::default(), Arc::default());
        let upstreams = |view: &View| view.route(0).slots[0].upstreams.clone();
        let first = View::new(1, &table(&[("a", 1), ("b", 2)]), &known, &registry);
        let before = upstreams(&first);
        let second = View::new(2, &table(&[("a", 1), ("c", 2)]), &known, &registry);
        let after = upstreams(&second);
        assert!(Rc::ptr_eq(&before[0], &after[0]));
        assert!(!Rc::ptr_eq(&before[1], &after[1]), "same port, other process");
    }

    #[test]
    fn what_a_request_of_an_earlier_table_asks_for_late_is_retired_from_the_start() {
        let (known, registry) = (Rc::default(), Arc::default());
        let first = View::new(1, &table(&[("a", 1), ("b", 2)]), &known, &registry);
        let second = View::new(2, &table(&[("a", 1)]), &known, &registry);
        let late = &first.route(0).slots[0].upstreams;
        assert_eq!(late.iter().map(|upstream| upstream.is_retired()).collect::<Vec<_>>(), [false, true]);
        assert!(!Rc::ptr_eq(&late[0], &late[1]) && Rc::ptr_eq(&late[0], &second.route(0).slots[0].upstreams[0]));
        let _request = late[1].lease();
        assert_eq!(known.retired(), [("b".into(), 1)]);
    }
}
