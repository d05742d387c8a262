//! Rollouts: what is asked of them, and how they go.

use mana_delivery::migration::Override;
use mana_delivery::rollout::{Command, Intent, Look, What};
use mana_release::event::Event;
use serde::{Deserialize, Serialize};

/// "Bring this release into the environment."
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    /// The service's name.
    pub service: String,
    /// A release by version, digest or commit, or a tag, branch or commit to make one of. Absent: what is checked out, or the newest
    /// release where the manifest does not say how one is made.
    pub release: Option<String>,
    /// Who asks for it.
    pub by: String,
    /// Whether it takes the place of those that are under way or wait.
    #[serde(default)]
    pub supersede: bool,
    /// The stage before which it stops until somebody says `promote`.
    #[serde(default)]
    pub pause_at: Option<String>,
    /// Statements of its migrations that may run although the guard refuses them.
    #[serde(default)]
    pub overrides: Vec<Override>,
    /// Asked again with the same key, it is the same rollout.
    #[serde(default)]
    pub key: Option<String>,
}

/// What a person wants of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutCommand {
    /// Who.
    pub by: String,
    /// Asked again with the same key, it is not done once more.
    #[serde(default)]
    pub key: Option<String>,
    /// What.
    #[serde(flatten)]
    pub command: Command,
}

/// "Another version of the service is to serve."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutBack {
    /// The service's name.
    pub service: String,
    /// Who asks for it.
    pub by: String,
    /// `blue` or `green`; the version before where absent.
    #[serde(default)]
    pub slot: Option<String>,
    /// A release that has served here before, in place of the version before.
    #[serde(default)]
    pub release: Option<String>,
    /// Asked again with the same key, it is the same way back.
    #[serde(default)]
    pub key: Option<String>,
}

/// The title of the problem that a release is to be brought back which serves.
pub const SERVES_ALREADY: &str = "it serves already";

/// How a rollout goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutView {
    /// Its number.
    pub number: u64,
    /// Of which service.
    pub service: String,
    /// What it brings.
    pub version: String,
    /// Where it is: `canary`, `window`, `done`.
    pub stage: String,
    /// What happens there, in a sentence.
    pub about: String,
    /// From 1.
    pub attempt: u32,
    /// Whether it has ended.
    pub over: bool,
    /// Who asked for it.
    pub started_by: String,
    /// RFC 3339.
    pub begun_at: String,
    /// What it replaces.
    pub old: SlotView,
    /// What it brings.
    pub new: SlotView,
    /// Without whom it does not go on.
    pub waits_for: Vec<String>,
    /// Why it goes back, or went.
    pub why: Option<String>,
    /// The last look of the gate, with its figures.
    pub look: Option<Look>,
    /// Its stages, in order, with those to come.
    #[serde(default)]
    pub steps: Vec<StepView>,
}

/// A stage of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// `canary`.
    pub stage: String,
    /// How it stands with it.
    pub state: StepState,
    /// How long it took, or has taken so far.
    pub took_ms: Option<u64>,
    /// How long it has to take at least, or took the last time.
    pub expected_ms: Option<u64>,
}

/// How it stands with a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// It is over.
    Over,
    /// The rollout is in it.
    Now,
    /// It is to come.
    Ahead,
}

/// One of the two places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotView {
    /// `blue` or `green`.
    pub slot: String,
    /// What is in it.
    pub version: Option<String>,
    /// Of that.
    pub digest: Option<String>,
    /// Its share of the requests.
    pub percent: u8,
}

/// A rollout with all that happened to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutDetail {
    /// How it goes.
    pub view: RolloutView,
    /// What the gate saw, window by window.
    pub looks: Vec<Look>,
    /// Its journal, oldest first.
    pub journal: Vec<RolloutEntry>,
}

/// Something that happened to a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutEntry {
    /// From 1.
    pub number: u64,
    /// RFC 3339.
    pub at: String,
    /// What.
    pub event: What,
    /// What followed from it.
    pub effects: Vec<Intent>,
}

/// A piece of what the checks and the build of a rollout say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Where the next piece begins.
    pub next: u64,
    /// What happened.
    pub events: Vec<Event>,
}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Serving {
    /// The plan as it was applied, as `mana plan --json` prints one: secrets by name only.
    pub plan: serde_json::Value,
    /// What serves of each service that was released.
    pub releases: Vec<Served>,
}

/// A release that serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Of this service.
    pub service: String,
    /// `blue` or `green`.
    pub slot: String,
    /// `v1.6.0`.
    pub version: String,
    /// Of all its files.
    pub digest: String,
}
