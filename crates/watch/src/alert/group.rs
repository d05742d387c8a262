//! Which alerts are told together: what is alike, or has one cause, and begins within a moment.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::instance::{Alert, AlertId, Kind};
use super::rule::{DEFAULT_PATH, Role, Rule, Severity};
use super::span::Span;
use super::state::State;

/// Lines of what is over that a group remembers, and lines that one message lists.
pub const MAX_LINES: usize = 20;
/// Alerts that were over before they were told, in one group. Further ones are told as a count.
const MAX_PASSED: usize = 1_000;
/// How many times longer than else a group waits where its cause is about to fire: one message of the cause is worth it.
const CAUSE_PATIENCE: u64 = 2;
/// How long nothing new has to have come until a group is told. Rules that fire at once are evaluated more often than targets are scraped, which is at ten
/// moments of ten seconds: what begins at once is seen one after the other. Longer, and a single alert would be late.
const SETTLE: Span = Span::from_secs(5);
/// From this `for` on, all that begins at once has been seen before the first of it fires: a scrape and an evaluation, ten seconds each.
const FORESEEN: Span = Span::from_secs(20);
/// Names of what one group is about. Further ones are not told apart: whoever wants to hear of one of them alone does not.
const MAX_ABOUT: usize = 1_000;
/// The label that names a service, whatever an alert's rule calls its subject.
const SERVICE: &str = "service";

/// Alerts that people hear of together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its number, for ever its own.
    pub number: u64,
    /// When its first alert joined, in milliseconds since 1970.
    pub began_at: i64,
    /// What alerts are to be alike in to join.
    pub(crate) keys: BTreeSet<String>,
    /// How it escalates.
    pub path: String,
    /// Who is told besides.
    pub(crate) tell: BTreeSet<String>,
    /// Those that fire and were told.
    pub members: BTreeSet<AlertId>,
    /// Those that fire and are to be told.
    pub waiting: BTreeSet<AlertId>,
    /// Those that were over before they were told.
    pub(crate) passed: Vec<Passed>,
    /// Those of `passed` for which there was no room.
    pub(crate) passed_more: usize,
    /// While it gathers.
    pub(crate) gather: Option<Gather>,
    /// How many of it are over.
    pub over: usize,
    /// Some of them, in words.
    pub(crate) over_lines: Vec<String>,
    /// Since people were told.
    pub(crate) told: Option<Told>,
    /// How many steps of the path were told.
    pub steps: usize,
    /// The moment from which the next steps are counted.
    pub(crate) since: u64,
    /// The last message came to nobody: the next step is told at once.
    pub(crate) hurry: bool,
    /// Why the last message came to nobody.
    pub undelivered: Option<String>,
    /// Who looks after it.
    pub acknowledged: Option<Acknowledged>,
    /// All who were told.
    pub audience: BTreeSet<String>,
    /// What it is or was about, and what needs what is dead of that: whoever heard of a beginning hears of the end.
    #[serde(default)]
    pub about: BTreeSet<String>,
    /// How many messages were sent.
    pub(crate) messages: u32,
}

/// An alert that was over before it was told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Passed {
    pub(crate) episode: u64,
    pub(crate) severity: Severity,
    pub(crate) line: String,
}

/// A group gathers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gather {
    /// The moment when it began.
    pub(crate) since: u64,
    /// The moment of what came last.
    #[serde(default)]
    pub(crate) last: u64,
    /// The rules that brought something.
    pub(crate) rules: BTreeSet<String>,
}

/// When people were told of a group, as moments.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) last: u64,
    /// The most urgent that they were told of.
    pub(crate) severity: Severity,
}

/// Somebody looks after a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Who.
    pub by: String,
    /// In their words.
    pub comment: String,
    /// Since when, in milliseconds since 1970.
    pub at: i64,
    /// Until when, likewise; none: until it is over.
    pub until: Option<i64>,
}

