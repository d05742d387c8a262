//! What has to be done in the world.
//!
//! Each effect is an *ensure*: carried out twice, or after it holds already, it changes nothing. Whoever carries them out
//! - answers each with one event of the same [`Key`], or is asked again after a restart;
//! - never lets an older effect undo a newer one on the same thing: traffic is fenced by its generation, a slot by [`Key::n`];
//! - cancels what is not in [`State::outstanding`](super::State::outstanding) any more (a build that was aborted);
//! - looks at the moment of applying whether a slot that gets weight is ready and not draining, and refuses
//!   ([`Outcome::Failed`](super::Outcome::Failed)) when it is not.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Digest, Generation, Key, News, Percent, Release, Slot};

/// A canary's weight is good for so long. With nobody there to renew it, the edge puts green back to 0 % by itself.
pub const LEASE: Duration = Duration::from_mins(1);

/// An effect with the key that its outcome has to carry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Of this try.
    pub key: Key,
    /// What to do.
    #[serde(flatten)]
    pub effect: Effect,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub enum Effect {
    /// Run one check; done or failed.
    RunCheck {
        /// Its name in the manifest.
        name: String,
    },
    /// Make the release; answered by its digest.
    Build {
        /// `v1.6.0`.
        version: String,
    },
    /// Look for known holes and for secrets; passed by a digest.
    Scan {
        /// What to scan.
        digest: Digest,
    },
    /// Bring it into staging; passed by a digest.
    DeployStaging {
        /// What to bring.
        release: Release,
    },
    /// Run the smoke tests against staging; passed by the digest that answered.
    Smoke {
        /// What has to answer.
        digest: Digest,
    },
    /// Tell the approvers that they are waited for. The answer is a command.
    AskApproval {
        /// For what.
        release: Release,
    },
    /// The slot runs that release, at full scale and ready; passed by the digest that runs.
    EnsureRunning {
        /// Where.
        slot: Slot,
        /// What.
        release: Release,
    },
    /// The schema is that of the release.
    EnsureMigrated {
        /// Whose migrations.
        release: Release,
    },
    /// Every instance of the slot answers its probes now; passed by the digest that answered.
    Verify {
        /// Which.
        slot: Slot,
        /// What has to answer.
        digest: Digest,
    },
    /// The edge serves these weights, on its disk before it says so. A slot with weight takes no client by affinity that
    /// weighs 0.
    EnsureWeights {
        /// Blue's share.
        blue: Percent,
        /// Green's share; both sum to 100.
        green: Percent,
        /// Refused where the edge serves a newer one.
        generation: Generation,
        /// Everything goes back to blue when it was not renewed for so long; `None`: for good.
        lease: Option<Duration>,
    },
    /// The service has no slot that serves, as before its first release.
    EnsureUnrouted {
        /// Refused where the edge serves a newer one.
        generation: Generation,
    },
    /// The weights of that generation are good for another lease; failed when it had run out.
    RenewLease {
        /// Which.
        generation: Generation,
        /// From now.
        lease: Duration,
    },
    /// Read what the edge counted.
    Measure {
        /// From when.
        since: Since,
        /// What the window has to last in the end.
        window: Duration,
    },
    /// Send green so many of the declared smoke requests through the edge, so that the gate has something to judge.
    SmokeTraffic {
        /// How many are missing.
        requests: u64,
    },
    /// Nothing runs in the slot, after what it was doing has ended.
    EnsureStopped {
        /// Which.
        slot: Slot,
        /// Longest time for that.
        drain: Duration,
    },
    /// The release is not live or warm any more; it may go when its turn comes.
    RetireRelease {
        /// Which.
        release: Release,
    },
    /// Tell people.
    Notify(News),
}

/// From when counts are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Since {
    /// That generation is in effect.
    Generation(Generation),
    /// So long ago.
    Last(Duration),
}

/// An effect without its figures, for tables and graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "they are the effects of the same name")]
pub enum EffectKind {
    RunCheck,
    Build,
    Scan,
    DeployStaging,
    Smoke,
    AskApproval,
    EnsureRunning,
    EnsureMigrated,
    Verify,
    EnsureWeights,
    EnsureUnrouted,
    RenewLease,
    Measure,
    SmokeTraffic,
    EnsureStopped,
    RetireRelease,
    Notify,
}

impl Effect {
    /// Without its figures.
    pub fn kind(&self) -> EffectKind {
        match self {
            Self::RunCheck { .. } => EffectKind::RunCheck,
            Self::Build { .. } => EffectKind::Build,
            Self::Scan { .. } => EffectKind::Scan,
            Self::DeployStaging { .. } => EffectKind::DeployStaging,
            Self::Smoke { .. } => EffectKind::Smoke,
            Self::AskApproval { .. } => EffectKind::AskApproval,
            Self::EnsureRunning { .. } => EffectKind::EnsureRunning,
            Self::EnsureMigrated { .. } => EffectKind::EnsureMigrated,
            Self::Verify { .. } => EffectKind::Verify,
            Self::EnsureWeights { .. } => EffectKind::EnsureWeights,
            Self::EnsureUnrouted { .. } => EffectKind::EnsureUnrouted,
            Self::RenewLease { .. } => EffectKind::RenewLease,
            Self::Measure { .. } => EffectKind::Measure,
            Self::SmokeTraffic { .. } => EffectKind::SmokeTraffic,
            Self::EnsureStopped { .. } => EffectKind::EnsureStopped,
            Self::RetireRelease { .. } => EffectKind::RetireRelease,
            Self::Notify(_) => EffectKind::Notify,
        }
    }
}
