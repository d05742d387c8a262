//! Which gates of rollouts nothing could pass.

use std::collections::BTreeSet;

use mana_manifest::plan::{self, Plan};
use mana_watch::alert::{builtin, can_fire};
use mana_watch::query;

use super::doubts::{known, needed};
use crate::slot::Slot;

/// What is wrong with the gates of rollouts, each in a line: a query that is not understood, or that reads what nothing gives, so that no
/// rollout would ever pass. `there`: as in [`doubts`].
pub fn gates(plan: &Plan, there: &BTreeSet<String>) -> Vec<String> {
    let gates =
        plan.services.iter().flat_map(|service| service.rollout.gates.iter().map(move |gate| (&service.name, gate)));
    let wrong = gates.filter_map(|(service, gate)| {
        Some(format!("services.{service}.rollout.gates.{}: {}", gate.name, unanswerable(gate, there)?))
    });
    wrong.collect()
}

fn unanswerable(gate: &plan::Gate, there: &BTreeSet<String>) -> Option<String> {
    // Any slot and time do.
    let query = plan::fill_in(&gate.query, Slot::Green.as_str(), 60);
    let named = match query::metrics_of(&query) {
        Ok(reads) => needed(&reads),
        Err(error) => return Some(error.to_string()),
    };
    let known = known(&named, there);
    // Of a rule, which rule does not matter here, only what is missing is looked at.
    let missing = can_fire(builtin::rules().first()?, &named, &known).err()?.missing;
    let reason = |(name, meant): &(String, Option<String>)| {
        let meant = meant.as_ref().map_or_else(String::new, |meant| format!("; is {meant} meant?"));
        format!("it reads {name}, which nothing gives{meant}")
    };
    Some(missing.iter().map(reason).collect::<Vec<_>>().join(", and "))
}
