//! What can happen to a rollout.
//!
//! The JSON form is what the journal holds: `{"at":{"up_ms":…,"wall_ms":…},"event":"outcome","key":"17/scanning/1/4",
//! "outcome":"passed","digest":"…"}`. Names are only ever added; a name that this version does not know is an error that lists
//! those it does.

use serde::{Deserialize, Serialize};

use super::{Digest, Generation, Key, Operator, Percent, Release, RolloutId, Slot, Stage, Time};
use crate::gate::{Reading, Series};

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Time,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum What {
    /// Its turn has come.
    Start {
        /// What serves now; `None`: nothing does.
        blue: Option<Release>,
        /// The newest one of this service's traffic.
        generation: Generation,
    },
    /// Time passed. Due when [`State::next_wake`](super::State::next_wake) says; sooner or later is no harm.
    Tick,
    /// An effect was carried out, or not.
    Outcome {
        /// Which.
        key: Key,
        /// How it went.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// A person wants something.
    Command {
        /// Who.
        by: Operator,
        /// What.
        #[serde(flatten)]
        command: Command,
    },
    /// A slot got ready, or was lost (crashes in a row, or its probes fail for long: not one failed probe).
    Seen {
        /// Which.
        slot: Slot,
        /// How it is.
        health: Health,
    },
    /// The control plane is back. Between this and the event before it anything may have happened.
    Restarted {
        /// What edge and runtime say.
        facts: Facts,
    },
}

/// How an effect went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Done,
    /// The release was made.
    Built {
        /// What came out.
        digest: Digest,
    },
    /// It holds, for this digest.
    Passed {
        /// The one that was looked at, not the one that was asked for.
        digest: Digest,
    },
    /// The edge counted.
    Measured {
        /// Its counts.
        reading: Reading,
        /// What the queries of the gate's own limits gave.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        series: Vec<Series>,
    },
    /// The answer is no. Asked again it would be no again.
    Failed {
        /// Why, for people.
        reason: String,
    },
    /// It could not be carried out or its answer got lost: nothing is known. It is tried again, with a wait that doubles.
    Unknown {
        /// Why, for people.
        reason: String,
    },
    /// The edge serves a newer generation.
    Stale {
        /// That one.
        current: Generation,
    },
}

/// What a person can ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// Yes, it may go to production.
    Approve {
        /// What was looked at.
        digest: Digest,
        /// For the record.
        comment: Option<String>,
    },
    /// No.
    Reject {
        /// For the record.
        comment: Option<String>,
    },
    /// Stop before that stage.
    PauseAt {
        /// Which.
        stage: Stage,
    },
    /// Go on from where it was held, or from where it asks.
    Promote,
    /// End it; what moved goes back.
    Abort,
    /// Try what failed once more: an attempt from the start, the window it was held in, or the effect it is stuck with.
    Retry,
    /// Put the old version back, and end.
    Rollback,
    /// In the warm window: that slot serves, both go on running.
    Switch {
        /// Which.
        slot: Slot,
    },
    /// End it in favour of a newer one.
    Supersede {
        /// Which.
        newer: RolloutId,
    },
}

/// How a slot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Runs at full scale, and its probes answer.
    Ready,
    /// Does not, and why.
    Lost(String),
    /// Nobody could say. Changes nothing.
    Unknown,
}

/// What the world says after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// From the edge; `None`: it did not answer.
    pub traffic: Option<TrafficFacts>,
    /// From the runtime.
    pub blue: Health,
    /// From the runtime.
    pub green: Health,
}

/// What the edge serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficFacts {
    /// Its generation.
    pub generation: Generation,
    /// Green's share; blue has the rest, if there is one.
    pub green: Percent,
}

impl Command {
    /// Comes before everything else that arrives together with it.
    pub fn is_urgent(&self) -> bool {
        matches!(self, Self::Abort | Self::Rollback)
    }
}
