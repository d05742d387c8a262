//! The stages of a rollout as people see them: those that were, the present one, those to come. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use mana_delivery::rollout::{Elapsed, Phase, Stage, State};

use crate::api::{StepState, StepView};

/// How long each stage took.
pub(super) type Durations = BTreeMap<Stage, Duration>;

/// Of a rollout that is over.
pub(super) fn durations(state: &State) -> Durations {
    let mut durations = Durations::new();
    for pair in state.way().windows(2) {
        *durations.entry(pair[0].0).or_default() += pair[1].1.since(pair[0].1);
    }
    durations
}

/// `now`: by the rollout's own time. `before`: how long the stages took the last time.
pub(super) fn steps(state: &State, now: Elapsed, before: &Durations) -> Vec<StepView> {
    let (plan, way) = (state.plan(), state.way());
    let expected = |stage| match stage {
        Stage::Canary => Some(plan.canary.iter().map(|step| step.window).sum()),
        Stage::Window => Some(plan.warm.window),
        _ => before.get(&stage).copied(),
    };
    let step = |stage: Stage, how: StepState, took: Option<Duration>| StepView {
        stage: stage.name().to_owned(),
        state: how,
        took_ms: took.map(millis),
        expected_ms: expected(stage).map(millis),
    };
    let ends = way.iter().skip(1).map(|(_, at)| Some(*at)).chain([None]);
    let been = way.iter().zip(ends).map(|(&(stage, from), end)| match end {
        Some(end) => step(stage, StepState::Over, Some(end.since(from))),
        None if stage.is_final() => step(stage, StepState::Over, None),
        None => step(stage, StepState::Now, Some(now.since(from))),
    });
    let present = match state.phase() {
        // It goes on there once somebody says so.
        Phase::Held(held) => Stage::ALL.iter().copied().rfind(|stage| *stage < held.next.stage),
        phase if phase.stage() <= Stage::Decommissioning => Some(phase.stage()),
        _ => None,
    };
    // What it replaces is known when its turn comes.
    let replaces = state.blue().is_some() || state.stage() == Stage::Queued;
    let ahead = Stage::ALL.iter().copied().filter(|stage| {
        present.is_some_and(|present| *stage > present) && stage.is_forward() && plan.has(*stage, replaces)
    });
    been.chain(ahead.map(|stage| step(stage, StepState::Ahead, None))).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use mana_delivery::rollout::{
        Command, Digest, Effect, Event, Generation, Operator, Outcome, Plan, Release, RolloutId, Time, What,
    };

    use super::*;

    fn event(up_ms: u64, what: What) -> Event {
        Event { at: Time { up_ms, wall_ms: 0 }, what }
    }

    #[test]
    fn stages_that_were_are_followed_by_those_to_come() {
        let ada = Operator("ada".into());
        let plan = Plan { stages: [Stage::Scanning].into(), ..Plan::new("v2", Digest("d".into()), ada.clone()) };
        let mut state = State::new(RolloutId(1), plan);
        let names = |state: &State, before: &Durations| -> Vec<(String, StepState, Option<u64>)> {
            let steps = steps(state, state.clock().at(Time { up_ms: 9_000, wall_ms: 0 }), before);
            steps.into_iter().map(|step| (step.stage, step.state, step.took_ms)).collect()
        };
        let ahead = ["scanning", "green-starting", "verifying", "canary", "cutting-over", "window", "decommissioning"];
        let queued: Vec<String> = names(&state, &Durations::new()).into_iter().map(|(stage, ..)| stage).collect();
        assert_eq!(queued, ahead);
        let blue = Some(Release { version: "v1".into(), digest: Digest("b".into()) });
        let _ = state.step(event(1_000, What::Start { blue, generation: Generation(1) }));
        let scan = state.outstanding().find(|intent| matches!(intent.effect, Effect::Scan { .. })).expect("asked");
        let outcome = Outcome::Passed { digest: Digest("d".into()) };
        let _ = state.step(event(4_000, What::Outcome { key: scan.key, outcome }));
        let now = names(&state, &Durations::new());
        assert_eq!(now[0], ("scanning".into(), StepState::Over, Some(3_000)));
        assert_eq!(now[1], ("green-starting".into(), StepState::Now, Some(5_000)));
        assert_eq!((now.len(), now[2].1), (7, StepState::Ahead));
        let views = steps(&state, state.clock().now(), &Durations::from([(Stage::Verifying, Duration::from_secs(7))]));
        let expected = |stage: &str| views.iter().find(|step| step.stage == stage).and_then(|step| step.expected_ms);
        assert_eq!(
            (expected("verifying"), expected("canary"), expected("window")),
            (Some(7_000), Some(600_000), Some(3_600_000))
        );
        let _ = state.step(event(5_000, What::Command { by: ada, command: Command::Abort }));
        let back = names(&state, &Durations::new());
        assert_eq!(back.last().map(|step| step.0.as_str()), Some("clearing"), "nothing is to come on the way back");
        assert_eq!(durations(&state)[&Stage::GreenStarting], Duration::from_secs(1));
    }
}
