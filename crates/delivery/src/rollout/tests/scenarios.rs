//! The scenarios, by name, as far as they concern the reducer. `deadline_in_every_phase` is with the stations.

use std::time::Duration;

use super::super::lane::{Lane, Order, Request};
use super::super::*;
use super::world::{BLUE, Fate, GREEN, Quality, World, full, operator, pausing, quick, release, short, stages};
use crate::gate::{Counts, Reading};

fn at(stage: Stage) -> World {
    at_with(full(), stage)
}

fn at_with(plan: Plan, stage: Stage) -> World {
    let mut world = World::new(plan);
    world.start();
    world.run_to(stage);
    world
}

/// In the canary, its window open.
fn canary() -> World {
    let mut world = at(Stage::Canary);
    world.act_all();
    world
}

fn last_news(world: &World) -> &News {
    world.news.last().expect("somebody was told")
}

/// Effects that were carried out, in order, without news, measurements and renewals.
fn done_in(world: &World, stage: Stage) -> Vec<EffectKind> {
    let boring = [EffectKind::Notify, EffectKind::Measure, EffectKind::RenewLease];
    let here = world.carried_out.iter().filter(|intent| intent.key.stage == stage);
    here.map(|intent| intent.effect.kind()).filter(|kind| !boring.contains(kind)).collect()
}

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
fn silence_is_not_success() {
    let mut world = canary();
    world.quality = Quality::Silent;
    world.run_to(Stage::Held);
    world.act_all();
    assert_eq!(world.edge.green, Some(0));
    assert_eq!(last_news(&world).what, Headline::Held(Stage::Canary));
    assert!(world.state.clock().now().since(Elapsed(0)) >= Duration::from_mins(30), "it was not extended");
    assert_eq!(world.state.waits_for(), Some([operator("ada")].as_slice()));
    world.run_to(Stage::RolledBack);
}

#[test]
fn a_gap_in_the_samples_is_no_pass() {
    let mut world = canary();
    world.quality = Quality::Gap;
    world.run_to(Stage::Held);
    assert!(!stages(&world).contains(&Stage::CuttingOver));
}

#[test]
fn all_measurements_error() {
    for outcome in [Outcome::Failed { reason: "no".into() }, Outcome::Unknown { reason: "away".into() }] {
        let mut world = canary();
        while world.stage() == Stage::Canary {
            match world.flying.iter().position(|intent| intent.effect.kind() == EffectKind::Measure) {
                Some(index) => {
                    let key = world.flying[index].key;
                    world.answer(key, outcome.clone());
                }
                None if world.flying.is_empty() => assert!(world.wake()),
                None => world.act(0, Fate::Honest),
            }
        }
        world.act_all();
        assert_eq!((world.stage(), world.edge.green), (Stage::Held, Some(0)));
    }
}

#[test]
fn one_error_in_three() {
    let mut world = canary();
    let few = |elapsed| {
        let counts = |errors, requests| Counts { requests, errors, timed: requests, slow: 0 };
        let window = Duration::from_mins(10);
        Reading { elapsed, window, green: counts(1, 3), blue: Some(counts(0, 30)), complete: true }
    };
    while world.stage() == Stage::Canary {
        let measure = world.flying.iter().find(|intent| intent.effect.kind() == EffectKind::Measure);
        match measure.map(|intent| intent.key) {
            Some(key) => {
                let reading = few(world.state.clock().now().since(Elapsed(0)));
                world.answer(key, Outcome::Measured { reading });
            }
            None if world.flying.is_empty() => assert!(world.wake()),
            None => world.act(0, Fate::Honest),
        }
    }
    assert_eq!(world.stage(), Stage::Held, "neither passed nor failed");
}

#[test]
fn shared_outage() {
    let mut world = canary();
    world.quality = Quality::BothBad;
    world.run_to(Stage::Held);
    world.act_all();
    assert_eq!(world.edge.green, Some(0));
    let news = last_news(&world);
    assert!(news.why.as_ref().unwrap().contains("not green's fault"), "{news:?}");
    assert!(news.figures.is_some());
}

