//! What happens to incidents, and what follows.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::model::Status;
use crate::alert::{Change, Severity};

/// What happened, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since 1970.
    pub at: i64,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// An alert has changed.
    Alert(Box<Change>),
    /// An instance was started again.
    Restarted {
        /// Of which service.
        service: String,
        /// In words: which one, why, and whether it is ready.
        text: String,
    },
    /// A release went out, went back, or failed.
    Deployed {
        /// Of which service.
        service: String,
        /// In words: which version, and how it went.
        text: String,
    },
    /// A person says that something is wrong that no alert has seen.
    Declared {
        /// Who.
        by: String,
        /// What.
        title: String,
        /// How urgent it is.
        severity: Severity,
        /// What it is about.
        services: BTreeSet<String>,
    },
    /// A person writes into the timeline, for those who work on it.
    Said {
        /// Number of the incident.
        incident: u64,
        /// Who.
        by: String,
        /// What.
        text: String,
    },
    /// A person writes for everybody, and may say where the incident stands. [`Status::Resolved`] is refused while an alert fires.
    Posted {
        /// Number of the incident.
        incident: u64,
        /// Who.
        by: String,
        /// What.
        text: String,
        /// Where it stands now; as before where absent.
        status: Option<Status>,
    },
    /// So many people are or were affected, as counted.
    Counted {
        /// Number of the incident.
        incident: u64,
        /// How many.
        users: u64,
        /// What was counted: `sessions with a failed request`.
        of: String,
    },
    /// What people could not do.
    Impact {
        /// Number of the incident.
        incident: u64,
        /// Who says so.
        by: String,
        /// In words.
        text: String,
    },
    /// Why it happened.
    Cause {
        /// Number of the incident.
        incident: u64,
        /// Who says so.
        by: String,
        /// In words.
        text: String,
    },
    /// What is to be done so that it does not happen again.
    Action {
        /// Number of the incident.
        incident: u64,
        /// Who says so.
        by: String,
        /// In words.
        text: String,
    },
    /// One of the [`super::FOLLOW_UPS`] is done.
    FollowedUp {
        /// Number of the incident.
        incident: u64,
        /// Which, from 1.
        point: usize,
        /// By whom.
        by: String,
    },
    /// A person says that it is over. Not while an alert of it fires.
    Resolved {
        /// Number of the incident.
        incident: u64,
        /// Who.
        by: String,
    },
}

/// What follows. The state is to be on disk before it is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// An incident is there.
    Opened(u64),
    /// It was resolved, and is there again.
    Reopened(u64),
    /// Something about it is new.
    Changed(u64),
    /// It is over.
    Resolved(u64),
    /// It is the oldest of too many that are over, and not known any more: whoever wants to keep it has it by now.
    Forgotten(u64),
    /// What was asked for was not done; why, for people.
    Refused(String),
}
