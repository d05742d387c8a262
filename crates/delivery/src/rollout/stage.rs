//! Where a rollout can be, by name.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! stages {
    ($($(#[doc = $doc:literal])+ $stage:ident = $name:literal,)+) => {
        /// Where a rollout is. The order is the way it goes when all is well; the last eight lie beside it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Stage { $($(#[doc = $doc])+ $stage,)+ }

        impl Stage {
            /// Every one, in order.
            pub const ALL: &[Self] = &[$(Self::$stage,)+];

            /// `awaiting-approval`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$stage => $name,)+ }
            }

            /// What happens in it.
            pub fn about(self) -> &'static str {
                match self { $(Self::$stage => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

stages! {
    /// Waits for its turn: one rollout per service and environment.
    Queued = "queued",
    /// Lint, type check, tests, side by side.
    Checking = "checking",
    /// Makes the release.
    Building = "building",
    /// Advisories and secrets.
    Scanning = "scanning",
    /// The same digest in the staging environment, as a rollout of its own.
    Staging = "staging",
    /// Declared requests against staging.
    Smoking = "smoking",
    /// A person has to say yes.
    AwaitingApproval = "awaiting-approval",
    /// The schema moves on, forward-compatibly; blue alone runs on it.
    Migrating = "migrating",
    /// Green starts beside blue, without traffic.
    GreenStarting = "green-starting",
    /// Green and blue are probed on the new schema.
    Verifying = "verifying",
    /// Green has a share of the traffic under a lease; the gate judges.
    Canary = "canary",
    /// Green gets everything.
    CuttingOver = "cutting-over",
    /// Green serves, blue stays warm, the gate goes on.
    Window = "window",
    /// Blue is stopped.
    Decommissioning = "decommissioning",
    /// Green is the live version.
    Done = "done",
    /// Stopped before something, green without traffic; a person has to say how it goes on.
    Held = "held",
    /// The way back: blue is not known to be ready and is started first.
    Reviving = "reviving",
    /// The way back: everything to blue.
    Returning = "returning",
    /// The way back: green is drained and stopped.
    Clearing = "clearing",
    /// An effect did not succeed and must not be skipped; a person is paged.
    Stuck = "stuck",
    /// Ended before production traffic had moved.
    Aborted = "aborted",
    /// Ended after it had, everything back on blue.
    RolledBack = "rolled-back",
    /// Ended in favour of a newer rollout.
    Superseded = "superseded",
}

impl Stage {
    /// The stage of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|stage| stage.name() == name)
    }

    /// Over. A person may still `retry` what was aborted or rolled back, and `rollback` what is done.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Aborted | Self::RolledBack | Self::Superseded)
    }

    /// On the way back.
    pub fn is_retreat(self) -> bool {
        matches!(self, Self::Reviving | Self::Returning | Self::Clearing)
    }

    /// One that a plan goes through, after [`Stage::Queued`] and up to [`Stage::Done`].
    pub fn is_forward(self) -> bool {
        self > Self::Queued && self < Self::Done
    }

    /// One before which a rollout can be told to stop.
    pub fn can_pause(self) -> bool {
        self.is_forward() && self <= Self::CuttingOver
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
