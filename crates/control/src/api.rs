//! The operator API's words: what `mana` and the control plane say to each other over the unix socket `control.sock`.
//!
//! | call | body → answer |
//! |---|---|
//! | `GET /v1/status` | → [`Status`] |
//! | `POST /v1/apply` | [`Apply`] → lines of [`Event`] as JSON, one a line, until [`Event::Settled`] or [`Event::Failed`] |
//! | `POST /v1/restart` | [`Restart`] → lines of [`Event`], likewise |
//! | `POST /v1/edge` | [`EdgeChange`] → lines of [`Event`], likewise |
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
//! | `GET /v1/alerting` | → [`Alerting`] |
//! | `POST /v1/alerting` | [`AlertRequest`] → [`Alerting`] after it |
//! | `GET /v1/incidents` | → [`IncidentView`]s, newest first |
//! | `POST /v1/incidents` | [`IncidentRequest`] → [`IncidentView`] after it |
//! | `GET /v1/query` and others | the stored series, as Prometheus answers (docs/QUERY.md) |
//! | `GET /v1/operators` | → [`OperatorView`]s |
//! | `POST /v1/operators` | [`NewOperator`] → [`OperatorAfter`] with the link to set a password by |
//! | `POST /v1/operators/NAME` | [`OperatorChange`] → [`OperatorAfter`] |
//! | `GET /v1/operators/NAME/sessions` | → [`SessionView`]s |
//! | `GET /v1/audit?limit=N` | → the last N [`AuditEntry`], newest first |
//! | `GET /v1/audit/check` | → [`AuditCheck`]: whether nobody has changed the audit log |
//! | `GET /v1/serving` | → [`Serving`]: what was applied, and which release serves of each service |
//! | `POST /v1/smoke` | [`SmokeRequest`] → [`SmokeReport`]: its smoke tests, against what serves here |
//! | `GET /v1/journal?limit=N` | → the last N [`JournalEntry`], newest first |
//!
//! Errors are `application/problem+json` (RFC 9457): a [`Problem`]. An invalid manifest is 422 with every problem in
//! `problems`, and changes nothing; an unknown service is 404; a call that does not fit the present state is 409.

mod alerting;
mod door;
mod incidents;
mod people;
mod rollouts;
mod smoke;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use alerting::{AlertCommand, AlertRequest, AlertView, Alerting, BudgetView, GroupView, QuietView, RuleView};
pub use door::{MadeToken, NewToken, Scope, TokenView, Uploaded};
pub use incidents::{FollowUpView, IncidentCommand, IncidentRequest, IncidentView, TimelineEntry};
pub use people::{
    AuditCheck, AuditEntry, Broken, Invitation, NewOperator, OperatorAfter, OperatorChange, OperatorView, Role,
    SessionView,
};
pub use rollouts::{
    Deploy, Output, PutBack, RolloutCommand, RolloutDetail, RolloutEntry, RolloutView, SERVES_ALREADY, Served, Serving,
    SlotView, StepState, StepView,
};
pub use smoke::{SmokeReport, SmokeRequest, SmokeResult};

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

/// Another version of the edge is to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeChange {
    /// The one before. The present one is not taken again by an apply.
    Back,
    /// The one that is installed, also where it was gone back on.
    Installed,
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
