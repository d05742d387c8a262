//! Any sequence of events, faults, crashes, duplicates and late answers.

use std::time::Duration;

use proptest::prelude::*;

use super::super::*;
use super::plans::{quick, short};
use super::world::{Fate, GREEN, Quality, World, operator};

#[derive(Debug, Clone)]
pub(crate) enum Chance {
    Act(usize, Fate),
    ActAll,
    Help,
    Wake,
    Wait(u64),
    WallJump(i64),
    Reboot,
    Again(usize),
    LateDriver(usize),
    Crash(bool, bool),
    Lose(Slot, bool),
    Heal(Slot),
    Quality(Quality),
    EdgeAway(bool),
    Command(&'static str, Command),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        30 => Just(Fate::Honest),
        4 => Just(Fate::Twice),
        1 => Just(Fate::Fails),
        2 => Just(Fate::Lost),
        2 => Just(Fate::AnswerLost),
        1 => Just(Fate::WrongDigest),
    ]
}

fn slot() -> impl Strategy<Value = Slot> {
    prop_oneof![Just(Slot::Blue), Just(Slot::Green)]
}

fn command() -> impl Strategy<Value = Command> {
    let approve = Command::Approve { digest: Digest(GREEN.into()), comment: None };
    prop_oneof![
        8 => Just(approve),
        1 => Just(Command::Approve { digest: Digest("other".into()), comment: None }),
        1 => Just(Command::Reject { comment: Some("no".into()) }),
        1 => Just(Command::Abort),
        1 => Just(Command::Rollback),
        3 => Just(Command::Retry),
        5 => Just(Command::Promote),
        2 => slot().prop_map(|slot| Command::Switch { slot }),
        1 => Just(Command::Supersede { newer: RolloutId(8) }),
        2 => (0..Stage::ALL.len()).prop_map(|n| Command::PauseAt { stage: Stage::ALL[n] }),
    ]
}

pub(crate) fn chance() -> impl Strategy<Value = Chance> {
    let quality = prop_oneof![
        8 => Just(Quality::Good),
        1 => Just(Quality::Bad),
        1 => Just(Quality::Silent),
        1 => Just(Quality::BothBad),
        1 => Just(Quality::Gap)
    ];
    prop_oneof![
        60 => (any::<usize>(), fate()).prop_map(|(n, fate)| Chance::Act(n, fate)),
        20 => Just(Chance::ActAll),
        15 => Just(Chance::Help),
        60 => Just(Chance::Wake),
        3 => (0_u64..900_000).prop_map(Chance::Wait),
        2 => (-3_600_000_i64..3_600_000).prop_map(Chance::WallJump),
        1 => Just(Chance::Reboot),
        4 => any::<usize>().prop_map(Chance::Again),
        4 => any::<usize>().prop_map(Chance::LateDriver),
        3 => (prop::bool::weighted(0.8), prop::bool::weighted(0.8)).prop_map(|(edge, runtime)| Chance::Crash(edge, runtime)),
        1 => (slot(), any::<bool>()).prop_map(|(slot, noticed)| Chance::Lose(slot, noticed)),
        3 => slot().prop_map(Chance::Heal),
        2 => quality.prop_map(Chance::Quality),
        1 => prop::bool::weighted(0.2).prop_map(Chance::EdgeAway),
        4 => (prop_oneof![Just("ada"), Just("bob"), Just("eve")], command()).prop_map(|(by, command)| Chance::Command(by, command)),
    ]
}

impl World {
    pub(crate) fn happen(&mut self, chance: Chance) {
        match chance {
            Chance::Act(n, fate) => self.act(n, fate),
            Chance::ActAll => self.act_all(),
            Chance::Help => self.help(),
            Chance::Wake => {
                if self.flying.is_empty() {
                    self.wake();
                }
            }
            Chance::Wait(ms) => self.tick_after(Duration::from_millis(ms)),
            Chance::WallJump(ms) => self.wall_ms = self.wall_ms.saturating_add_signed(ms),
            Chance::Reboot => {
                // The edge keeps its table on disk; a lease does not outlive it.
                self.pass(LEASE);
                self.up_ms = 60_000;
                self.edge_rebooted();
                self.crash(true, true);
            }
            Chance::Again(n) => {
                if let Some((key, outcome)) = pick(&self.answers, n) {
                    assert_eq!(self.event(What::Outcome { key, outcome }), Reply::Late);
                }
            }
            Chance::LateDriver(n) => {
                if let Some(intent) = pick(&self.old, n) {
                    let outcome = self.carry_out(&intent);
                    if let Reply::Refused(refusal) = self.answer(intent.key, outcome) {
                        panic!("{refusal}");
                    }
                }
            }
            Chance::Crash(edge, runtime) => self.crash(edge, runtime),
            Chance::Lose(slot, noticed) => self.lose(slot, noticed),
            Chance::Heal(slot) => self.heal(slot),
            Chance::Quality(quality) => self.quality = quality,
            Chance::EdgeAway(away) => self.edge_away = away,
            Chance::Command(by, command) => {
                self.event(What::Command { by: operator(by), command });
            }
        }
    }
}

