//! How one rollout goes: its stages, what the gate saw, and its journal.

use std::time::Duration;

use askama::Template;
use mana_delivery::rollout::{Look, What};
use serde_json::{Value, json};

use super::super::rollouts::mark;
use super::super::state::{Mark, State};
use super::super::{Dashboard, units};
use super::{Table, Tabular};
use crate::api::{RolloutDetail, RolloutEntry, RolloutView, SlotView, StepState, StepView};
use crate::server::{Refused, ask};
use crate::supervisor::Call;

/// Entries of the journal that are shown; the first ones are `mana rollout`'s to tell.
const MOST_ENTRIES: usize = 200;

#[derive(Template)]
#[template(path = "dashboard/panels/rollout.html")]
pub(super) struct Rollout {
    detail: Option<Detail>,
    trouble: String,
}

struct Detail {
    view: RolloutView,
    mark: Mark,
    steps: Vec<Step>,
    figures: Vec<Figure>,
    gate: Option<Gate>,
    entries: Vec<Entry>,
}

struct Step {
    stage: String,
    state: &'static str,
    mark: Mark,
    time: String,
}

struct Gate {
    mark: Mark,
    about: String,
}

struct Figure {
    name: String,
    value: String,
    limit: String,
    mark: Mark,
}

struct Entry {
    number: u64,
    at: String,
    what: String,
    effects: String,
}

impl Detail {
    fn slots(&self) -> [SlotView; 2] {
        [self.view.old.clone(), self.view.new.clone()]
    }
}

impl Entry {
    fn minute(&self) -> String {
        units::minute(&self.at)
    }
}

pub(super) async fn look(dashboard: &Dashboard, number: u64) -> Rollout {
    match ask(&dashboard.app, |reply| Call::Rollout { number, reply }).await {
        Ok(RolloutDetail { view, journal, .. }) => {
            let detail = Detail {
                mark: mark(&view),
                steps: view.steps.iter().map(|one| step(one, &view)).collect(),
                figures: view.look.as_ref().map(figures).unwrap_or_default(),
                gate: view.look.as_ref().map(gate),
                entries: journal.iter().rev().take(MOST_ENTRIES).map(entry).collect(),
                view,
            };
            Rollout { detail: Some(detail), trouble: String::new() }
        }
        Err(Refused(problem)) => Rollout { detail: None, trouble: format!("{}: {}", problem.title, problem.detail) },
    }
}

fn step(step: &StepView, view: &RolloutView) -> Step {
    let time = |ms: Option<u64>| ms.map(|ms| units::duration(Duration::from_millis(ms)));
    let (took, expected) = (time(step.took_ms), time(step.expected_ms));
    let (name, mark, time) = match step.state {
        StepState::Over if matches!(step.stage.as_str(), "aborted" | "rolled-back" | "superseded") => {
            ("over", State::Critical.mark("ended"), took.unwrap_or_default())
        }
        StepState::Over => ("over", State::Healthy.mark("over"), took.unwrap_or_default()),
        StepState::Now => {
            let of = expected.map(|expected| format!(" of {expected}")).unwrap_or_default();
            ("now", super::super::rollouts::mark(view), format!("{}{of}", took.unwrap_or_default()))
        }
        StepState::Ahead => {
            ("ahead", State::Unknown.mark("to come"), expected.map(|time| format!("about {time}")).unwrap_or_default())
        }
    };
    Step { stage: step.stage.clone(), state: name, mark, time }
}

fn gate(look: &Look) -> Gate {
    let verdict = format!("{:?}", look.judgement.verdict);
    let state = match verdict.as_str() {
        "Pass" => State::Healthy,
        "Fail" | "Environment" => State::Critical,
        "NoData" => State::Unknown,
        _ => State::Warning,
    };
    let reading = &look.reading;
    let (green, seconds) = (&reading.green, |time: Duration| time.as_secs());
    let about = format!(
        "{} requests, {} errors, {} of {} slow; {} of {} s",
        green.requests,
        green.errors,
        green.slow,
        green.timed,
        seconds(reading.elapsed),
        seconds(reading.window)
    );
    let word = match verdict.as_str() {
        "NoData" => "No data yet",
        "Inconclusive" => "Not decided yet",
        other => other,
    };
    Gate { mark: state.mark(word), about }
}

fn figures(look: &Look) -> Vec<Figure> {
    let figure = |finding: &mana_delivery::gate::Finding| Figure {
        name: finding.figure.clone(),
        value: plain(finding.value),
        limit: plain(finding.limit),
        mark: if finding.met { State::Healthy.mark("Met") } else { State::Warning.mark("Not met") },
    };
    look.judgement.findings.iter().map(figure).collect()
}

fn plain(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.4}") }
}

fn entry(entry: &RolloutEntry) -> Entry {
    let effects: Vec<String> = entry.effects.iter().map(|intent| words(json!(intent.effect), "effect")).collect();
    let what = match &entry.event {
        What::Command { by, command } => format!("{} said: {}", by.0, words(json!(command), "command")),
        What::Outcome { outcome, .. } => words(json!(outcome), "outcome"),
        other => words(json!(other), "event"),
    };
    Entry { number: entry.number, at: entry.at.clone(), what, effects: effects.join("; ") }
}

/// A value that says in one of its fields what it is: that first, then what else it says.
fn words(mut value: Value, kind: &str) -> String {
    if let Some(time) = time(&value) {
        return time;
    }
    let Some(fields) = value.as_object_mut() else { return plain_words(&value) };
    let first = fields.remove(kind).map(|kind| plain_words(&kind).replace('-', " "));
    let rest = fields.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| match value {
        Value::Object(_) => format!("{name} {}", words(value.clone(), "")),
        Value::Array(items) => format!("{name} {}", items.len()),
        value => format!("{name} {}", plain_words(value)),
    });
    first.into_iter().chain(rest).collect::<Vec<_>>().join(", ")
}

/// A span of time, as it is written down: whole seconds, and what is left.
fn time(value: &Value) -> Option<String> {
    let fields = value.as_object().filter(|fields| fields.len() == 2)?;
    let (seconds, nanos) = (fields.get("secs")?.as_u64()?, fields.get("nanos")?.as_u64()?);
    Some(units::duration(Duration::new(seconds, u32::try_from(nanos).ok()?)))
}

/// Digests by their first digits, as people compare them.
fn plain_words(value: &Value) -> String {
    match value {
        Value::String(text) if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            text[..12].to_owned()
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Tabular for Rollout {
    fn table(&self) -> Table {
        let mut table = Table::new(&["number", "at", "event", "effects"]);
        for entry in self.detail.iter().flat_map(|detail| &detail.entries) {
            table.row([json!(entry.number), json!(entry.at), json!(entry.what), json!(entry.effects)]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_says_what_happened_first_and_then_its_particulars() {
        let digest = "ab".repeat(32);
        for (value, expected) in [
            (
                json!({ "effect": "ensure-running", "slot": "green", "release": { "digest": digest } }),
                "ensure running, release digest abababababab, slot green",
            ),
            (
                json!({ "effect": "renew-lease", "lease": { "secs": 90, "nanos": 0 }, "note": null }),
                "renew lease, lease 1 m 30 s",
            ),
            (json!("tick"), "tick"),
        ] {
            assert_eq!(words(value, "effect"), expected);
        }
    }
}
