//! Any sequence of events, faults, crashes, duplicates and late answers.

use std::time::Duration;

use proptest::prelude::*;

use super::super::*;
use super::world::{Fate, GREEN, Quality, World, full, operator, short};

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
    (prop_oneof![3 => Just(full()), 2 => Just(short())], breach).prop_map(|(mut plan, on_breach)| {
        let seconds = Duration::from_secs;
        plan.canary.iter_mut().for_each(|step| step.window = seconds(25));
        plan.warm = Warm { window: seconds(60), guard: seconds(20), on_breach };
        plan.gate.longest = seconds(60);
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
        // With an honest world from here on it comes to an end.
        world.edge_away = false;
        world.quality = Quality::Good;
        world.heal(Slot::Blue);
        world.heal(Slot::Green);
        world.finish();
        let serves = match world.stage() {
            Stage::Done => Slot::Green,
            _ => Slot::Blue,
        };
        if let Some(green) = world.edge.green {
            prop_assert_eq!(green, if serves == Slot::Green { 100 } else { 0 });
        }
    }
}
