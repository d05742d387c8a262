//! All that is known of alerts, and the one way in which it changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::{Became, Book, Change, Effect, Event, Step, Tell, What};
use super::group::Group;
use super::instance::{Alert, AlertId};
use super::needs::Needs;
use super::policy::Policy;
use super::rule::{Problem, Rule};
use super::silence::{Covers, Quiet, Refusal, said};
use super::span::Span;
use super::wire;

/// Rules that are watched: a hundred services with ten each.
pub const MAX_RULES: usize = 1_000;
/// Alerts that one rule may have at the same time; further ones are told as an error of the rule.
pub const MAX_PER_RULE: usize = 1_000;
/// Alerts that all rules may have at the same time.
pub const MAX_ALERTS: usize = 10_000;
/// Silences and maintenances at the same time.
pub const MAX_QUIETS: usize = 500;
/// Messages that nobody has said the end of. Over it the oldest is no longer waited for.
pub const MAX_OUTSTANDING: usize = 1_000;
/// The longest time that is believed to have been watched between two events. A clock that leaps, or a machine that slept, is no
/// reason to fire.
pub const LONGEST_GAP: Span = Span::from_secs(30);

/// See the module's page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub(crate) rules: BTreeMap<String, Rule>,
    pub(crate) policy: Policy,
    pub(crate) needs: Needs,
    pub(crate) clock: Clock,
    pub(crate) health: BTreeMap<String, Health>,
    #[serde(with = "wire::pairs")]
    pub(crate) alerts: BTreeMap<AlertId, Alert>,
    pub(crate) groups: BTreeMap<u64, Group>,
    pub(crate) quiets: BTreeMap<u64, Quiet>,
    /// By group and number within it.
    #[serde(with = "wire::pairs")]
    pub(crate) outstanding: BTreeMap<(u64, u32), Tell>,
    pub(crate) last: Numbers,
}

/// Numbers that were given last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Numbers {
    pub(crate) group: u64,
    pub(crate) quiet: u64,
    pub(crate) episode: u64,
}

/// Counts the time that was watched: it never goes back, and does not leap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clock {
    /// Milliseconds that were watched.
    pub(crate) now: u64,
    /// What the clock on the wall showed last.
    seen: Option<i64>,
}

/// What is known of a rule's evaluations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Health {
    pub(crate) answer: Answer,
    /// The moment since when it is this answer.
    pub(crate) since: u64,
    /// The same on the wall.
    pub(crate) since_at: i64,
    /// The moment of the last evaluation, or when the rule came.
    pub(crate) heard: u64,
    /// How often it was evaluated.
    pub(crate) rounds: u64,
    /// In which of these rounds it brought something that is to be told, last.
    pub(crate) brought: u64,
    /// Breaches of the last evaluation for which there was no room.
    pub(crate) untracked: usize,
}

/// What the last evaluation of a rule said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// There was none.
    Unheard,
    /// What it measured could be judged.
    Good,
    /// It found no series.
    NoData,
    /// It failed.
    Error(String),
}

impl Clock {
    fn advance(&mut self, at: i64) {
        let Some(seen) = self.seen.replace(at) else { return };
        let back = Span::between(at, seen);
        if back > Span::ZERO && back <= LONGEST_GAP {
            // An event that comes a little late, rather than a clock that was set: what passes until `seen` has passed already.
            self.seen = Some(seen);
        }
        self.now += Span::between(seen, at).min(LONGEST_GAP).millis();
    }
}

