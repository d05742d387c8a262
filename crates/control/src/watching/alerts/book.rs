//! What is watched for, and what came out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use mana_watch::alert::{self, Absence, Book, Needs, Outcome, Policy, Rule, Severity, Span, Template};
use mana_watch::query::{Answer, Expression, Limits};
use mana_watch::series::Matcher;
use mana_watch::store::Reader;

use crate::rules;
use crate::watching::subjects::Subjects;

/// How far back a series counts as there.
const THERE_MS: i64 = 300_000;
/// What a test is called.
const TEST: &str = "Test";

/// What a rule looks back at for this long a minute more does not change, and it reads a thousand times as much as others do.
const SLOW_FROM_MS: i64 = 3_600_000;

/// How often a rule is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// A breach of it fires at once, so that it is looked at more often.
    Prompt,
    Usual,
    /// Once a minute.
    Slow,
}

/// A rule whose expression was read, since that costs more than to evaluate it.
#[derive(Debug)]
pub(in crate::watching) struct Ready {
    pub(in crate::watching) rule: String,
    pub(super) pace: Pace,
    /// Or why it is none.
    expression: Result<Expression, String>,
}

impl Ready {
    pub(in crate::watching) fn of(rule: &Rule) -> Self {
        let expression = Expression::read(&rule.expression).map_err(|error| error.to_string());
        let looks_back = expression.as_ref().map_or(0, Expression::longest_range_ms);
        let pace = match rule.hold {
            _ if looks_back >= SLOW_FROM_MS => Pace::Slow,
            Span::ZERO => Pace::Prompt,
            _ => Pace::Usual,
        };
        Self { rule: rule.name.clone(), pace, expression }
    }
}

/// What came out of a rule's expression.
pub(in crate::watching) fn judged(reader: &Reader, ready: &Ready, now: i64, until: Instant) -> Outcome {
    let expression = match &ready.expression {
        Ok(expression) => expression,
        Err(why) => return Outcome::Error(why.clone()),
    };
    let stop = || Instant::now() >= until;
    let limits = Limits { stop: Some(&stop), ..Limits::default() };
    let values = match expression.at(reader, now, &limits) {
        Ok(Answer::Vector { elements, .. }) => elements,
        // A condition without labels: true or not.
        Ok(Answer::Scalar { value, .. }) if value != 0.0 => vec![(mana_watch::Labels::default(), value)],
        Ok(_) => Vec::new(),
        Err(error) => return Outcome::Error(error.to_string()),
    };
    if !values.is_empty() {
        return Outcome::Values(values);
    }
    let there = |matchers: &[Matcher]| reader.has(matchers, now - THERE_MS, now).is_ok_and(|there| there);
    if expression.missing(there).is_empty() { Outcome::Values(values) } else { Outcome::NoData }
}

/// What is watched for: what everybody has, what the manifest says, and a test while it goes on.
pub(in crate::watching) fn book(subjects: &Subjects, testing: bool) -> Book {
    let mut rules = rules::all(&subjects.rules);
    if testing {
        rules.push(test());
    }
    let needs: BTreeMap<String, BTreeSet<String>> = subjects
        .services
        .iter()
        .map(|service| (service.name.clone(), service.needs.iter().cloned().collect()))
        .collect();
    Book { rules, policy: Policy::default(), needs: Needs::new(needs) }
}

/// Fires while somebody wants to see that an alert arrives.
pub(super) fn test() -> Rule {
    Rule {
        name: TEST.to_owned(),
        expression: "vector(1)".to_owned(),
        hold: Span::ZERO,
        keep_firing_for: Span::ZERO,
        severity: Severity::P3,
        summary: Template::try_from("a test: somebody asked for this alert, and nothing is wrong".to_owned())
            .expect("a text without variables"),
        runbook: None,
        subject: "service".to_owned(),
        group_by: Vec::new(),
        role: alert::Role::default(),
        path: alert::DEFAULT_PATH.to_owned(),
        tell: Vec::new(),
        no_data: Absence::default(),
    }
}
