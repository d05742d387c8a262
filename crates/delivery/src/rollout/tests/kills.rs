//! Killed at every entry of the journal, one after the other: of a rollout with everything that one can have (checks, a build, staging,
//! smoke tests, an approval, a migration, a canary in two steps), of one in whose place a newer one steps at any moment, and of one that
//! is aborted then. The same with the real driver, for less, is in the control plane's tests.

use super::super::*;
use super::plans::quick;
use super::world::{Fate, World};

/// More entries than any of these has: it would go round in circles.
const MOST_ENTRIES: usize = 500;

/// How the control plane dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// Right after an entry: nothing that it asks for is done.
    AfterTheEntry,
    /// What is asked for first is done, and nobody heard how it went.
    BeforeTheOutcome,
}

const DEATHS: [Death; 2] = [Death::AfterTheEntry, Death::BeforeTheOutcome];

/// Goes on until the journal has so many entries; `None`: it is over before.
fn at(entries: usize) -> Option<World> {
    assert!(entries < MOST_ENTRIES, "it never ends");
    let mut world = World::new(quick());
    world.start();
    while world.journal.len() < entries {
        if !world.flying.is_empty() {
            world.act(0, Fate::Honest);
        } else if world.state.is_final() {
            return None;
        } else if world.stage() == Stage::AwaitingApproval {
            world.help();
        } else {
            assert!(world.wake(), "nothing would ever happen again");
        }
    }
    Some(world)
}

fn all() -> impl Iterator<Item = (usize, World)> {
    (1..).map_while(|entries| Some((entries, at(entries)?)))
}

fn dies(world: &mut World, death: Death) {
    if let (Death::BeforeTheOutcome, Some(intent)) = (death, world.flying.first().cloned()) {
        let _unheard: Outcome = world.carry_out(&intent);
    }
    world.crash(true, true);
}

#[test]
fn it_ends_as_an_undisturbed_one_wherever_it_is_killed() {
    let mut stages = std::collections::BTreeSet::new();
    for (entries, world) in all() {
        stages.insert(world.stage());
        for death in DEATHS {
            let mut world = world.clone();
            dies(&mut world, death);
            assert_eq!((world.finish(), world.edge.green), (Stage::Done, Some(100)), "{death:?} at {entries}");
            assert_eq!(world.slots[0], None, "{death:?} at {entries}: the old version is stopped");
            world.is_what_the_journal_says();
        }
    }
    for stage in [Stage::Checking, Stage::Building, Stage::Staging, Stage::Smoking, Stage::AwaitingApproval] {
        assert!(stages.contains(&stage), "nothing was killed in {stage}");
    }
}

/// The command is given right before the death, or after it by whoever carries on: the lane knows of it. Then it dies once more.
fn ends(command: &Command, may_end: &[Stage]) {
    for (entries, world) in all() {
        for (death, before) in DEATHS.into_iter().flat_map(|death| [(death, true), (death, false)]) {
            let mut world = world.clone();
            if before {
                world.command("ada", command.clone());
            }
            dies(&mut world, death);
            if !before {
                world.command("ada", command.clone());
            }
            dies(&mut world, death);
            let stage = world.stage();
            let end = world.finish();
            assert!(may_end.contains(&end), "{command:?} at {entries}, {death:?}: {end}, by {stage}");
            let done = end == Stage::Done;
            assert_eq!(
                world.edge.green,
                Some(if done { 100 } else { 0 }),
                "{command:?} at {entries}, {death:?}: {end}"
            );
            assert_eq!(world.slots[usize::from(!done)], None, "{command:?} at {entries}, {death:?}: {end}");
            world.is_what_the_journal_says();
        }
    }
}

#[test]
fn a_newer_one_takes_its_place_wherever_it_is_killed() {
    // Where it serves well already, it ends as done, and is what the newer one replaces.
    ends(&Command::Supersede { newer: RolloutId(8) }, &[Stage::Superseded, Stage::Done]);
}

#[test]
fn an_abort_ends_it_wherever_it_is_killed() {
    ends(&Command::Abort, &[Stage::Aborted, Stage::RolledBack, Stage::Done]);
}
