//! Incidents: what is known of them, and what people want of them.

use mana_watch::alert::Severity;
use mana_watch::incident::{EntryKind, Status};
use serde::{Deserialize, Serialize};

/// An incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentView {
    /// Its number.
    pub number: u64,
    /// One line.
    pub title: String,
    /// Whether a person wrote that; else it is made of an alert's name and what that is about.
    #[serde(default)]
    pub titled: bool,
    /// `P1` to `P4`.
    pub severity: String,
    /// `investigating`, `identified`, `monitoring` or `resolved`.
    pub status: String,
    /// What it is about.
    pub subjects: Vec<String>,
    /// When it began, RFC 3339.
    pub began_at: String,
    /// When somebody could know, RFC 3339.
    pub detected_at: String,
    /// When all was well again, as far as it is, RFC 3339.
    pub recovered_at: Option<String>,
    /// When it was over, RFC 3339.
    pub resolved_at: Option<String>,
    /// From its beginning until somebody could know.
    pub to_detect_ms: u64,
    /// From its beginning until all was well again; absent: it is not.
    pub to_recover_ms: Option<u64>,
    /// Who or what was affected, as counted, and what was counted; absent: nothing was.
    pub affected: Option<String>,
    /// What people could not do, as somebody said.
    pub impact: Option<String>,
    /// Why it happened, as somebody said.
    pub cause: Option<String>,
    /// What is to be done so that it does not happen again.
    pub actions: Vec<String>,
    /// The six points that follow every incident.
    pub follow_ups: Vec<FollowUpView>,
    /// What happened, in the order in which it was heard.
    pub timeline: Vec<TimelineEntry>,
    /// Entries out of its middle for which there was no room.
    pub left_out: usize,
    /// What to tell everybody.
    pub announcement: String,
    /// What to learn from it, as a draft.
    pub post_mortem: String,
}

/// A point that follows an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowUpView {
    /// In words.
    pub point: String,
    /// When it was done, RFC 3339; absent: it was not yet.
    pub done_at: Option<String>,
    /// By whom; absent: by itself, or not yet.
    pub done_by: Option<String>,
}

/// A line of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When, RFC 3339.
    pub at: String,
    /// `alert`, `recovery`, `restart`, `deploy`, `note`, `update` or `state`.
    pub kind: EntryKind,
    /// In words.
    pub text: String,
    /// Who said it; absent: it was measured.
    pub by: Option<String>,
    /// Of an update: where the incident stood with it.
    pub status: Option<Status>,
}

/// What somebody wants of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentRequest {
    /// Who.
    pub by: String,
    /// What.
    pub command: IncidentCommand,
}

/// What can be wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentCommand {
    /// Say that something is wrong that no alert has seen.
    Open {
        /// What, in a few words. Everybody reads it.
        title: String,
        /// How urgent it is.
        severity: Severity,
        /// What it is about.
        services: Vec<String>,
    },
    /// Tell everybody.
    Post {
        /// Number of the incident.
        number: u64,
        /// In words.
        text: String,
        /// Where it stands now; absent: as before.
        status: Option<Status>,
    },
    /// Write something down for those who work on it.
    Note {
        /// Number of the incident.
        number: u64,
        /// In words.
        text: String,
    },
    /// Say what people could not do. Everybody reads it.
    Impact {
        /// Number of the incident.
        number: u64,
        /// In words.
        text: String,
    },
    /// Say why it happened.
    Cause {
        /// Number of the incident.
        number: u64,
        /// In words.
        text: String,
    },
    /// Say what is to be done so that it does not happen again.
    Action {
        /// Number of the incident.
        number: u64,
        /// In words.
        text: String,
    },
    /// Say that one of the six points is done.
    FollowUp {
        /// Number of the incident.
        number: u64,
        /// Which, from 1.
        point: usize,
    },
}

impl IncidentCommand {
    /// Which incident it is about; none where it opens one.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Open { .. } => None,
            Self::Post { number, .. }
            | Self::Note { number, .. }
            | Self::Impact { number, .. }
            | Self::Cause { number, .. }
            | Self::Action { number, .. }
            | Self::FollowUp { number, .. } => Some(*number),
        }
    }
}
