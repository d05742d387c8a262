//! The reducer: an event goes in, what has to be done comes out.

use super::{Event, Headline, Intent, Phase, Plan, Reply, RolloutId, Stage, State, What};

/// What came of an event.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "the effects have to be carried out"]
pub struct Step {
    /// What has to be done, in this order.
    pub effects: Vec<Intent>,
    /// What to say to whoever sent the event.
    pub reply: Reply,
}

impl State {
    /// Takes an event in. Total: whatever comes in whatever state, it neither panics nor waits. The event goes to the journal
    /// together with the effects, and then they are carried out.
    pub fn step(&mut self, event: Event) -> Step {
        let before = self.clock;
        self.clock.advance(event.at);
        let reply = match event.what {
            What::Start { blue, generation } => {
                if self.stage() == Stage::Queued {
                    self.blue = blue;
                    self.traffic.generation = self.traffic.generation.max(generation);
                    self.tell(Headline::Started, None, false);
                    self.advance(Stage::Queued);
                    Reply::Taken
                } else {
                    Reply::Already
                }
            }
            What::Tick => {
                self.tick();
                Reply::Taken
            }
            What::Outcome { key, outcome } => self.outcome(key, outcome),
            What::Command { by, command } => self.command(&by, command),
            What::Seen { slot, health } => {
                self.seen(slot, &health);
                Reply::Taken
            }
            What::Restarted { facts } => {
                self.restarted(&facts);
                Reply::Taken
            }
        };
        if reply != Reply::Taken {
            // Nothing changed, not even the time: the next event counts what passed. So the journal may leave this one out.
            self.clock = before;
        }
        self.note_stage();
        Step { effects: std::mem::take(&mut self.out), reply }
    }

    /// The state that a journal leads to.
    pub fn fold(id: RolloutId, plan: Plan, journal: impl IntoIterator<Item = Event>) -> Self {
        let mut state = Self::new(id, plan);
        for event in journal {
            // What was asked for then is in `outstanding`, as far as it is still to be done.
            let _: Step = state.step(event);
        }
        state
    }

    /// Whether it is over.
    pub fn is_final(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::Aborted | Phase::RolledBack | Phase::Superseded)
    }
}

/// Events that arrived together in the order in which they count: abort and rollback before everything else.
#[must_use]
pub fn in_order(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by_key(|event| !matches!(&event.what, What::Command { command, .. } if command.is_urgent()));
    events
}
