//! Alerts in a world whose time the test moves: rules are evaluated every ten seconds, time is told every second, or
//! where hours pass, every ten.

mod chance;
mod clock;
mod grouping;
mod life;
mod quiet;
mod telling;

use super::*;
use crate::Labels;

/// Some day in 2025, in milliseconds since 1970.
const START: i64 = 1_764_246_840_000;
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// The state, and what it wanted done.
struct World {
    now: i64,
    state: State,
    told: Vec<Tell>,
    changes: Vec<Change>,
    refused: Vec<String>,
}

fn rule(name: &str) -> Rule {
    Rule {
        name: name.to_owned(),
        expression: "x > 1".to_owned(),
        hold: Span::ZERO,
        keep_firing_for: Span::ZERO,
        severity: Severity::P2,
        summary: Template::parse(&format!("{{{{service}}}} has {name} at {{{{value}}}}")).unwrap(),
        runbook: None,
        subject: "service".to_owned(),
        group_by: Vec::new(),
        role: Role::Symptom,
        path: DEFAULT_PATH.to_owned(),
        tell: Vec::new(),
        no_data: Absence::Told,
    }
}

fn book(rules: Vec<Rule>) -> Book {
    Book { rules, ..Book::default() }
}

/// Rows in breach, one for each service.
fn rows(services: &[&str]) -> Outcome {
    Outcome::Values(services.iter().map(|service| (Labels::new([("service", *service)]), 2.0)).collect())
}

impl World {
    fn new(book: Book) -> Self {
        let mut world =
            Self { now: START, state: State::default(), told: Vec::new(), changes: Vec::new(), refused: Vec::new() };
        world.step(What::RulesChanged(Box::new(book)));
        world
    }

    fn of(rules: Vec<Rule>) -> Self {
        Self::new(book(rules))
    }

    fn step(&mut self, what: What) -> Step {
        let step = self.state.step(&Event { at: self.now, what });
        for effect in &step.effects {
            match effect.clone() {
                Effect::Tell(tell) => self.told.push(tell),
                Effect::Changed(change) => self.changes.push(change),
                Effect::Refused(why) => self.refused.push(why),
                Effect::Acknowledged { .. } => {}
            }
        }
        step
    }

    fn evaluate(&mut self, rule: &str, outcome: Outcome) {
        self.step(What::Evaluated { rule: rule.to_owned(), outcome });
    }

    /// So many milliseconds pass; these outcomes come every ten seconds, first at once.
    fn run(&mut self, millis: i64, outcomes: &[(&str, Outcome)]) {
        let (end, ticks) = (self.now + millis, if millis > HOUR { 1 } else { 10 });
        while self.now < end {
            for (rule, outcome) in outcomes {
                self.evaluate(rule, outcome.clone());
            }
            for _ in 0..ticks {
                self.now += 10 * SECOND / ticks;
                self.step(What::Tick);
            }
        }
    }

    fn kinds(&self) -> Vec<TellKind> {
        self.told.iter().map(|tell| tell.kind).collect()
    }

    fn take(&mut self) -> Vec<Tell> {
        std::mem::take(&mut self.told)
    }

    /// The one message that was sent since.
    fn one(&mut self) -> Tell {
        let mut told = self.take();
        assert_eq!(told.len(), 1, "{told:#?}");
        told.remove(0)
    }

    fn none(&mut self) {
        let told = self.take();
        assert!(told.is_empty(), "{told:#?}");
    }
}
