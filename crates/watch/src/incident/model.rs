//! What is known of incidents.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::alert::{AlertId, Severity, Span};

/// Entries of a timeline. Where it is full, the middle is counted rather than kept: how it began and how it ended matters most.
pub const MAX_ENTRIES: usize = 500;
/// Incidents that are over and still known.
pub const MAX_KEPT: usize = 200;
/// Incidents at the same time; what would open a further one joins the newest.
pub const MAX_OPEN: usize = 50;
/// Things to do of one incident.
pub const MAX_ACTIONS: usize = 50;
/// Longest text that a person writes, in characters.
pub const MAX_TEXT: usize = 2_000;
/// Alerts of one incident that are listed; further ones are counted.
pub(crate) const MAX_ALERTS: usize = 100;
/// Restarts and deploys that are remembered for incidents to come.
pub(crate) const MAX_RECENT: usize = 200;
/// A deploy or restart of so long before an incident may be its cause.
pub(crate) const BEFORE: Span = Span::from_mins(30);
/// Alerts of one rule that fire within this time of each other have one cause.
pub(crate) const MOMENT: Span = Span::from_mins(1);
/// What begins again within this time has not been over.
pub(crate) const REOPENS_WITHIN: Span = Span::from_mins(10);

/// What is to be done after every incident, as the reference says it.
pub const FOLLOW_UPS: [&str; 6] = [
    "Document timeline in incident log",
    "Notify stakeholders of resolution",
    "Schedule post-mortem meeting",
    "Identify root cause",
    "Implement preventive measures",
    "Update runbooks",
];
/// The first is done by this module itself.
pub(crate) const DOCUMENTED: usize = 0;
/// Done when somebody names the cause.
pub(crate) const CAUSE_FOUND: usize = 3;

/// All incidents that are known. See the module's page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Incidents {
    /// By number.
    pub(crate) known: BTreeMap<u64, Incident>,
    pub(crate) last: u64,
    /// What happened to services lately.
    pub(crate) recent: VecDeque<Recent>,
}

/// A restart or deploy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recent {
    pub(crate) service: String,
    pub(crate) entry: Entry,
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number, for ever its own.
    pub number: u64,
    /// What it is, in a few words.
    pub title: String,
    /// The most urgent of its alerts.
    pub severity: Severity,
    /// When the first breach was seen, in milliseconds since 1970.
    pub began_at: i64,
    /// When the first alert of it fired, or a person said it, likewise.
    pub detected_at: i64,
    /// When everything was well for the last time, as far as it is.
    pub recovered_at: Option<i64>,
    /// When it was over.
    pub resolved_at: Option<i64>,
    /// What it is about.
    pub subjects: BTreeSet<String>,
    /// What these need.
    pub(crate) needs: BTreeSet<String>,
    /// Its alerts that fire, by episode.
    pub firing: BTreeMap<u64, AlertSeen>,
    /// Its alerts that are over.
    pub over: Vec<AlertSeen>,
    /// Those of them that there was no room for.
    pub over_more: usize,
    /// The one that it is called by, with how deep its subject lies: the deepest names it best.
    pub(crate) headline: Option<(Severity, usize)>,
    /// When an alert joined last.
    pub(crate) joined_at: i64,
    /// How far people say that they are, while it is not over.
    #[serde(default)]
    pub(crate) stage: Status,
    /// What happened, as it was heard.
    pub timeline: Vec<Entry>,
    /// Entries out of its middle for which there was no room.
    pub left_out: usize,
    /// How many people are affected.
    pub affected: Option<Affected>,
    /// What people could not do.
    pub impact: Option<String>,
    /// Why it happened.
    pub cause: Option<String>,
    /// What is to be done so that it does not happen again.
    pub actions: Vec<String>,
    /// Which of the [`FOLLOW_UPS`] are done.
    pub follow_ups: [Option<Done>; FOLLOW_UPS.len()],
}

/// An alert of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertSeen {
    /// Which one.
    pub id: AlertId,
    /// In words.
    pub summary: String,
    /// How urgent it is.
    pub severity: Severity,
    /// When the breach was seen first, in milliseconds since 1970.
    pub began_at: i64,
    /// When it was well for the last time.
    pub well_at: Option<i64>,
    /// It is silenced, or covered by maintenance: a person may say that the incident is over while it fires.
    pub excused: bool,
}