#[test]
fn a_failed_gate_gives_blue_everything_then_stops_green_then_tells_with_figures() {
    let mut world = canary();
    world.quality = Quality::Bad;
    let before = world.carried_out.len();
    world.run_to(Stage::RolledBack);
    world.act_all();
    let boring = [EffectKind::Measure, EffectKind::RenewLease];
    let order = world.carried_out[before..].iter().map(|intent| intent.effect.kind());
    let order: Vec<_> = order.filter(|kind| !boring.contains(kind)).collect();
    assert_eq!(order, [EffectKind::EnsureWeights, EffectKind::EnsureStopped, EffectKind::Notify]);
    let news = last_news(&world);
    let figures = news.figures.as_ref().unwrap();
    assert_eq!((news.what, figures.reading.green.errors), (Headline::RolledBack, 5_000));
    assert!(figures.judgement.findings.iter().any(|finding| !finding.met));
}

#[test]
fn abort_wins() {
    // Green never gets ready: nothing waits for it.
    let mut world = at(Stage::GreenStarting);
    world.flying.clear();
    assert_eq!(world.command("bob", Command::Abort), Reply::Taken);
    world.act_all();
    assert_eq!((world.stage(), &world.slots[1]), (Stage::Aborted, &None));
    // In one batch with a promotion, in whatever order.
    let mut world = World::new(pausing(Stage::CuttingOver));
    world.start();
    world.run_to(Stage::Held);
    world.act_all();
    let at = Time { up_ms: world.up_ms, wall_ms: world.wall_ms };
    let command = |command| Event { at, what: What::Command { by: operator("ada"), command } };
    for event in in_order(vec![command(Command::Promote), command(Command::Rollback)]) {
        world.event(event.what);
    }
    assert_eq!(world.stage(), Stage::Returning);
    // While the weights of a canary are on their way.
    let mut world = at_with(full(), Stage::Canary);
    let late = world.flying.clone();
    world.command("ada", Command::Abort);
    world.act_all();
    for intent in &late {
        world.carry_out(intent);
    }
    assert_eq!((world.stage(), world.edge.green), (Stage::RolledBack, Some(0)));
}

#[test]
fn abort_twice_and_when_idle() {
    let mut world = canary();
    assert_eq!(world.command("ada", Command::Abort), Reply::Taken);
    assert_eq!(world.command("bob", Command::Abort), Reply::Already);
    assert_eq!(world.command("bob", Command::Rollback), Reply::Already);
    world.act_all();
    assert_eq!(world.stage(), Stage::RolledBack);
    assert_eq!(world.command("ada", Command::Abort), Reply::Already);
    let mut world = at(Stage::Done);
    let Reply::Refused(refusal) = world.command("ada", Command::Abort) else { panic!("it is over") };
    assert_eq!(
        refusal.to_string(),
        "rollout 7 is over (done), so there is nothing to abort: `mana deploy` starts a new one"
    );
}

#[test]
fn affinity_cleared_on_abort() {
    let mut world = canary();
    world.command("ada", Command::Abort);
    let weights = world.flying.iter().find_map(|intent| match intent.effect {
        Effect::EnsureWeights { blue, green, lease, .. } => Some((blue, green, lease)),
        _ => None,
    });
    // A slot without weight takes nobody, whatever cookie they have: that is what the effect means.
    assert_eq!(weights, Some((Percent::ALL, Percent::NONE, None)));
}

#[test]
fn retry_starts_fresh() {
    let mut world = at(Stage::Smoking);
    let smoke = world.flying.last().unwrap().key;
    world.command("ada", Command::Abort);
    assert_eq!(world.command("ada", Command::Retry), Reply::Taken);
    assert_eq!((world.state.attempt(), world.stage()), (2, Stage::Checking));
    assert_eq!(world.state.evidence(), &Evidence::default());
    let late = world.answer(smoke, Outcome::Passed { digest: Digest(GREEN.into()) });
    assert_eq!(late, Reply::Late);
    world.run_to(Stage::AwaitingApproval);
    assert_eq!(world.finish(), Stage::Done);
}

#[test]
fn rollback_under_load() {
    let mut world = at(Stage::Window);
    world.act_all();
    assert_eq!(world.command("ada", Command::Rollback), Reply::Taken);
    assert_eq!(world.flying.len(), 1, "one change of weights and nothing else");
    world.act(0, Fate::Honest);
    assert_eq!(world.edge.green, Some(0));
    let drains = |intent: &Intent| matches!(intent.effect, Effect::EnsureStopped { slot: Slot::Green, drain } if !drain.is_zero());
    assert!(world.flying.iter().any(drains), "what green was doing may end");
    world.act_all();
    assert_eq!(world.stage(), Stage::RolledBack);
}

