//! Whose turn it is at a service, and what follows when it comes and when it is over. The rules are in `mana_delivery`'s lanes.

use std::collections::BTreeSet;

use mana_delivery::rollout::lane::{Amiss, Busy, Lane, Order, Request};
use mana_delivery::rollout::{
    self as delivery, Command, Generation, Operator, Plan, Release, Reply, RolloutId, State, What,
};

use super::{Rollout, plan};
use crate::slot::Slot;
use crate::store::StoreError;
use crate::supervisor::Supervisor;

/// Who stands behind what the control plane does by itself.
const MANA: &str = "mana";

/// Why a rollout does not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Supervisor {
    /// Begins a rollout, or lets it wait for its turn.
    pub(super) fn begin_rollout(
        &mut self,
        service: &str,
        plan: &Plan,
        supersede: bool,
        key: Option<&str>,
    ) -> Result<RolloutId, Refused> {
        let (green, id) = (self.other_slot(service), self.store.next_rollout()?);
        let mut lane = self.lane(service);
        let orders = lane.step(Request::Begin { id, supersede })?;
        self.store.begin_rollout(id, service, plan, green, &lane, key)?;
        self.rollouts.lanes.insert(service.to_owned(), lane);
        self.rollouts.known.insert(id, Rollout::new(service.to_owned(), green, State::new(id, plan.clone())));
        self.obey(orders);
        Ok(id)
    }

    /// What is over moves again, if no other is under way or came after it.
    pub(super) fn begin_again(&mut self, id: RolloutId, service: &str) -> Result<(), Refused> {
        let mut lane = self.lane(service);
        lane.step(Request::Again { id })?;
        self.store.set_lane(service, &lane)?;
        self.rollouts.lanes.insert(service.to_owned(), lane);
        Ok(())
    }

    /// The slot that does not serve.
    fn other_slot(&self, service: &str) -> Slot {
        self.live(service).map_or(Slot::Blue, |(slot, _)| slot.other())
    }

    /// What a service's requests go to: the slot, and what runs in it.
    pub(super) fn live(&self, service: &str) -> Option<(Slot, Release)> {
        let desired = self.desired.as_ref()?;
        let live = desired.slots(service).filter(|wanted| wanted.weight > 0).max_by_key(|wanted| wanted.weight)?;
        let release = live.release.clone().unwrap_or_else(|| plan::folder(&live.version));
        Some((live.slot, release))
    }

    fn lane(&self, service: &str) -> Lane {
        let fresh = || Lane::new(self.live(service).map(|(_, release)| release), Generation::default());
        self.rollouts.lanes.get(service).cloned().unwrap_or_else(fresh)
    }

    fn obey(&mut self, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Start { id, generation, .. } => self.start_rollout(id, generation),
                Order::Supersede { id, newer } => {
                    let by = Operator(MANA.to_owned());
                    let service = self.rollouts.known.get(&id).map(|rollout| rollout.service.clone());
                    let told = self.take(id, What::Command { by, command: Command::Supersede { newer } });
                    // What could not be written down stays in the lane, and is said again.
                    if let (Some(_), Some(service)) = (told, service) {
                        self.lane_step(&service, Request::Heard { id });
                    }
                }
            }
        }
    }

    /// Its turn has come. Where it goes, and what it replaces, is what serves at this moment: something may have changed while it waited.
    fn start_rollout(&mut self, id: RolloutId, generation: Generation) {
        let Some(service) = self.rollouts.known.get(&id).map(|rollout| rollout.service.clone()) else { return };
        let (green, live) = (self.other_slot(&service), self.live(&service));
        if let Err(error) = self.store.set_green(id, green) {
            return Self::complain::<()>(Err(error));
        }
        if let Some(rollout) = self.rollouts.known.get_mut(&id) {
            rollout.green = green;
        }
        // What does not run cannot be compared with, nor be gone back to: the new version is as good as the first.
        let live = live.filter(|(slot, _)| !self.is_down(&service, *slot)).map(|(_, release)| release);
        let taken = self.take(id, What::Start { blue: live, generation });
        if taken == Some(Reply::Taken) {
            // The one before it is over for good: nobody goes back on it any more.
            let kept = |other: &RolloutId, rollout: &Rollout| {
                *other == id || rollout.service != service || !rollout.state.is_final()
            };
            self.rollouts.known.retain(|other, rollout| kept(other, rollout));
        }
    }

    /// Lanes and rollouts are written down one after the other, and a crash, or a full disk, may come in between: what one of them
    /// knows and the other does not is made good.
    pub(super) fn straighten_lanes(&mut self) {
        let services: BTreeSet<String> = self.rollouts.known.values().map(|rollout| rollout.service.clone()).collect();
        for service in services {
            let own = self.rollouts.known.iter().filter(|(_, rollout)| rollout.service == service);
            let stages = own.map(|(id, rollout)| (*id, rollout.state.stage())).collect();
            for amiss in self.lane(&service).amiss(&stages) {
                match amiss {
                    Amiss::Over { id } => self.over(id, &service),
                    Amiss::Order(order) => self.obey(vec![order]),
                    Amiss::Unknown { id } => self.lane_step(&service, Request::Begin { id, supersede: false }),
                }
            }
        }
    }

    /// One request to a lane, and what follows from it.
    fn lane_step(&mut self, service: &str, request: Request) {
        let mut lane = self.lane(service);
        match lane.step(request) {
            Ok(orders) => {
                if self.rollouts.lanes.get(service) != Some(&lane) {
                    Self::complain(self.store.set_lane(service, &lane));
                    self.rollouts.lanes.insert(service.to_owned(), lane);
                }
                self.obey(orders);
            }
            Err(busy) => tracing::error!(service, %busy, "whose turn it is cannot be told"),
        }
    }

    /// It has ended: whoever waits is next.
    pub(super) fn over(&mut self, id: RolloutId, service: &str) {
        let Some(rollout) = self.rollouts.known.get(&id) else {
            let (live, generation) = (self.live(service).map(|(_, release)| release), Generation::default());
            return self.lane_step(service, Request::Over { id, live, generation });
        };
        let (live, generation) = (rollout.state.live().cloned(), rollout.state.traffic().generation);
        // What did not run when it began was replaced without being a part of it.
        let old = rollout.slot(delivery::Slot::Blue);
        if rollout.state.stage() == delivery::Stage::Done
            && let Some(desired) = &mut self.desired
            && desired.find(service, old).is_some_and(|wanted| wanted.weight == 0)
        {
            desired.vacate(service, old);
            self.remember_slots();
        }
        self.lane_step(service, Request::Over { id, live, generation });
    }
}
