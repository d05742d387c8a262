//! How many steps a second the reducer makes, and how long the journals of a year take to replay.
//!
//! `cargo run --release -p mana-delivery --example steps`

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use mana_delivery::gate::{Counts, Reading, judge};
use mana_delivery::rollout::{
    Approval, Command, Digest, Effect, Event, Generation, Intent, Operator, Outcome, Plan, Release, RolloutId, Stage,
    State, Time, What,
};

/// Rollouts in a year of a busy team: twelve services, five a week each.
const YEAR: u64 = 12 * 5 * 52;

fn main() {
    let plan = plan();
    let journal = journal(&plan);
    let started = Instant::now();
    let mut steps = 0_u64;
    let mut effects = 0_u64;
    for id in 0..YEAR {
        let mut state = State::new(RolloutId(id), plan.clone());
        for event in renumbered(&journal, id) {
            effects += state.step(event).effects.len() as u64;
            steps += 1;
        }
        assert_eq!(state.stage(), Stage::Done);
    }
    let took = started.elapsed();
    println!("{YEAR} rollouts of {} events each, {effects} effects: {:.2} s", journal.len(), took.as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = steps as f64 / took.as_secs_f64();
    let looks = readings(&journal).count() as u64 * YEAR;
    println!("{rate:.0} steps/s (copies of the events and {looks} verdicts of the gate included)");
    println!("the verdicts alone: {:.2} s", judging(&plan, &journal).as_secs_f64());
}

fn readings(journal: &[Event]) -> impl Iterator<Item = &Reading> {
    journal.iter().filter_map(|event| match &event.what {
        What::Outcome { outcome: Outcome::Measured { reading, .. }, .. } => Some(reading),
        _ => None,
    })
}

/// What of it the gate takes.
fn judging(plan: &Plan, journal: &[Event]) -> Duration {
    let started = Instant::now();
    for _ in 0..YEAR {
        for reading in readings(journal) {
            std::hint::black_box(judge(&plan.gate, std::hint::black_box(reading)));
        }
    }
    started.elapsed()
}

fn plan() -> Plan {
    let mut plan = Plan::new("v2", Digest("9f86d081884c7d65".into()), Operator("bob".into()));
    plan.checks = vec!["lint".into(), "types".into(), "tests".into()];
    plan.stages = BTreeSet::from([Stage::Scanning, Stage::Staging, Stage::Smoking, Stage::Migrating]);
    plan.approval = Some(Approval::default());
    plan
}

/// Whose keys are those of another rollout.
fn renumbered(journal: &[Event], id: u64) -> impl Iterator<Item = Event> {
    journal.iter().cloned().map(move |mut event| {
        if let What::Outcome { key, .. } = &mut event.what {
            key.rollout = RolloutId(id);
        }
        event
    })
}

/// A good rollout, every event of it.
fn journal(plan: &Plan) -> Vec<Event> {
    let mut up_ms = 0;
    let mut journal = Vec::new();
    let mut state = State::new(RolloutId(0), plan.clone());
    let digest = |digest: &str| Digest(digest.into());
    let blue = Some(Release { version: "v1".into(), digest: digest("60303ae22b998861") });
    let mut events = vec![What::Start { blue, generation: Generation(1) }];
    while state.stage() != Stage::Done {
        if events.is_empty() && state.stage() == Stage::AwaitingApproval {
            let command = Command::Approve { digest: digest("9f86d081884c7d65"), comment: None };
            events.push(What::Command { by: Operator("ada".into()), command });
        } else if events.is_empty() {
            up_ms += state.next_wake().map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(0));
            events.push(What::Tick);
        }
        for what in std::mem::take(&mut events) {
            let event = Event { at: Time { up_ms, wall_ms: up_ms }, what };
            journal.push(event.clone());
            let elapsed = Duration::from_millis(up_ms);
            events.extend(state.step(event).effects.iter().map(|intent| outcome(intent, elapsed)));
        }
    }
    journal
}

/// Everything goes well.
fn outcome(intent: &Intent, elapsed: Duration) -> What {
    let counts = Counts { requests: 6_000, errors: 1, timed: 5_000, slow: 10 };
    let outcome = match &intent.effect {
        Effect::Scan { digest } | Effect::Smoke { digest } | Effect::Verify { digest, .. } => {
            Outcome::Passed { digest: digest.clone() }
        }
        Effect::DeployStaging { release } | Effect::EnsureRunning { release, .. } => {
            Outcome::Passed { digest: release.digest.clone() }
        }
        Effect::Measure { window, .. } => Outcome::Measured {
            reading: Reading { elapsed, window: *window, green: counts, blue: Some(counts), complete: true },
            series: Vec::new(),
        },
        _ => Outcome::Done,
    };
    What::Outcome { key: intent.key, outcome }
}
