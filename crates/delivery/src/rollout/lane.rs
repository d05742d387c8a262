//! Whose turn it is: one active rollout per service and environment. Pure, like the rollouts themselves.
//!
//! A second rollout waits. With `supersede` it takes the place of all that came before it: those that wait end at once, the
//! active one goes back first (its canary to 0 %, its green stopped), and only then the newest begins, with windows and an
//! approval of its own. A rollout that cannot be superseded any more, because it ends by itself, is waited for.
//!
//! Who is to be superseded stands in the lane until they have heard it: a crash, or a full disk, between the lane and its rollouts
//! forgets nobody. What the two know differently after it says [`Lane::amiss`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Command, Generation, Release, RolloutId, Stage, What};

/// So many rollouts may wait for one service. More of them are a loop in somebody's CI.
pub const MOST_WAITING: usize = 16;

/// The rollouts of one service in one environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// The one that is not over.
    active: Option<RolloutId>,
    /// Those that wait, in order.
    waiting: VecDeque<RolloutId>,
    /// Those that have yet to hear that they are superseded, and by whom. No more than there may wait, and the active one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    superseded: BTreeMap<RolloutId, RolloutId>,
    /// The one that was active last.
    last: Option<RolloutId>,
    /// What serves.
    live: Option<Release>,
    /// The newest one of the service's traffic.
    generation: Generation,
}

/// What is wanted of a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// A new rollout.
    Begin {
        /// Which.
        id: RolloutId,
        /// Whether it takes the place of those before it.
        supersede: bool,
    },
    /// A rollout that is over is to move again: `retry`, or `rollback` of what is done.
    Again {
        /// Which.
        id: RolloutId,
    },
    /// A rollout has heard that it is superseded.
    Heard {
        /// Which.
        id: RolloutId,
    },
    /// A rollout is over.
    Over {
        /// Which.
        id: RolloutId,
        /// What serves now.
        live: Option<Release>,
        /// The newest one it has asked for.
        generation: Generation,
    },
}

/// An event for a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Its turn has come: [`What::Start`].
    Start {
        /// Whose.
        id: RolloutId,
        /// What it replaces.
        blue: Option<Release>,
        /// What its generations go on from.
        generation: Generation,
    },
    /// It ends in favour of another: [`Command::Supersede`].
    Supersede {
        /// Which.
        id: RolloutId,
        /// In favour of that.
        newer: RolloutId,
    },
}

/// What a lane and its rollouts know differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amiss {
    /// It is over, which the lane has not heard.
    Over {
        /// Which.
        id: RolloutId,
    },
    /// An order that was not carried out.
    Order(Order),
    /// It waits, and the lane does not know of it.
    Unknown {
        /// Which.
        id: RolloutId,
    },
}

/// Why a lane does not do what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Busy {
    /// See the message.
    #[error("rollout {active} is under way for this service: wait until it is over, or abort it")]
    Active {
        /// Which.
        active: RolloutId,
    },
    /// See the message.
    #[error(
        "rollout {id} is not the last one of this service any more, so what it would bring or put back is outdated: deploy that release anew"
    )]
    NotLast {
        /// Which.
        id: RolloutId,
    },
    /// See the message.
    #[error("{MOST_WAITING} rollouts wait for this service already: abort some, or begin with `--supersede`")]
    Full,
}

impl Lane {
    /// A lane in which nothing was rolled out yet. `live`: what serves all the same.
    pub fn new(live: Option<Release>, generation: Generation) -> Self {
        Self { live, generation, ..Self::default() }
    }

    /// The one that is not over.
    pub fn active(&self) -> Option<RolloutId> {
        self.active
    }

    /// The one that was active last.
    pub fn last(&self) -> Option<RolloutId> {
        self.last
    }

