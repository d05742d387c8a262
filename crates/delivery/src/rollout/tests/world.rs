//! A world that carries out effects as the real one does: an edge with generations and leases, two slots with instances, a
//! driver that can fail, be late, do things twice or be killed. It checks the invariants wherever something happens.

use std::time::Duration;

use super::super::*;
use super::watch::Watch;
use crate::gate::Series;

pub(crate) const BLUE: &str = "b1";
pub(crate) const GREEN: &str = "g1";

pub(crate) fn release(digest: &str) -> Release {
    Release { version: format!("v-{digest}"), digest: Digest(digest.into()) }
}

pub(crate) fn operator(name: &str) -> Operator {
    Operator(name.into())
}

/// What the edge will count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quality {
    Good,
    Bad,
    Silent,
    BothBad,
    Gap,
}

/// How an effect goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Honest,
    /// Carried out twice, answered once.
    Twice,
    Fails,
    /// Not carried out, and nobody knows.
    Lost,
    /// Carried out, and nobody knows.
    AnswerLost,
    /// It works on something else than what was asked for.
    WrongDigest,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Instance {
    pub(crate) id: u64,
    pub(crate) digest: Digest,
    pub(crate) ready: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Edge {
    pub(crate) generation: u64,
    pub(crate) green: Option<u8>,
    /// Up-time at which the lease runs out.
    pub(crate) lease: Option<u64>,
    pub(crate) expired: bool,
    pub(crate) applied_at: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) up_ms: u64,
    pub(crate) wall_ms: u64,
    pub(crate) edge: Edge,
    pub(crate) edge_away: bool,
    /// Blue and green.
    pub(crate) slots: [Option<Instance>; 2],
    /// The newest effect that was carried out on each slot.
    pub(crate) fences: [u64; 2],
    pub(crate) instances: u64,
    pub(crate) migrated: bool,
    pub(crate) migration_breaks_blue: bool,
    pub(crate) quality: Quality,
    /// What the gate's own queries give.
    pub(crate) series: Vec<Series>,
    /// Requests sent so that there are some.
    pub(crate) smoked: u64,
    pub(crate) state: State,
    pub(crate) journal: Vec<Event>,
    /// Asked for and not answered.
    pub(crate) flying: Vec<Intent>,
    /// Was asked for once.
    pub(crate) old: Vec<Intent>,
    /// Was answered once.
    pub(crate) answers: Vec<(Key, Outcome)>,
    pub(crate) news: Vec<News>,
    pub(crate) carried_out: Vec<Intent>,
    pub(crate) watch: Watch,
}

