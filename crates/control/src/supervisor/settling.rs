//! What follows from the present state, worked out and done until nothing does.

use std::time::Duration;

use mana_runtime::lifecycle::{self, What};

use super::place::Place;
use super::{Past, Supervisor};
use crate::clock;
use crate::daemon::ExitReason;
use crate::desired::{EDGE, Version};
use crate::paths;
use crate::reconcile::{self, Action, PlaceView, WantedView};
use crate::slot::Slot;

/// Rounds of reconciliation after one event: each round does something, and the longest chain of consequences (retire,
/// stop, forget, create, go) is far shorter.
const MAX_ROUNDS: usize = 32;
/// When the edge does not acknowledge for so long, instances that nobody wants any more are stopped all the same.
const UNWANTED_LIMIT: Duration = Duration::from_secs(10);

impl Supervisor {
    /// Works out and does what follows from the present state, until nothing does.
    pub(super) fn settle(&mut self) {
        self.pursue_rollouts();
        self.watch_edge();
        for round in 0.. {
            self.mark_unrouted();
            let actions = self.actions();
            if actions.is_empty() {
                break;
            }
            if round == MAX_ROUNDS {
                tracing::error!(?actions, "reconciliation goes round in circles; it goes on with the next event");
                break;
            }
            for action in actions {
                self.act(action);
            }
        }
        self.offer();
        self.ask_what_drains();
        self.finish_down();
        self.tell();
    }

    fn actions(&self) -> Vec<Action> {
        // Not knowing what should run is no reason to stop what does.
        if self.lost.is_some() && self.desired.is_none() && !self.down_asked {
            return Vec::new();
        }
        let wanted: Vec<WantedView<'_>> = self.wanted_views();
        let views: Vec<PlaceView<'_>> = self.place_views();
        reconcile::actions(&wanted, &views)
    }

    fn wanted_views(&self) -> Vec<WantedView<'_>> {
        let desired = self.desired.as_ref().filter(|_| self.running);
        desired
            .into_iter()
            .flat_map(|desired| &desired.wanted)
            .map(|wanted| WantedView {
                name: &wanted.name,
                slot: wanted.slot,
                count: self.count_of(wanted),
                needs: &wanted.facts.needs,
                migration_pending: wanted.migration_pending(),
            })
            .collect()
    }

    pub(super) fn place_views(&self) -> Vec<PlaceView<'_>> {
        self.places
            .values()
            .map(|place| {
                let edge = place.service == EDGE;
                let routed = place.id().is_some_and(|id| self.edge.serves(id));
                let serving = place.routable() && (edge || routed);
                place.view(self.version(&place.service, place.slot), serving, self.is_drained(place))
            })
            .collect()
    }

    /// The version a slot of a service should run.
    pub(super) fn version(&self, service: &str, slot: Slot) -> Option<&Version> {
        match &self.desired {
            Some(desired) if self.running => desired.find(service, slot).map(|wanted| &wanted.version),
            _ => None,
        }
    }

    /// Notes when the edge stopped sending requests to those that are to be stopped.
    fn mark_unrouted(&mut self) {
        let now = self.clock.now();
        for place in self.places.values_mut().filter(|place| place.retiring && place.unrouted.is_none()) {
            let id = place.instance.as_ref().map(|instance| instance.id.as_str());
            if !id.is_some_and(|id| self.edge.may_route(id)) {
                place.unrouted = Some(now);
            } else if !self.running && place.retiring_since.is_some_and(|since| now.since(since) >= UNWANTED_LIMIT) {
                tracing::warn!(service = %place.service, "the edge does not acknowledge; stopping without it");
                place.unrouted = Some(now);
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Create { service, slot, ordinal } => self.create(&service, slot, ordinal),
            Action::Go { key, migrate } => self.step(key, What::Go { migrate }),
            Action::Retire { key } => {
                let now = self.clock.now();
                if let Some(place) = self.places.get_mut(&key) {
                    place.retiring = true;
                    place.retiring_since = Some(now);
                }
            }
            Action::Stop { key } => self.step(key, What::Stop),
            Action::Forget { key } => {
                self.places.remove(&key);
                // Somebody may have waited for it to be gone.
                self.changed = true;
            }
        }
    }

    fn create(&mut self, service: &str, slot: Slot, ordinal: u16) {
        let Some(wanted) = self.desired.as_ref().and_then(|desired| desired.find(service, slot)) else { return };
        let log_file = paths::instance_log(&self.data, service, slot.log_name(), ordinal);
        let mut place = Place::new(self.next_key, wanted, ordinal, log_file);
        self.next_key += 1;
        let policy = place.facts.policy();
        // Another place of the same ordinal is being replaced by this one: because it failed, or because of a change.
        let failed = self.places.values().find(|other| {
            other.service == service
                && other.slot == slot
                && other.ordinal == ordinal
                && other.replace.is_some()
                && other.version == place.version
        });
        if let Some(failed) = failed {
            let reason = failed.replace.clone().unwrap_or_default();
            let (at, jitter) = (self.clock.now(), clock::chance());
            place.life = lifecycle::State::replacing(policy, &failed.life, reason, at, jitter);
        } else if let Some(Past { restarts, last_exit, port }) = self.past.remove(&(service.to_owned(), slot, ordinal))
        {
            place.life = lifecycle::State::new(policy).with_past(restarts, last_exit);
            place.last_port = port;
        }
        self.endings.begin(service, slot, ordinal);
        self.places.insert(place.key, place);
    }

    /// The end of going down: nothing is left, and everybody was told.
    fn finish_down(&mut self) {
        if self.down_asked && self.places.is_empty() && self.ended.is_none() {
            self.note(None, None, "down", "everything is stopped");
            self.ended = Some(ExitReason::Down);
        }
    }
}
