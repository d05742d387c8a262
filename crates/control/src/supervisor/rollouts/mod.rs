//! Rollouts: what `mana_delivery` decides is carried out here.
//!
//! An event is taken in, written down with the effects that follow from it, and only then are they carried out. An effect that makes
//! something true is not remembered beside the rollout: whoever asks [`State::outstanding`] and looks at the world sees what is left
//! to do, so a control plane that begins anew goes on by itself.
//!
//! The rollout's blue and green are the old and the new version; which of the service's slots plays green is written down with it.

mod calls;
mod effects;
mod plan;
mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mana_delivery::rollout::lane::{Lane, Order, Request};
use mana_delivery::rollout::{self as delivery, Percent};
use mana_delivery::rollout::{
    Command, Effect, Event, Facts, Generation, Health, Operator, Outcome, Plan, Release, Reply, RolloutId, State,
    TrafficFacts, What,
};
use mana_runtime::lifecycle::{Phase, Time};
use tokio::task::AbortHandle;

use super::Supervisor;
use crate::clock;
use crate::desired::FULL_WEIGHT;
use crate::slot::Slot;
use crate::store::StoreError;

/// Events that may follow from one another at once. A rollout has some twenty stages, each with a handful.
const MAX_ROUNDS: usize = 256;
/// Before a journal that could not be written is tried again: the disk is full, say.
const RETRY: Duration = Duration::from_secs(1);
/// Who stands behind what the control plane does by itself.
const MANA: &str = "mana";

/// What a task found out.
#[derive(Debug)]
pub(crate) enum Found {
    /// How its effect went.
    Outcome(Outcome),
    /// The release's files are as they were released.
    Verified(Release),
    /// The edge does not know since when it serves these weights: it is another one, or served many others meanwhile.
    Forgotten,
}

/// What a task that carries out an effect found out.
#[derive(Debug)]
pub(crate) struct Told {
    rollout: RolloutId,
    /// Of the effect's key.
    n: u64,
    found: Found,
}

/// The books about it.
#[derive(Debug, Default)]
pub(super) struct Rollouts {
    lanes: BTreeMap<String, Lane>,
    /// Those that are not over, and the last one of each service: it may be gone back on.
    known: BTreeMap<RolloutId, Rollout>,
    /// What the slots should run is not on disk yet: nothing that rests on it is called done.
    unsaved: bool,
}

#[derive(Debug)]
pub(super) struct Rollout {
    service: String,
    /// Which slot plays green.
    green: Slot,
    state: State,
    /// When it wants to hear that time has passed.
    wake: Option<Time>,
    /// What carries its effects out, by the number of each.
    working: BTreeMap<u64, Working>,
    /// What was last said of blue and green.
    said: [Health; 2],
    /// The effect that its present weights are for.
    weights_for: Option<u64>,
    /// The edge's generation in which they took effect.
    weights_since: Option<u64>,
}

/// A task; it ends with this value.
#[derive(Debug)]
struct Working(AbortHandle);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Rollout {
    fn new(service: String, green: Slot, state: State) -> Self {
        let said = [Health::Unknown, Health::Unknown];
        Self {
            service,
            green,
            state,
            wake: None,
            working: BTreeMap::new(),
            said,
            weights_for: None,
            weights_since: None,
        }
    }

    /// The service's slot that plays this part.
    fn slot(&self, part: delivery::Slot) -> Slot {
        match (part, self.green) {
            (delivery::Slot::Green, green) => green,
            (delivery::Slot::Blue, Slot::Green) => Slot::Blue,
            (delivery::Slot::Blue, Slot::Blue) => Slot::Green,
        }
    }
}

impl Rollouts {
    /// When one of them wants to hear that time has passed.
    pub(super) fn timer(&self) -> Option<Time> {
        self.known.values().filter_map(|rollout| rollout.wake).min()
    }