    /// Those that wait, in order.
    pub fn waiting(&self) -> impl Iterator<Item = RolloutId> + '_ {
        self.waiting.iter().copied()
    }

    /// What a stop between the lane and its rollouts has left undone. `rollouts`: those that are not forgotten, and where each is;
    /// whoever is not in it is over.
    pub fn amiss(&self, rollouts: &BTreeMap<RolloutId, Stage>) -> Vec<Amiss> {
        let is_over = |id: &RolloutId| rollouts.get(id).is_none_or(|stage| stage.is_final());
        let known: BTreeSet<RolloutId> =
            self.active.into_iter().chain(self.waiting()).chain(self.superseded.keys().copied()).collect();
        let is_queued = |id: &RolloutId| rollouts.get(id) == Some(&Stage::Queued);
        let over = known.iter().copied().filter(is_over).map(|id| Amiss::Over { id });
        let superseded = self.superseded.iter().map(|(id, newer)| (*id, *newer)).filter(|(id, _)| !is_over(id));
        let superseded = superseded.map(|(id, newer)| Order::Supersede { id, newer });
        let stranded = self.active.filter(|id| is_queued(id) && !self.superseded.contains_key(id));
        let stranded = stranded.map(|id| Order::Start { id, blue: self.live.clone(), generation: self.generation });
        let newest = known.iter().copied().chain(self.last).max();
        let lost = rollouts.keys().copied().filter(|id| is_queued(id) && !known.contains(id));
        let lost = lost.map(|id| match newest {
            // Only what was superseded ever left the lane without an end: behind a newer one it would be deployed over that.
            Some(newer) if newer > id => Amiss::Order(Order::Supersede { id, newer }),
            _ => Amiss::Unknown { id },
        });
        over.chain(superseded.chain(stranded).map(Amiss::Order)).chain(lost).collect()
    }

    /// Takes a request in and says which events the rollouts get. Asked for twice it changes nothing.
    pub fn step(&mut self, request: Request) -> Result<Vec<Order>, Busy> {
        match request {
            Request::Begin { id, .. } if self.knows(id) => Ok(Vec::new()),
            Request::Begin { id, supersede } => self.begin(id, supersede),
            Request::Again { id } => self.again(id).map(|()| Vec::new()),
            Request::Heard { id } => {
                self.superseded.remove(&id);
                Ok(Vec::new())
            }
            Request::Over { id, live, generation } => Ok(self.over(id, live, generation)),
        }
    }

    fn knows(&self, id: RolloutId) -> bool {
        self.active == Some(id) || self.waiting.contains(&id)
    }

    fn begin(&mut self, id: RolloutId, supersede: bool) -> Result<Vec<Order>, Busy> {
        let mut orders = Vec::new();
        if supersede {
            let older = self.active.into_iter().chain(std::mem::take(&mut self.waiting));
            self.superseded.extend(older.map(|older| (older, id)));
            orders.extend(self.superseded.keys().map(|older| Order::Supersede { id: *older, newer: id }));
        } else if self.waiting.len() >= MOST_WAITING {
            return Err(Busy::Full);
        }
        self.waiting.push_back(id);
        orders.extend(self.next());
        Ok(orders)
    }

    fn again(&mut self, id: RolloutId) -> Result<(), Busy> {
        match self.active {
            Some(active) if active == id => Ok(()),
            Some(active) => Err(Busy::Active { active }),
            None if self.last != Some(id) => Err(Busy::NotLast { id }),
            None => {
                self.active = Some(id);
                Ok(())
            }
        }
    }

    fn over(&mut self, id: RolloutId, live: Option<Release>, generation: Generation) -> Vec<Order> {
        self.waiting.retain(|waiting| *waiting != id);
        self.superseded.remove(&id);
        if self.active == Some(id) {
            self.active = None;
            self.last = Some(id);
            self.live = live;
            self.generation = self.generation.max(generation);
        }
        self.next().into_iter().collect()
    }

    fn next(&mut self) -> Option<Order> {
        if self.active.is_some() {
            return None;
        }
        let id = self.waiting.pop_front()?;
        self.active = Some(id);
        Some(Order::Start { id, blue: self.live.clone(), generation: self.generation })
    }
}

