//! What people ask for. Each command says what it did; asked for twice, it says that it holds already.

use super::{Command, Ending, Held, Operator, Phase, Point, Refusal, Reply, Retreat, RolloutId, Slot, Stage, State};

impl State {
    pub(super) fn command(&mut self, by: &Operator, command: Command) -> Reply {
        match command {
            Command::Abort => self.abort(by),
            Command::Rollback => self.rollback(by),
            Command::Supersede { newer } => self.supersede(newer),
            Command::Approve { digest, comment } => self.approve(by, digest, comment),
            Command::Reject { comment } => self.reject(by, comment),
            Command::PauseAt { stage } => self.pause_at(stage),
            Command::Promote => self.promote(by),
            Command::Retry => self.retry(),
            Command::Switch { slot } => self.switch_to(slot),
        }
    }

    fn abort(&mut self, by: &Operator) -> Reply {
        if self.stage() == Stage::Done {
            return self.over("abort");
        }
        self.end_by(self.ending(), format!("{by} aborted it"))
    }

    fn rollback(&mut self, by: &Operator) -> Reply {
        let why = format!("{by} wanted the version before back");
        if self.stage() != Stage::Done {
            return self.end_by(self.ending(), why);
        }
        if self.blue.is_none() {
            return Reply::Refused(Refusal::NothingBefore);
        }
        let ending = Ending::RolledBack;
        self.go_back(Retreat { ending, why, by_gate: false, after_done: true, revivals: 0 });
        Reply::Taken
    }

    fn supersede(&mut self, newer: RolloutId) -> Reply {
        match self.stage() {
            Stage::Done => self.over("supersede"),
            Stage::Decommissioning => self
                .not_here("supersede", "it ends by itself as soon as the old version is stopped; queue the newer one"),
            // Going back first would show users the old version once more, and leave them with it if the newer one is no good.
            Stage::Window if self.serves_well() => {
                self.advance(Stage::Window);
                Reply::Taken
            }
            _ => self.end_by(Ending::Superseded(newer), format!("rollout {newer} takes its place")),
        }
    }

    fn ending(&self) -> Ending {
        if self.traffic.moved { Ending::RolledBack } else { Ending::Aborted }
    }

    /// Begins the way back, unless it is on it or has gone it.
    fn end_by(&mut self, ending: Ending, why: String) -> Reply {
        match &self.phase {
            Phase::Stuck(stuck) if stuck.at.stage().is_retreat() => self.unstick(),
            phase if phase.stage().is_final() => return Reply::Already,
            // Somebody is in a hurry: what waits for its next try is tried now.
            phase if phase.stage().is_retreat() => {
                return if self.try_now() { Reply::Taken } else { Reply::Already };
            }
            _ => self.go_back(Retreat { ending, why, by_gate: false, after_done: false, revivals: 0 }),
        }
        Reply::Taken
    }

    fn pause_at(&mut self, stage: Stage) -> Reply {
        let no = |why: &str| Reply::Refused(Refusal::NoPause { stage, why: why.to_owned() });
        if !stage.can_pause() {
            return no("it can stop before the stages from `checking` to `cutting-over`");
        }
        // Before its turn nobody knows yet whether there is a blue.
        if !self.plan.has(stage, self.blue.is_some() || self.stage() == Stage::Queued) {
            return no("this rollout has no such stage");
        }
        let Some(position) = self.position() else { return no("the rollout is not on its way forward") };
        let waits_there = matches!(&self.phase, Phase::Held(held) if held.at == held.next && held.at.stage == stage);
        if waits_there {
            return Reply::Already;
        }
        if position.stage >= stage {
            return no("the rollout is there already, or past it");
        }
        if self.pauses.insert(stage) { Reply::Taken } else { Reply::Already }
    }

