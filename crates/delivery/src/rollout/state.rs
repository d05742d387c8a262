//! All that is known about one rollout, and what can be read from it.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Clock, Elapsed, Evidence, Intent, Key, Look, Open, Operator, Phase, Plan, Release, Retreat, RolloutId, Stage,
    Traffic,
};

/// One rollout. Made by [`State::new`], changed by [`State::step`] alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub(super) id: RolloutId,
    pub(super) plan: Plan,
    pub(super) clock: Clock,
    #[serde(flatten)]
    pub(super) phase: Phase,
    /// From 1; `retry` of what is over begins the next.
    pub(super) attempt: u32,
    /// Effects asked for so far.
    pub(super) n: u64,
    /// Effects without an outcome.
    pub(super) open: Vec<Open>,
    /// When the phase has lasted too long.
    pub(super) deadline: Option<Elapsed>,
    /// What served when it began.
    pub(super) blue: Option<Release>,
    /// What it brings, once that is built.
    pub(super) green: Option<Release>,
    /// The last word on each slot was that it is ready.
    pub(super) blue_ready: bool,
    pub(super) green_ready: bool,
    /// Green was asked to run in this attempt, so that there is something to stop.
    pub(super) green_started: bool,
    pub(super) traffic: Traffic,
    pub(super) evidence: Evidence,
    pub(super) looks: Vec<Look>,
    /// Stages before which it still has to stop.
    pub(super) pauses: BTreeSet<Stage>,
    pub(super) retreat: Option<Retreat>,
    /// Where it has been, and since when.
    #[serde(default)]
    pub(super) way: Vec<(Stage, Elapsed)>,
    /// What the present step asks for; empty between steps.
    #[serde(skip)]
    pub(super) out: Vec<Intent>,
}

impl State {
    /// A rollout that waits for its turn. [`Plan::check`] says whether the plan can be followed; with one that cannot, the
    /// rollout fails and says so.
    pub fn new(id: RolloutId, plan: Plan) -> Self {
        Self {
            id,
            clock: Clock::default(),
            phase: Phase::Queued,
            attempt: 1,
            n: 0,
            open: Vec::new(),
            deadline: None,
            blue: None,
            green: plan.release(),
            blue_ready: false,
            green_ready: false,
            green_started: false,
            traffic: Traffic::default(),
            evidence: Evidence::default(),
            looks: Vec::new(),
            pauses: plan.pause_at.clone(),
            retreat: None,
            way: Vec::new(),
            out: Vec::new(),
            plan,
        }
    }

    /// Its number.
    pub fn id(&self) -> RolloutId {
        self.id
    }

    /// What it follows.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where it is.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Where it is, by name.
    pub fn stage(&self) -> Stage {
        self.phase.stage()
    }

    /// Which attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// What it replaces.
    pub fn blue(&self) -> Option<&Release> {
        self.blue.as_ref()
    }

    /// What it brings, once that is built.
    pub fn green(&self) -> Option<&Release> {
        self.green.as_ref()
    }

    /// Who gets requests.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// What serves when it is over, and is blue for the next.
    pub fn live(&self) -> Option<&Release> {
        if self.stage() == Stage::Done { self.green.as_ref() } else { self.blue.as_ref() }
    }

    /// What its release has passed.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The last look of the gate at each of its windows, oldest first, with all figures.
    pub fn looks(&self) -> &[Look] {
        &self.looks
    }

    /// Why it goes back, or went.
    pub fn retreat(&self) -> Option<&Retreat> {
        self.retreat.as_ref()
    }

    /// Stages that it has been in since it began, in order, and when it came there. Of a very long way the last part.
    pub fn way(&self) -> &[(Stage, Elapsed)] {
        &self.way
    }

    pub(super) fn note_stage(&mut self) {
        /// Held and tried again many times it may be a long way; people look at its end.
        const LONGEST: usize = 128;
        let stage = self.stage();
        if stage == Stage::Queued || self.way.last().is_some_and(|(last, _)| *last == stage) {
            return;
        }
        if self.way.len() >= LONGEST {
            self.way.remove(0);
        }
        self.way.push((stage, self.clock.now()));
    }

    /// Its own time.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// When the stage has lasted too long, in the rollout's own time.
    pub fn deadline(&self) -> Option<Elapsed> {
        self.deadline
    }

    /// What was asked for and has no outcome yet. To be done again after a restart; what is not in it any more is to be
    /// cancelled.
    pub fn outstanding(&self) -> impl Iterator<Item = Intent> + '_ {
        self.open.iter().filter(|open| open.due.is_none()).map(Open::intent)
    }

    /// How long after the last event a `Tick` is due. `None`: it waits for an effect, a person or its turn alone.
    pub fn next_wake(&self) -> Option<Duration> {
        let now = self.clock.now();
        self.timers().min().map(|at| at.since(now))
    }

    fn timers(&self) -> impl Iterator<Item = Elapsed> + '_ {
        let mut phase = [None; 3];
        match &self.phase {
            Phase::Canary(canary) if canary.opened.is_some() => {
                phase = [Some(canary.renew_at), Some(canary.look_at), None];
            }
            Phase::Window(window) => {
                let looks = window.guard_from.is_some() && window.live == super::Slot::Green;
                let now = self.clock.now();
                let end = if window.until > now { Some(window.until) } else { self.asks_at(window) };
                phase = [looks.then_some(window.look_at), end, window.answer_by];
            }
            _ => {}
        }
        let due = self.open.iter().filter_map(|open| open.due);
        phase.into_iter().flatten().chain(self.deadline).chain(due)
    }

    /// The people without whom it does not go on.
    pub fn waits_for(&self) -> Option<&[Operator]> {
        match &self.phase {
            Phase::AwaitingApproval => {
                let named = self.plan.approval.as_ref().map(|approval| approval.approvers.as_slice());
                Some(named.filter(|named| !named.is_empty()).unwrap_or(self.plan.responsible()))
            }
            Phase::Held(_) | Phase::Stuck(_) => Some(self.plan.responsible()),
            Phase::Window(window) if window.asked => Some(self.plan.responsible()),
            _ => None,
        }
    }

    /// The key that the next effect gets.
    pub(super) fn next_key(&mut self) -> Key {
        self.n += 1;
        Key { rollout: self.id, stage: self.stage(), attempt: self.attempt, n: self.n }
    }
}
