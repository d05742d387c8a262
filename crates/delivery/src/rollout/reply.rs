//! What a step says about the event: to the person behind a command, and to the journal.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Digest, Key, Operator, RolloutId, Slot, Stage};

/// What came of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It was taken in.
    Taken,
    /// The effect it answers is not open (any more): late, twice, or of an earlier attempt. Nothing changed.
    Late,
    /// What was wanted holds already, or is on its way. Nothing changed but perhaps who waits for it.
    Already,
    /// It does not apply. Nothing changed.
    Refused(Refusal),
}

/// Why something does not apply, and what would.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "refusal", rename_all = "kebab-case")]
pub enum Refusal {
    /// See the message.
    #[error("rollout {rollout} is over ({stage}), so there is nothing to {command}: `mana deploy` starts a new one")]
    Over {
        /// Which.
        rollout: RolloutId,
        /// How it ended.
        stage: Stage,
        /// What was wanted.
        command: String,
    },
    /// See the message.
    #[error("rollout {rollout} is {stage}, where `{command}` means nothing: {instead}")]
    NotHere {
        /// Which.
        rollout: RolloutId,
        /// Where it is.
        stage: Stage,
        /// What was wanted.
        command: String,
        /// What there is instead.
        instead: String,
    },
    /// See the message.
    #[error("{by} may not approve this: the manifest names {approvers}; ask one of them")]
    NoApprover {
        /// Who tried.
        by: Operator,
        /// Who may.
        approvers: String,
    },
    /// See the message.
    #[error(
        "{by} started this rollout, or stands behind the push that did, and the manifest wants a second person: ask somebody else to approve it"
    )]
    OwnRollout {
        /// Who tried.
        by: Operator,
    },
    /// See the message.
    #[error("{offered} was approved, but what would go to production is {wanted}: look at that one and approve it")]
    OtherDigest {
        /// What was approved.
        offered: Digest,
        /// What there is.
        wanted: Digest,
    },
    /// See the message.
    #[error("it cannot stop before `{stage}`: {why}")]
    NoPause {
        /// Which.
        stage: Stage,
        /// Why.
        why: String,
    },
    /// See the message.
    #[error("{slot} is not ready, so no traffic is sent to it: {instead}")]
    NotReady {
        /// Which.
        slot: Slot,
        /// What there is instead.
        instead: String,
    },
    /// See the message.
    #[error("nothing served before this release, so there is nothing to go back to: deploy another release")]
    NothingBefore,
    /// See the message.
    #[error(
        "the answer does not fit effect {key}, which wants {wanted}: whoever carried it out speaks another version"
    )]
    NoSuchAnswer {
        /// Which.
        key: Key,
        /// What was expected.
        wanted: String,
    },
}