/// Where an alert belongs.
struct Place {
    key: String,
    path: String,
    tell: BTreeSet<String>,
}

impl State {
    /// Puts what is to be told into groups, and takes out what is not to be told any more.
    pub(crate) fn gather(&mut self, at: i64) {
        let muted = |alert: &&Alert| alert.muted.is_some() && !alert.told && alert.group.is_some();
        for alert in self.alerts.values().filter(muted) {
            if let Some(group) = alert.group.and_then(|number| self.groups.get_mut(&number)) {
                group.waiting.retain(|id| self.alerts.get(id).is_some_and(|alert| alert.muted.is_none()));
            }
        }
        for alert in self.alerts.values_mut().filter(|alert| alert.muted.is_some() && !alert.told) {
            alert.group = None;
        }
        let free = |alert: &Alert| alert.fired.is_some() && alert.muted.is_none() && alert.group.is_none();
        let free: Vec<AlertId> =
            self.alerts.iter().filter(|(_, alert)| free(alert)).map(|(id, _)| id.clone()).collect();
        for id in free {
            self.join(&id, at);
        }
    }

    fn join(&mut self, id: &AlertId, at: i64) {
        let Some(place) = self.place(id) else { return };
        let subject = self.alerts[id].subject.clone();
        let whole = (id.kind == Kind::Breach).then(|| whole_rule(&id.rule));
        let has_whole = |group: &Group| whole.as_ref().is_some_and(|whole| group.keys.contains(whole));
        let alike = |group: &&Group| group.keys.contains(&place.key) || has_whole(group);
        let number = self.groups.values().find(alike).map(|group| group.number);
        let number = number.or_else(|| {
            self.groups.values().find(|group| self.is_akin(group, &place, &subject)).map(|group| group.number)
        });
        let number = number.unwrap_or_else(|| {
            self.last.group += 1;
            self.last.group
        });
        let (now, about) = (self.clock.now, self.about(id));
        if let Some(health) = self.health.get_mut(&id.rule) {
            health.brought = health.rounds;
        }
        let group = self.groups.entry(number).or_insert_with(|| Group::new(number, place.path, place.tell, at));
        group.keys.insert(place.key);
        group.waiting.insert(id.clone());
        group.is_about(about);
        let gather = group.gather.get_or_insert_with(|| Gather { since: now, last: now, rules: BTreeSet::new() });
        gather.last = now;
        gather.rules.insert(id.rule.clone());
        if let Some(alert) = self.alerts.get_mut(id) {
            alert.group = Some(number);
        }
    }

    /// What an alert is about; where that is dead, whatever needs it is told of nothing else.
    fn about(&self, id: &AlertId) -> Vec<String> {
        let Some(alert) = self.alerts.get(id) else { return Vec::new() };
        let named = [alert.subject.as_str(), id.labels.get(SERVICE)].into_iter().filter(|name| !name.is_empty());
        let held = (alert.role == Role::Cause).then(|| self.needs.followers(&alert.subject));
        named.chain(held.into_iter().flatten()).map(str::to_owned).collect()
    }

    /// Whether a group that was not told yet is about something that this subject needs, or that needs it.
    fn is_akin(&self, group: &Group, place: &Place, subject: &str) -> bool {
        let related = |id| self.alerts.get(id).is_some_and(|alert: &Alert| self.needs.related(&alert.subject, subject));
        group.told.is_none() && group.is_for(&place.path, &place.tell) && group.waiting.iter().any(related)
    }

    fn place(&self, id: &AlertId) -> Option<Place> {
        let rule = self.rules.get(&id.rule)?;
        if id.kind != Kind::Breach {
            // All that is not known is one matter: mostly one thing that measures is away.
            return Some(Place { key: "blind".to_owned(), path: DEFAULT_PATH.to_owned(), tell: BTreeSet::new() });
        }
        let tell = rule.tell.iter().cloned().collect();
        Some(Place { key: key(rule, id), path: rule.path.clone(), tell })
    }

