//! Killed, repeated, late, and with clocks that jump.

use std::time::Duration;

use super::super::super::*;
use super::super::plans::{full, quick};
use super::super::world::{Fate, Quality, World, stages};
use super::{at, canary, last_news};

/// Where an uninterrupted one ends, for a good release and for a bad one.
fn interrupted(quality: Quality, carried_out: bool) {
    let run = |boundary: Option<usize>| {
        let mut world = World::new(quick());
        world.start();
        let mut crashed = false;
        while !world.state.is_final() {
            if boundary.is_some_and(|boundary| world.journal.len() >= boundary) && !crashed {
                crashed = true;
                if carried_out {
                    for intent in world.flying.clone() {
                        world.carry_out(&intent);
                    }
                }
                world.crash(true, true);
            }
            if world.stage() == Stage::Canary {
                world.quality = quality;
            }
            world.help();
            if world.flying.is_empty() && !world.state.is_final() {
                world.wake();
            }
            world.act(0, Fate::Honest);
        }
        let digests = world.slots.clone().map(|slot| slot.map(|instance| instance.digest));
        (world.journal.len(), (world.stage(), stages(&world), world.edge.green, digests, world.migrated))
    };
    let (length, wanted) = run(None);
    for boundary in 1..length {
        assert_eq!(run(Some(boundary)).1, wanted, "killed after event {boundary}");
    }
}

#[test]
fn killed_at_every_boundary() {
    for quality in [Quality::Good, Quality::Bad] {
        for carried_out in [false, true] {
            interrupted(quality, carried_out);
        }
    }
}

#[test]
fn every_effect_twice() {
    let run = |fate: Fate| {
        let mut world = World::new(full());
        world.start();
        while !world.state.is_final() {
            world.help();
            if world.flying.is_empty() {
                world.wake();
            }
            world.act(0, fate);
        }
        (world.stage(), world.slots, world.edge, world.state.clock().now())
    };
    assert_eq!(run(Fate::Honest), run(Fate::Twice));
}

#[test]
fn control_plane_dead_mid_canary() {
    let mut world = canary();
    world.wake();
    world.act_all();
    let first = world.edge.generation;
    // Nobody renews the lease, for an hour.
    world.flying.clear();
    world.pass(Duration::from_hours(1));
    assert_eq!(world.edge.green, Some(0), "the edge takes green out by itself");
    world.crash(true, true);
    assert_eq!(world.stage(), Stage::Canary);
    world.act_all();
    assert_eq!(world.edge.green, Some(10));
    assert!(world.edge.generation > first, "a new window");
    let Phase::Canary(Canary { opened: Some(opened), .. }) = world.state.phase() else { panic!("no window") };
    assert_eq!(*opened, world.state.clock().now(), "the hour does not count");
    assert_eq!(world.finish(), Stage::Done);
}

#[test]
fn a_restart_goes_on_from_the_generation_of_the_edge() {
    let mut world = canary();
    world.edge.generation = 1_000;
    world.crash(true, true);
    let first = world.flying.iter().find_map(|intent| match intent.effect {
        Effect::EnsureWeights { generation, .. } => Some(generation),
        _ => None,
    });
    assert_eq!(first, Some(Generation(1_001)));
}

#[test]
fn a_restart_in_the_window_believes_the_edge_and_judges_anew() {
    let mut world = at(Stage::Window);
    for _ in 0..50 {
        world.act_all();
        world.wake();
    }
    let Phase::Window(Window { guard_from: before, .. }) = *world.state.phase() else { panic!("no window") };
    world.crash(true, true);
    let Phase::Window(Window { guard_from: Some(after), .. }) = *world.state.phase() else { panic!("no window") };
    assert!(Some(after) > before, "what nobody watched does not count");
    // The edge has an older table: it is told again.
    world.edge.green = Some(0);
    world.crash(true, true);
    world.act_all();
    assert_eq!(world.edge.green, Some(100));
    // It does not answer: it is told again as well.
    world.crash(false, true);
    assert!(world.flying.iter().any(|intent| intent.effect.kind() == EffectKind::EnsureWeights));
}

#[test]
fn stale_generation_refused() {
    let mut world = canary();
    let old = world.old.iter().find(|intent| intent.effect.kind() == EffectKind::EnsureWeights).unwrap().clone();
    world.command("ada", Command::Abort);
    world.act_all();
    let current = Generation(world.edge.generation);
    assert_eq!(world.carry_out(&old), Outcome::Stale { current });
    assert_eq!(world.edge.green, Some(0));
    // And one that somebody else's generation has overtaken is asked for again with a newer one.
    let mut world = at(Stage::CuttingOver);
    world.edge.generation = 1_000;
    assert_eq!(world.finish(), Stage::Done);
}

#[test]
fn killed_while_writing_routes() {
    for stage in [Stage::Canary, Stage::CuttingOver] {
        for written in [false, true] {
            let mut world = at(stage);
            let weights = world.flying.iter().find(|intent| intent.effect.kind() == EffectKind::EnsureWeights);
            let weights = weights.unwrap().clone();
            if written {
                world.carry_out(&weights);
            }
            world.crash(true, true);
            assert_eq!(world.finish(), Stage::Done, "{stage} {written}");
        }
    }
    for written in [false, true] {
        let mut world = canary();
        world.command("ada", Command::Rollback);
        if written {
            let weights = world.flying[0].clone();
            world.carry_out(&weights);
        }
        world.crash(true, true);
        world.act_all();
        assert_eq!((world.stage(), world.edge.green), (Stage::RolledBack, Some(0)));
    }
}

#[test]
fn clock_jumps_change_nothing() {
    let run = |jump: i64| {
        let mut world = World::new(full());
        world.start();
        let mut steps = 0;
        while !world.state.is_final() {
            steps += 1;
            let sign = if steps % 2 == 0 { -1 } else { 1 };
            world.wall_ms = world.wall_ms.saturating_add_signed(sign * jump);
            world.help();
            if world.flying.is_empty() {
                world.wake();
            }
            world.act(0, Fate::Honest);
        }
        (stages(&world), world.state.clock().now(), steps)
    };
    assert_eq!(run(0), run(3_600_000));
}

#[test]
fn an_edge_that_is_away_ends_with_a_person_who_is_paged() {
    let mut world = canary();
    world.edge_away = true;
    world.command("ada", Command::Rollback);
    world.run_to(Stage::Stuck);
    world.act_all();
    assert_eq!(last_news(&world).what, Headline::Stuck(Stage::Returning));
    world.edge_away = false;
    assert_eq!(world.command("bob", Command::Retry), Reply::Taken);
    world.run_to(Stage::RolledBack);
}
