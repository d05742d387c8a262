//! What time alone brings about.

use super::{Effect, Held, Open, Phase, Point, Stage, State};
use crate::gate::{Reading, Series};

impl State {
    pub(super) fn tick(&mut self) {
        self.make_due_tries();
        if self.deadline.is_some_and(|deadline| deadline <= self.clock.now()) {
            return self.too_late();
        }
        match self.phase {
            Phase::Canary(_) => self.canary_tick(),
            Phase::Window(_) => self.window_tick(),
            _ => {}
        }
    }

    /// The stage has lasted too long.
    fn too_late(&mut self) {
        self.deadline = None;
        let stage = self.stage();
        let limit = self.plan.deadline(stage).as_secs();
        match self.phase.clone() {
            Phase::AwaitingApproval => self.fail(format!("nobody approved it within {limit} s"), false),
            Phase::Held(Held { why, .. }) => {
                self.fail(format!("nobody decided within {limit} s about this: {why}"), false);
            }
            Phase::Canary(canary) => {
                self.hold_canary(canary.step, "its window could not be measured to the end".into(), false);
            }
            Phase::Window(window) => {
                self.blue_ready &= window.live == super::Slot::Green;
                self.fail(format!("the edge did not take the switch to {}", window.live), false);
            }
            phase if phase.stage().is_retreat() || stage == Stage::Decommissioning => {
                match self.open.iter().find(|open| !open.is_news()).cloned() {
                    // It takes up space and nothing else.
                    Some(Open { effect: Effect::RetireRelease { .. }, .. }) => self.advance(stage),
                    Some(open) => self.stick(open.effect, format!("no answer within {limit} s")),
                    // It waits for nothing, so it cannot be late.
                    None => self.find_way_back(),
                }
            }
            _ => self.fail(format!("{stage} took longer than {limit} s"), false),
        }
    }

    /// The gate's look has an answer; `None`: it has none.
    pub(super) fn measured(&mut self, reading: Option<Reading>, series: Vec<Series>) {
        match self.phase {
            Phase::Canary(canary) => self.canary_measured(canary, reading, series),
            Phase::Window(window) => self.window_measured(window, reading, series),
            _ => {}
        }
    }

    /// Where it is on the way forward, if it is on it.
    pub(super) fn position(&self) -> Option<Point> {
        match &self.phase {
            Phase::Held(held) => Some(held.at),
            Phase::Canary(canary) => Some(Point { stage: Stage::Canary, step: canary.step }),
            phase if phase.stage() <= Stage::Decommissioning => Some(phase.stage().into()),
            _ => None,
        }
    }
}