    /// Takes an alert that is no more out of its group.
    pub(crate) fn leave(&mut self, id: &AlertId, alert: &Alert, at: i64, unwatched: bool) {
        let Some(group) = alert.group.and_then(|number| self.groups.get_mut(&number)) else { return };
        let line = super::text::ended(alert, at, unwatched);
        if group.members.remove(id) {
            group.over += 1;
            if group.over_lines.len() < MAX_LINES {
                group.over_lines.push(line);
            }
        } else if group.waiting.remove(id)
            && let Some(fired) = alert.fired
        {
            if group.passed.len() < MAX_PASSED {
                group.passed.push(Passed { episode: fired.episode, severity: alert.severity, line });
            } else {
                group.passed_more += 1;
            }
        }
    }

    /// Whether a group has gathered what there is to gather.
    pub(crate) fn is_gathered(&self, group: &Group) -> bool {
        let Some(gather) = &group.gather else { return false };
        let (waited, bound) = (self.clock.now.saturating_sub(gather.since), self.policy.gather.millis());
        if let Some(told) = group.told {
            let severity =
                self.most_urgent(&group.waiting).or_else(|| group.passed.iter().map(|passed| passed.severity).min());
            let grow = self.policy.urgency(severity.unwrap_or(told.severity)).grow_every.millis();
            if severity.is_none_or(|severity| severity >= told.severity)
                && self.clock.now.saturating_sub(told.last) < grow
            {
                return false;
            }
        }
        if waited < bound.saturating_mul(CAUSE_PATIENCE)
            && self.is_cause_coming(group, bound.saturating_mul(CAUSE_PATIENCE) - waited)
        {
            return false;
        }
        if waited >= bound {
            return true;
        }
        // Of rules that hold for long, whatever begins at the same time is pending by now: where nothing is, nothing comes.
        let is_pending =
            |name: &String| self.alerts.iter().any(|(id, alert)| id.rule == *name && alert.fired.is_none());
        let foresees = |name: &String| self.rules.get(name).is_some_and(|rule| rule.hold >= FORESEEN);
        let settled = |since: u64| self.clock.now.saturating_sub(since) >= SETTLE.millis();
        let quiet = |rule: &String| {
            self.health.get(rule).is_none_or(|health| {
                health.rounds > health.brought || (settled(health.heard) && foresees(rule) && !is_pending(rule))
            })
        };
        settled(gather.last) && gather.rules.iter().all(quiet) && !self.is_more_coming(gather, bound - waited)
    }

    /// Whether its rules are about to bring more.
    fn is_more_coming(&self, gather: &Gather, within: u64) -> bool {
        let soon =
            |id: &AlertId, alert: &Alert| gather.rules.contains(&id.rule) && self.fires_within(id, alert, within);
        self.alerts.iter().any(|(id, alert)| soon(id, alert))
    }

    /// Whether something is about to fire that explains what waits.
    fn is_cause_coming(&self, group: &Group, within: u64) -> bool {
        let explains = |cause: &Alert, of: &AlertId| {
            let explains = |of: &Alert| of.subject == cause.subject || self.needs.follows(&of.subject, &cause.subject);
            self.alerts.get(of).is_some_and(|of| of.role != Role::Fact && !of.subject.is_empty() && explains(of))
        };
        self.alerts.iter().any(|(id, alert)| {
            alert.role == Role::Cause
                && self.fires_within(id, alert, within)
                && group.waiting.iter().any(|of| explains(alert, of))
        })
    }

    fn fires_within(&self, id: &AlertId, alert: &Alert, millis: u64) -> bool {
        let left = |rule: &Rule| rule.hold.millis().saturating_sub(alert.counted);
        alert.fired.is_none() && self.rules.get(&id.rule).is_some_and(|rule| left(rule) <= millis)
    }

