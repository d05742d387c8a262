//! What the edge should serve at this moment, and offering it.

use std::collections::BTreeMap;
use std::path::Path;

use mana_edge::admin;
use mana_edge::snapshot::Snapshot;

use super::{Message, Supervisor, edge_link};
use crate::desired::{EDGE, Wanted};
use crate::paths;
use crate::snapshot::{self, Deployed, Ready};

impl Supervisor {
    /// The snapshot of this moment.
    pub(super) fn snapshot(&self) -> Option<Snapshot> {
        let desired = self.desired.as_ref()?;
        let mut deployed: BTreeMap<String, Vec<Deployed>> = BTreeMap::new();
        for wanted in desired.wanted.iter().filter(|wanted| wanted.name != EDGE) {
            let leased = self.rollouts.leased(&wanted.name) == Some(wanted.slot);
            let deployment = Deployed {
                slot: wanted.slot,
                weight: wanted.weight,
                leased,
                ready: self.ready_in(wanted),
                folder: wanted.folder().map(Path::to_owned),
            };
            deployed.entry(wanted.name.clone()).or_default().push(deployment);
        }
        let mut wanted = snapshot::build(&desired.plan, &deployed);
        let (port, id) = &self.door;
        wanted.routes.extend(desired.plan.ops.as_ref().map(|ops| snapshot::door(&ops.host, id, *port)));
        let status = desired.plan.status.as_ref();
        wanted.routes.extend(status.map(|page| snapshot::status_page(page, paths::status_page(&self.data))));
        // A collector of one's own gets all of them; ours gets what fits into its files.
        wanted.traces = wanted.traces.or_else(|| self.traces.as_ref().map(snapshot::traces));
        Some(wanted)
    }

    /// Instances of a slot that take traffic.
    fn ready_in(&self, wanted: &Wanted) -> Vec<Ready> {
        let own = self.places.values().filter(|place| place.routable() && place.is_of(wanted));
        let ready = own.filter_map(|place| {
            let instance = place.instance.as_ref()?;
            Some(Ready { id: instance.id.clone(), port: instance.port?, release: place.label.clone() })
        });
        ready.collect()
    }

    /// Offers the edge the snapshot of this moment, where it serves another one.
    pub(super) fn offer(&mut self) {
        let edge_runs = self
            .places
            .values()
            .any(|place| place.service == EDGE && place.life.ready() && !place.life.stopping_for_good());
        if !edge_runs {
            return;
        }
        let Some(wanted) = self.snapshot() else { return };
        let Some(offer) = self.edge.offer(wanted, self.clock.now()) else { return };
        let (mailbox, client) = (self.mailbox(), admin::Client::new(paths::edge_socket(&self.data)));
        tokio::spawn(async move {
            // The owner is gone only when the process ends.
            let _ = mailbox.send(Message::Edge(edge_link::put(client, offer).await)).await;
        });
    }
}
