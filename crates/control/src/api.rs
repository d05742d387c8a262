//! The operator API's words: what `mana` and the control plane say to each other over the unix socket `control.sock`.
//!
//! | call | body → answer |
//! |---|---|
//! | `GET /v1/status` | → [`Status`] |
//! | `POST /v1/apply` | [`Apply`] → lines of [`Event`] as JSON, one a line, until [`Event::Settled`] or [`Event::Failed`] |
//! | `POST /v1/restart` | [`Restart`] → lines of [`Event`], likewise |
//! | `POST /v1/down` | → lines of [`Event`], until [`Event::Settled`]; the control plane then ends itself |
//! | `POST /v1/run` | [`RunRequest`] → [`RunSpec`]: what a one-off command of a service is started with, by the client itself |
//! | `POST /v1/rollouts` | [`Deploy`] → [`RolloutView`]: it has begun, or waits for its turn |
//! | `GET /v1/rollouts?service=NAME` | → [`RolloutView`]s, newest first |
//! | `GET /v1/rollouts/N` | → [`RolloutDetail`] |
//! | `GET /v1/rollouts/N/view` | → [`RolloutView`], without its journal |
//! | `GET /v1/rollouts/N/output?from=BYTE` | → [`Output`]: what its checks and its build say |
//! | `POST /v1/rollouts/N` | [`RolloutCommand`] → [`RolloutView`] after it |
//! | `POST /v1/put-back` | [`PutBack`] → [`RolloutView`] of the rollout that it was asked of |
//! | `GET /v1/tokens` | → [`TokenView`]s |
//! | `POST /v1/tokens` | [`NewToken`] → [`MadeToken`]; `DELETE /v1/tokens/NAME` takes one back |
//! | `GET /v1/serving` | → [`Serving`]: what was applied, and which release serves of each service |
//! | `POST /v1/smoke` | [`SmokeRequest`] → [`SmokeReport`]: its smoke tests, against what serves here |
//! | `GET /v1/journal?limit=N` | → the last N [`JournalEntry`], newest first |
//!
//! Errors are `application/problem+json` (RFC 9457): a [`Problem`]. An invalid manifest is 422 with every problem in
//! `problems`, and changes nothing; an unknown service is 404; a call that does not fit the present state is 409.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use mana_delivery::migration::Override;
use mana_delivery::rollout::{Command, Intent, Look, What};
use serde::{Deserialize, Serialize};

/// Desired against actual, all of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Name of the ecosystem.
    pub ecosystem: String,
    /// `development`, `staging` or `production`.
    pub environment: String,
    /// Version of the control plane.
    pub version: String,
    /// Process id of the control plane.
    pub control_pid: u32,
    /// Since when this control plane runs, RFC 3339.
    pub started_at: String,
    /// Every service of the manifest and the edge (name `edge`), in start order.
    pub services: Vec<ServiceStatus>,
    /// What differs from what is desired, a sentence each, every one with a name in it. Empty: all is as desired.
    pub differences: Vec<String>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Unique name.
    pub name: String,
    /// Its project.
    pub project: String,
    /// `auth`, `backend`, `web`, `landing`, `status` or `edge`.
    pub kind: String,
    /// Whether it is as desired.
    pub state: ServiceState,
    /// Where people reach it.
    pub public_url: Option<String>,
    /// Where other services reach it.
    pub internal_url: Option<String>,
    /// Instances wanted.
    pub desired: u16,
    /// Instances that are ready.
    pub ready: u16,
    /// One entry per instance, running or about to be. Empty for static services.
    pub instances: Vec<InstanceStatus>,
}

/// State of a service as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// All instances ready (or the static folder is there).
    Up,
    /// Waiting for what it needs, migrating, or started and not ready yet.
    Starting,
    /// Some instances ready, or running but not ready any more.
    Degraded,
    /// None is ready, and it is being restarted with backoff.
    Down,
    /// Not started: a secret, file or dependency is missing.
    Blocked,
    /// Stopped on purpose.
    Stopped,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Unique for ever.
    pub id: String,
    /// `blue` or `green`.
    pub slot: String,
    /// What it runs.
    pub release: String,
    /// `waiting`, `migrating`, `starting`, `ready`, `unready`, `backoff`, `stopping`, `stopped`, `blocked`.
    pub phase: String,
    /// Why it is in that phase, where there is something to say: last probe error, time of the next try, missing secret.
    pub reason: Option<String>,
    /// Process id, while it runs.
    pub pid: Option<u32>,
    /// Port it listens on, while it runs.
    pub port: Option<u16>,
    /// Since when it runs, RFC 3339.
    pub started_at: Option<String>,
    /// Whether this control plane found it running and adopted it.
    pub adopted: bool,
    /// Starts after the first, since the service was last changed or restarted by a person.
    pub restarts: u32,
    /// How the last run before this one ended: `exit code 1`, `signal 9 (SIGKILL)`, …
    pub last_exit: Option<String>,
    /// Share of one core over the last interval, 1.0 = one core.
    pub cpu: Option<f64>,
    /// Resident memory.
    pub memory_bytes: Option<u64>,
    /// Where its output goes.
    pub log_file: PathBuf,
}