fn pick<T: Clone>(from: &[T], n: usize) -> Option<T> {
    from.len().checked_sub(1).map(|last| from[last - n % from.len().min(12)].clone())
}

/// Short windows, so that a case gets far in few events.
pub(crate) fn plans() -> impl Strategy<Value = Plan> {
    let breach = prop_oneof![Just(OnBreach::SwitchBack), Just(OnBreach::Ask)];
    let plan = prop_oneof![3 => Just(quick()), 2 => Just(Plan { canary: quick().canary, warm: quick().warm, gate: quick().gate, smoke_traffic: true, ..short() }), 1 => Just(Plan { canary: Vec::new(), uncounted: true, ..quick() })];
    (plan, breach).prop_map(|(mut plan, on_breach)| {
        plan.warm.on_breach = on_breach;
        plan
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_whatever_happens(
        plan in plans(),
        nothing_before in prop::bool::weighted(0.15),
        lead in 0_usize..60,
        chances in prop::collection::vec(chance(), 1..200),
    ) {
        let mut world = if nothing_before { World::empty(plan) } else { World::new(plan) };
        world.lead(lead);
        for chance in chances {
            world.happen(chance);
        }
        world.is_what_the_journal_says();
        honest_from_here_on(world)?;
    }

    /// Invariant 5: nothing that green does or does not is waited for, and no other person is.
    #[test]
    fn a_rollback_gets_everything_to_blue_without_green(
        plan in plans(),
        lead in 0_usize..60,
        chances in prop::collection::vec(chance(), 0..100),
    ) {
        let mut world = World::new(plan);
        world.lead(lead);
        for chance in chances {
            world.happen(chance);
        }
        world.edge_away = false;
        if world.state.is_final() {
            return Ok(());
        }
        let healthy = world.slots[0].as_ref().is_some_and(|blue| blue.ready);
        world.command("ada", Command::Rollback);
        for _ in 0..50 {
            let ours = |intent: &Intent| match intent.effect {
                Effect::EnsureWeights { .. } => true,
                Effect::EnsureRunning { slot, .. } | Effect::Verify { slot, .. } => slot == Slot::Blue,
                _ => false,
            };
            match world.flying.iter().position(ours) {
                Some(index) => world.act(index, Fate::Honest),
                // The try before may have been of no avail; the next one has its time.
                None if world.stage() == Stage::Returning || world.stage() == Stage::Reviving => {
                    world.wake();
                }
                None => break,
            }
        }
        prop_assert_eq!(world.edge.green, Some(0), "healthy: {}, {:?}", healthy, world.state.phase());
        prop_assert!(world.state.is_final() || world.stage() == Stage::Clearing, "{}", world.stage());
    }

    /// The lease: with nobody watching, no canary gets traffic for longer than a lease.
    #[test]
    fn without_a_control_plane_no_canary_goes_on(
        plan in plans(),
        lead in 0_usize..60,
        chances in prop::collection::vec(chance(), 0..100),
    ) {
        let mut world = World::new(plan);
        world.lead(lead);
        for chance in chances {
            world.happen(chance);
        }
        world.pass(LEASE);
        prop_assert!(matches!(world.edge.green, Some(0 | 100)), "{:?}", world.edge);
    }

    /// Invariant 8, for a stop of the journal anywhere: what is told twice or late is told in vain, and repeating what was
    /// open leads on.
    #[test]
    fn a_restart_after_any_part_of_any_journal_leads_to_an_end(
        plan in plans(),
        lead in 0_usize..60,
        chances in prop::collection::vec(chance(), 0..100),
        kept in 0.0..1.0_f64,
    ) {
        let mut world = World::new(plan);
        world.lead(lead);
        for chance in chances {
            world.happen(chance);
        }
        // The world is ahead of the journal by what was not written before the crash, at most one effect's outcome: the
        // journal is written before anything is carried out. So only the last event can be lost.
        if kept < 0.5 && world.lost_event_was_an_outcome() {
            world.lose_last_event();
        }
        world.crash(kept < 0.25, true);
        honest_from_here_on(world)?;
    }
}

fn honest_from_here_on(mut world: World) -> Result<(), TestCaseError> {
    world.edge_away = false;
    world.quality = Quality::Good;
    world.heal(Slot::Blue);
    world.heal(Slot::Green);
    let end = world.finish();
    if let Some(green) = world.edge.green {
        prop_assert_eq!(green, if end == Stage::Done { 100 } else { 0 });
    }
    Ok(())
}
