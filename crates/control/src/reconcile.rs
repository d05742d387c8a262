//! What has to be done so that what runs becomes what should run. Pure: views in, actions out.
//!
//! Asked again after every event, so each answer needs to be right only for the present moment, and an action that was
//! carried out must not be asked for again.
//!
//! Invariants (property test below):
//! - A place that serves is retired only when another one of its slot and ordinal serves, or nobody wants it any more.
//! - Nothing is stopped that the edge may still send requests to.
//! - Services start after what they need serves, and go down before it.

use crate::desired::EDGE;
use crate::slot::Slot;

/// Names a place inside this process.
pub(crate) type Key = u64;

/// What should run in one slot of a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WantedView<'a> {
    pub(crate) name: &'a str,
    pub(crate) slot: Slot,
    pub(crate) count: u16,
    pub(crate) needs: &'a [String],
    pub(crate) migration_pending: bool,
}

impl WantedView<'_> {
    fn has(&self, place: &PlaceView<'_>) -> bool {
        self.name == place.service && self.slot == place.slot
    }
}

/// A place: where one instance of a service is kept running, whatever becomes of single processes.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a place, each named where it is used")]
pub(crate) struct PlaceView<'a> {
    pub(crate) key: Key,
    pub(crate) service: &'a str,
    pub(crate) slot: Slot,
    pub(crate) ordinal: u16,
    pub(crate) needs: &'a [String],
    /// It runs what should run, and is not to be replaced for another reason.
    pub(crate) current: bool,
    /// Waits for its first start.
    pub(crate) waiting: bool,
    /// A process exists or is being started.
    pub(crate) has_process: bool,
    pub(crate) ready: bool,
    /// Ready, and the edge has acknowledged to send it requests. (The edge itself: ready.)
    pub(crate) serving: bool,
    /// Taken out of traffic, to be stopped.
    pub(crate) retiring: bool,
    /// The edge sends it nothing any more, and what it was sent is answered, or had its time.
    pub(crate) drained: bool,
    /// Told to stop already.
    pub(crate) stopping: bool,
    /// Ended for good.
    pub(crate) stopped: bool,
}

/// See the module's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make a place for this instance.
    Create { service: String, slot: Slot, ordinal: u16 },
    /// What it needs is there: let it start.
    Go { key: Key, migrate: bool },
    /// Take it out of traffic.
    Retire { key: Key },
    /// Stop it.
    Stop { key: Key },
    /// It is gone: forget it.
    Forget { key: Key },
}

/// What has to be done now.
pub(crate) fn actions(wanted: &[WantedView<'_>], places: &[PlaceView<'_>]) -> Vec<Action> {
    let mut actions = Vec::new();
    for service in wanted {
        create(service, places, &mut actions);
    }
    for place in places {
        let service = wanted.iter().find(|service| service.has(place));
        if place.stopped {
            actions.push(Action::Forget { key: place.key });
        } else if place.retiring {
            if !place.stopping && (place.drained || !place.has_process) {
                actions.push(Action::Stop { key: place.key });
            }
        } else if may_retire(place, service, wanted, places) {
            actions.push(Action::Retire { key: place.key });
        } else if place.waiting
            && let Some(service) = service
            && may_go(place, service, places)
        {
            actions.push(Action::Go { key: place.key, migrate: service.migration_pending });
        }
    }
    actions
}

fn create(service: &WantedView<'_>, places: &[PlaceView<'_>], actions: &mut Vec<Action>) {
    let mut own = places.iter().filter(|place| service.has(place));
    for ordinal in 1..=service.count {
        if !own.clone().any(|place| place.ordinal == ordinal && place.current && !place.retiring) {
            let (service, slot) = (service.name.to_owned(), service.slot);
            actions.push(Action::Create { service, slot, ordinal });
        }
    }
    debug_assert!(own.all(|place| place.ordinal > 0), "ordinals count from 1");
}

/// Names of what a service still waits for.
pub(crate) fn missing<'a>(needs: &'a [String], places: &[PlaceView<'_>]) -> Vec<&'a str> {
    let serves = |name: &str| places.iter().any(|place| place.service == name && place.serving && !place.retiring);
    needs.iter().map(String::as_str).filter(|name| !serves(name)).collect()
}

fn may_go(place: &PlaceView<'_>, service: &WantedView<'_>, places: &[PlaceView<'_>]) -> bool {
    // One instance migrates for all of its service.
    let first = || {
        !places
            .iter()
            .any(|other| service.has(other) && other.current && !other.retiring && other.ordinal < place.ordinal)
    };
    missing(service.needs, places).is_empty() && (!service.migration_pending || first())
}

fn may_retire(
    place: &PlaceView<'_>,
    service: Option<&WantedView<'_>>,
    wanted: &[WantedView<'_>],
    places: &[PlaceView<'_>],
) -> bool {
    let Some(service) = service else {
        // Its other slot goes on.
        if wanted.iter().any(|service| service.name == place.service) {
            return true;
        }
        let unwanted = |other: &PlaceView<'_>| !wanted.iter().any(|service| service.name == other.service);
        return !places.iter().any(|other| {
            other.service != place.service
                && unwanted(other)
                && (place.service == EDGE || other.needs.iter().any(|name| name == place.service))
        });
    };
    if place.ordinal > service.count {
        return true;
    }
    if place.current {
        return false;
    }
    // Whoever takes no traffic has none to hand over.
    let replaced = || {
        places.iter().any(|other| {
            service.has(other) && other.ordinal == place.ordinal && other.current && other.serving && !other.retiring
        })
    };
    !place.ready || replaced()
}

#[cfg(test)]
mod tests;