/// A line of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Of which kind.
    pub kind: EntryKind,
    /// In words, on one line.
    pub text: String,
    /// Who said it; nobody where it was measured.
    pub by: Option<String>,
    /// Where the incident stood with it, where an update says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// Of which kind an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// An alert fires.
    Alert,
    /// An alert is over.
    Recovery,
    /// An instance was started again.
    Restart,
    /// A release went out or back.
    Deploy,
    /// A person wrote it for those who work on it.
    Note,
    /// A person wrote it for everybody.
    Update,
    /// The incident was opened, resolved, or opened again.
    State,
}

/// How many people are affected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// The most that were counted.
    pub users: u64,
    /// What was counted.
    pub of: String,
    /// When.
    pub at: i64,
}

/// Something was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// By whom; nobody where it happens by itself.
    pub by: Option<String>,
}

/// Where an incident stands: the reference's first and last word, and what people say between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Nobody knows yet why.
    #[default]
    Investigating,
    /// The cause is known, and being mended.
    Identified,
    /// It is mended, and looked at for a while.
    Monitoring,
    /// It is over.
    Resolved,
}

impl Status {
    /// All of them, in their usual order.
    pub const ALL: [Self; 4] = [Self::Investigating, Self::Identified, Self::Monitoring, Self::Resolved];

    /// In small letters, as commands and addresses have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Investigating => "investigating",
            Self::Identified => "identified",
            Self::Monitoring => "monitoring",
            Self::Resolved => "resolved",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// Why a person's wish is not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none with this number.
    #[error("there is no incident {0}: it may be older than the last {MAX_KEPT}")]
    Unknown(u64),
    /// A text is empty.
    #[error("the {0} is empty: say it in some words")]
    Empty(&'static str),
    /// A text is too long.
    #[error("the {what} has {found} characters: at most {MAX_TEXT} are kept")]
    Long {
        /// Which one.
        what: &'static str,
        /// How long it is.
        found: usize,
    },
    /// It is not over.
    #[error(
        "incident {number} cannot be resolved: {firing} of its alerts still fire; silence those that are wrong, with a reason"
    )]
    Fires {
        /// Which one.
        number: u64,
        /// How many.
        firing: usize,
    },
    /// It is over already.
    #[error("incident {0} is resolved already")]
    Over(u64),
    /// There are enough things to do.
    #[error("incident {number} has {MAX_ACTIONS} things to do already")]
    Actions {
        /// Which one.
        number: u64,
    },
    /// There is no such point.
    #[error("there is no follow-up point {0}: there are 1 to {len}", len = FOLLOW_UPS.len())]
    Point(usize),
    /// There are too many at once.
    #[error("{MAX_OPEN} incidents are open: write into one of them")]
    Open,
}

impl Incident {
    /// Where it stands.
    pub fn status(&self) -> Status {
        if self.resolved_at.is_some() { Status::Resolved } else { self.stage }
    }

    /// Whether a person gave it its title, for others to read; else it is called by one of its alerts, by names that are nobody's business.
    pub fn is_titled(&self) -> bool {
        self.headline.is_none() && !self.title.is_empty()
    }

    /// How long it took from the first breach until somebody could know.
    pub fn to_detect(&self) -> Span {
        Span::between(self.began_at, self.detected_at)
    }

    /// How long it took from the first breach until all was well; while it is not, nobody knows.
    pub fn to_recover(&self) -> Option<Span> {
        self.recovered_at.map(|at| Span::between(self.began_at, at))
    }

    /// Whether something about this service has to do with it.
    pub(crate) fn concerns(&self, service: &str, needs: &[String]) -> bool {
        !service.is_empty()
            && (self.subjects.contains(service)
                || self.needs.contains(service)
                || needs.iter().any(|need| self.subjects.contains(need)))
    }

    /// What people wrote for everybody, as it was said.
    pub fn updates(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.timeline.iter().filter(|entry| entry.kind == EntryKind::Update)
    }

    /// Adds a line; where there is no room, the one in the middle makes some.
    pub(crate) fn note(&mut self, entry: Entry) {
        if self.timeline.len() >= MAX_ENTRIES {
            self.timeline.remove(MAX_ENTRIES / 2);
            self.left_out += 1;
        }
        self.timeline.push(entry);
    }
}

impl Incidents {
    /// All that are known, the oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Incident> {
        self.known.values()
    }

    /// Those that are not over.
    pub fn open(&self) -> impl DoubleEndedIterator<Item = &Incident> {
        self.iter().filter(|incident| incident.status() != Status::Resolved)
    }

    /// The one with this number.
    pub fn get(&self, number: u64) -> Option<&Incident> {
        self.known.get(&number)
    }
}