pub(crate) fn index(slot: Slot) -> usize {
    usize::from(slot == Slot::Green)
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let state = State::new(RolloutId(7), plan);
        Self {
            up_ms: 5_000_000,
            wall_ms: 1_700_000_000_000,
            edge: Edge { generation: 3, green: Some(0), lease: None, expired: false, applied_at: 0 },
            edge_away: false,
            slots: [Some(Instance { id: 1, digest: Digest(BLUE.into()), ready: true }), None],
            fences: [0, 0],
            instances: 1,
            migrated: false,
            migration_breaks_blue: false,
            quality: Quality::Good,
            series: Vec::new(),
            smoked: 0,
            watch: Watch::new(&state),
            state,
            journal: Vec::new(),
            flying: Vec::new(),
            old: Vec::new(),
            answers: Vec::new(),
            news: Vec::new(),
            carried_out: Vec::new(),
        }
    }

    /// A world in which nothing served before.
    pub(crate) fn empty(plan: Plan) -> Self {
        let mut world = Self::new(plan);
        world.slots = [None, None];
        world.edge.green = None;
        world
    }

    pub(crate) fn start(&mut self) -> Reply {
        let blue = self.slots[0].as_ref().map(|_| release(BLUE));
        let generation = Generation(self.edge.generation);
        self.event(What::Start { blue, generation })
    }

    pub(crate) fn stage(&self) -> Stage {
        self.state.stage()
    }

    /// One event: step, journal, effects to the driver. Checks everything.
    pub(crate) fn event(&mut self, what: What) -> Reply {
        let event = Event { at: Time { up_ms: self.up_ms, wall_ms: self.wall_ms }, what };
        let before = self.state.clone();
        let Step { effects, reply } = self.state.step(event.clone());
        if reply == Reply::Taken {
            self.journal.push(event.clone());
        }
        self.watch.stepped(&before, &event, &self.state, &effects, &reply);
        let open: Vec<_> = self.state.outstanding().map(|intent| intent.key).collect();
        let restarted = matches!(event.what, What::Restarted { .. });
        let flying = std::mem::take(&mut self.flying);
        let (stay, gone): (Vec<_>, Vec<_>) =
            flying.into_iter().partition(|intent| !restarted && open.contains(&intent.key));
        self.flying = stay;
        self.old.extend(gone);
        self.flying.extend(effects);
        reply
    }

    pub(crate) fn command(&mut self, by: &str, command: Command) -> Reply {
        self.event(What::Command { by: operator(by), command })
    }

    /// Time passes, at the edge too.
    pub(crate) fn pass(&mut self, span: Duration) {
        let ms = u64::try_from(span.as_millis()).unwrap();
        self.up_ms += ms;
        self.wall_ms = self.wall_ms.saturating_add(ms);
        if self.edge.lease.is_some_and(|lease| lease <= self.up_ms) {
            self.edge.lease = None;
            self.edge.expired = true;
            self.edge.green = Some(0);
        }
    }

    pub(crate) fn tick_after(&mut self, span: Duration) {
        self.pass(span);
        self.event(What::Tick);
    }

    /// To the next moment at which something is due; false when nothing is.
    pub(crate) fn wake(&mut self) -> bool {
        let Some(wait) = self.state.next_wake() else { return false };
        self.tick_after(wait);
        true
    }

    /// Carries out one of what is asked for, and answers.
    pub(crate) fn act(&mut self, index: usize, fate: Fate) {
        if self.flying.is_empty() {
            return;
        }
        let intent = self.flying.remove(index % self.flying.len());
        self.old.push(intent.clone());
        let outcome = match fate {
            Fate::Honest => self.carry_out(&intent),
            Fate::Twice => {
                self.carry_out(&intent);
                self.carry_out(&intent)
            }
            Fate::Fails => Outcome::Failed { reason: "no".into() },
            Fate::Lost => Outcome::Unknown { reason: "nobody there".into() },
            Fate::AnswerLost => {
                self.carry_out(&intent);
                Outcome::Unknown { reason: "no answer".into() }
            }
            Fate::WrongDigest => match self.carry_out(&intent) {
                Outcome::Passed { .. } => Outcome::Passed { digest: Digest("other".into()) },
                outcome => outcome,
            },
        };
        self.answer(intent.key, outcome);
    }

    pub(crate) fn answer(&mut self, key: Key, outcome: Outcome) -> Reply {
        self.answers.push((key, outcome.clone()));
        self.event(What::Outcome { key, outcome })
    }

    /// Carries out and answers everything that is asked for.
    pub(crate) fn act_all(&mut self) {
        while !self.flying.is_empty() {
            self.act(0, Fate::Honest);
        }
    }

    /// Works, waits and approves until it is there or nothing happens any more.
    #[track_caller]
    pub(crate) fn run_to(&mut self, stage: Stage) {
        for _ in 0..20_000 {
            if self.stage() == stage {
                return;
            }
            if self.stage() == Stage::AwaitingApproval {
                self.help();
            } else if self.flying.is_empty() {
                if !self.wake() {
                    break;
                }
            } else {
                self.act(0, Fate::Honest);
            }
        }
        assert_eq!(self.stage(), stage, "it stopped elsewhere: {:?} {:?}", self.state.phase(), self.state.retreat());
    }

    /// Works, waits and says yes until it is over.
    #[track_caller]
    pub(crate) fn finish(&mut self) -> Stage {
        for _ in 0..20_000 {
            self.act_all();
            if self.state.is_final() {
                return self.stage();
            }
            if self.stage() == Stage::Queued {
                self.start();
            }
            let people = self.state.waits_for().is_some();
            self.help();
            if self.flying.is_empty() && !self.state.is_final() {
                assert!(self.wake() || people, "zombie: {:?}", self.state);
            }
        }
        panic!("it never ends: {:?}", self.state)
    }

    /// Goes so many steps on the good way, so that chance begins anywhere on it.
    pub(crate) fn lead(&mut self, steps: usize) {
        self.start();
        for _ in 0..steps {
            match self.stage() {
                _ if !self.flying.is_empty() => self.act(0, Fate::Honest),
                Stage::AwaitingApproval => self.help(),
                _ => {
                    self.wake();
                }
            }
        }
    }

    /// A person does what the rollout waits for.
    pub(crate) fn help(&mut self) {
        let command = match self.state.phase() {
            Phase::AwaitingApproval => Command::Approve { digest: Digest(GREEN.into()), comment: None },
            Phase::Held(held) if held.at == held.next => Command::Promote,
            Phase::Window(window) if window.asked => Command::Promote,
            Phase::Held(_) | Phase::Stuck(_) => Command::Retry,
            _ => return,
        };
        self.command("ada", command);
    }

    /// The control plane dies and comes back: what was in memory is gone, effects in the air are lost or done.
    pub(crate) fn crash(&mut self, edge_answers: bool, runtime_answers: bool) {
        self.is_what_the_journal_says();
        let flying = std::mem::take(&mut self.flying);
        self.old.extend(flying);
        let facts = self.facts(edge_answers, runtime_answers);
        self.event(What::Restarted { facts });
    }

    /// Invariant 8.
    pub(crate) fn is_what_the_journal_says(&self) {
        assert_eq!(self.folded(), self.state, "the journal leads elsewhere");
    }

    fn folded(&self) -> State {
        State::fold(self.state.id(), self.state.plan().clone(), self.journal.iter().cloned())
    }

    /// Whether the last event is one whose cause stays when the event is lost.
    pub(crate) fn lost_event_was_an_outcome(&self) -> bool {
        self.journal.last().is_some_and(|event| matches!(event.what, What::Outcome { .. }))
    }

    /// The control plane died between an effect and the journal's word of its outcome.
    pub(crate) fn lose_last_event(&mut self) {
        self.journal.pop();
        self.state = self.folded();
        let open: Vec<_> = self.state.outstanding().collect();
        self.flying.retain(|intent| open.contains(intent));
        self.watch.forget_newer(&self.state);
    }

    /// The machine starts again: the clock of the edge begins anew.
    pub(crate) fn edge_rebooted(&mut self) {
        self.edge.applied_at = 0;
    }

    fn facts(&self, edge_answers: bool, runtime_answers: bool) -> Facts {
        let traffic = edge_answers.then(|| TrafficFacts {
            generation: Generation(self.edge.generation),
            green: Percent::try_from(self.edge.green.unwrap_or(0)).unwrap(),
        });
        let health = |slot: usize| match &self.slots[slot] {
            _ if !runtime_answers => Health::Unknown,
            Some(instance) if instance.ready => Health::Ready,
            _ => Health::Lost("it does not run".into()),
        };
        Facts { traffic, blue: health(0), green: health(1) }
    }

    /// An instance goes down; `noticed`: somebody says so.
    pub(crate) fn lose(&mut self, slot: Slot, noticed: bool) {
        if let Some(instance) = &mut self.slots[index(slot)] {
            instance.ready = false;
            if noticed {
                self.event(What::Seen { slot, health: Health::Lost("three crashes in a row".into()) });
            }
        }
    }

    pub(crate) fn heal(&mut self, slot: Slot) {
        if let Some(instance) = &mut self.slots[index(slot)] {
            instance.ready = true;
            self.event(What::Seen { slot, health: Health::Ready });
        }
    }
}

/// Stages that were entered, in order.
pub(crate) fn stages(world: &World) -> Vec<Stage> {
    let mut state = State::new(world.state.id(), world.state.plan().clone());
    let mut stages = vec![state.stage()];
    for event in world.journal.iter().cloned() {
        let _: Step = state.step(event);
        if stages.last() != Some(&state.stage()) {
            stages.push(state.stage());
        }
    }
    stages
}