    /// The slot of a service whose weight is a lease: a new version's, as long as it has not everything.
    pub(super) fn leased(&self, service: &str) -> Option<Slot> {
        let mut open = self.known.values().filter(|rollout| rollout.service == service && !rollout.state.is_final());
        open.find(|rollout| rollout.state.traffic().moved).map(|rollout| rollout.green)
    }

    /// The one that a person means who names the service: that under way, or the last one that was.
    fn meant(&self, service: &str) -> Option<RolloutId> {
        let lane = self.lanes.get(service);
        let newest = || self.known.iter().rev().find(|(_, rollout)| rollout.service == service).map(|(id, _)| *id);
        lane.and_then(|lane| lane.active().or(lane.last())).or_else(newest)
    }

    /// Services with a rollout that is not over.
    pub(super) fn under_way(&self) -> impl Iterator<Item = (RolloutId, &str)> {
        let open = self.known.iter().filter(|(_, rollout)| !rollout.state.is_final());
        open.map(|(id, rollout)| (*id, rollout.service.as_str()))
    }
}

impl Supervisor {
    /// Reads what is written down of rollouts. What it leads to waits for [`Supervisor::go_on_with_rollouts`].
    pub(super) fn recall_rollouts(&mut self) -> Result<(), StoreError> {
        let mut newest = BTreeSet::new();
        for row in self.store.rollouts(None)? {
            let is_newest = newest.insert(row.service.clone());
            if is_newest && let Some(lane) = self.store.lane(&row.service)? {
                self.rollouts.lanes.insert(row.service.clone(), lane);
            }
            let is_last = self.rollouts.lanes.get(&row.service).is_some_and(|lane| lane.last() == Some(row.id));
            if is_newest || is_last || row.ended.is_none() {
                let (id, service, green) = (row.id, row.service.clone(), row.green);
                let state = self.store.rollout_state(row)?;
                self.rollouts.known.insert(id, Rollout::new(service, green, state));
            }
        }
        Ok(())
    }

    /// Tells those that are not over that the control plane is back, and how things are.
    pub(super) fn go_on_with_rollouts(&mut self) {
        for id in self.open_rollouts() {
            self.begin_anew(id);
        }
    }

    /// What was watched was not watched for a while: how things are is said once more.
    fn begin_anew(&mut self, id: RolloutId) {
        let Some(rollout) = self.rollouts.known.get(&id) else { return };
        if *rollout.state.phase() == delivery::Phase::Queued {
            return;
        }
        let served = self.served_share(rollout);
        let facts = Facts {
            traffic: served.map(|green| TrafficFacts { generation: rollout.state.traffic().generation, green }),
            blue: self.health(rollout, delivery::Slot::Blue),
            green: self.health(rollout, delivery::Slot::Green),
        };
        // What it serves now, it has served at least since it said so.
        let since = self.edge.served_generation().filter(|_| served == rollout.state.traffic().acknowledged);
        if let Some(rollout) = self.rollouts.known.get_mut(&id) {
            rollout.weights_since = since;
        }
        self.take(id, What::Restarted { facts });
    }