impl State {
    /// Takes an event in. Whatever the event, in whatever state: there is an answer.
    pub fn step(&mut self, event: &Event) -> Step {
        let mut step = Step::default();
        let at = event.at;
        self.clock.advance(at);
        step.save = !matches!(event.what, What::Evaluated { .. } | What::Tick);
        match &event.what {
            What::Evaluated { rule, outcome } => self.evaluated(rule, outcome, at, &mut step),
            What::RulesChanged(book) => self.rules_changed(book, at, &mut step),
            What::Acknowledge { group, by, comment, until } => {
                self.acknowledge(*group, by, comment, *until, at, &mut step);
            }
            What::Silence { alerts, until, by, reason } => {
                let (from, covers) = (at.min(*until), Covers::Alerts(alerts.clone()));
                self.quiet(
                    Quiet { number: 0, covers, from, until: *until, by: by.clone(), reason: reason.clone() },
                    at,
                    &mut step,
                );
            }
            What::Maintenance { services, from, until, by, reason } => {
                let (covers, by, reason) = (Covers::Services(services.clone()), by.clone(), reason.clone());
                self.quiet(Quiet { number: 0, covers, from: *from, until: *until, by, reason }, at, &mut step);
            }
            What::Unsilence { number, by } => {
                let refusal = if self.quiets.contains_key(number) {
                    Refusal::By
                } else {
                    Refusal::Unknown { what: "silence", number: *number }
                };
                let known = said(by).then(|| self.quiets.remove(number)).flatten();
                if known.is_none() {
                    step.effects.push(Effect::Refused(refusal.to_string()));
                }
            }
            What::Sent { key } => self.sent(key),
            What::Failed { key, why } => self.failed(key, why),
            What::Tick => {}
        }
        self.quiets.retain(|_, quiet| quiet.until > at);
        self.blind(at, &mut step);
        // An answer like the one before leaves that to the next tick: with a thousand alerts, looking at all of them is most of the work.
        if !(matches!(event.what, What::Evaluated { .. }) && step.effects.is_empty()) {
            self.mute(at, &mut step);
        }
        self.gather(at);
        self.tell(at, &mut step);
        step.save |= !step.effects.is_empty();
        step
    }

    /// Messages whose end nobody has said: after a restart they are to be carried out again, with their keys.
    pub fn outstanding(&self) -> impl Iterator<Item = &Tell> {
        self.outstanding.values()
    }

    fn quiet(&mut self, mut quiet: Quiet, at: i64, step: &mut Step) {
        let room = (self.quiets.len() < MAX_QUIETS).then_some(()).ok_or(Refusal::Many(MAX_QUIETS));
        match room.and_then(|()| quiet.check(at)) {
            Ok(()) => {
                self.last.quiet += 1;
                quiet.number = self.last.quiet;
                self.quiets.insert(quiet.number, quiet);
            }
            Err(refusal) => step.effects.push(Effect::Refused(refusal.to_string())),
        }
    }

    fn rules_changed(&mut self, book: &Book, at: i64, step: &mut Step) {
        let mut rules = BTreeMap::new();
        for rule in &book.rules {
            match check(rule, &rules, book) {
                Ok(()) => drop(rules.insert(rule.name.clone(), rule.clone())),
                Err(problem) => step.effects.push(Effect::Refused(problem.to_string())),
            }
        }
        (self.rules, self.policy, self.needs) = (rules, book.policy.clone(), book.needs.clone());
        let now = self.clock.now;
        self.health.retain(|name, _| self.rules.contains_key(name));
        for name in self.rules.keys() {
            let new = || Health {
                answer: Answer::Unheard,
                since: now,
                since_at: at,
                heard: now,
                rounds: 0,
                brought: 0,
                untracked: 0,
            };
            self.health.entry(name.clone()).or_insert_with(new);
        }
        let gone: Vec<AlertId> = self.alerts.keys().filter(|id| !self.rules.contains_key(&id.rule)).cloned().collect();
        for id in gone {
            self.end(&id, at, true, step);
        }
        for (id, alert) in &mut self.alerts {
            if let Some(rule) = self.rules.get(&id.rule) {
                alert.take_over(id, rule);
            }
        }
    }

    /// Says how an alert has changed.
    pub(crate) fn changed(&self, id: &AlertId, alert: &Alert, to: Became, at: i64) -> Effect {
        Effect::Changed(Change {
            alert: id.clone(),
            episode: alert.fired.map(|fired| fired.episode),
            to,
            at,
            began_at: alert.began_at,
            severity: alert.severity,
            subject: alert.subject.clone(),
            summary: alert.summary.clone(),
            value: alert.value,
            muted: alert.muted.clone(),
            needs: self.needs.of(&alert.subject).map(str::to_owned).collect(),
        })
    }
}

fn check(rule: &Rule, taken: &BTreeMap<String, Rule>, book: &Book) -> Result<(), Problem> {
    rule.check()?;
    if taken.contains_key(&rule.name) {
        return Err(Problem::Twice { rule: rule.name.clone() });
    }
    if taken.len() >= MAX_RULES {
        return Err(Problem::Rules { found: book.rules.len(), limit: MAX_RULES });
    }
    if !book.policy.paths.contains_key(&rule.path) {
        let known = book.policy.paths.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(Problem::Path { rule: rule.name.clone(), path: rule.path.clone(), known });
    }
    Ok(())
}
