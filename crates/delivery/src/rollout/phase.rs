//! A stage with what belongs to it alone.

use serde::{Deserialize, Serialize};

use super::{Effect, Elapsed, Slot, Stage};

/// Where a rollout is, with what it has to remember there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the stages of the same name say what they are")]
pub enum Phase {
    Queued,
    Checking,
    Building,
    Scanning,
    Staging,
    Smoking,
    AwaitingApproval,
    Migrating,
    GreenStarting,
    Verifying,
    Canary(Canary),
    Held(Held),
    CuttingOver,
    Window(Window),
    Decommissioning,
    Reviving,
    Returning,
    Clearing,
    Stuck(Stuck),
    Done,
    Aborted,
    RolledBack,
    Superseded,
}

/// A share of traffic under judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Index into the plan's steps.
    pub step: usize,
    /// When the window opened: the edge acknowledged the weights. `None`: not yet.
    pub opened: Option<Elapsed>,
    /// Windows of this step that broke off because the lease had run out.
    pub lost: u8,
    /// When the lease is renewed next.
    pub renew_at: Elapsed,
    /// When the gate looks next.
    pub look_at: Elapsed,
}

/// A stop before a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Where it goes on when tried again.
    pub at: Point,
    /// Where it goes on when promoted.
    pub next: Point,
    /// Why it was stopped.
    pub why: String,
}

/// A place on the way forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Which stage.
    pub stage: Stage,
    /// Which step of a canary; 0 elsewhere.
    pub step: usize,
}

/// The time after the cutover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Which slot serves.
    pub live: Slot,
    /// Earliest end.
    pub until: Elapsed,
    /// When the window that the gate judges now began; `None`: the weights are not acknowledged yet.
    pub guard_from: Option<Elapsed>,
    /// When the gate looks next.
    pub look_at: Elapsed,
    /// A person was asked.
    pub asked: bool,
    /// Until when they may decide; then blue gets everything back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_by: Option<Elapsed>,
}

/// An effect that did not succeed and must not be skipped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stuck {
    /// Where it happened.
    pub at: Box<Phase>,
    /// What did not succeed.
    pub effect: Effect,
    /// Why.
    pub why: String,
}

impl From<Stage> for Point {
    fn from(stage: Stage) -> Self {
        Self { stage, step: 0 }
    }
}

impl Phase {
    /// The stage it is.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Queued => Stage::Queued,
            Self::Checking => Stage::Checking,
            Self::Building => Stage::Building,
            Self::Scanning => Stage::Scanning,
            Self::Staging => Stage::Staging,
            Self::Smoking => Stage::Smoking,
            Self::AwaitingApproval => Stage::AwaitingApproval,
            Self::Migrating => Stage::Migrating,
            Self::GreenStarting => Stage::GreenStarting,
            Self::Verifying => Stage::Verifying,
            Self::Canary(_) => Stage::Canary,
            Self::Held(_) => Stage::Held,
            Self::CuttingOver => Stage::CuttingOver,
            Self::Window(_) => Stage::Window,
            Self::Decommissioning => Stage::Decommissioning,
            Self::Reviving => Stage::Reviving,
            Self::Returning => Stage::Returning,
            Self::Clearing => Stage::Clearing,
            Self::Stuck(_) => Stage::Stuck,
            Self::Done => Stage::Done,
            Self::Aborted => Stage::Aborted,
            Self::RolledBack => Stage::RolledBack,
            Self::Superseded => Stage::Superseded,
        }
    }
}
