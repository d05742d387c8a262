//! The way back: blue ready, everything to blue and acknowledged, green drained and stopped, people told. In that order, and
//! nothing of green is waited for before blue has its traffic.
//!
//! A way back that no traffic ever left begins with green's stop. It never migrates down: what green wrote stays.

use serde::{Deserialize, Serialize};

use super::{Effect, EffectKind, Headline, Percent, Phase, RolloutId, Slot, Stage, State, Stuck};

/// Blue may be lost so often on the way back, then a person has to look.
pub const REVIVALS: u8 = 3;

/// The way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retreat {
    /// What it will be called.
    pub ending: Ending,
    /// Why.
    pub why: String,
    /// The gate's last look led to it.
    pub by_gate: bool,
    /// It was done already when somebody wanted the old version back.
    pub after_done: bool,
    /// How often blue had to be started.
    pub revivals: u8,
}

/// How a rollout ends that does not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// No traffic had moved.
    Aborted,
    /// Some had.
    RolledBack,
    /// For a newer one.
    Superseded(RolloutId),
}

impl State {
    /// It ends here, because of that. `by_gate`: the last look shows why.
    pub(super) fn fail(&mut self, why: String, by_gate: bool) {
        let ending = if self.traffic.moved { Ending::RolledBack } else { Ending::Aborted };
        self.go_back(Retreat { ending, why, by_gate, after_done: false, revivals: 0 });
    }

    pub(super) fn go_back(&mut self, retreat: Retreat) {
        self.retreat = Some(retreat);
        self.find_way_back();
    }

    /// Enters the first part of the way that is still to go.
    pub(super) fn find_way_back(&mut self) {
        self.forget_work();
        if !self.traffic.moved {
            self.clear();
        } else if self.blue.is_none() {
            self.begin(Phase::Returning);
            self.traffic.asked = Some(Percent::NONE);
            self.ensure(Effect::EnsureUnrouted { generation: self.traffic.generation });
        } else if self.blue_ready {
            self.begin(Phase::Returning);
            self.weigh(Percent::NONE, None);
        } else {
            self.revive();
        }
    }

    fn begin(&mut self, phase: Phase) {
        self.deadline = Some(self.clock.now().after(self.plan.deadline(phase.stage())));
        self.phase = phase;
    }

    /// No traffic goes to what is not ready, so blue is started first, and somebody is woken.
    fn revive(&mut self) {
        let Some(release) = self.blue.clone() else { return };
        self.begin(Phase::Reviving);
        self.ensure(Effect::EnsureRunning { slot: Slot::Blue, release });
        let why = self.retreat.as_mut().map(|retreat| {
            retreat.revivals = retreat.revivals.saturating_add(1);
            retreat.why.clone()
        });
        self.tell(Headline::Reviving, why, false);
    }

    fn clear(&mut self) {
        if !self.green_started {
            return self.end();
        }
        self.forget_work();
        self.begin(Phase::Clearing);
        self.ensure(Effect::EnsureStopped { slot: Slot::Green, drain: self.plan.drain });
    }

    pub(super) fn end(&mut self) {
        self.forget_work();
        self.deadline = None;
        let Some(Retreat { ending, why, by_gate, .. }) = self.retreat.clone() else { return };
        let (phase, headline) = match ending {
            Ending::Aborted => (Phase::Aborted, Headline::Aborted),
            Ending::RolledBack => (Phase::RolledBack, Headline::RolledBack),
            Ending::Superseded(newer) => (Phase::Superseded, Headline::Superseded(newer)),
        };
        self.phase = phase;
        self.tell(headline, Some(why), by_gate);
    }

    pub(super) fn retreat_succeeded(&mut self, effect: EffectKind) {
        match (self.stage(), effect) {
            (Stage::Reviving, EffectKind::EnsureRunning) => {
                if let Some(digest) = self.blue.as_ref().map(|blue| blue.digest.clone()) {
                    self.ensure(Effect::Verify { slot: Slot::Blue, digest });
                }
            }
            (Stage::Reviving, EffectKind::Verify) => {
                self.blue_ready = true;
                self.find_way_back();
            }
            (Stage::Returning, EffectKind::EnsureWeights | EffectKind::EnsureUnrouted) => self.clear(),
            (Stage::Clearing, EffectKind::EnsureStopped) => self.end(),
            _ => {}
        }
    }

    pub(super) fn retreat_failed(&mut self, effect: Effect, reason: String) {
        let revivals = self.retreat.as_ref().map_or(0, |retreat| retreat.revivals);
        let again = self.stage() == Stage::Returning || effect.kind() == EffectKind::Verify;
        if again && self.blue.is_some() && revivals < REVIVALS {
            // The edge refuses weights for what is not ready, so blue is started anew. Where it was the edge that did not
            // answer, that does no harm and the weights are asked for again.
            self.blue_ready = false;
            self.find_way_back();
        } else {
            self.stick(effect, reason);
        }
    }

    /// Waits for a person. A rollback of what was done already is given up instead: green serves, and goes on serving.
    pub(super) fn stick(&mut self, effect: Effect, why: String) {
        self.forget_work();
        self.deadline = None;
        let stage = self.stage();
        if stage == Stage::Reviving && self.retreat.as_ref().is_some_and(|retreat| retreat.after_done) {
            self.retreat = None;
            // Whatever came up in its place is not what may be gone back to, and is stopped.
            self.blue_ready = false;
            self.phase = Phase::Done;
            return self.tell(Headline::RollbackImpossible, Some(why), false);
        }
        self.phase = Phase::Stuck(Stuck { at: Box::new(self.phase.clone()), effect, why: why.clone() });
        self.tell(Headline::Stuck(stage), Some(why), false);
    }

    /// Does once more what it is stuck with; on the way back, from where that begins now.
    pub(super) fn unstick(&mut self) {
        let Phase::Stuck(Stuck { at, effect, .. }) = self.phase.clone() else { return };
        if at.stage().is_retreat() {
            self.retreat.iter_mut().for_each(|retreat| retreat.revivals = 0);
            self.find_way_back();
        } else {
            self.begin(*at);
            self.try_again(effect, 0, None);
        }
    }
}