impl Order {
    /// Whom it is for.
    pub fn rollout(&self) -> RolloutId {
        match self {
            Self::Start { id, .. } | Self::Supersede { id, .. } => *id,
        }
    }

    /// The event for it. `by`: who asked for the rollout that supersedes.
    pub fn event(self, by: super::Operator) -> What {
        match self {
            Self::Start { blue, generation, .. } => What::Start { blue, generation },
            Self::Supersede { newer, .. } => What::Command { by, command: Command::Supersede { newer } },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(id: u64, supersede: bool) -> Request {
        Request::Begin { id: RolloutId(id), supersede }
    }

    fn over(id: u64) -> Request {
        Request::Over { id: RolloutId(id), live: None, generation: Generation(9) }
    }

    /// The orders in short: `+1` starts, `-1` is superseded.
    fn orders(lane: &mut Lane, request: Request) -> String {
        let orders = lane.step(request).unwrap();
        let short = |order: &Order| match order {
            Order::Start { id, .. } => format!("+{id}"),
            Order::Supersede { id, .. } => format!("-{id}"),
        };
        orders.iter().map(short).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_second_rollout_waits_for_the_first() {
        let mut lane = Lane::new(None, Generation(4));
        assert_eq!(orders(&mut lane, begin(1, false)), "+1");
        assert_eq!(orders(&mut lane, begin(2, false)), "");
        assert_eq!(orders(&mut lane, begin(2, false)), "", "twice is as good as once");
        assert_eq!(orders(&mut lane, over(7)), "", "a stranger");
        assert_eq!(orders(&mut lane, over(1)), "+2");
        assert_eq!(orders(&mut lane, over(1)), "");
        assert_eq!(lane.active(), Some(RolloutId(2)));
    }

    #[test]
    fn the_newest_takes_the_place_of_all_but_begins_only_when_the_active_one_is_over() {
        let mut lane = Lane::default();
        orders(&mut lane, begin(1, false));
        orders(&mut lane, begin(2, false));
        assert_eq!(orders(&mut lane, begin(3, true)), "-1 -2");
        assert_eq!(orders(&mut lane, over(2)), "");
        assert_eq!(orders(&mut lane, over(1)), "+3");
    }

    #[test]
    fn generations_go_on_from_those_of_the_rollout_before() {
        let mut lane = Lane::new(None, Generation(4));
        orders(&mut lane, begin(1, false));
        orders(&mut lane, over(1));
        let next = lane.step(begin(2, false)).unwrap();
        assert_eq!(next, [Order::Start { id: RolloutId(2), blue: None, generation: Generation(9) }]);
    }

    #[test]
    fn only_the_last_one_moves_again_and_only_alone() {
        let again = |id| Request::Again { id: RolloutId(id) };
        let mut lane = Lane::default();
        orders(&mut lane, begin(1, false));
        orders(&mut lane, over(1));
        assert_eq!(orders(&mut lane, again(1)), "");
        assert_eq!(lane.active(), Some(RolloutId(1)));
        orders(&mut lane, begin(2, false));
        orders(&mut lane, over(1));
        assert_eq!(lane.step(again(1)), Err(Busy::Active { active: RolloutId(2) }));
        orders(&mut lane, over(2));
        assert_eq!(lane.step(again(1)), Err(Busy::NotLast { id: RolloutId(1) }));
    }

    fn stages(all: &[(u64, Stage)]) -> BTreeMap<RolloutId, Stage> {
        all.iter().map(|(id, stage)| (RolloutId(*id), *stage)).collect()
    }

    fn supersede(id: u64, newer: u64) -> Amiss {
        Amiss::Order(Order::Supersede { id: RolloutId(id), newer: RolloutId(newer) })
    }

    #[test]
    fn who_is_superseded_is_known_until_they_have_heard_it() {
        let mut lane = Lane::default();
        for id in 1..=3 {
            orders(&mut lane, begin(id, id == 3));
        }
        // A crash before anybody was told: what is on disk says it.
        let mut lane: Lane = serde_json::from_str(&serde_json::to_string(&lane).unwrap()).unwrap();
        let mut known = stages(&[(1, Stage::Canary), (2, Stage::Queued), (3, Stage::Queued)]);
        assert_eq!(lane.amiss(&known), [supersede(1, 3), supersede(2, 3)]);
        // After the first was told, and after the second, which ends at once.
        orders(&mut lane, Request::Heard { id: RolloutId(1) });
        assert_eq!(lane.amiss(&known), [supersede(2, 3)]);
        known.insert(RolloutId(2), Stage::Superseded);
        assert_eq!(lane.amiss(&known), [Amiss::Over { id: RolloutId(2) }]);
        assert_eq!(orders(&mut lane, over(2)), "");
        assert_eq!(lane.amiss(&known), []);
        assert_eq!(orders(&mut lane, over(1)), "+3");
        known.insert(RolloutId(1), Stage::Superseded);
        let start = Order::Start { id: RolloutId(3), blue: None, generation: Generation(9) };
        assert_eq!(lane.amiss(&known), [Amiss::Order(start)]);
        known.insert(RolloutId(3), Stage::Scanning);
        assert_eq!(lane.amiss(&known), []);
    }

    #[test]
    fn what_is_lost_is_not_deployed_over_what_is_newer() {
        let mut lane = Lane::default();
        orders(&mut lane, begin(3, false));
        let known = stages(&[(2, Stage::Queued), (3, Stage::Canary), (4, Stage::Queued)]);
        assert_eq!(lane.amiss(&known), [supersede(2, 3), Amiss::Unknown { id: RolloutId(4) }]);
    }

    #[test]
    fn waiting_has_a_limit() {
        let mut lane = Lane::default();
        for id in 0..=MOST_WAITING as u64 {
            lane.step(begin(id, false)).unwrap();
        }
        assert_eq!(lane.step(begin(99, false)), Err(Busy::Full));
        assert!(lane.step(begin(99, true)).is_ok());
    }
    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn one_is_active_at_a_time_and_nobody_is_forgotten(
            requests in proptest::collection::vec((0_u64..12, 0..5_u8), 0..80),
        ) {
            let mut lane = Lane::default();
            let mut active = None;
            let (mut begun, mut unfinished) = (BTreeSet::new(), BTreeSet::new());
            for (id, kind) in requests {
                let rollout = RolloutId(id);
                let request = match kind {
                    0 | 1 if !begun.insert(id) => continue,
                    0 | 1 => begin(id, kind == 1),
                    2 => Request::Again { id: rollout },
                    _ => over(id),
                };
                let Ok(orders) = lane.step(request) else { continue };
                match kind {
                    0 | 1 => drop(unfinished.insert(rollout)),
                    2 => {
                        assert!(active.is_none() || active == Some(rollout));
                        active = Some(rollout);
                        unfinished.insert(rollout);
                    }
                    _ => {
                        unfinished.remove(&rollout);
                        active = active.filter(|active| *active != rollout);
                    }
                }
                for order in orders {
                    match order {
                        Order::Start { id, .. } => {
                            assert_eq!(active, None, "two at once");
                            active = Some(id);
                        }
                        // Whoever waits ends at once; the active one says so when it is back.
                        Order::Supersede { id, .. } if active != Some(id) => drop(unfinished.remove(&id)),
                        Order::Supersede { .. } => {}
                    }
                }
                assert_eq!(lane.active(), active);
                let known: BTreeSet<_> = lane.active().into_iter().chain(lane.waiting()).collect();
                assert_eq!(known, unfinished);
                assert!(active.is_some() || lane.waiting().next().is_none(), "somebody waits for nothing");
            }
        }
    }
}
