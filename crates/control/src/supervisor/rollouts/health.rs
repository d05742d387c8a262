//! How the slots of a rollout are, as the runtime and the edge say.

use mana_delivery::rollout::{self as delivery, Health, Percent, RolloutId, What};
use mana_runtime::lifecycle::Phase;

use super::Rollout;
use crate::desired::FULL_WEIGHT;
use crate::slot::Slot;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// What is new about blue or green.
    pub(super) fn news_of_health(&mut self, id: RolloutId) -> Option<What> {
        if self.rollouts.known.get(&id)?.state.is_final() {
            return None;
        }
        for (place, slot) in [delivery::Slot::Blue, delivery::Slot::Green].into_iter().enumerate() {
            let rollout = self.rollouts.known.get(&id)?;
            let health = self.health(rollout, slot);
            if health != Health::Unknown && health != rollout.said[place] {
                self.rollouts.known.get_mut(&id)?.said[place] = health.clone();
                return Some(What::Seen { slot, health });
            }
        }
        None
    }

    /// How a slot is. Not known while it is on its way, or nothing should run there.
    pub(super) fn health(&self, rollout: &Rollout, part: delivery::Slot) -> Health {
        let slot = rollout.slot(part);
        let Some(wanted) = self.desired.as_ref().and_then(|desired| desired.find(&rollout.service, slot)) else {
            return Health::Unknown;
        };
        if let Some(folder) = wanted.folder() {
            let gone = || Health::Lost(format!("the folder {} is not there", folder.display()));
            return if folder.is_dir() { Health::Ready } else { gone() };
        }
        let places: Vec<_> = self.places.values().filter(|place| place.is_of(wanted) && !place.retiring).collect();
        if places.iter().filter(|place| place.life.ready()).count() >= usize::from(wanted.count) {
            return Health::Ready;
        }
        let lost = places.iter().find(|place| {
            // The old version has shown that it can run: one crash is an accident. The new one has shown nothing yet.
            let accidents = u32::from(part == delivery::Slot::Blue);
            let crashed = matches!(place.life.phase(), Phase::Backoff { .. })
                && place.ready_after.is_some()
                && place.life.crashes() > accidents;
            crashed
                || place.life.failing()
                || matches!(place.life.phase(), Phase::Unready { .. } | Phase::Blocked { .. })
        });
        lost.map_or(Health::Unknown, |place| {
            let why = place.reason(self.clock.now(), &[]).unwrap_or_else(|| place.life.phase().name().to_owned());
            Health::Lost(why)
        })
    }

    /// Whether nothing of a slot serves, and nothing is to be expected of it.
    pub(super) fn is_down(&self, service: &str, slot: Slot) -> bool {
        let own = || self.places.values().filter(|place| place.service == service && place.slot == slot);
        let hopeless = own().any(|place| place.life.failing() || matches!(place.life.phase(), Phase::Blocked { .. }));
        hopeless && !own().any(|place| place.life.ready())
    }

    /// The share that the edge gives green, as far as it said so.
    pub(super) fn served_share(&self, rollout: &Rollout) -> Option<Percent> {
        if let Some(folder) = self.edge.folder(&rollout.service) {
            let is = |part| self.desired.as_ref()?.find(&rollout.service, rollout.slot(part))?.folder();
            let shares = [(delivery::Slot::Green, Percent::ALL), (delivery::Slot::Blue, Percent::NONE)];
            return shares.into_iter().find(|(part, _)| is(*part) == Some(folder)).map(|(_, green)| green);
        }
        let weights = self.edge.weights(&rollout.service)?;
        let all: u32 = weights.iter().map(|(_, weight)| weight).sum();
        let green = weights.iter().find(|(slot, _)| *slot == rollout.green.as_str()).map_or(0, |(_, weight)| *weight);
        let percent = (green * u32::from(FULL_WEIGHT)).checked_div(all).unwrap_or(0);
        u8::try_from(percent).ok().and_then(|percent| Percent::try_from(percent).ok())
    }
}
