//! Snapshots in few words. Limits are short, so that a test that waits for one does not wait long.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use mana_edge::snapshot::{
    Instance, Limits, Listener, Policies, Route, RouteLimits, Slot, Snapshot, StaticSite, Target,
};

/// A listener on a free port for everyone.
pub(crate) fn public() -> Listener {
    Listener::public(([127, 0, 0, 1], 0).into())
}

/// A listener on a free port for one route. On another loopback address than the public one, since a snapshot does not
/// declare an address twice.
pub(crate) fn internal(route: &str) -> Listener {
    Listener::internal(([127, 0, 0, 2], 0).into(), route)
}

pub(crate) fn snapshot(routes: Vec<Route>) -> Snapshot {
    Snapshot {
        generation: 1,
        listeners: vec![public()],
        routes,
        limits: Limits { drain_timeout_ms: 2_000, ..Limits::default() },
        ..Snapshot::default()
    }
}

/// A route of host `NAME.localhost`.
pub(crate) fn route(name: &str, target: Target) -> Route {
    Route {
        name: name.into(),
        hosts: vec![format!("{name}.localhost")],
        path: "/".into(),
        target,
        response_headers: BTreeMap::new(),
        limits: RouteLimits::default(),
        policies: Policies::default(),
        probe: None,
        lease: None,
    }
}

/// One slot with all the weight.
pub(crate) fn slots(instances: &[SocketAddr]) -> Target {
    Target::Slots(vec![slot("blue", 1, instances)])
}

pub(crate) fn slot(name: &str, weight: u32, instances: &[SocketAddr]) -> Slot {
    Slot {
        name: name.into(),
        release: format!("{name}-1"),
        weight,
        instances: instances
            .iter()
            .map(|address| Instance::new(format!("{name}-{}", address.port()), *address))
            .collect(),
    }
}

pub(crate) fn site(root: &Path) -> Target {
    Target::Static(StaticSite { root: root.to_owned(), not_found: None, beside: None })
}
