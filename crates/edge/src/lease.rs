//! Weights that hold only as long as somebody renews them: with nobody watching a canary, its traffic goes back. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::snapshot::{Snapshot, Target};

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

    /// The snapshot that follows from those that have run out: their slots get nothing, and it has the next generation.
    pub(crate) fn after(&self, snapshot: &Snapshot, now: Instant) -> Option<Snapshot> {
        if self.next().is_none_or(|next| next > now) {
            return None;
        }
        let mut after = Snapshot { generation: snapshot.generation + 1, ..snapshot.clone() };
        for route in &mut after.routes {
            if self.0.get(&route.name).is_none_or(|until| *until > now) {
                continue;
            }
            if let (Some(lease), Target::Slots(slots)) = (route.lease.take(), &mut route.target) {
                slots.iter_mut().filter(|slot| slot.name == lease.slot).for_each(|slot| slot.weight = 0);
            }
        }
        Some(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let slots = |green: u32| {
            serde_json::json!({"slots": [
                {"name": "blue", "release": "v1", "weight": 100 - green, "instances": []},
                {"name": "green", "release": "v2", "weight": green, "instances": []},
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
        assert_eq!((leases.next(), leases.after(&snapshot, at(59))), (Some(at(60)), None));
        assert_eq!(leases.renew(&snapshot, "a", at(50)), Some(Duration::from_mins(1)));
        assert_eq!((leases.next(), leases.after(&snapshot, at(89))), (Some(at(90)), None));
        let after = leases.after(&snapshot, at(90)).unwrap();
        assert_eq!((after.generation, weights(&after)), (8, vec![(90, 10), (50, 0), (50, 50)]));
        assert_eq!(leases.renew(&snapshot, "b", at(90)), None, "it has run out");
        leases.begin(&after, at(90));
        assert_eq!(leases.next(), Some(at(150)), "what goes on begins anew");
        assert_eq!(leases.renew(&after, "b", at(91)), None);
        assert_eq!(leases.renew(&after, "c", at(91)), None);
        let after = leases.after(&after, at(200)).unwrap();
        assert_eq!(weights(&after), [(90, 0), (50, 0), (50, 50)]);
        leases.begin(&after, at(200));
        assert_eq!(leases.next(), None);
    }
}