    /// Lanes and rollouts are written down one after the other, and a crash, or a full disk, may come in between: what one of them
    /// knows and the other does not is made good.
    fn straighten_lanes(&mut self) {
        let services: BTreeSet<String> = self.rollouts.known.values().map(|rollout| rollout.service.clone()).collect();
        for service in services {
            let lane = self.lane(&service);
            let is_over = |id: &RolloutId| self.rollouts.known.get(id).is_none_or(|rollout| rollout.state.is_final());
            let is_queued = |id: &RolloutId| {
                self.rollouts.known.get(id).is_some_and(|rollout| *rollout.state.phase() == delivery::Phase::Queued)
            };
            let over: Vec<RolloutId> = lane.active().into_iter().chain(lane.waiting()).filter(is_over).collect();
            let stranded = lane.active().filter(is_queued);
            let in_lane: Vec<RolloutId> = lane.active().into_iter().chain(lane.waiting()).collect();
            let own = self.rollouts.known.iter().filter(|(_, rollout)| rollout.service == service);
            let lost: Vec<RolloutId> =
                own.map(|(id, _)| *id).filter(|id| is_queued(id) && !in_lane.contains(id)).collect();
            for id in over {
                self.over(id, &service);
            }
            if let Some(id) = stranded {
                self.obey(vec![Order::Start { id, blue: None, generation: Generation::default() }]);
            }
            for id in lost {
                self.lane_step(&service, Request::Begin { id, supersede: false });
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

    fn open_rollouts(&self) -> Vec<RolloutId> {
        let open = self.rollouts.known.iter().filter(|(_, rollout)| !rollout.state.is_final());
        open.map(|(id, _)| *id).collect()
    }

    /// Begins a rollout, or lets it wait for its turn.
    fn begin_rollout(&mut self, service: &str, plan: &Plan, supersede: bool) -> Result<RolloutId, Refused> {
        let green = self.other_slot(service);
        let mut lane = self.lane(service);
        let id = self.store.begin_rollout(service, plan, green)?;
        let orders = match lane.step(Request::Begin { id, supersede }) {
            Ok(orders) => orders,
            Err(busy) => {
                self.store.forget_rollout(id)?;
                return Err(Refused::Busy(busy.to_string()));
            }
        };
        self.store.set_lane(service, &lane)?;
        self.rollouts.lanes.insert(service.to_owned(), lane);
        self.rollouts.known.insert(id, Rollout::new(service.to_owned(), green, State::new(id, plan.clone())));
        self.obey(orders);
        Ok(id)
    }

    /// The slot that does not serve.
    fn other_slot(&self, service: &str) -> Slot {
        match self.live(service) {
            Some((Slot::Blue, _)) => Slot::Green,
            Some((Slot::Green, _)) | None => Slot::Blue,
        }
    }

    /// What a service's requests go to: the slot, and what runs in it.
    fn live(&self, service: &str) -> Option<(Slot, Release)> {
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
                    self.take(id, What::Command { by, command: Command::Supersede { newer } });
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

    /// Whether nothing of a slot serves, and nothing is to be expected of it.
    fn is_down(&self, service: &str, slot: Slot) -> bool {
        let own = || self.places.values().filter(|place| place.service == service && place.slot == slot);
        let hopeless = own().any(|place| place.life.failing() || matches!(place.life.phase(), Phase::Blocked { .. }));
        hopeless && !own().any(|place| place.life.ready())
    }

    /// Something happened to a rollout. What follows from it is on disk when this returns, and is carried out afterwards.
    fn take(&mut self, id: RolloutId, what: What) -> Option<Reply> {
        let at = clock::rollout_time();
        let now = self.clock.now();
        let rollout = self.rollouts.known.get_mut(&id)?;
        let was_final = rollout.state.is_final();
        let event = Event { at, what };
        let mut state = rollout.state.clone();
        let step = state.step(event.clone());
        if step.reply != Reply::Taken {
            return Some(step.reply);
        }
        if let Err(error) = self.store.journal_rollout(id, &event, &step.effects, &state) {
            // As if it had not happened: what brought it about is asked again, or told again.
            Self::complain::<()>(Err(error));
            rollout.wake = Some(now.after(RETRY));
            return None;
        }
        let (now_in, before) = (state.stage(), rollout.state.stage());
        rollout.wake = state.next_wake().map(|wait| now.after(wait));
        rollout.state = state;
        let open: BTreeSet<u64> = rollout.state.outstanding().map(|intent| intent.key.n).collect();
        // What nobody waits for any more ends.
        rollout.working.retain(|n, _| open.contains(n));
        self.changed = true;
        let service = rollout.service.clone();
        if now_in != before {
            tracing::info!(service, rollout = id.0, from = before.name(), to = now_in.name(), "rollout");
            self.note(Some(&service), None, "rollout", &format!("{id}: {now_in}"));
        }
        if now_in.is_final() && !was_final {
            self.over(id, &service);
        }
        Some(Reply::Taken)
    }

    fn over(&mut self, id: RolloutId, service: &str) {
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

    /// A task ended.
    pub(super) fn rollout_told(&mut self, told: Told) {
        let Told { rollout: id, n, found } = told;
        let Some(rollout) = self.rollouts.known.get_mut(&id) else { return };
        if rollout.working.remove(&n).is_none() {
            return;
        }
        let Some(intent) = rollout.state.outstanding().find(|intent| intent.key.n == n) else { return };
        if let (Effect::RenewLease { .. }, Found::Outcome(Outcome::Failed { .. })) = (&intent.effect, &found) {
            // It ran out: the edge has put green to 0 by itself.
            self.edge.doubt();
        }
        match found {
            Found::Outcome(outcome) => drop(self.take(id, What::Outcome { key: intent.key, outcome })),
            Found::Verified(release) => self.deploy(id, &intent, &release),
            Found::Forgotten => self.begin_anew(id),
        }
    }

    /// Time has passed.
    pub(super) fn tick_rollouts(&mut self, now: Time) {
        let due: Vec<RolloutId> = self
            .rollouts
            .known
            .iter()
            .filter(|(_, rollout)| rollout.wake.is_some_and(|wake| wake <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            if let Some(rollout) = self.rollouts.known.get_mut(&id) {
                rollout.wake = None;
            }
            self.take(id, What::Tick);
        }
    }

    /// Says how the slots are, and carries out what is open, until nothing follows from it any more.
    pub(super) fn pursue_rollouts(&mut self) {
        if !self.running || self.desired.is_none() || self.rollouts.known.is_empty() {
            return;
        }
        if self.rollouts.unsaved {
            self.remember_slots();
        }
        self.straighten_lanes();
        for _ in 0..MAX_ROUNDS {
            // Those that are over still have something to tell.
            let known: Vec<RolloutId> = self.rollouts.known.keys().copied().collect();
            let next = known.into_iter().find_map(|id| Some((id, self.next_event(id)?)));
            let Some((id, what)) = next else { return };
            if self.take(id, what).is_none() {
                // It could not be written down, so it was not said.
                if let Some(rollout) = self.rollouts.known.get_mut(&id) {
                    rollout.said = [Health::Unknown, Health::Unknown];
                }
                return;
            }
        }
        tracing::error!("rollouts go round in circles; they go on with the next event");
    }

    fn next_event(&mut self, id: RolloutId) -> Option<What> {
        self.news_of_health(id).or_else(|| {
            let open: Vec<_> = self.rollouts.known.get(&id)?.state.outstanding().collect();
            open.into_iter().find_map(|intent| {
                let outcome = self.pursue(id, &intent)?;
                Some(What::Outcome { key: intent.key, outcome })
            })
        })
    }

    fn news_of_health(&mut self, id: RolloutId) -> Option<What> {
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
    fn health(&self, rollout: &Rollout, part: delivery::Slot) -> Health {
        let slot = rollout.slot(part);
        let Some(wanted) = self.desired.as_ref().and_then(|desired| desired.find(&rollout.service, slot)) else {
            return Health::Unknown;
        };
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

    /// The share that the edge gives green, as far as it said so.
    fn served_share(&self, rollout: &Rollout) -> Option<Percent> {
        let weights = self.edge.weights(&rollout.service)?;
        let all: u32 = weights.iter().map(|(_, weight)| weight).sum();
        let green = weights.iter().find(|(slot, _)| *slot == rollout.green.as_str()).map_or(0, |(_, weight)| *weight);
        let percent = (green * u32::from(FULL_WEIGHT)).checked_div(all).unwrap_or(0);
        u8::try_from(percent).ok().and_then(|percent| Percent::try_from(percent).ok())
    }
}

/// Why a rollout does not begin.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    Busy(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}