#[test]
fn no_rollback_onto_a_corpse() {
    for (by, stage) in [("window", Stage::Window), ("canary", Stage::Canary), ("done", Stage::Done)] {
        let mut world = at(stage);
        world.act_all();
        world.lose(Slot::Blue, true);
        let before = world.edge.green;
        world.command("ada", Command::Rollback);
        assert_eq!(world.stage(), Stage::Reviving, "{by}");
        assert_eq!(world.edge.green, before, "nothing moves yet");
        assert!(world.flying.iter().any(|intent| matches!(&intent.effect, Effect::Notify(news) if news.what.pages())));
        world.act_all();
        assert_eq!((world.stage(), world.edge.green), (Stage::RolledBack, Some(0)), "{by}");
        assert_eq!(done_in(&world, Stage::Reviving), [EffectKind::EnsureRunning, EffectKind::Verify], "{by}");
        assert_eq!(world.slots[0].as_ref().unwrap().digest, Digest(BLUE.into()));
    }
}

#[test]
fn a_rollback_after_the_end_that_cannot_be_made_leaves_green_serving() {
    let mut world = at(Stage::Done);
    world.act_all();
    world.command("ada", Command::Rollback);
    world.act(0, Fate::Fails);
    world.act_all();
    assert_eq!((world.stage(), world.edge.green), (Stage::Done, Some(100)));
    assert_eq!(last_news(&world).what, Headline::RollbackImpossible);
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
fn superseded_mid_canary() {
    let mut lane = Lane::new(Some(release(BLUE)), Generation(3));
    let begin = |id, supersede| Request::Begin { id: RolloutId(id), supersede };
    lane.step(begin(7, false)).unwrap();
    let mut old = canary();
    let orders = lane.step(begin(8, true)).unwrap();
    assert_eq!(orders, [Order::Supersede { id: RolloutId(7), newer: RolloutId(8) }]);
    for order in orders {
        old.event(order.event(operator("eve")));
    }
    old.act(0, Fate::Honest);
    assert_eq!(old.edge.green, Some(0), "the old canary is at 0 % first");
    old.act_all();
    assert_eq!(old.stage(), Stage::Superseded);
    let generation = old.state.traffic().generation;
    let over = Request::Over { id: RolloutId(7), live: old.state.live().cloned(), generation };
    let orders = lane.step(over).unwrap();
    assert_eq!(orders, [Order::Start { id: RolloutId(8), blue: Some(release(BLUE)), generation }]);
    let mut new = World::new(full());
    new.event(orders[0].clone().event(operator("eve")));
    new.run_to(Stage::AwaitingApproval);
    assert_eq!(new.state.evidence().approved, None, "the approval of the old one does not count");
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
fn rolled_back_and_forth_in_the_window() {
    let mut world = at(Stage::Window);
    world.act_all();
    for slot in [Slot::Blue, Slot::Green, Slot::Blue, Slot::Green] {
        world.tick_after(Duration::from_mins(7));
        world.act_all();
        assert_eq!(world.command("ada", Command::Switch { slot }), Reply::Taken);
        assert_eq!(world.command("bob", Command::Switch { slot }), Reply::Already);
        assert_eq!(world.flying.len(), 1, "one change of weights");
        world.act_all();
        assert_eq!(world.edge.green, Some(if slot == Slot::Green { 100 } else { 0 }));
        assert!(world.slots.iter().all(|slot| slot.as_ref().is_some_and(|instance| instance.ready)), "both stay warm");
    }
    let since = world.state.clock().now();
    assert_eq!(world.finish(), Stage::Done);
    assert!(
        world.state.clock().now().since(since) >= Duration::from_hours(1),
        "a window of its own after the last switch"
    );
}

#[test]
fn a_window_that_ends_on_blue_ends_rolled_back() {
    let mut world = at(Stage::Window);
    world.command("ada", Command::Switch { slot: Slot::Blue });
    assert_eq!(world.finish(), Stage::RolledBack);
    assert_eq!(world.slots[1], None);
}

#[test]
fn a_breach_in_the_window_switches_back_by_itself_or_asks() {
    for (on_breach, stage, green) in [(OnBreach::SwitchBack, Stage::RolledBack, 0), (OnBreach::Ask, Stage::Window, 100)]
    {
        let mut plan = full();
        plan.warm.on_breach = on_breach;
        let mut world = at_with(plan, Stage::Window);
        world.quality = Quality::Bad;
        for _ in 0..10 {
            world.act_all();
            world.wake();
        }
        assert_eq!((world.stage(), world.edge.green), (stage, Some(green)));
        assert!(last_news(&world).figures.is_some());
        if stage == Stage::Window {
            assert!(world.state.waits_for().is_some());
            assert_eq!(world.command("ada", Command::Rollback), Reply::Taken);
        }
    }
}

#[test]
fn blue_stays_until_a_window_has_passed_the_gate() {
    let mut world = at(Stage::Window);
    world.quality = Quality::Silent;
    for _ in 0..2_000 {
        world.act_all();
        world.wake();
    }
    assert_eq!(world.stage(), Stage::Window);
    assert!(world.slots[0].is_some());
    assert_eq!(last_news(&world).what, Headline::Asking);
    world.quality = Quality::Good;
    assert_eq!(world.finish(), Stage::Done);
}

#[test]
fn a_lost_green_fails_without_waiting_for_traffic() {
    for stage in [Stage::Migrating, Stage::Verifying, Stage::Canary, Stage::CuttingOver, Stage::Window] {
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
fn two_operators_at_once() {
    let digest = || Digest(GREEN.into());
    let approve = || Command::Approve { digest: digest(), comment: None };
    let mut world = at(Stage::AwaitingApproval);
    assert!(matches!(world.command("eve", approve()), Reply::Refused(Refusal::NoApprover { .. })));
    assert!(matches!(world.command("bob", approve()), Reply::Refused(Refusal::OwnRollout { .. })));
    let other = Command::Approve { digest: Digest("other".into()), comment: None };
    assert!(matches!(world.command("ada", other), Reply::Refused(Refusal::OtherDigest { .. })));
    assert_eq!(world.command("ada", approve()), Reply::Taken);
    assert_eq!(world.command("ada", approve()), Reply::Already);
    assert!(matches!(world.command("ada", Command::Reject { comment: None }), Reply::Refused(Refusal::NotHere { .. })));
    // One promotes, one aborts: whoever comes first, it ends.
    for order in [[Command::Promote, Command::Abort], [Command::Abort, Command::Promote]] {
        let mut world = World::new(pausing(Stage::Migrating));
        world.start();
        world.run_to(Stage::Held);
        world.act_all();
        for (by, command) in ["ada", "bob"].into_iter().zip(order) {
            world.command(by, command);
        }
        world.act_all();
        assert_eq!(world.stage(), Stage::Aborted);
    }
}

#[test]
fn approver_offline_past_expiry() {
    let mut world = at(Stage::AwaitingApproval);
    world.act_all();
    assert_eq!(world.state.next_wake(), Some(Duration::from_hours(24)));
    world.tick_after(Duration::from_hours(23));
    assert_eq!(world.stage(), Stage::AwaitingApproval);
    world.tick_after(Duration::from_hours(1));
    assert_eq!(world.stage(), Stage::Aborted);
    let late = Command::Approve { digest: Digest(GREEN.into()), comment: None };
    assert!(matches!(world.command("ada", late), Reply::Refused(_)));
}

#[test]
fn it_pauses_where_it_is_told_to_and_goes_on_when_promoted() {
    let mut world = World::new(full());
    let pause = |stage| Command::PauseAt { stage };
    assert_eq!(world.command("ada", pause(Stage::CuttingOver)), Reply::Taken);
    assert_eq!(world.command("ada", pause(Stage::CuttingOver)), Reply::Already);
    assert!(matches!(world.command("ada", pause(Stage::Done)), Reply::Refused(Refusal::NoPause { .. })));
    world.start();
    world.run_to(Stage::Held);
    world.act_all();
    assert_eq!(world.edge.green, Some(0), "nobody judges, so nobody is sent there");
    assert!(matches!(world.command("ada", pause(Stage::Checking)), Reply::Refused(Refusal::NoPause { .. })));
    assert_eq!(world.command("ada", Command::Promote), Reply::Taken);
    assert_eq!(world.stage(), Stage::CuttingOver);
    assert_eq!(world.finish(), Stage::Done);
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
