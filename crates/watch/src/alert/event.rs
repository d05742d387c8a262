//! What happens to alerts, and what follows.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::instance::{AlertId, Muted};
use super::needs::Needs;
use super::policy::Policy;
use super::rule::{Rule, Severity};
use super::silence::Selector;
use super::wire::{self, Value};
use crate::Labels;

/// What happened, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since 1970, by the clock on the wall.
    pub at: i64,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A rule's expression was evaluated.
    Evaluated {
        /// Name of the rule.
        rule: String,
        /// What came out.
        outcome: Outcome,
    },
    /// Somebody looks after a group: no repeats, no escalation until it is over, or until then.
    Acknowledge {
        /// Number of the group.
        group: u64,
        /// Who.
        by: String,
        /// In their words; may be empty.
        comment: String,
        /// Until when, in milliseconds since 1970.
        until: Option<i64>,
    },
    /// Somebody wants not to be told of some alerts.
    Silence {
        /// Which.
        alerts: Selector,
        /// Until when, in milliseconds since 1970.
        until: i64,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Something is going to be worked on.
    Maintenance {
        /// Subjects that may be in trouble meanwhile. What needs them is held back as what follows from them.
        services: BTreeSet<String>,
        /// From when, in milliseconds since 1970.
        from: i64,
        /// Until when, likewise.
        until: i64,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// A silence or a maintenance is over before its time.
    Unsilence {
        /// Its number.
        number: u64,
        /// Who says so.
        by: String,
    },
    /// What is watched has changed, or is heard of for the first time.
    RulesChanged(Box<Book>),
    /// A message is in the keeping of what delivers it.
    Sent {
        /// Its key.
        key: String,
    },
    /// It has come to nobody so far, and those who were to bring it fail: others should know. It may come yet.
    Failed {
        /// Its key.
        key: String,
        /// Why, for people. Holds no secret.
        why: String,
    },
    /// Time has passed. To be told once a second; see [`super::LONGEST_GAP`].
    Tick,
}

/// What came out of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// What is in breach. Nothing in it: what was measured is well.
    Values(#[serde(with = "wire::vector")] Vec<(Labels, f64)>),
    /// Nothing was measured: of what the expression reads there is no series.
    NoData,
    /// It could not be evaluated.
    Error(String),
}

/// What is watched, and how people are told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Book {
    /// What is watched for.
    pub rules: Vec<Rule>,
    /// Who is told when.
    pub policy: Policy,
    /// What needs what.
    pub needs: Needs,
}

/// What follows from an event.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// Whether anything but the time has moved: the state, or the event, is to be on disk before the effects are carried out. Where it is
    /// false, only time that alerts have been pending is lost if it is not.
    pub save: bool,
    /// What is to be done.
    pub effects: Vec<Effect>,
}

impl Step {
    /// An alert that fires in this very step is muted from the beginning: that is said with it. Tells whether it does.
    pub(crate) fn firing_is(&mut self, id: &AlertId, muted: Option<&Muted>) -> bool {
        let firing = self.effects.iter_mut().find_map(|effect| match effect {
            Effect::Changed(change) if change.to == Became::Firing && change.alert == *id => Some(change),
            _ => None,
        });
        let found = firing.is_some();
        if let Some(change) = firing {
            change.muted = muted.cloned();
        }
        found
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Tell people, and say with [`What::Sent`] or [`What::Failed`] how it went.
    Tell(Tell),
    /// An alert has changed: for incidents, the journal and whoever looks.
    Changed(Change),
    /// Somebody looks after a group.
    Acknowledged {
        /// Number of the group.
        group: u64,
        /// Who.
        by: String,
        /// In their words.
        comment: String,
        /// When.
        at: i64,
    },
    /// What was asked for was not done; why, for people.
    Refused(String),
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tell {
    /// No other message has it: what delivers can tell by it what it has delivered before.
    pub key: String,
    /// Number of the group that it is about.
    pub group: u64,
    /// Why it is sent.
    pub kind: TellKind,
    /// How urgent it is.
    pub severity: Severity,
    /// Who is told, by the names of the policy and the rules.
    pub audience: Vec<String>,
    /// One line.
    pub title: String,
    /// Plain text.
    pub text: String,
    /// What to do about it.
    pub link: Option<String>,
    /// Names and values, in the order to be shown.
    pub facts: Vec<(String, String)>,
    /// What it is about, one name each: services, servers, hosts; of what is dead, whatever needs it, too, since what that brings is held
    /// back. Empty: nothing that has a name.
    #[serde(default)]
    pub about: Vec<String>,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Episodes of alerts that nobody was told of before.
    pub episodes: Vec<u64>,
}

/// Why a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TellKind {
    /// Something began.
    Began,
    /// More of it.
    Grew,
    /// It began, and was over before anybody could be told.
    Passed,
    /// It is still so, and nobody looks after it.
    Again,
    /// Nobody looked after it in time: others are told.
    Escalated,
    /// Somebody looks after it.
    Taken,
    /// It is over.
    Over,
}

/// How an alert has changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Which one.
    pub alert: AlertId,
    /// Which time it fires, unlike all others; none before it does.
    pub episode: Option<u64>,
    /// What became of it.
    pub to: Became,
    /// When.
    pub at: i64,
    /// When the breach was seen first.
    pub began_at: i64,
    /// How urgent it is.
    pub severity: Severity,
    /// What it is about; may be empty.
    pub subject: String,
    /// In words.
    pub summary: String,
    /// The last value in breach.
    pub value: Value,
    /// Why nobody is told, if so.
    pub muted: Option<Muted>,
    /// What its subject needs, directly or not.
    pub needs: Vec<String>,
}

/// What became of an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Became {
    /// In breach, not for long enough.
    Pending,
    /// Well again before it fired.
    Inactive,
    /// It fires.
    Firing,
    /// It fires, and whether or why people are told is another matter than before.
    Muted,
    /// It is over.
    Resolved {
        /// When it was well for the first time after it was in breach for the last time.
        well_at: i64,
        /// Its rule is gone: nothing is known of what it was about.
        unwatched: bool,
    },
}
