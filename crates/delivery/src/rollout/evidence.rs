//! What a release has to show before it gets traffic.

use serde::{Deserialize, Serialize};

use super::{Digest, Elapsed, Operator, Stage, State};

/// What this attempt's release has passed, by digest: nothing gets traffic without.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// By the scan.
    pub scanned: Option<Digest>,
    /// By the staging environment.
    pub staged: Option<Digest>,
    /// By the smoke tests.
    pub smoked: Option<Digest>,
    /// By a person.
    pub approved: Option<Approved>,
    /// Green and blue answered their probes on the new schema.
    pub verified: Option<Digest>,
}

/// A yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    /// For what.
    pub digest: Digest,
    /// Whose.
    pub by: Operator,
    /// What was said to it.
    pub comment: Option<String>,
    /// When.
    pub at: Elapsed,
}

impl State {
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
