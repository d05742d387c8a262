//! What is asked of the edge.

use std::time::Duration;

use super::{Effect, EffectKind, Generation, Percent, Stage, State};

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

    /// Whether the release that would get traffic is the one that passed all that the plan wants, or what is missing.
    /// It holds by the order of the stages; it is looked at once more where it matters.
    pub(super) fn missing_evidence(&self) -> Option<&'static str> {
        let digest = self.green.as_ref().map(|release| &release.digest);
        let wants = |stage| self.plan.has(stage, self.blue.is_some());
        let approved = self.evidence.approved.as_ref().map(|approved| &approved.digest);
        [
            (Stage::Scanning, self.evidence.scanned.as_ref(), "scan"),
            (Stage::Staging, self.evidence.staged.as_ref(), "staging"),
            (Stage::Smoking, self.evidence.smoked.as_ref(), "smoke test"),
            (Stage::AwaitingApproval, approved, "approval"),
            (Stage::Verifying, self.evidence.verified.as_ref(), "verification"),
        ]
        .into_iter()
        .find(|(stage, evidence, _)| wants(*stage) && (digest.is_none() || *evidence != digest))
        .map(|(_, _, what)| what)
    }
}
