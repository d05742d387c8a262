//! After the cutover: back, forth, and what ends it.

use std::time::Duration;

use super::super::super::*;
use super::super::plans::full;
use super::super::world::{BLUE, Fate, Quality};
use super::{at, at_with, done_in, last_news};

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
    let mut looks = 0;
    while world.state.waits_for().is_none() || looks < 20 {
        looks += u32::from(world.state.waits_for().is_some());
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
fn a_question_that_nobody_answers_is_looked_at_seldom_and_ends_on_blue() {
    let mut world = at(Stage::Window);
    world.quality = Quality::Silent;
    while world.state.waits_for().is_none() {
        world.act_all();
        world.wake();
    }
    let (asked, entries) = (world.state.clock().now(), world.journal.len());
    while world.stage() == Stage::Window {
        world.act_all();
        world.wake();
    }
    assert_eq!(world.state.clock().now().since(asked), Duration::from_hours(24));
    let entries = world.journal.len() - entries;
    assert!(entries < 400, "{entries} entries for a question");
    assert_eq!((world.finish(), world.edge.green), (Stage::RolledBack, Some(0)));
    assert!(world.state.retreat().unwrap().why.contains("nobody decided"));
}

#[test]
fn what_is_not_counted_is_gone_back_on_by_hand_or_when_it_is_lost_and_needs_no_gate_to_end() {
    let uncounted = || Plan { canary: Vec::new(), uncounted: true, ..full() };
    let mut world = at_with(uncounted(), Stage::Window);
    world.quality = Quality::Silent;
    assert_eq!(world.finish(), Stage::Done);
    assert_eq!(world.slots[0], None);
    assert!(world.state.looks().is_empty(), "nothing was measured");

    let mut world = at_with(uncounted(), Stage::Window);
    assert_eq!(world.command("ada", Command::Rollback), Reply::Taken);
    assert_eq!((world.finish(), world.edge.green), (Stage::RolledBack, Some(0)));

    let mut world = at_with(uncounted(), Stage::Window);
    world.lose(Slot::Green, true);
    assert_eq!((world.finish(), world.edge.green), (Stage::RolledBack, Some(0)));
}