    fn promote(&mut self, by: &Operator) -> Reply {
        match self.phase.clone() {
            Phase::Held(held) => self.go_on(&held, false),
            Phase::Window(window) if window.asked && window.live == Slot::Green => {
                self.advance(Stage::Window);
                Reply::Taken
            }
            Phase::Stuck(stuck) => match stuck.at.stage() {
                // Whoever says so has looked that the process is gone.
                Stage::Clearing => {
                    self.end();
                    Reply::Taken
                }
                Stage::Decommissioning => {
                    self.advance(Stage::Decommissioning);
                    Reply::Taken
                }
                // Blue cannot be brought back, so the only version that runs takes over.
                Stage::Reviving if self.green_ready && self.missing_evidence().is_none() => {
                    self.retreat = None;
                    self.enter(Stage::CuttingOver.into());
                    Reply::Taken
                }
                _ => self.not_here("promote", "`mana rollout retry` tries again what it is stuck with"),
            },
            Phase::AwaitingApproval => {
                self.not_here("promote", &format!("it needs an approval, {by}: `mana rollout approve`"))
            }
            phase if phase.stage().is_final() => self.over("promote"),
            _ => self.not_here("promote", "it goes on by itself when what it waits for is good"),
        }
    }

    fn retry(&mut self) -> Reply {
        match self.phase.clone() {
            Phase::Held(held) => self.go_on(&held, true),
            Phase::Stuck(_) => {
                self.unstick();
                Reply::Taken
            }
            Phase::Aborted | Phase::RolledBack => {
                self.start_anew();
                Reply::Taken
            }
            Phase::Done | Phase::Superseded => self.over("retry"),
            _ => self.not_here("retry", "it is still at its first try; abort it first"),
        }
    }

    /// From the first stage, with nothing that an earlier attempt has shown.
    fn start_anew(&mut self) {
        let fresh = Self::new(self.id, self.plan.clone());
        let kept = std::mem::replace(self, fresh);
        self.clock = kept.clock;
        self.n = kept.n;
        self.attempt = kept.attempt.saturating_add(1);
        self.blue = kept.blue;
        self.traffic.generation = kept.traffic.generation;
        self.looks = kept.looks;
        self.open = kept.open;
        self.advance(Stage::Queued);
    }

    /// `again`: at the same place; else at the next, before which there may be another stop.
    fn go_on(&mut self, held: &Held, again: bool) -> Reply {
        let point = if again { held.at } else { held.next };
        if let Some(refused) = self.cannot_go_on_at(point) {
            return refused;
        }
        if held.at == point {
            self.enter(point);
        } else {
            self.advance(held.at);
        }
        Reply::Taken
    }

    fn cannot_go_on_at(&self, point: Point) -> Option<Reply> {
        let blue_lost = self.blue.is_some() && !self.blue_ready;
        if point.stage >= Stage::Canary && (blue_lost || !self.green_ready) {
            let slot = if blue_lost { Slot::Blue } else { Slot::Green };
            let instead = "wait until it is, or abort the rollout".to_owned();
            return Some(Reply::Refused(Refusal::NotReady { slot, instead }));
        }
        let early = "the edge has not put green to 0 % yet; try again in a moment";
        self.has_work().then(|| self.not_here("go on", early))
    }

    fn switch_to(&mut self, slot: Slot) -> Reply {
        let Phase::Window(window) = &self.phase else {
            return match self.stage() {
                Stage::Done if slot == Slot::Green => Reply::Already,
                Stage::RolledBack if slot == Slot::Blue => Reply::Already,
                _ => self.not_here("switch", "both slots are ready only after a cutover; `mana rollback` works always"),
            };
        };
        if window.live == slot {
            return Reply::Already;
        }
        let ready = if slot == Slot::Blue { self.blue_ready } else { self.green_ready };
        if !ready {
            let instead = "`mana rollback` starts the old version first".to_owned();
            return Reply::Refused(Refusal::NotReady { slot, instead });
        }
        self.switch(slot);
        Reply::Taken
    }

    fn over(&self, command: &str) -> Reply {
        Reply::Refused(Refusal::Over { rollout: self.id, stage: self.stage(), command: command.to_owned() })
    }

    pub(super) fn not_here(&self, command: &str, instead: &str) -> Reply {
        let (rollout, stage) = (self.id, self.stage());
        Reply::Refused(Refusal::NotHere { rollout, stage, command: command.to_owned(), instead: instead.to_owned() })
    }
}
