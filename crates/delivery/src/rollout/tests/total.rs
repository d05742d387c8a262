//! Nothing that can be written down as an event, in whatever state and with whatever plan, makes a step panic or a refusal
//! change something.

use std::{collections::BTreeSet, time::Duration};

use proptest::{collection::vec, prelude::*};

use super::super::*;
use super::world::{operator, release};
use crate::gate::{Counts, Policy, Reading};

fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(Duration::ZERO), Just(Duration::MAX), (0_u64..10_000).prop_map(Duration::from_secs)]
}

fn stage() -> impl Strategy<Value = Stage> {
    (0..Stage::ALL.len()).prop_map(|n| Stage::ALL[n])
}

fn percent() -> impl Strategy<Value = Percent> {
    (0_u8..=100).prop_map(|share| Percent::try_from(share).unwrap())
}

/// Plans that [`Plan::check`] would refuse, among others.
fn plan() -> impl Strategy<Value = Plan> {
    let steps = vec((percent(), span()).prop_map(|(share, window)| CanaryStep { share, window }), 0..3);
    let deadlines = prop::collection::btree_map(stage(), span(), 0..4);
    let stages = prop::collection::btree_set(stage(), 0..6);
    let pauses = prop::collection::btree_set(stage(), 0..2);
    (steps, deadlines, stages, pauses, any::<bool>(), (span(), span(), span())).prop_map(
        |(canary, deadlines, stages, pause_at, known, (window, guard, longest))| {
            let mut plan = Plan::new("v2", Digest("g1".into()), operator("bob"));
            plan.digest = plan.digest.filter(|_| known);
            plan.approval = stages.contains(&Stage::AwaitingApproval).then(Approval::default);
            plan.warm = Warm { window, guard, on_breach: OnBreach::Ask };
            plan.gate = Policy { longest, ..Policy::default() };
            plan.drain = window;
            Plan { stages, canary, deadlines, pause_at, ..plan }
        },
    )
}

fn counts() -> impl Strategy<Value = Counts> {
    let figure = || prop_oneof![Just(0), Just(u64::MAX), 0_u64..1_000];
    (figure(), figure(), figure(), figure()).prop_map(|(requests, errors, timed, slow)| Counts {
        requests,
        errors,
        timed,
        slow,
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let digest = || prop_oneof![Just("g1"), Just("b1"), Just("")].prop_map(|digest| Digest(digest.into()));
    let reading =
        (span(), counts(), prop::option::of(counts()), any::<bool>()).prop_map(|(elapsed, green, blue, complete)| {
            Reading { elapsed, window: Duration::ZERO, green, blue, complete }
        });
    prop_oneof![
        8 => Just(Outcome::Done),
        2 => digest().prop_map(|digest| Outcome::Built { digest }),
        8 => digest().prop_map(|digest| Outcome::Passed { digest }),
        2 => reading.prop_map(|reading| Outcome::Measured { reading, series: Vec::new() }),
        1 => Just(Outcome::Failed { reason: String::new() }),
        1 => Just(Outcome::Unknown { reason: String::new() }),
        1 => any::<u64>().prop_map(|current| Outcome::Stale { current: Generation(current) }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(Command::Approve { digest: Digest("g1".into()), comment: None }),
        Just(Command::Reject { comment: None }),
        stage().prop_map(|stage| Command::PauseAt { stage }),
        Just(Command::Promote),
        Just(Command::Abort),
        Just(Command::Retry),
        Just(Command::Rollback),
        Just(Command::Switch { slot: Slot::Blue }),
        Just(Command::Switch { slot: Slot::Green }),
        Just(Command::Supersede { newer: RolloutId(0) }),
    ]
}

/// What happens, and to which of the open effects where it is an outcome.
fn what() -> impl Strategy<Value = (What, usize)> {
    let health = || prop_oneof![Just(Health::Ready), Just(Health::Lost(String::new())), Just(Health::Unknown)];
    let facts = (any::<u64>(), percent(), health(), health()).prop_map(|(generation, green, blue, green_health)| {
        Facts { traffic: Some(TrafficFacts { generation: Generation(generation), green }), blue, green: green_health }
    });
    let key = Key { rollout: RolloutId(7), stage: Stage::Queued, attempt: 1, n: 1 };
    let slot = prop_oneof![Just(Slot::Blue), Just(Slot::Green)];
    let what = prop_oneof![
        2 => prop::option::of(Just(release("b1"))).prop_map(|blue| What::Start { blue, generation: Generation(u64::MAX) }),
        6 => Just(What::Tick),
        20 => outcome().prop_map(move |outcome| What::Outcome { key, outcome }),
        3 => command().prop_map(|command| What::Command { by: operator("ada"), command }),
        1 => (slot, health()).prop_map(|(slot, health)| What::Seen { slot, health }),
        1 => facts.prop_map(|facts| What::Restarted { facts }),
    ];
    (what, any::<usize>())
}

fn time() -> impl Strategy<Value = Time> {
    let ms = || prop_oneof![8 => 0_u64..10_000_000, 1 => Just(u64::MAX), 1 => Just(0)];
    (ms(), ms()).prop_map(|(up_ms, wall_ms)| Time { up_ms, wall_ms })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn step_is_total(plan in plan(), events in vec((time(), what()), 0..80)) {
        let mut state = State::new(RolloutId(7), plan.clone());
        let mut journal = Vec::new();
        let mut keys = BTreeSet::new();
        for (at, (mut what, n)) in events {
            let open: Vec<_> = state.outstanding().map(|intent| intent.key).collect();
            if let What::Outcome { key, .. } = &mut what && !open.is_empty() {
                *key = open[n % open.len()];
            }
            let before = state.clone();
            let event = Event { at, what };
            let step = state.step(event.clone());
            if step.reply == Reply::Taken {
                journal.push(event.clone());
            } else {
                prop_assert_eq!(&before, &state);
                prop_assert!(step.effects.is_empty());
            }
            for intent in &step.effects {
                let again = before.open.iter().any(|open| open.key == intent.key);
                prop_assert!(keys.insert(intent.key.n) || again, "key {} was used before", intent.key);
                prop_assert!(state.open.iter().any(|open| open.intent() == *intent), "nobody waits for {}", intent.key);
            }
            let waits = !state.open.is_empty() || state.next_wake().is_some() || state.waits_for().is_some();
            prop_assert!(state.is_final() || state.stage() == Stage::Queued || waits, "{:?} after {event:?}", state.phase());
        }
        prop_assert_eq!(State::fold(RolloutId(7), plan, journal), state);
    }
}