/// "Make it so": which manifest, which environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apply {
    /// The manifest's path, absolute. The control plane reads and checks it itself.
    pub manifest: PathBuf,
    /// Moved ports and folders.
    pub overrides: Overrides,
}

/// What flags and environment variables move, over the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrides {
    /// Which environment; `development` when absent.
    pub environment: Option<String>,
    /// Data folder.
    pub data: Option<PathBuf>,
    /// `ADDRESS:PORT` of the public listener.
    pub listen: Option<String>,
    /// Added to every service's internal port, and to the public listener's where `listen` is absent.
    pub port_offset: Option<u16>,
}

/// Restart one service, or one of its instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Its name; `edge` too.
    pub service: String,
}

/// A one-off command in a service's surroundings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The service's name.
    pub service: String,
    /// Arguments after its program.
    pub args: Vec<String>,
}

/// What to start; holds revealed secrets, so it goes over the owner-only socket and is never logged.
#[derive(Clone, Serialize, Deserialize)]
pub struct RunSpec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Folder.
    pub cwd: PathBuf,
    /// Environment, complete.
    pub env: BTreeMap<String, String>,
}

/// "Bring this release into the environment."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// "Does it work?"
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeRequest {
    /// The service's name.
    pub service: String,
    /// What has to serve; whatever does where absent.
    #[serde(default)]
    pub digest: Option<String>,
}

/// How smoke tests went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeReport {
    /// The service's name.
    pub service: String,
    /// What answered, for people.
    pub version: Option<String>,
    /// Of that.
    pub digest: Option<String>,
    /// Whether all went well.
    pub passed: bool,
    /// Each test, in order.
    pub tests: Vec<SmokeResult>,
}

/// How one smoke test went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeResult {
    /// Its name.
    pub name: String,
    /// `GET /api/health`.
    pub request: String,
    /// Why it failed; absent: it did not.
    pub failed: Option<String>,
    /// How long it took.
    pub took_ms: u64,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// To see how things are.
    Read,
    /// To bring releases in and to put them back.
    Deploy,
    /// To say yes or no where an approval is asked for.
    Approve,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Deploy, Self::Approve];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Deploy => "deploy",
            Self::Approve => "approve",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

/// A token, without what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// Its name, which is the operator's wherever it is used.
    pub name: String,
    /// What it is for.
    pub scopes: BTreeSet<Scope>,
    /// RFC 3339.
    pub made_at: String,
    /// RFC 3339; absent: it does not end by itself.
    pub expires_at: Option<String>,
}

/// "Let somebody in."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// The operator's name.
    pub name: String,
    /// What it is for.
    pub scopes: BTreeSet<Scope>,
    /// When it ends, in days; absent: not by itself.
    pub days: Option<u16>,
}

/// A token, said this once.
#[derive(Clone, Serialize, Deserialize)]
pub struct MadeToken {
    /// The token.
    pub token: String,
    /// What is known of it.
    pub view: TokenView,
}

/// A release that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// What it is called here.
    pub id: String,
    /// Of all its files.
    pub digest: String,
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

/// A piece of what the checks and the build of a rollout say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Where the next piece begins.
    pub next: u64,
    /// What happened.
    pub events: Vec<mana_release::event::Event>,
}

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

/// One line of progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A service changed its state.
    Service {
        /// Its name.
        service: String,
        /// Its state now.
        state: ServiceState,
        /// What is going on, for people: `waiting for mana-core-auth`, `migrating`, `starting`, `ready after 0.3 s`.
        detail: String,
    },
    /// A service failed to come up. Others may still be on their way; `Failed` ends the stream.
    ServiceFailed {
        /// Its name.
        service: String,
        /// What happened.
        reason: String,
        /// Its last log lines.
        log_tail: Vec<String>,
        /// What to try next.
        hint: String,
    },
    /// Everything is as desired.
    Settled {
        /// How long it took.
        took_ms: u64,
    },
    /// It is not, and no progress is to be expected soon; the control plane keeps trying.
    Failed {
        /// Why, in one sentence.
        reason: String,
    },
}

/// Why a call was refused (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind of problem, in a few constant words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, to what, why, and what to do next.
    #[serde(default)]
    pub detail: String,
    /// Every single problem of an invalid manifest, with its place in the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// One remembered happening.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// When, RFC 3339.
    pub at: String,
    /// Which service; absent where it concerns the whole ecosystem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Which instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// What kind: `applied`, `started`, `ready`, `unready`, `exited`, `restarting`, `adopted`, `stopped`, `blocked`, …
    pub kind: String,
    /// In words.
    pub detail: String,
}
