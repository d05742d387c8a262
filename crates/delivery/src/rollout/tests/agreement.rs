//! The drawn table and the real step agree: every observed transition is drawn, and every drawn one is observed.

use std::collections::BTreeSet;

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

use super::super::table::{Row, TABLE, To, entry};
use super::super::*;
use super::chance::{chance, plans};
use super::stations;
use super::transition::Transition;
use super::world::World;

impl Row {
    fn describes(&self, seen: &Transition) -> bool {
        self.from.contains(&seen.from) && self.on.contains(&seen.on) && self.to.iter().any(|to| self.leads(*to, seen))
    }

    fn leads(&self, to: To, seen: &Transition) -> bool {
        let entered = to != To::Stay;
        let asked = |kind: &EffectKind| self.asks.contains(kind) || (entered && entry(seen.to).contains(kind));
        to.targets(seen.from).contains(&seen.to) && seen.asks.iter().all(asked)
    }
}

/// Chance from a fixed seed, from every point of the good way.
fn observed() -> BTreeSet<Transition> {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    let chances = (plans(), prop::collection::vec(chance(), 1..200), prop::bool::weighted(0.15), 0_usize..60);
    for _ in 0..3_000 {
        let (plan, chances, empty, lead) = chances.new_tree(&mut runner).unwrap().current();
        let mut world = if empty { World::empty(plan) } else { World::new(plan) };
        world.lead(lead);
        for chance in chances {
            world.happen(chance);
        }
        seen.append(&mut world.watch.transitions);
    }
    seen
}

#[test]
fn the_drawn_table_and_the_step_agree() {
    let mut seen = observed();
    seen.extend(stations::transitions());
    let undrawn: Vec<_> = seen.iter().filter(|seen| !TABLE.iter().any(|row| row.describes(seen))).collect();
    let mut unseen = Vec::new();
    for (n, row) in TABLE.iter().enumerate() {
        let mine: Vec<_> = seen.iter().filter(|seen| row.describes(seen)).collect();
        for from in row.from {
            for on in row.on {
                if !mine.iter().any(|seen| seen.from == *from && seen.on == *on) {
                    unseen.push(format!("{n}: {from} on {}", on.name()));
                }
            }
        }
        for to in row.to {
            if !mine.iter().any(|seen| row.leads(*to, seen)) {
                unseen.push(format!("{n}: {:?} to {to:?}", row.from));
            }
        }
    }
    assert!(undrawn.is_empty() && unseen.is_empty(), "not drawn: {undrawn:#?}\nnever seen: {unseen:#?}");
}

#[test]
fn the_documentation_shows_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/rollout/table.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, graph().text()).unwrap();
    }
    let shown = std::fs::read_to_string(path).unwrap();
    assert_eq!(shown, graph().text(), "run this test once with UPDATE_DOCS=1 to write the table anew");
}
