//! Which rules are evaluated when, and what else is looked at then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mana_watch::alert::{Outcome, Rule, What, builtin};
use mana_watch::series::NAME;
use mana_watch::store::Reader;
use tokio::sync::watch;

use super::super::rounds::now_ms;
use super::super::subjects::Subjects;
use super::book::{Pace, Ready};
use super::{Watch, judged};
use crate::rules::{self, There};

/// How many of these lie between two evaluations of every rule: the interval of scrapes, since there is nothing newer to judge within it.
const EVALUATE_TICKS: u64 = 10;
/// And of rules whose breach fires at once. From the breach to the message it takes a scrape (ten seconds at most), this, and the moment that
/// a group gathers (six seconds): less than two intervals.
const PROMPT_TICKS: u64 = 2;
/// And of rules that look far back: so many evaluations of all others, which is a minute. They do not have theirs at once.
const SLOW_EVALUATIONS: usize = 6;
/// Longest time for all rules together.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often it is looked which rules can never fire, and how far back: what was measured within a day may come again.
const DOUBT_EVERY: Duration = Duration::from_mins(1);
pub(in crate::watching) const DOUBT_LOOKBACK_MS: i64 = 24 * 3_600_000;

/// Which rules are evaluated in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Nobody,
    /// Those whose breach fires at once.
    Prompt,
    All,
}

pub(super) fn turn(ticks: u64) -> Turn {
    if ticks.is_multiple_of(EVALUATE_TICKS) {
        Turn::All
    } else if ticks.is_multiple_of(PROMPT_TICKS) {
        Turn::Prompt
    } else {
        Turn::Nobody
    }
}

/// Whether a rule is evaluated in a turn; `evaluation` counts those of all, from another number for each rule.
pub(super) fn is_due(turn: Turn, pace: Pace, evaluation: usize) -> bool {
    match pace {
        Pace::Prompt => turn != Turn::Nobody,
        Pace::Usual => turn == Turn::All,
        Pace::Slow => turn == Turn::All && evaluation.is_multiple_of(SLOW_EVALUATIONS),
    }
}

/// What came out of the rules that are due.
pub(super) fn outcomes(
    reader: &Reader,
    rules: &[Ready],
    turn: Turn,
    evaluation: usize,
    now: i64,
) -> Vec<(String, Outcome)> {
    let until = Instant::now() + PATIENCE;
    let due = rules.iter().enumerate().filter(|(at, rule)| is_due(turn, rule.pace, evaluation.wrapping_add(*at)));
    due.map(|(_, rule)| (rule.rule.clone(), judged(reader, rule, now, until))).collect()
}

impl Watch {
    /// Some of the rules are evaluated, and now and then what else needs what is stored.
    pub(super) async fn have_turn(
        &mut self,
        turn: Turn,
        reader: Reader,
        subjects: &watch::Receiver<Subjects>,
        now: i64,
    ) {
        let rounds = self.pulse.rounds();
        let has_news = std::mem::replace(&mut self.judged_rounds, rounds) != rounds;
        if turn == Turn::Prompt {
            if has_news {
                self.evaluate(reader, turn, now).await;
            }
            return;
        }
        // What happened comes before what it led to.
        self.read_journal().await;
        self.evaluate(reader.clone(), turn, now).await;
        if self.doubted.is_none_or(|looked| looked.elapsed() >= DOUBT_EVERY) {
            self.doubted = Some(Instant::now());
            let services = subjects.borrow().services.iter().map(|service| service.name.clone()).collect();
            self.doubt(reader.clone(), services, now).await;
        }
        let services = subjects.borrow().services.clone();
        self.count_failed(reader, services, now).await;
    }

    async fn evaluate(&mut self, reader: Reader, turn: Turn, now: i64) {
        let rules = Arc::clone(&self.ready);
        let evaluation = self.evaluations;
        if turn == Turn::All {
            self.evaluations = evaluation.wrapping_add(1);
        }
        let asked = tokio::task::spawn_blocking(move || outcomes(&reader, &rules, turn, evaluation, now));
        match asked.await {
            Ok(outcomes) => {
                for (rule, outcome) in outcomes {
                    self.step(What::Evaluated { rule, outcome }).await;
                }
                if turn == Turn::All {
                    self.evaluated_at = Some(now);
                    self.pulse.judged(now_ms());
                }
            }
            Err(error) => tracing::error!(%error, "the rules could not be evaluated"),
        }
    }

    /// Which of the manifest's own rules can never fire: what they read is compared with all that was measured lately.
    async fn doubt(&mut self, reader: Reader, services: BTreeSet<String>, now: i64) {
        let own = |rule: &&Rule| !builtin::rules().contains(rule);
        let rules: Vec<Rule> = self.book.rules.iter().filter(own).cloned().collect();
        if rules.is_empty() {
            // All names of a day are not looked for where nobody asks for one.
            return self.doubts.clear();
        }
        let found = tokio::task::spawn_blocking(move || {
            let values = |label: &str| -> BTreeSet<String> {
                let values = reader.label_values(label, &[], now - DOUBT_LOOKBACK_MS, now);
                values.unwrap_or_default().into_iter().collect()
            };
            let identities = rules::IDENTITIES.iter().map(|&label| (label.to_owned(), values(label))).collect();
            let there = There { names: values(NAME), identities, services };
            let doubt = |rule: &Rule| Some((rule.name.clone(), rules::doubt(rule, &there)?));
            rules.iter().filter_map(doubt).collect::<BTreeMap<_, _>>()
        });
        let Ok(found) = found.await else { return };
        for (rule, why) in found.iter().filter(|(rule, _)| !self.doubts.contains_key(*rule)) {
            tracing::warn!(rule, why, "a rule can never fire");
        }
        self.doubts = found;
    }
}
