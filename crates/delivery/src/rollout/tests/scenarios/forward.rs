//! Forward: what is needed to get on, and what stops it.

use std::time::Duration;

use super::super::super::*;
use super::super::plans::{full, quick, short};
use super::super::world::{Fate, GREEN, Quality, World, stages};
use super::{at, done_in, last_news};

#[test]
fn a_good_release_goes_all_the_way() {
    let mut world = World::new(full());
    world.start();
    assert_eq!(world.finish(), Stage::Done);
    let way: Vec<_> = Stage::ALL.iter().copied().filter(|stage| *stage <= Stage::Done).collect();
    assert_eq!(stages(&world), way);
    assert_eq!((world.edge.green, &world.slots[0]), (Some(100), &None));
    assert_eq!(world.state.live().unwrap().digest, Digest(GREEN.into()));
    assert_eq!(last_news(&world).what, Headline::Done);
}

#[test]
fn a_first_release_has_nothing_to_compare_with_and_nothing_to_go_back_to() {
    let mut world = World::empty(short());
    world.start();
    assert_eq!(world.finish(), Stage::Done);
    assert_eq!(
        stages(&world),
        [Stage::Queued, Stage::GreenStarting, Stage::Verifying, Stage::CuttingOver, Stage::Done]
    );
    assert_eq!(world.command("ada", Command::Rollback), Reply::Refused(Refusal::NothingBefore));
}

#[test]
fn an_error_at_every_effect_in_turn_never_ends_with_green_in_traffic_unjudged() {
    let plan = quick();
    for fate in [Fate::Fails, Fate::Lost, Fate::AnswerLost, Fate::WrongDigest] {
        for n in 0.. {
            let mut world = World::new(plan.clone());
            world.start();
            let mut acted = 0;
            while !world.state.is_final() && world.stage() != Stage::Stuck {
                world.help();
                if world.flying.is_empty() {
                    assert!(world.wake());
                    continue;
                }
                world.act(0, if acted == n { fate } else { Fate::Honest });
                acted += 1;
            }
            let end = world.stage();
            assert!(
                matches!(end, Stage::Done | Stage::Aborted | Stage::RolledBack | Stage::Stuck),
                "{end} after {fate:?} at {n}"
            );
            assert_eq!(world.edge.green, Some(if matches!(end, Stage::Done | Stage::Stuck) { 100 } else { 0 }));
            if acted <= n {
                break;
            }
        }
    }
}

#[test]
fn migration_breaks_blue() {
    let mut world = World::new(full());
    world.migration_breaks_blue = true;
    world.start();
    world.run_to(Stage::Aborted);
    assert!(!stages(&world).contains(&Stage::Canary));
    assert!(done_in(&world, Stage::Canary).is_empty());
    let why = &world.state.retreat().unwrap().why;
    assert!(why.contains("the running version does not work any more on the new schema"), "{why}");
}

#[test]
fn uneven_steps_reach_100() {
    let mut plan = full();
    plan.canary = [1, 7, 50, 99]
        .map(|share| CanaryStep { share: Percent::try_from(share).unwrap(), window: Duration::from_mins(1) })
        .to_vec();
    assert_eq!(plan.check(), Ok(()));
    let mut world = World::new(plan);
    world.start();
    assert_eq!(world.finish(), Stage::Done);
    let shares: Vec<_> = world
        .carried_out
        .iter()
        .filter_map(|intent| match intent.effect {
            Effect::EnsureWeights { green, .. } => Some(green.get()),
            _ => None,
        })
        .collect();
    assert_eq!(shares, [1, 7, 50, 99, 100]);
}

#[test]
fn a_lost_green_fails_without_waiting_for_traffic() {
    for stage in [Stage::Verifying, Stage::Canary, Stage::CuttingOver, Stage::Window] {
        let mut world = at(stage);
        world.quality = Quality::Silent;
        world.lose(Slot::Green, true);
        let ending = if stage < Stage::Canary { Stage::Aborted } else { Stage::RolledBack };
        assert_eq!(world.stage(), if stage < Stage::Canary { Stage::Clearing } else { Stage::Returning }, "{stage}");
        world.act_all();
        if stage != Stage::Verifying && stage < Stage::CuttingOver {
            assert_eq!(world.stage(), ending, "{stage}");
        }
    }
}

#[test]
fn nothing_gets_traffic_whose_evidence_is_for_something_else() {
    type Forget = fn(&mut Evidence);
    let forgets: [(&str, Forget); 4] = [
        ("scan", |evidence| evidence.scanned = None),
        ("staging", |evidence| evidence.staged = Some(Digest("other".into()))),
        ("smoke test", |evidence| evidence.smoked = None),
        ("approval", |evidence| evidence.approved = None),
    ];
    for (what, forget) in forgets {
        let mut world = at(Stage::Verifying);
        forget(&mut world.state.evidence);
        world.act_all();
        assert_eq!((world.stage(), world.edge.green), (Stage::Aborted, Some(0)));
        assert_eq!(world.state.retreat().unwrap().why, format!("there is no {what} for {GREEN}"));
    }
}
