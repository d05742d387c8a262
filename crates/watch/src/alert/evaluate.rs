//! The life of one alert: inactive → pending → firing → resolved, and what is not measured or cannot be judged.

use std::collections::BTreeMap;

use super::event::{Became, Outcome, Step};
use super::instance::{Alert, AlertId, Clear, Fired, Kind};
use super::rule::{Absence, Role, Rule};
use super::span::Span;
use super::state::{Answer, MAX_ALERTS, MAX_PER_RULE, State};
use super::wire::Value;
use crate::Labels;
use crate::series::NAME;

/// Longest text of an error that is kept, in characters.
const MAX_ERROR: usize = 500;

/// So much may be missing of a rule's `for`, in milliseconds: evaluations are a round number of seconds apart but for a moment, and one
/// that comes a moment early must not cost another round.
pub(super) const EARLY: u64 = 500;

impl State {
    /// A rule was evaluated. One that is not known any more says nothing.
    pub(crate) fn evaluated(&mut self, name: &str, outcome: &Outcome, at: i64, step: &mut Step) {
        let now = self.clock.now;
        let Some(health) = self.health.get_mut(name) else { return };
        let went_on = health.answer == Answer::Good;
        let answer = match outcome {
            Outcome::Values(_) => Answer::Good,
            Outcome::NoData => Answer::NoData,
            Outcome::Error(why) => Answer::Error(why.chars().take(MAX_ERROR).collect()),
        };
        if std::mem::discriminant(&answer) != std::mem::discriminant(&health.answer) {
            (health.since, health.since_at) = (now, at);
        }
        (health.answer, health.heard) = (answer, now);
        health.rounds += 1;
        // Without an answer, nothing is well and nothing is worse: what was pending or fired stays as it is.
        let Outcome::Values(rows) = outcome else { return };
        let mut breaches: BTreeMap<AlertId, f64> =
            rows.iter().map(|(labels, value)| (breach(name, labels), *value)).collect();
        for id in self.ids_of(name) {
            match breaches.remove(&id) {
                Some(value) => self.breached(&id, value, went_on, at, step),
                None => self.well(&id, went_on, at, step),
            }
        }
        let room =
            MAX_PER_RULE.saturating_sub(self.ids_of(name).len()).min(MAX_ALERTS.saturating_sub(self.alerts.len()));
        let untracked = breaches.len().saturating_sub(room);
        if let Some(health) = self.health.get_mut(name) {
            health.untracked = untracked;
        }
        for (id, value) in breaches.into_iter().take(room) {
            self.breached(&id, value, went_on, at, step);
        }
    }

    /// Rules that cannot be judged become alerts of their own, which are over when the rule can.
    pub(crate) fn blind(&mut self, at: i64, step: &mut Step) {
        let wanted = |name: &String| self.blindness(name).map(|(kind, why)| (blindness_id(name, kind), why));
        let wanted: BTreeMap<AlertId, String> = self.rules.keys().filter_map(wanted).collect();
        let over = |id: &&AlertId| id.kind != Kind::Breach && !wanted.contains_key(id);
        for id in self.alerts.keys().filter(over).cloned().collect::<Vec<_>>() {
            self.end(&id, at, false, step);
        }
        for (id, why) in wanted {
            let since_at = self.health.get(&id.rule).map_or(at, |health| health.since_at);
            let Some(rule) = self.rules.get(&id.rule) else { continue };
            if let Some(alert) = self.alerts.get_mut(&id) {
                alert.summary = why;
                continue;
            }
            let mut alert = Alert::new(&id, rule, f64::NAN, since_at, self.clock.now);
            alert.summary = why;
            self.alerts.insert(id.clone(), alert);
            self.fire(&id, at, step);
        }
    }

    /// Whether, and why, nothing can be said about what a rule watches; only once that has lasted.
    fn blindness(&self, name: &str) -> Option<(Kind, String)> {
        let (health, rule) = (self.health.get(name)?, self.rules.get(name)?);
        let (now, policy) = (self.clock.now, &self.policy);
        let lasts = |since: u64, bound: Span| now.saturating_sub(since) >= bound.millis();
        if lasts(health.heard, policy.unheard_for) {
            let span = policy.unheard_for.spoken();
            return Some((Kind::Error, format!("{name} has not been evaluated for {span}: nothing is known of it")));
        }
        match &health.answer {
            Answer::NoData if rule.no_data == Absence::Told && lasts(health.since, policy.no_data_for) => {
                Some((Kind::NoData, format!("{name} finds nothing that is measured: nothing is known of it")))
            }
            Answer::Error(why) if lasts(health.since, policy.error_for) => {
                Some((Kind::Error, format!("{name} cannot be evaluated: {why}")))
            }
            Answer::Good if health.untracked > 0 => Some((
                Kind::Error,
                format!(
                    "{name} gives more alerts than are kept, {} are not: let it give fewer, by sum or max",
                    health.untracked
                ),
            )),
            _ => None,
        }
    }

