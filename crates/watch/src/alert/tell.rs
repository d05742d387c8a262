//! When people are told of a group, told again, and when others are told: until somebody acknowledges it, or it is over.

use std::collections::BTreeSet;

use super::event::{Effect, Step, Tell, TellKind};
use super::group::{Acknowledged, Group, Told};
use super::rule::Severity;
use super::silence::{MAX_REASON, Refusal, said};
use super::span::Span;
use super::state::{MAX_OUTSTANDING, State};

/// Nothing is told again sooner than this, whatever the policy says.
const SHORTEST_REPEAT: Span = Span::from_mins(1);
/// How the keys of messages begin.
const KEY: &str = "alert";
/// Longest text of why a message came to nobody, in characters.
const MAX_WHY: usize = 500;

impl State {
    /// Tells what is due.
    pub(crate) fn tell(&mut self, at: i64, step: &mut Step) {
        for group in self.groups.values_mut().filter(|group| group.waiting.is_empty() && group.has_not_passed()) {
            group.gather = None;
        }
        self.groups.retain(|_, group| group.is_told() || group.gather.is_some());
        let due: Vec<u64> =
            self.groups.values().filter(|group| self.is_gathered(group)).map(|group| group.number).collect();
        for number in self.join_storm(&due) {
            self.tell_news(number, at, step);
        }
        for number in self.groups.keys().copied().collect::<Vec<_>>() {
            self.go_on(number, at, step);
        }
    }

    /// Tells what has gathered in a group.
    fn tell_news(&mut self, number: u64, at: i64, step: &mut Step) {
        let Some(group) = self.groups.get(&number) else { return };
        let passed = group.passed.iter().map(|passed| passed.severity).min();
        let Some(severity) = self.most_urgent(&group.waiting).min_or(passed) else { return };
        let fires = |id| self.alerts.get(id).and_then(|alert| alert.fired).map(|fired| fired.episode);
        let episodes =
            group.waiting.iter().filter_map(fires).chain(group.passed.iter().map(|passed| passed.episode)).collect();
        let kind = match (group.is_told(), group.waiting.is_empty()) {
            (true, _) => TellKind::Grew,
            (false, true) => TellKind::Passed,
            (false, false) => TellKind::Began,
        };
        self.raise(number, severity);
        let audience = self.groups.get(&number).map(|group| group.audience.clone()).unwrap_or_default();
        self.post(number, kind, severity, &audience, episodes, at, step);
        let now = self.clock.now;
        let Some(group) = self.groups.get_mut(&number) else { return };
        group.gather = None;
        group.passed.clear();
        group.passed_more = 0;
        for id in std::mem::take(&mut group.waiting) {
            if let Some(alert) = self.alerts.get_mut(&id) {
                alert.told = true;
            }
            group.members.insert(id);
        }
        group.told =
            Some(Told { last: now, severity: group.told.map_or(severity, |told| told.severity.min(severity)) });
        if kind == TellKind::Passed {
            self.groups.remove(&number);
        }
    }

    /// Who is told of a group by its urgency; where that has grown, whoever acknowledged less is asked again.
    fn raise(&mut self, number: u64, severity: Severity) {
        let (now, at_once) = (self.clock.now, self.policy.urgency(severity).at_once.max(1) as usize);
        let Some(group) = self.groups.get_mut(&number) else { return };
        if group.told.is_none_or(|told| severity < told.severity) {
            (group.acknowledged, group.since) = (None, now);
        }
        let steps = self.policy.path(&group.path);
        group.steps = group.steps.max(at_once.min(steps.len()));
        group.audience.extend(steps.iter().take(group.steps).flatten().cloned());
        group.audience.extend(group.tell.iter().cloned());
    }

