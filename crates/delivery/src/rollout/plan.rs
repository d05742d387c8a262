//! What one rollout goes through, made from the manifest when it is asked for and never changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Digest, Operator, Percent, Release, Stage};
use crate::gate;
use crate::migration::Override;

/// The whole way, and who is asked on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// `v1.6.0`.
    pub version: String,
    /// The artefact, where it exists already; else `build` makes it.
    pub digest: Option<Digest>,
    /// The commit that is checked and built; `None`: what lies in the folder, or there is nothing to check or build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// It brings back what has served here. The schema is that of a newer version, which it has to bear: it never migrates.
    #[serde(default)]
    pub backwards: bool,
    /// Its requests are not counted by slot, as those of a folder: there is no canary, and what follows the cutover is watched by probes alone.
    #[serde(default)]
    pub uncounted: bool,
    /// Statements of its migrations that run although the guard refuses them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
    /// Who asked for it.
    pub started_by: Operator,
    /// Of a push: who pushed it, and who wrote it, by all names that they are known by. None of them is a second person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<String>,
    /// Who is waited for when it is held or stuck; nobody: the one who started it.
    pub on_call: Vec<Operator>,
    /// Names of the checks, run side by side.
    pub checks: Vec<String>,
    /// Which of the stages it has that a plan may leave out: building, scanning, staging, smoking, migrating.
    pub stages: BTreeSet<Stage>,
    /// Who has to say yes; `None`: nobody.
    pub approval: Option<Approval>,
    /// Shares of traffic before everything, growing.
    pub canary: Vec<CanaryStep>,
    /// Whether green is sent the declared smoke requests when a canary's window is over and too few came by themselves.
    pub smoke_traffic: bool,
    /// What the gates ask for.
    pub gate: gate::Policy,
    /// The time after the cutover.
    pub warm: Warm,
    /// Longest time an instance may take to finish what it has when it is stopped.
    pub drain: Duration,
    /// Where the longest time of a stage is not the usual one.
    pub deadlines: BTreeMap<Stage, Duration>,
    /// Stages before which it stops until a person says `promote`.
    pub pause_at: BTreeSet<Stage>,
}

/// One share of traffic and how long it is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryStep {
    /// Green's share, 1 to 99.
    pub share: Percent,
    /// How long it has to be good.
    pub window: Duration,
}

/// Who may let it into production.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// By name; nobody named: any operator.
    pub approvers: Vec<Operator>,
    /// Whether the one who started it may approve it as well.
    pub starter_may_approve: bool,
    /// How long it waits.
    pub expiry: Duration,
}

/// The time in which blue stays ready to take everything back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warm {
    /// How long at least; not at all: blue is stopped after the cutover, and a rollback starts it again.
    pub window: Duration,
    /// The gate judges windows of this length, one after the other: errors late in a long window must not drown in the good
    /// requests before them. One that ends after `window` has to pass before blue goes.
    pub guard: Duration,
    /// What a breach does.
    pub on_breach: OnBreach,
}

/// What a breach in the warm window does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBreach {
    /// Everything back to blue, at once.
    SwitchBack,
    /// A person is paged and decides. A green that is lost goes back all the same: there is nothing to decide.
    Ask,
}

impl Default for Warm {
    fn default() -> Self {
        Self { window: Duration::from_hours(1), guard: Duration::from_mins(10), on_breach: OnBreach::SwitchBack }
    }
}

impl Default for Approval {
    fn default() -> Self {
        Self { approvers: Vec::new(), starter_may_approve: false, expiry: Duration::from_hours(24) }
    }
}

impl Plan {
    /// The shortest way there is for a release that exists: no stage before production, the usual canary and window.
    pub fn new(version: impl Into<String>, digest: Digest, started_by: Operator) -> Self {
        Self {
            version: version.into(),
            digest: Some(digest),
            commit: None,
            backwards: false,
            uncounted: false,
            overrides: Vec::new(),
            started_by,
            behind: Vec::new(),
            on_call: Vec::new(),
            checks: Vec::new(),
            stages: BTreeSet::new(),
            approval: None,
            canary: vec![CanaryStep { share: Percent::TENTH, window: Duration::from_mins(10) }],
            smoke_traffic: false,
            gate: gate::Policy::default(),
            warm: Warm::default(),
            drain: Duration::from_secs(30),
            deadlines: BTreeMap::new(),
            pause_at: BTreeSet::new(),
        }
    }

    /// Whether it goes through that stage. `replaces`: there is a blue.
    pub fn has(&self, stage: Stage, replaces: bool) -> bool {
        match stage {
            Stage::Checking => !self.checks.is_empty(),
            Stage::Building | Stage::Scanning | Stage::Staging | Stage::Smoking | Stage::Migrating => {
                self.stages.contains(&stage)
            }
            Stage::AwaitingApproval => self.approval.is_some(),
            // Without a blue there is nothing to compare with, nothing to keep warm and nothing to stop.
            Stage::Canary => replaces && !self.canary.is_empty(),
            Stage::Window => replaces && !self.warm.window.is_zero(),
            Stage::Decommissioning => replaces,
            Stage::GreenStarting | Stage::Verifying | Stage::CuttingOver | Stage::Done => true,
            _ => false,
        }
    }

    /// Longest time in a stage. A canary's and a window's come on top of what they have to last anyway.
    pub fn deadline(&self, stage: Stage) -> Duration {
        let minutes = match stage {
            Stage::Checking | Stage::Building => 30,
            Stage::Staging | Stage::Window => 60,
            Stage::Scanning | Stage::Smoking => 10,
            // A rehearsal, and then what a migration may take.
            Stage::Migrating => 15,
            Stage::AwaitingApproval => {
                return self.approval.as_ref().map_or(Duration::ZERO, |approval| approval.expiry);
            }
            Stage::Held => 24 * 60,
            Stage::Clearing | Stage::Decommissioning => return self.or(stage, 5).saturating_add(self.drain),
            Stage::Verifying | Stage::CuttingOver | Stage::Returning => 2,
            _ => 5,
        };
        self.or(stage, minutes)
    }

    fn or(&self, stage: Stage, minutes: u64) -> Duration {
        self.deadlines.get(&stage).copied().unwrap_or(Duration::from_mins(minutes))
    }

    pub(super) fn builds(&self) -> bool {
        self.stages.contains(&Stage::Building)
    }

    /// What it brings, where that exists already.
    pub(super) fn release(&self) -> Option<Release> {
        let digest = self.digest.clone().filter(|_| !self.builds())?;
        Some(Release { version: self.version.clone(), digest })
    }

    /// Whom it waits for when it cannot go on by itself.
    pub fn responsible(&self) -> &[Operator] {
        if self.on_call.is_empty() { std::slice::from_ref(&self.started_by) } else { &self.on_call }
    }
}