    fn breached(&mut self, id: &AlertId, value: f64, went_on: bool, at: i64, step: &mut Step) {
        let now = self.clock.now;
        let Some(rule) = self.rules.get(&id.rule) else { return };
        let is_new = !self.alerts.contains_key(id);
        let alert = self.alerts.entry(id.clone()).or_insert_with(|| Alert::new(id, rule, value, at, now));
        // Only time between two answers is known to have been in breach.
        if alert.fired.is_none() && went_on {
            alert.counted += now.saturating_sub(alert.seen);
        }
        (alert.seen, alert.clear, alert.value) = (now, None, Value(value));
        alert.summary = rule.summary.render(&id.labels, value);
        if alert.fired.is_none() && alert.counted.saturating_add(EARLY) >= rule.hold.millis() {
            self.fire(id, at, step);
        } else if is_new {
            let alert = &self.alerts[id];
            step.effects.push(self.changed(id, alert, Became::Pending, at));
        }
    }

    fn well(&mut self, id: &AlertId, went_on: bool, at: i64, step: &mut Step) {
        let now = self.clock.now;
        let keep = self.rules.get(&id.rule).map_or(Span::ZERO, |rule| rule.keep_firing_for);
        let Some(alert) = self.alerts.get_mut(id) else { return };
        if alert.fired.is_none() {
            return self.end(id, at, false, step);
        }
        let passed = now.saturating_sub(alert.seen);
        alert.seen = now;
        match &mut alert.clear {
            Some(clear) if went_on => clear.counted += passed,
            Some(_) => {}
            None => alert.clear = Some(Clear { at, counted: 0 }),
        }
        if alert.clear.is_some_and(|clear| clear.counted >= keep.millis()) {
            self.end(id, at, false, step);
        }
    }

    fn fire(&mut self, id: &AlertId, at: i64, step: &mut Step) {
        self.last.episode += 1;
        let episode = self.last.episode;
        let Some(alert) = self.alerts.get_mut(id) else { return };
        alert.fired = Some(Fired { at, episode });
        let alert = &self.alerts[id];
        step.effects.push(self.changed(id, alert, Became::Firing, at));
    }

    /// An alert is no more, whether it fired or not.
    pub(crate) fn end(&mut self, id: &AlertId, at: i64, unwatched: bool, step: &mut Step) {
        let Some(alert) = self.alerts.remove(id) else { return };
        let to = if alert.fired.is_some() {
            Became::Resolved { well_at: alert.clear.map_or(at, |clear| clear.at), unwatched }
        } else {
            Became::Inactive
        };
        step.effects.push(self.changed(id, &alert, to, at));
        self.leave(id, &alert, at, unwatched);
    }

    fn ids_of(&self, rule: &str) -> Vec<AlertId> {
        let first = breach(rule, &Labels::default());
        let of_rule = |id: &&AlertId| id.rule == rule && id.kind == Kind::Breach;
        self.alerts.range(first..).map(|(id, _)| id).take_while(of_rule).cloned().collect()
    }
}

impl Alert {
    fn new(id: &AlertId, rule: &Rule, value: f64, at: i64, now: u64) -> Self {
        let mut alert = Self {
            value: Value(value),
            summary: String::new(),
            subject: String::new(),
            severity: rule.severity,
            role: rule.role,
            began_at: at,
            counted: 0,
            seen: now,
            fired: None,
            clear: None,
            muted: None,
            cause_gone: None,
            group: None,
            told: false,
        };
        alert.take_over(id, rule);
        alert
    }

    /// Takes from its rule what can change while it lasts.
    pub(crate) fn take_over(&mut self, id: &AlertId, rule: &Rule) {
        if id.kind == Kind::Breach {
            (self.severity, self.role) = (rule.severity, rule.role);
            id.labels.get(&rule.subject).clone_into(&mut self.subject);
        } else {
            // That nothing is known never follows from anything, and is never a cause.
            (self.severity, self.role) = (rule.severity.of_blindness(), Role::Fact);
        }
    }
}

fn breach(rule: &str, labels: &Labels) -> AlertId {
    let labels = if labels.name().is_empty() {
        labels.clone()
    } else {
        Labels::new(labels.iter().filter(|(label, _)| *label != NAME))
    };
    AlertId { rule: rule.to_owned(), kind: Kind::Breach, labels }
}

fn blindness_id(rule: &str, kind: Kind) -> AlertId {
    AlertId { rule: rule.to_owned(), kind, labels: Labels::default() }
}
