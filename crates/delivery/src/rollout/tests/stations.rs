//! Every stage, and in every stage everything that can happen there: each command, each effect failing, getting lost, being
//! late, each deadline, each loss, each restart. Whatever it was, the rollout ends, and the invariants hold on the way.

use std::time::Duration;

use super::super::*;
use super::plans::{pausing, quick, short};
use super::transition::Transition;
use super::world::{Fate, GREEN, Quality, World};

/// Worlds at every stage, with what is asked for there not carried out.
pub(crate) fn stations() -> Vec<World> {
    let mut stations = vec![World::new(quick()), World::new(pausing(Stage::Checking)), World::empty(short())];
    for stage in Stage::ALL.iter().copied().filter(|stage| stage.is_forward() || *stage == Stage::Done) {
        stations.push(at(World::new(quick()), stage));
    }
    for stage in [Stage::Migrating, Stage::Canary, Stage::CuttingOver] {
        let mut world = World::new(pausing(stage));
        world.start();
        world.run_to(Stage::Held);
        world.act_all();
        stations.push(world);
    }
    // The window's share acknowledged; the second step; held by the gate.
    let mut canary = at(World::new(quick()), Stage::Canary);
    canary.act_all();
    stations.push(canary.clone());
    let mut losing = canary.clone();
    for _ in 0..=LOST_WINDOWS {
        let renewal = |intent: &Intent| intent.effect.kind() == EffectKind::RenewLease;
        while !losing.flying.iter().any(renewal) {
            losing.act_all();
            losing.wake();
        }
        stations.push(losing.clone());
        let index = losing.flying.iter().position(renewal).unwrap();
        losing.act(index, Fate::Fails);
    }
    let mut second = canary.clone();
    while !matches!(second.state.phase(), Phase::Canary(Canary { step: 1, .. })) {
        second.act_all();
        second.wake();
    }
    second_held(&second, &mut stations);
    stations.push(second);
    canary.quality = Quality::Silent;
    canary.run_to(Stage::Held);
    stations.push(canary.clone());
    canary.act_all();
    stations.push(canary);
    // In the window: blue lost, switched back, asking.
    let window = at(World::new(quick()), Stage::Window);
    let mut cold = window.clone();
    cold.act_all();
    cold.lose(Slot::Blue, true);
    stations.push(cold.clone());
    cold.act(1, Fate::Honest);
    stations.push(cold);
    let mut back = window.clone();
    back.command("ada", Command::Switch { slot: Slot::Blue });
    stations.push(back.clone());
    back.act_all();
    stations.push(back);
    let mut asking = window.clone();
    asking.quality = Quality::Silent;
    while asking.state.waits_for().is_none() {
        asking.act_all();
        asking.wake();
    }
    stations.push(asking);
    // A breach with somebody to ask, before it is measured.
    let mut ask = quick();
    ask.warm.on_breach = OnBreach::Ask;
    let mut ask = at(World::new(ask), Stage::Window);
    ask.quality = Quality::Bad;
    ask.act_all();
    ask.wake();
    stations.push(ask);
    stations.extend(on_the_way_back(&window));
    let first = at(World::empty(short()), Stage::CuttingOver);
    let mut unrouted = first.clone();
    unrouted.command("ada", Command::Abort);
    stations.extend([first, unrouted]);
    stations
}

/// The last step held by the gate.
fn second_held(second: &World, stations: &mut Vec<World>) {
    let mut held = second.clone();
    held.quality = Quality::Silent;
    held.run_to(Stage::Held);
    held.act_all();
    stations.push(held);
}

/// The way back of a rollout in its window, of one that is done, and of one whose green never had traffic.
fn on_the_way_back(window: &World) -> Vec<World> {
    let mut worlds = Vec::new();
    let mut returning = window.clone();
    returning.command("ada", Command::Rollback);
    worlds.push(returning.clone());
    returning.run_to(Stage::Clearing);
    worlds.push(returning);
    let mut corpse = window.clone();
    corpse.lose(Slot::Blue, true);
    corpse.command("ada", Command::Rollback);
    worlds.push(corpse.clone());
    while !corpse.flying.iter().any(|intent| intent.effect.kind() == EffectKind::Verify) {
        corpse.act(0, Fate::Honest);
    }
    worlds.push(corpse);
    let mut done = at(World::new(quick()), Stage::Done);
    done.command("ada", Command::Rollback);
    worlds.push(done);
    let mut unused = at(World::new(quick()), Stage::Verifying);
    unused.command("ada", Command::Abort);
    worlds.push(unused);
    let decommissioning = at(World::new(quick()), Stage::Decommissioning);
    for mut world in worlds.clone().into_iter().chain([decommissioning]) {
        stuck(&mut world);
        worlds.push(world);
    }
    let mut over = window.clone();
    over.command("ada", Command::Rollback);
    over.finish();
    let mut aborted = World::new(pausing(Stage::Checking));
    aborted.command("ada", Command::Abort);
    worlds.extend([over, aborted]);
    worlds
}

fn at(mut world: World, stage: Stage) -> World {
    world.start();
    world.run_to(stage);
    world
}

/// Nothing is answered until somebody has to look.
fn stuck(world: &mut World) {
    for _ in 0..20 {
        if world.stage() == Stage::Stuck {
            return;
        }
        world.tick_after(Duration::from_mins(10));
    }
}

