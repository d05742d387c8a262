//! The invariants of a rollout, looked at from outside after every step and whenever the edge serves green.

use std::collections::BTreeSet;

use super::super::*;
use super::transition::Transition;
use super::world::{Instance, index};
use crate::gate::Verdict;

/// What an onlooker remembers.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    /// The last word on blue and green.
    told: [bool; 2],
    generation: Generation,
    passed: Vec<(EffectKind, Digest)>,
    approved: Option<Digest>,
    /// The instance that had a canary's share in this attempt.
    canary: Option<u64>,
    plan: Plan,
    has_blue: bool,
    pub(crate) transitions: BTreeSet<Transition>,
}

impl Watch {
    pub(crate) fn new(state: &State) -> Self {
        Self {
            told: [false, false],
            generation: Generation(0),
            passed: Vec::new(),
            approved: None,
            canary: None,
            plan: state.plan().clone(),
            has_blue: false,
            transitions: BTreeSet::new(),
        }
    }

    /// An event got lost, and what it asked for was never done.
    pub(crate) fn forget_newer(&mut self, state: &State) {
        self.generation = state.traffic().generation;
    }

    pub(crate) fn stepped(&mut self, before: &State, event: &Event, after: &State, effects: &[Intent], reply: &Reply) {
        if *reply != Reply::Taken {
            assert_eq!(before, after, "invariant 8: {event:?} changed something and says {reply:?}");
            assert!(effects.is_empty());
        }
        if after.attempt() != before.attempt() {
            let transitions = std::mem::take(&mut self.transitions);
            *self = Self { told: self.told, generation: self.generation, transitions, ..Self::new(after) };
        }
        self.has_blue = after.blue().is_some();
        self.transitions.extend(Transition::observed(before, event, after, effects));
        self.learn(before, event, reply);
        for intent in effects {
            self.asked(before, event, after, intent);
        }
        Self::only_a_pass_advances(before, event, after);
        Self::urgent_commands_win(before, event, after, effects, reply);
        Self::somebody_goes_on(after);
        if after.stage() == Stage::Reviving && before.stage() != Stage::Reviving {
            let page = |intent: &Intent| matches!(&intent.effect, Effect::Notify(news) if news.what.pages());
            assert!(effects.iter().any(page), "invariant 10: nobody is paged");
        }
    }

    fn learn(&mut self, before: &State, event: &Event, reply: &Reply) {
        match &event.what {
            What::Outcome { key, outcome: Outcome::Passed { digest } } if *reply == Reply::Taken => {
                let open = before.outstanding().find(|intent| intent.key == *key).unwrap();
                if let Effect::EnsureRunning { slot, .. } | Effect::Verify { slot, .. } = open.effect {
                    self.told[index(slot)] = true;
                    if slot == Slot::Blue {
                        return;
                    }
                }
                self.passed.push((open.effect.kind(), digest.clone()));
            }
            What::Command { command: Command::Approve { digest, .. }, .. } if *reply == Reply::Taken => {
                self.approved = Some(digest.clone());
            }
            What::Seen { slot, health } => self.hear(*slot, health),
            What::Restarted { facts } => {
                self.hear(Slot::Blue, &facts.blue);
                self.hear(Slot::Green, &facts.green);
            }
            _ => {}
        }
    }

    fn hear(&mut self, slot: Slot, health: &Health) {
        match health {
            Health::Ready => self.told[index(slot)] = true,
            Health::Lost(_) => self.told[index(slot)] = false,
            Health::Unknown => {}
        }
    }

    fn asked(&mut self, before: &State, event: &Event, after: &State, intent: &Intent) {
        let repeated = before.outstanding().any(|open| open.key == intent.key);
        let acknowledged = after.traffic().acknowledged;
        match &intent.effect {
            Effect::EnsureWeights { blue, green, generation, .. } => {
                assert_eq!(blue.get() + green.get(), 100, "invariant 1");
                assert!(repeated || *generation > self.generation, "invariant 7: generations grow");
                self.generation = self.generation.max(*generation);
                assert!(
                    *green == Percent::NONE || self.told[1],
                    "invariant 1: green gets weight and is not known to be ready"
                );
                assert!(
                    *blue == Percent::NONE || self.told[0],
                    "invariant 1, 10: blue gets weight and is not known to be ready"
                );
                assert!(
                    *green == Percent::NONE || !(intent.key.stage.is_retreat() || after.retreat().is_some()),
                    "green gets weight on the way back"
                );
            }
            Effect::EnsureStopped { slot: Slot::Blue, .. } => {
                assert_eq!(intent.key.stage, Stage::Decommissioning, "invariant 3");
                assert_eq!(
                    acknowledged,
                    Some(Percent::ALL),
                    "invariant 2: blue is stopped, and green has not everything"
                );
                self.told[0] = false;
            }
            Effect::EnsureStopped { slot: Slot::Green, .. } => {
                assert_eq!(intent.key.stage, Stage::Clearing);
                let back = if after.traffic().moved { Some(Percent::NONE) } else { None };
                assert_eq!(acknowledged, back, "invariant 2: green is stopped and may have weight");
                self.told[1] = false;
            }
            Effect::EnsureMigrated { .. } => {
                assert_eq!(intent.key.stage, Stage::Migrating, "invariant 10: {event:?} migrates on the way back");
            }
            Effect::EnsureRunning { slot: Slot::Green, .. } => {
                assert_eq!(intent.key.stage, Stage::GreenStarting, "invariant 11");
            }
            _ => {}
        }
    }