    /// The most urgent of some alerts.
    pub(crate) fn most_urgent(&self, ids: &BTreeSet<AlertId>) -> Option<Severity> {
        ids.iter().filter_map(|id| self.alerts.get(id)).map(|alert| alert.severity).min()
    }

    /// Many groups that are due at once, for the same people, are one matter, whatever they are grouped by.
    pub(crate) fn join_storm(&mut self, due: &[u64]) -> Vec<u64> {
        let mut by_people: BTreeMap<(String, BTreeSet<String>), Vec<u64>> = BTreeMap::new();
        for group in due.iter().filter_map(|number| self.groups.get(number)) {
            let people =
                if group.told.is_none() { group.tell.clone() } else { BTreeSet::from([group.number.to_string()]) };
            by_people.entry((group.path.clone(), people)).or_default().push(group.number);
        }
        let mut left = Vec::new();
        for numbers in by_people.into_values() {
            let is_storm = numbers.len() >= usize::try_from(self.policy.storm.max(2)).unwrap_or(usize::MAX);
            let joined = if is_storm { self.join_groups(&numbers) } else { None };
            left.extend(joined.map_or(numbers, |number| vec![number]));
        }
        left
    }

    /// Makes one group of several that nobody was told of. What their rules still bring joins it.
    fn join_groups(&mut self, numbers: &[u64]) -> Option<u64> {
        let (first, others) = numbers.split_first()?;
        let mut storm = self.groups.remove(first)?;
        for other in others.iter().filter_map(|number| self.groups.remove(number)) {
            storm.keys.extend(other.keys);
            storm.waiting.extend(other.waiting);
            storm.passed.extend(other.passed);
            storm.passed_more += other.passed_more;
            storm.is_about(other.about);
        }
        storm.passed_more += storm.passed.len().saturating_sub(MAX_PASSED);
        storm.passed.truncate(MAX_PASSED);
        for id in &storm.waiting {
            storm.keys.insert(whole_rule(&id.rule));
            if let Some(alert) = self.alerts.get_mut(id) {
                alert.group = Some(*first);
            }
        }
        self.groups.insert(*first, storm);
        Some(*first)
    }
}

impl Group {
    fn new(number: u64, path: String, tell: BTreeSet<String>, at: i64) -> Self {
        Self {
            number,
            began_at: at,
            keys: BTreeSet::new(),
            path,
            tell,
            members: BTreeSet::new(),
            waiting: BTreeSet::new(),
            passed: Vec::new(),
            passed_more: 0,
            gather: None,
            over: 0,
            over_lines: Vec::new(),
            told: None,
            steps: 0,
            since: 0,
            hurry: false,
            undelivered: None,
            acknowledged: None,
            audience: BTreeSet::new(),
            about: BTreeSet::new(),
            messages: 0,
        }
    }

    fn is_for(&self, path: &str, tell: &BTreeSet<String>) -> bool {
        self.path == path && self.tell == *tell
    }

    fn is_about(&mut self, names: impl IntoIterator<Item = String>) {
        for name in names {
            if self.about.len() < MAX_ABOUT {
                self.about.insert(name);
            }
        }
    }

    /// Whether people were told of it.
    pub fn is_told(&self) -> bool {
        self.told.is_some()
    }
}

/// What alerts that are told together share.
fn key(rule: &Rule, id: &AlertId) -> String {
    let value = |label: &String| {
        (label.clone(), if label == "alertname" { rule.name.clone() } else { id.labels.get(label).to_owned() })
    };
    let shared: Vec<(String, String)> = rule.group_by.iter().map(value).collect();
    if shared.is_empty() { whole_rule(&rule.name) } else { format!("{:?}", (&rule.path, &rule.tell, shared)) }
}

/// The key of all that a rule brings.
fn whole_rule(name: &str) -> String {
    format!("rule {name:?}")
}