type Poke = (String, Box<dyn Fn(&mut World)>);

/// What can happen at a station.
fn pokes() -> Vec<Poke> {
    let digest = Digest(GREEN.into());
    let mut commands = vec![
        Command::Approve { digest, comment: None },
        Command::Reject { comment: None },
        Command::Promote,
        Command::Abort,
        Command::Retry,
        Command::Rollback,
        Command::Supersede { newer: RolloutId(8) },
        Command::Switch { slot: Slot::Blue },
        Command::Switch { slot: Slot::Green },
    ];
    commands.extend(Stage::ALL.iter().map(|stage| Command::PauseAt { stage: *stage }));
    let mut pokes: Vec<Poke> = Vec::new();
    for command in commands {
        pokes.push((
            format!("{command:?}"),
            Box::new(move |world| {
                world.command("ada", command.clone());
                // Twice is as good as once.
                let once = world.state.clone();
                let reply = world.command("ada", command.clone());
                assert!(reply != Reply::Taken || command == Command::Retry || world.state.stage() != once.stage());
            }),
        ));
    }
    for fate in [Fate::Honest, Fate::Twice, Fate::Fails, Fate::Lost, Fate::AnswerLost, Fate::WrongDigest] {
        for n in 0..3 {
            pokes.push((format!("{fate:?} {n}"), Box::new(move |world| world.act(n, fate))));
        }
        pokes.push((format!("{fate:?} again and again"), Box::new(move |world| again_and_again(world, fate))));
    }
    pokes.push((
        "stale".into(),
        Box::new(|world| {
            for current in 100..110 {
                let open: Vec<_> = world.state.outstanding().map(|intent| intent.key).collect();
                for key in open {
                    world.answer(key, Outcome::Stale { current: Generation(current) });
                }
            }
        }),
    ));
    pokes.push(("late".into(), Box::new(|world| world.tick_after(Duration::from_hours(25)))));
    for slot in [Slot::Blue, Slot::Green] {
        pokes.push((format!("{slot} lost"), Box::new(move |world| world.lose(slot, true))));
        pokes.push((
            format!("{slot} ready, lost"),
            Box::new(move |world| {
                world.event(What::Seen { slot, health: Health::Ready });
                world.lose(slot, true);
                world.event(What::Seen { slot, health: Health::Lost("again".into()) });
            }),
        ));
        pokes.push((
            format!("{slot} lost while nobody looked"),
            Box::new(move |world| {
                world.event(What::Seen { slot, health: Health::Ready });
                world.lose(slot, false);
                world.crash(true, true);
            }),
        ));
    }
    pokes.push((
        "astray".into(),
        Box::new(|world| {
            // What is over is over: who puts routes back then is told by others.
            if world.state.is_final() {
                return;
            }
            world.edge.green = world.edge.green.map(|green| if green == 100 { 0 } else { 50 });
            world.crash(true, true);
        }),
    ));
    pokes.push((
        "another stop, promote".into(),
        Box::new(|world| {
            world.command("ada", Command::PauseAt { stage: Stage::CuttingOver });
            world.act_all();
            world.command("ada", Command::Promote);
        }),
    ));
    for (edge, runtime) in [(true, true), (true, false), (false, true), (false, false)] {
        pokes.push((format!("restart {edge} {runtime}"), Box::new(move |world| world.crash(edge, runtime))));
    }
    pokes
}

/// What the stage asks for has the same fate at every try, until the stage is another.
fn again_and_again(world: &mut World, fate: Fate) {
    let stage = world.stage();
    for _ in 0..60 {
        let news = |intent: &Intent| matches!(intent.effect, Effect::Notify(_));
        match world.flying.iter().position(|intent| !news(intent)) {
            _ if world.stage() != stage => return,
            Some(index) => world.act(index, fate),
            None if !world.flying.is_empty() => world.act_all(),
            None => {
                world.wake();
            }
        }
    }
}

/// Everything that the pokes bring about.
pub(crate) fn transitions() -> impl Iterator<Item = Transition> {
    let pokes = pokes();
    stations().into_iter().flat_map(move |station| {
        let worlds = pokes.iter().map(|(_, poke)| {
            let mut world = station.clone();
            poke(&mut world);
            if world.stage() == Stage::Queued {
                world.start();
            }
            world.act_all();
            world.help();
            world.watch.transitions
        });
        worlds.flatten().collect::<Vec<_>>()
    })
}

#[test]
fn whatever_happens_in_whatever_stage_it_comes_to_an_end() {
    for station in stations() {
        for (name, poke) in pokes() {
            let mut world = station.clone();
            poke(&mut world);
            world.quality = Quality::Good;
            world.heal(Slot::Blue);
            world.heal(Slot::Green);
            let end = world.finish();
            let green = if end == Stage::Done { Some(100) } else { Some(0) };
            assert!(
                world.edge.green == green || world.edge.green.is_none(),
                "{} {name}: {end} with {:?}",
                station.stage(),
                world.edge
            );
        }
    }
}

#[test]
fn deadline_in_every_phase() {
    for station in stations() {
        let stage = station.stage();
        let mut world = station.clone();
        world.tick_after(Duration::from_hours(25));
        let waits = stage.is_final() || matches!(stage, Stage::Queued | Stage::Stuck | Stage::Window);
        assert!(waits || world.stage() != stage, "{stage} waits for ever");
    }
}
