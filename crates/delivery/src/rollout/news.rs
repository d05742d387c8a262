//! What people are told.

use serde::{Deserialize, Serialize};

use super::{Effect, Look, RolloutId, Stage, State};

/// What people are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct News {
    /// What happened.
    pub what: Headline,
    /// Why, where there is something to say.
    pub why: Option<String>,
    /// The last look of the gate, where one led to it.
    pub figures: Option<Box<Look>>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Headline {
    /// It began.
    Started,
    /// It stopped before a stage and waits for a person.
    Held(Stage),
    /// The gate failed after the cutover, or cannot say that green is healthy; a person decides.
    Asking,
    /// Blue is not ready and is being started again. Pages.
    Reviving,
    /// Blue, which should be warm, could not be started again. Pages.
    NotWarm,
    /// An effect did not succeed; a person has to look. Pages.
    Stuck(Stage),
    /// Green is the live version.
    Done,
    /// Over; no traffic had moved.
    Aborted,
    /// Over; everything is back on blue.
    RolledBack,
    /// Over, for the sake of another rollout.
    Superseded(RolloutId),
    /// A rollback after the end could not be made; green still serves. Pages.
    RollbackImpossible,
}

impl Headline {
    /// Whether somebody has to be woken.
    pub fn pages(self) -> bool {
        matches!(self, Self::Reviving | Self::NotWarm | Self::Stuck(_) | Self::RollbackImpossible)
    }
}

impl State {
    /// `by_gate`: the last look led to it and goes along.
    pub(super) fn tell(&mut self, what: Headline, why: Option<String>, by_gate: bool) {
        let figures = self.looks.last().filter(|_| by_gate).cloned().map(Box::new);
        self.ensure(Effect::Notify(News { what, why, figures }));
    }
}
