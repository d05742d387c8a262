//! Who gets requests, and what is asked of the edge for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Effect, EffectKind, Generation, Percent, State};

/// Who gets requests. Blue has what green has not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// The newest there is.
    pub generation: Generation,
    /// Green's share as last asked for; `None`: nothing was asked for in this attempt, so blue has everything.
    pub asked: Option<Percent>,
    /// Green's share as the edge acknowledged it last, if it did.
    pub acknowledged: Option<Percent>,
    /// Green was given a share in this attempt. From then on the way back leads over the edge.
    pub moved: bool,
}

impl State {
    pub(super) fn next_generation(&mut self) -> Generation {
        self.traffic.generation.0 = self.traffic.generation.0.saturating_add(1);
        self.traffic.generation
    }

    /// Asks for weights in the place of those asked for before.
    pub(super) fn weigh(&mut self, green: Percent, lease: Option<Duration>) {
        self.forget(EffectKind::EnsureWeights);
        self.traffic.moved |= green > Percent::NONE;
        self.traffic.asked = Some(green);
        // The generation is given when it is asked for.
        let generation = self.traffic.generation;
        self.ensure(Effect::EnsureWeights { blue: green.rest(), green, generation, lease });
    }

    pub(super) fn acknowledged(&mut self) {
        self.traffic.acknowledged = self.traffic.asked;
    }
}
