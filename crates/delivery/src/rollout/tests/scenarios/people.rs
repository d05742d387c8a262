//! What people ask for, also two at once, and when nobody is there.

use std::time::Duration;

use super::super::super::lane::{Lane, Order, Request};
use super::super::super::*;
use super::super::plans::{full, pausing};
use super::super::world::{BLUE, Fate, GREEN, Quality, World, operator, release};
use super::{at, at_with, canary};

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
fn superseded_in_the_window() {
    let supersede = Command::Supersede { newer: RolloutId(8) };
    // Green serves well: it goes on serving, and is what the newer one replaces.
    let mut world = at(Stage::Window);
    world.act_all();
    assert_eq!(world.command("eve", supersede.clone()), Reply::Taken);
    assert_eq!((world.stage(), world.edge.green), (Stage::Decommissioning, Some(100)));
    world.act_all();
    assert_eq!((world.stage(), &world.state.live().unwrap().digest.0), (Stage::Done, &GREEN.to_owned()));
    // Switched back, by hand or under way, it goes back.
    for acknowledged in [true, false] {
        let mut world = at(Stage::Window);
        world.act_all();
        world.command("ada", Command::Switch { slot: Slot::Blue });
        if acknowledged {
            world.act_all();
        } else {
            world.command("ada", Command::Switch { slot: Slot::Green });
        }
        world.command("eve", supersede.clone());
        assert_eq!(world.finish(), Stage::Superseded);
        assert_eq!(world.edge.green, Some(0));
    }
    // So does one about which a person was asked.
    let mut plan = full();
    plan.warm.on_breach = OnBreach::Ask;
    let mut world = World::new(plan);
    world.start();
    world.run_to(Stage::Window);
    world.quality = Quality::Bad;
    while world.state.waits_for().is_none() {
        world.act_all();
        world.wake();
    }
    world.command("eve", supersede);
    assert_eq!(world.finish(), Stage::Superseded);
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
fn who_pushed_it_is_no_second_person() {
    let mut plan = full();
    plan.started_by = operator("push");
    plan.behind = vec!["Bob Roberts".into(), "Bob@example.org".into()];
    let approve = || Command::Approve { digest: Digest(GREEN.into()), comment: None };
    let mut world = at_with(plan.clone(), Stage::AwaitingApproval);
    assert!(matches!(world.command("bob", approve()), Reply::Refused(Refusal::OwnRollout { .. })));
    assert_eq!(world.command("ada", approve()), Reply::Taken);
    plan.approval.as_mut().unwrap().starter_may_approve = true;
    let mut world = at_with(plan, Stage::AwaitingApproval);
    assert_eq!(world.command("bob", approve()), Reply::Taken);
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
    let early = world.command("ada", Command::Promote);
    assert!(matches!(early, Reply::Refused(Refusal::NotHere { .. })), "green may still have traffic: {early:?}");
    world.act_all();
    assert_eq!(world.edge.green, Some(0), "nobody judges, so nobody is sent there");
    assert!(matches!(world.command("ada", pause(Stage::Checking)), Reply::Refused(Refusal::NoPause { .. })));
    assert_eq!(world.command("ada", Command::Promote), Reply::Taken);
    assert_eq!(world.stage(), Stage::CuttingOver);
    assert_eq!(world.finish(), Stage::Done);
}