    /// Whatever time brings to a group that was told.
    fn go_on(&mut self, number: u64, at: i64, step: &mut Step) {
        let Some(group) = self.groups.get(&number).filter(|group| group.is_told()) else { return };
        if group.members.is_empty() {
            if group.waiting.is_empty() {
                self.tell_over(number, at, step);
            }
            return;
        }
        let ended = group.acknowledged.as_ref().is_some_and(|known| known.until.is_some_and(|until| until <= at));
        if group.acknowledged.is_some() && !ended {
            return;
        }
        let is_loud = |id| self.alerts.get(id).is_some_and(|alert: &super::instance::Alert| alert.muted.is_none());
        if !group.members.iter().any(is_loud) {
            return;
        }
        if ended {
            return self.ask_again(number, at, step);
        }
        let Some((kind, severity)) = self.due(group) else { return };
        let audience = if kind == TellKind::Escalated { self.escalate(number) } else { group.audience.clone() };
        self.post(number, kind, severity, &audience, Vec::new(), at, step);
    }

    /// Which message is due for a group that fires and that nobody looks after.
    fn due(&self, group: &Group) -> Option<(TellKind, Severity)> {
        let severity = self.most_urgent(&group.members)?;
        let (urgency, now) = (self.policy.urgency(severity), self.clock.now);
        if group.steps < self.policy.path(&group.path).len() {
            let waits = group.steps.saturating_sub(urgency.at_once.max(1) as usize) as u64 + 1;
            let wait = urgency.answer_within.max(SHORTEST_REPEAT).millis().saturating_mul(waits);
            if group.hurry || now.saturating_sub(group.since) >= wait {
                return Some((TellKind::Escalated, severity));
            }
        }
        let last = group.told.map_or(0, |told| told.last);
        let is_due = now.saturating_sub(last) >= urgency.repeat_every.max(SHORTEST_REPEAT).millis();
        is_due.then_some((TellKind::Again, severity))
    }

    /// Takes the next step of the path; gives who stands there.
    fn escalate(&mut self, number: u64) -> BTreeSet<String> {
        let Some(group) = self.groups.get_mut(&number) else { return BTreeSet::new() };
        let next: BTreeSet<String> =
            self.policy.path(&group.path).get(group.steps).into_iter().flatten().cloned().collect();
        group.steps += 1;
        group.hurry = false;
        group.audience.extend(next.iter().cloned());
        next
    }

    /// An acknowledgement has run out.
    fn ask_again(&mut self, number: u64, at: i64, step: &mut Step) {
        let now = self.clock.now;
        let Some(group) = self.groups.get_mut(&number) else { return };
        (group.acknowledged, group.since) = (None, now);
        let audience = group.audience.clone();
        if let Some(severity) = self.groups.get(&number).and_then(|group| self.most_urgent(&group.members)) {
            self.post(number, TellKind::Again, severity, &audience, Vec::new(), at, step);
        }
    }

    fn tell_over(&mut self, number: u64, at: i64, step: &mut Step) {
        let Some(group) = self.groups.get(&number) else { return };
        let (severity, audience) = (group.told.map_or(Severity::P4, |told| told.severity), group.audience.clone());
        let episodes = group.passed.iter().map(|passed| passed.episode).collect();
        self.post(number, TellKind::Over, severity, &audience, episodes, at, step);
        self.groups.remove(&number);
    }

