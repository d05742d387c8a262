//! One alert: a rule, and labels for which it is in breach.

use serde::{Deserialize, Serialize};

use super::rule::{Role, Severity};
use super::wire::{self, Value};
use crate::Labels;

/// Which alert. Those of one rule lie side by side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlertId {
    /// Name of the rule.
    pub rule: String,
    /// Of which kind.
    pub kind: Kind,
    /// The labels that its expression gave, without a name.
    #[serde(with = "wire::labels")]
    pub labels: Labels,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// What the rule watches for.
    Breach,
    /// The rule finds nothing that it could judge.
    NoData,
    /// The rule cannot be evaluated.
    Error,
}

/// An alert that is pending or fires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The last value in breach.
    pub value: Value,
    /// In words, with that value.
    pub summary: String,
    /// What it is about; may be empty.
    pub subject: String,
    /// How urgent it is.
    pub severity: Severity,
    /// What it says about its subject.
    pub role: Role,
    /// When the breach was seen first, in milliseconds since 1970.
    pub began_at: i64,
    /// For how long the breach was watched before it fired, in milliseconds.
    pub counted: u64,
    /// The moment of the last evaluation that gave it, or that it was told well by.
    pub(crate) seen: u64,
    /// Since when it fires.
    pub fired: Option<Fired>,
    /// Since when it is well again, while it still fires.
    pub clear: Option<Clear>,
    /// Why nobody is told.
    pub muted: Option<Muted>,
    /// The moment since when that which held it back is gone.
    pub(crate) cause_gone: Option<u64>,
    /// Number of the group that it is in.
    pub group: Option<u64>,
    /// Whether people were told.
    pub told: bool,
}

/// An alert fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// Since when, in milliseconds since 1970.
    pub at: i64,
    /// Which time it is, unlike all others.
    pub episode: u64,
}

/// An alert is well again, and not yet resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clear {
    /// Since when, in milliseconds since 1970.
    pub at: i64,
    /// For how long that was watched, in milliseconds.
    pub counted: u64,
}

/// Why nobody is told of an alert that fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Muted {
    /// By a silence.
    Silenced {
        /// Its number.
        number: u64,
    },
    /// By a maintenance that was announced.
    Maintained {
        /// Its number.
        number: u64,
    },
    /// By a cause: whoever is told of that knows enough.
    Inhibited {
        /// The alert that is the cause.
        by: Box<AlertId>,
        /// What that is about.
        subject: String,
    },
}

impl Alert {
    /// Whether it fires and was in breach when it was looked at last.
    pub fn is_breach(&self) -> bool {
        self.fired.is_some() && self.clear.is_none()
    }
}
