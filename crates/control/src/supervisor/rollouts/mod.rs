//! Rollouts: what `mana_delivery` decides is carried out here.
//!
//! An event is taken in, written down with the effects that follow from it, and only then are they carried out. An effect that makes
//! something true is not remembered beside the rollout: whoever asks [`State::outstanding`] and looks at the world sees what is left
//! to do, so a control plane that begins anew goes on by itself.
//!
//! The rollout's blue and green are the old and the new version; which of the service's slots plays green is written down with it.

mod already;
mod asked;
mod back;
mod calls;
mod effects;
mod health;
mod making;
mod measuring;
mod news;
pub(crate) mod output;
mod plan;
mod reading;
mod staging;
mod steps;
pub(crate) mod target;
mod turns;
mod verifying;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mana_delivery::rollout::lane::Lane;
use mana_delivery::rollout::{
    self as delivery, Effect, Event, Facts, Health, Outcome, Release, Reply, RolloutId, State, TrafficFacts, What,
};
use mana_runtime::lifecycle::Time;
use tokio::task::AbortHandle;

use super::Supervisor;
use crate::clock;
use crate::guard::Seen;
use crate::slot::Slot;
use crate::store::StoreError;

/// Events that may follow from one another at once. A rollout has some twenty stages, each with a handful.
const MAX_ROUNDS: usize = 256;
/// Before a journal that could not be written is tried again: the disk is full, say.
const RETRY: Duration = Duration::from_secs(1);

/// What a task found out.
#[derive(Debug)]
pub(crate) enum Found {
    /// How its effect went.
    Outcome(Outcome),
    /// The release's files are as they were released, and its migrations may run.
    Verified(Release, Seen),
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
    /// How long the stages took the last time that a rollout of a service got through.
    usual: BTreeMap<String, steps::Durations>,
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
    working: BTreeMap<u64, Arc<Working>>,
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
        match part {
            delivery::Slot::Green => self.green,
            delivery::Slot::Blue => self.green.other(),
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

    /// Whether a slot is there for its migration alone, as yet: its release starts in the next stage, or once a person says so.
    pub(super) fn only_migrates(&self, service: &str, slot: Slot) -> bool {
        self.known.values().any(|rollout| {
            let waits = match rollout.state.phase() {
                delivery::Phase::Migrating => true,
                delivery::Phase::Held(held) => held.next.stage == delivery::Stage::GreenStarting,
                _ => false,
            };
            waits && rollout.service == service && rollout.green == slot
        })
    }

    /// The one that a person means who names the service: that under way, or the last one that was.
    fn meant(&self, service: &str) -> Option<RolloutId> {
        let lane = self.lanes.get(service);
        let newest = || self.known.iter().rev().find(|(_, rollout)| rollout.service == service).map(|(id, _)| *id);
        lane.and_then(|lane| lane.active().or(lane.last())).or_else(newest)
    }

    /// Where the last rollout of a service ended, or is.
    pub(super) fn last(&self, service: &str) -> Option<delivery::Stage> {
        let id = self.meant(service)?;
        self.known.get(&id).map(|rollout| rollout.state.stage())
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
            if row.ended.as_deref() == Some(delivery::Stage::Done.name())
                && let Some(state) = &row.state
            {
                // Newest first.
                self.rollouts.usual.entry(row.service.clone()).or_insert_with(|| steps::durations(state));
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

    fn open_rollouts(&self) -> Vec<RolloutId> {
        let open = self.rollouts.known.iter().filter(|(_, rollout)| !rollout.state.is_final());
        open.map(|(id, _)| *id).collect()
    }

    /// Something happened to a rollout. What follows from it is on disk when this returns, and is carried out afterwards.
    fn take(&mut self, id: RolloutId, what: What) -> Option<Reply> {
        self.take_under(None, id, what)
    }

    /// The same, asked for under a key.
    fn take_under(&mut self, key: Option<&str>, id: RolloutId, what: What) -> Option<Reply> {
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
        if let Err(error) = self.store.journal_rollout(id, &event, &step.effects, &state, key) {
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
        let (service, usual) = (rollout.service.clone(), steps::durations(&rollout.state));
        if now_in != before {
            tracing::info!(service, rollout = id.0, from = before.name(), to = now_in.name(), "rollout");
            self.note(Some(&service), None, "rollout", &format!("{id}: {now_in}"));
        }
        if now_in == delivery::Stage::Done {
            self.rollouts.usual.insert(service.clone(), usual);
        }
        if now_in.is_final() && !was_final {
            self.over(id, &service);
        }
        Some(Reply::Taken)
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
            Found::Verified(release, seen) => {
                let service = self.rollouts.known.get(&id).map(|rollout| rollout.service.clone());
                for text in seen.overridden {
                    tracing::warn!(rollout = id.0, text, "a migration");
                    self.note(service.as_deref(), None, "override", &format!("{id}: {text}"));
                }
                if let Some(text) = seen.rehearsed {
                    tracing::info!(rollout = id.0, text, "a rehearsal");
                    self.note(service.as_deref(), None, "rehearsal", &format!("{id}: {text}"));
                }
                self.deploy(id, &intent, &release);
            }
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
}