    /// Invariants 3, 4 and 11, at the moment at which the edge begins to send requests to green.
    pub(crate) fn serves(&mut self, state: &State, share: Percent, instance: &Instance) {
        let passed = |kind| self.passed.contains(&(kind, instance.digest.clone()));
        let wants = |stage, shown: bool| assert!(shown || !self.plan.has(stage, true), "invariant 4: no {stage}");
        wants(Stage::Scanning, passed(EffectKind::Scan));
        wants(Stage::Smoking, passed(EffectKind::Smoke));
        wants(Stage::Verifying, passed(EffectKind::Verify));
        wants(Stage::AwaitingApproval, self.approved.as_ref() == Some(&instance.digest));
        if share < Percent::ALL {
            assert!(self.canary.is_none_or(|id| id == instance.id), "invariant 11: the canary was replaced");
            self.canary = Some(instance.id);
        } else if self.has_blue && !self.plan.canary.is_empty() && state.retreat().is_none() {
            assert!(self.canary.is_none_or(|id| id == instance.id), "invariant 11: others than the canary take over");
        }
    }

    fn only_a_pass_advances(before: &State, event: &Event, after: &State) {
        let promoted = matches!(event.what, What::Command { command: Command::Promote, .. });
        let retried = matches!(event.what, What::Command { command: Command::Retry, .. });
        let superseded = matches!(event.what, What::Command { command: Command::Supersede { .. }, .. });
        let passed = || {
            let measured = matches!(event.what, What::Outcome { outcome: Outcome::Measured { .. }, .. });
            let look = after.looks().last();
            measured && look.is_some_and(|look| look.judgement.verdict == Verdict::Pass && look.reading.complete)
        };
        let step = |state: &State| match state.phase() {
            Phase::Canary(canary) => Some((Stage::Canary, canary.step)),
            Phase::Held(held) if held.at == held.next => Some((held.at.stage, held.at.step)),
            Phase::CuttingOver => Some((Stage::CuttingOver, 0)),
            _ => None,
        };
        if let (Phase::Canary(canary), Some(to)) = (before.phase(), step(after))
            && to > (Stage::Canary, canary.step)
        {
            assert!(passed(), "invariant 6: {event:?} advances a canary");
        }
        if let (Phase::Held(_), Some(_)) = (before.phase(), step(after))
            && after.stage() != Stage::Held
        {
            assert!(promoted || retried, "invariant 6: {event:?} ends a hold");
        }
        if let (Phase::Window(window), Stage::Decommissioning) = (before.phase(), after.stage()) {
            assert!(
                promoted
                    || (superseded && !window.asked && window.live == Slot::Green)
                    || ((passed() || before.plan().uncounted) && window.until <= after.clock().now()),
                "invariant 6: {event:?} ends the window"
            );
        }
    }

    fn urgent_commands_win(before: &State, event: &Event, after: &State, effects: &[Intent], reply: &Reply) {
        let What::Command { command, .. } = &event.what else { return };
        if !command.is_urgent() || before.is_final() {
            return;
        }
        assert!(
            matches!(reply, Reply::Taken | Reply::Already),
            "invariant 5: {reply:?} to {command:?} in {}",
            before.stage()
        );
        assert!(after.stage().is_retreat() || after.is_final(), "invariant 5: {} after {command:?}", after.stage());
        if after.stage() == Stage::Returning && !before.stage().is_retreat() {
            let back = |intent: &Intent| match intent.effect {
                Effect::EnsureWeights { green, .. } => green == Percent::NONE,
                Effect::EnsureUnrouted { .. } => true,
                _ => false,
            };
            assert!(effects.iter().any(back), "invariant 5: {command:?} waits for something");
        }
    }

    fn somebody_goes_on(state: &State) {
        let work = state.outstanding().any(|intent| !matches!(intent.effect, Effect::Notify(_)));
        let waits = work || state.next_wake().is_some() || state.waits_for().is_some_and(|people| !people.is_empty());
        assert!(
            state.is_final() || state.stage() == Stage::Queued || waits,
            "invariant 9: nothing would ever happen again in {:?}",
            state.phase()
        );
    }
}
