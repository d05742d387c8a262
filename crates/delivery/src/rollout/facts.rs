//! What the world says by itself: a slot got ready or was lost, and how everything stands after a restart.

use super::{Facts, Health, Percent, Phase, Slot, Stage, State};

impl State {
    pub(super) fn seen(&mut self, slot: Slot, health: &Health) {
        match (slot, health) {
            // It is being stopped, or was: a probe that still answers says nothing for later.
            (slot, Health::Ready) if self.stops() == Some(slot) => {}
            (Slot::Blue, Health::Ready) if self.stage() == Stage::Done => {}
            (Slot::Blue, Health::Ready) => self.blue_ready |= self.blue.is_some(),
            (Slot::Green, Health::Ready) => self.green_ready |= self.green_started,
            (Slot::Green, Health::Lost(why)) if std::mem::take(&mut self.green_ready) => self.green_lost(why),
            (Slot::Blue, Health::Lost(why)) if std::mem::take(&mut self.blue_ready) => self.blue_lost(why),
            // What was not known to be ready is being started, and whoever starts it will say.
            (_, Health::Lost(_) | Health::Unknown) => {}
        }
    }

    fn stops(&self) -> Option<Slot> {
        let phase = match &self.phase {
            Phase::Stuck(stuck) => &stuck.at,
            phase => phase,
        };
        match phase {
            Phase::Decommissioning => Some(Slot::Blue),
            Phase::Clearing => Some(Slot::Green),
            _ => None,
        }
    }

    fn green_lost(&mut self, why: &str) {
        match &self.phase {
            // Blue serves: a person may still want to look at green, and the end of the window stops it.
            Phase::Window(window) if window.live == Slot::Blue => {}
            Phase::Window(_) => self.fail(format!("green was lost after the cutover: {why}"), false),
            phase if (Stage::GreenStarting..=Stage::CuttingOver).contains(&phase.stage()) => {
                self.fail(format!("green was lost: {why}"), false);
            }
            Phase::Held(_) => self.fail(format!("green was lost: {why}"), false),
            _ => {}
        }
    }

    fn blue_lost(&mut self, why: &str) {
        match &self.phase {
            Phase::Verifying => self.fail(format!("blue was lost on the new schema: {why}"), false),
            Phase::Canary(_) | Phase::CuttingOver => self.fail(format!("blue was lost: {why}"), false),
            Phase::Window(window) if window.live == Slot::Green => self.warm_up(why),
            Phase::Window(_) => self.fail(format!("blue was lost while it served: {why}"), false),
            Phase::Returning => self.find_way_back(),
            // It was to get its traffic back just now.
            Phase::Held(_) if self.has_work() => self.fail(format!("blue was lost: {why}"), false),
            _ => {}
        }
    }

    /// Takes over what edge and runtime say, throws a window away that nobody watched, and repeats what has no outcome.
    pub(super) fn restarted(&mut self, facts: &Facts) {
        let known = facts.traffic.map_or(self.traffic.generation, |traffic| traffic.generation);
        self.traffic.generation = self.traffic.generation.max(known);
        self.seen(Slot::Blue, &facts.blue);
        self.seen(Slot::Green, &facts.green);
        let serves = facts.traffic.map(|traffic| traffic.green);
        let green_serves = serves.is_some_and(|green| green > Percent::NONE);
        self.traffic.moved |= self.green_started && green_serves;
        match self.phase.clone() {
            Phase::Canary(canary) => self.open_canary(canary.step, 0),
            Phase::Window(window) => {
                let wanted = if window.live == Slot::Green { Percent::ALL } else { Percent::NONE };
                self.watch_anew(serves != Some(wanted));
            }
            Phase::Held(_) if self.traffic.moved && serves != Some(Percent::NONE) => {
                if self.blue_ready {
                    self.weigh(Percent::NONE, None);
                } else {
                    self.fail("blue was lost while green was held".to_owned(), false);
                }
            }
            // Acknowledged once, and not so any more: the edge's table was put back to an older one. Nothing is stopped that
            // may serve.
            Phase::Clearing if green_serves => self.find_way_back(),
            _ if self.stops() == Some(Slot::Blue) && serves.is_some_and(|green| green != Percent::ALL) => {
                self.enter(Stage::CuttingOver.into());
            }
            _ => {}
        }
        self.repeat_all();
    }
}
