//! Weights that hold only as long as somebody renews them: with nobody watching a canary, its traffic goes back. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::snapshot::{Slot, Snapshot, Target};

/// Until when each leased weight is good, by route.
#[derive(Debug, Default)]
pub(crate) struct Leases(BTreeMap<String, Instant>);

impl Leases {
    /// Every lease of a snapshot that is put into effect begins anew: whoever put it there is watching.
    pub(crate) fn begin(&mut self, snapshot: &Snapshot, now: Instant) {
        let leased = snapshot.routes.iter().filter_map(|route| Some((route, route.lease.as_ref()?)));
        self.0 = leased.map(|(route, lease)| (route.name.clone(), now + Duration::from_millis(lease.ms))).collect();
    }

    /// Begins a route's lease anew. Says how long it is good now; `None`: there is none, or it has run out.
    pub(crate) fn renew(&mut self, snapshot: &Snapshot, route: &str, now: Instant) -> Option<Duration> {
        let until = self.0.get_mut(route).filter(|until| **until > now)?;
        let lease = snapshot.routes.iter().find(|known| known.name == route)?.lease.as_ref()?;
        let good_for = Duration::from_millis(lease.ms);
        *until = now + good_for;
        Some(good_for)
    }

    /// When the next one runs out.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }

    /// The snapshot that follows from those that have run out: their slots get nothing, and it has the next generation. All others go
    /// on as they are, since nobody watched them now.
    pub(crate) fn end(&mut self, snapshot: &Snapshot, now: Instant) -> Option<Snapshot> {
        if self.next().is_none_or(|next| next > now) {
            return None;
        }
        let mut after = Snapshot { generation: snapshot.generation.checked_add(1)?, ..snapshot.clone() };
        let mut ended = false;
        for route in &mut after.routes {
            let Some(until) = self.0.get_mut(&route.name).filter(|until| **until <= now) else { continue };
            let (Some(lease), Target::Slots(slots)) = (&route.lease, &mut route.target) else { continue };
            let serves = |slot: &Slot| slot.name != lease.slot && slot.weight > 0 && !slot.instances.is_empty();
            if !slots.iter().any(serves) {
                // A version that nobody watches is better than none.
                *until = now + Duration::from_millis(lease.ms);
                continue;
            }
            slots.iter_mut().filter(|slot| slot.name == lease.slot).for_each(|slot| slot.weight = 0);
            route.lease = None;
            self.0.remove(&route.name);
            ended = true;
        }
        ended.then_some(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let instances = serde_json::json!([{"id": "a", "address": "127.0.0.1:20000"}]);
        let slots = |green: u32| {
            serde_json::json!({"slots": [
                {"name": "blue", "release": "v1", "weight": 100 - green, "instances": instances},
                {"name": "green", "release": "v2", "weight": green, "instances": instances},
            ]})
        };
        serde_json::from_value(serde_json::json!({"generation": 7, "listeners": [], "routes": [
            {"name": "a", "target": slots(10), "lease": {"slot": "green", "ms": 60_000}},
            {"name": "b", "target": slots(50), "lease": {"slot": "green", "ms": 90_000}},
            {"name": "c", "target": slots(50)},
        ]}))
        .unwrap()
    }

    fn weights(snapshot: &Snapshot) -> Vec<(u32, u32)> {
        let slots = snapshot.routes.iter().map(|route| match &route.target {
            Target::Slots(slots) => (slots[0].weight, slots[1].weight),
            _ => panic!("only slots are made here"),
        });
        slots.collect()
    }

    #[test]
    fn a_weight_that_nobody_renews_goes_back_and_no_other_does() {
        let (snapshot, began) = (snapshot(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut leases = Leases::default();
        leases.begin(&snapshot, began);
        assert_eq!((leases.next(), leases.end(&snapshot, at(59))), (Some(at(60)), None));
        assert_eq!(leases.renew(&snapshot, "a", at(50)), Some(Duration::from_mins(1)));
        assert_eq!((leases.next(), leases.end(&snapshot, at(89))), (Some(at(90)), None));
        let after = leases.end(&snapshot, at(90)).unwrap();
        assert_eq!((after.generation, weights(&after)), (8, vec![(90, 10), (50, 0), (50, 50)]));
        assert_eq!(leases.renew(&after, "b", at(90)), None, "it has run out");
        assert_eq!(leases.next(), Some(at(110)), "nobody renewed the other one");
        assert_eq!(leases.renew(&after, "c", at(91)), None);
        let last = leases.end(&after, at(110)).unwrap();
        assert_eq!((last.generation, weights(&last)), (9, vec![(90, 0), (50, 0), (50, 50)]));
        assert_eq!(leases.next(), None);
    }

    #[test]
    fn what_would_leave_nobody_to_answer_stays() {
        let (mut snapshot, began) = (snapshot(), Instant::now());
        let Target::Slots(slots) = &mut snapshot.routes[0].target else { panic!("slots") };
        slots[0].instances.clear();
        let mut leases = Leases::default();
        leases.begin(&snapshot, began);
        assert_eq!(leases.end(&snapshot, began + Duration::from_mins(1)), None);
        assert_eq!(leases.next(), Some(began + Duration::from_secs(90)), "that of the other route");
    }
}