    /// Somebody looks after a group.
    pub(crate) fn acknowledge(
        &mut self,
        number: u64,
        by: &str,
        comment: &str,
        until: Option<i64>,
        at: i64,
        step: &mut Step,
    ) {
        let refusal = match self.groups.get(&number) {
            None => Some(Refusal::Unknown { what: "group of alerts", number }),
            Some(group) if !group.is_told() => Some(Refusal::Unknown { what: "group of alerts that was told", number }),
            _ if !said(by) => Some(Refusal::By),
            _ if comment.len() > MAX_REASON => Some(Refusal::Reason),
            _ if until.is_some_and(|until| until <= at) => Some(Refusal::Ended),
            _ => None,
        };
        let Some(group) = self.groups.get_mut(&number).filter(|_| refusal.is_none()) else {
            step.effects.extend(refusal.map(|refusal| Effect::Refused(refusal.to_string())));
            return;
        };
        let (by, comment) = (by.to_owned(), comment.to_owned());
        group.acknowledged = Some(Acknowledged { by: by.clone(), comment: comment.clone(), at, until });
        group.hurry = false;
        let (audience, told) = (group.audience.clone(), group.told.map_or(Severity::P4, |told| told.severity));
        let severity = self.groups.get(&number).and_then(|group| self.most_urgent(&group.members)).unwrap_or(told);
        step.effects.push(Effect::Acknowledged { group: number, by, comment, at });
        self.post(number, TellKind::Taken, severity, &audience, Vec::new(), at, step);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one message")]
    fn post(
        &mut self,
        number: u64,
        kind: TellKind,
        severity: Severity,
        audience: &BTreeSet<String>,
        episodes: Vec<u64>,
        at: i64,
        step: &mut Step,
    ) {
        let Some(group) = self.groups.get(&number) else { return };
        let super::text::Words { title, text, link, facts } = self.words(group, kind, severity, at);
        let key = key(group.began_at, number, group.messages);
        let (audience, about) = (audience.iter().cloned().collect(), group.about.iter().cloned().collect());
        let tell = Tell { key, group: number, kind, severity, audience, title, text, link, facts, about, at, episodes };
        self.outstanding.insert((number, group.messages), tell.clone());
        while self.outstanding.len() > MAX_OUTSTANDING {
            self.outstanding.pop_first();
        }
        let now = self.clock.now;
        if let Some(group) = self.groups.get_mut(&number) {
            group.messages += 1;
            // That somebody looks after it is no reminder.
            if let Some(told) = group.told.as_mut().filter(|_| kind != TellKind::Taken) {
                told.last = now;
            }
        }
        step.effects.push(Effect::Tell(tell));
    }

    /// A message is in good hands.
    pub(crate) fn sent(&mut self, key: &str) {
        if let Some((number, message)) = self.end_of(key) {
            self.outstanding.remove(&(number, message));
            if let Some(group) = self.groups.get_mut(&number) {
                group.undelivered = None;
            }
        }
    }

    /// A message came to nobody: whoever would be told next is told at once. One that was followed by another says nothing any more.
    pub(crate) fn failed(&mut self, key: &str, why: &str) {
        if let Some((number, message)) = self.end_of(key) {
            self.outstanding.remove(&(number, message));
            if let Some(group) = self.groups.get_mut(&number).filter(|group| group.messages == message + 1) {
                group.undelivered = Some(why.chars().take(MAX_WHY).collect());
                group.hurry = group.acknowledged.is_none();
            }
        }
    }

    /// Which message has the key, if it is one of ours.
    fn end_of(&self, key: &str) -> Option<(u64, u32)> {
        let rest = key.strip_prefix(KEY)?.strip_prefix('-')?;
        let (rest, message) = rest.rsplit_once('-')?;
        let (began_at, number) = rest.rsplit_once('-')?;
        let (began_at, number, message): (i64, u64, u32) =
            (began_at.parse().ok()?, number.parse().ok()?, message.parse().ok()?);
        let is_known = self.outstanding.get(&(number, message)).is_some_and(|tell| tell.key == key);
        let sent = |group: &Group| group.began_at == began_at && message < group.messages;
        let is_ours =
            is_known || self.groups.get(&number).is_some_and(sent) && self::key(began_at, number, message) == key;
        is_ours.then_some((number, message))
    }
}

impl Group {
    pub(crate) fn has_not_passed(&self) -> bool {
        self.passed.is_empty() && self.passed_more == 0
    }
}

/// The time is in it so that one who lost his state does not begin anew with keys that were used before.
fn key(began_at: i64, group: u64, message: u32) -> String {
    format!("{KEY}-{began_at}-{group}-{message}")
}

/// The smaller of two where there are two.
trait MinOr: Sized {
    fn min_or(self, other: Self) -> Self;
}

impl<T: Ord> MinOr for Option<T> {
    fn min_or(self, other: Self) -> Self {
        match (self, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }
}
