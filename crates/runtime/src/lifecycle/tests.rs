//! Single steps as a table, and the invariants over any sequence of events in simulated time.

use proptest::prelude::*;

use super::*;

const POLICY: Policy = Policy { start_timeout: Duration::from_secs(30), stop_timeout: Duration::from_secs(10) };

fn at(seconds: f64) -> Time {
    Time(Duration::from_secs_f64(seconds))
}

fn event(seconds: f64, what: What) -> Event {
    Event { at: at(seconds), jitter: 1.0, what }
}

fn up(run: u64) -> What {
    What::Probed { run, ready: Answer::Up, live: None }
}

fn down(run: u64) -> What {
    What::Probed { run, ready: Answer::Down("503".into()), live: Some(Answer::Down("refused".into())) }
}

fn ended(run: u64) -> What {
    What::Exited { run, success: false, reason: "exit code 1".into() }
}

fn done(run: u64) -> What {
    What::Exited { run, success: true, reason: "exit code 0".into() }
}

/// Feeds the events, each with its time in seconds; compares the phase and the effects of the last one.
#[track_caller]
fn check(events: Vec<(f64, What)>, phase: &str, effects: &[Effect]) -> State {
    let mut state = State::new(POLICY);
    let mut last = Vec::new();
    for (seconds, what) in events {
        last = state.step(event(seconds, what));
    }
    assert_eq!((state.phase().name(), last.as_slice()), (phase, effects));
    state
}

fn started(then: Vec<(f64, What)>) -> Vec<(f64, What)> {
    let mut events = vec![(0.0, What::Go { migrate: false }), (0.0, What::Spawned { run: 1 }), (1.0, up(1))];
    events.extend(then);
    events
}

#[test]
fn it_waits_until_what_it_needs_is_up() {
    check(vec![(0.0, What::Tick)], "waiting", &[]);
    check(vec![(0.0, What::Go { migrate: false })], "starting", &[Effect::Start { run: 1 }]);
}

#[test]
fn a_migration_runs_before_the_start_and_only_once() {
    let go = vec![(0.0, What::Go { migrate: true }), (0.0, What::Spawned { run: 1 })];
    check(go.clone(), "migrating", &[]);
    let mut events = go;
    events.push((2.0, done(1)));
    check(events.clone(), "starting", &[Effect::Start { run: 2 }]);
    events.extend([(2.0, What::Spawned { run: 2 }), (3.0, ended(2)), (3.0, What::Tick)]);
    check(events, "starting", &[Effect::Start { run: 3 }]);
}

#[test]
fn a_failed_migration_is_tried_again_and_the_instance_not_started() {
    let events =
        vec![(0.0, What::Go { migrate: true }), (0.0, What::Spawned { run: 1 }), (1.0, ended(1)), (1.0, What::Tick)];
    let state = check(events, "migrating", &[Effect::Migrate { run: 2 }]);
    assert_eq!(state.restarts(), 0);
}

#[test]
fn an_adopted_migration_runs_once_more_when_it_ends_and_nothing_is_held_against_it() {
    let mut state = State::adopted_migrating(POLICY, at(0.0));
    assert_eq!(state.step(event(5.0, ended(1))), [Effect::Migrate { run: 2 }]);
    assert!(!state.failing());
    assert_eq!(state.step(event(5.0, What::Spawned { run: 2 })), []);
    assert_eq!(state.step(event(6.0, done(2))), [Effect::Start { run: 3 }]);
    // The second one's end is known.
    let mut state = State::adopted_migrating(POLICY, at(0.0));
    let _ = state.step(event(5.0, ended(1)));
    let _ = state.step(event(5.0, What::Spawned { run: 2 }));
    assert_eq!((state.step(event(6.0, ended(2))), state.failing()), (Vec::new(), true));
}

#[test]
fn a_first_crash_is_repaired_at_once_a_second_waits() {
    check(started(vec![(5.0, ended(1)), (5.0, What::Tick)]), "starting", &[Effect::Start { run: 2 }]);
    let again = [(5.0, ended(1)), (5.0, What::Tick), (5.0, What::Spawned { run: 2 }), (6.0, ended(2))];
    let state = check(started(again.to_vec()), "backoff", &[]);
    assert_eq!(state.timer(), Some(at(7.0)));
    assert_eq!(state.reason(), Some("ended with exit code 1"));
    assert_eq!(state.restarts(), 1);
}

#[test]
fn a_crash_after_a_healthy_period_counts_as_a_first_one() {
    let mut events = vec![(5.0, ended(1)), (5.0, What::Tick), (5.0, What::Spawned { run: 2 }), (6.0, up(2))];
    events.extend([(6.0 + HEALTHY_PERIOD.as_secs_f64(), ended(2))]);
    let state = check(started(events), "backoff", &[]);
    assert_eq!(state.crashes(), 1);
}

#[test]
fn one_failed_probe_takes_nobody_out_of_traffic_three_do() {
    check(started(vec![(2.0, down(1)), (3.0, down(1))]), "ready", &[]);
    check(started(vec![(2.0, down(1)), (3.0, down(1)), (4.0, up(1)), (5.0, down(1))]), "ready", &[]);
    check(started(vec![(2.0, down(1)), (3.0, down(1)), (4.0, down(1))]), "unready", &[]);
    let back = vec![(2.0, down(1)), (3.0, down(1)), (4.0, down(1)), (5.0, up(1))];
    check(started(back), "ready", &[]);
}

#[test]
fn an_unmade_probe_is_neither_up_nor_down() {
    let unknown = || What::Probed { run: 1, ready: Answer::Unknown("no descriptor".into()), live: None };
    let many = (0..20).map(|n| (2.0 + f64::from(n), unknown())).collect();
    check(started(many), "ready", &[]);
    let starting = vec![(0.0, What::Go { migrate: false }), (0.0, What::Spawned { run: 1 }), (1.0, unknown())];
    check(starting, "starting", &[]);
}

#[test]
fn an_unready_instance_that_is_not_live_is_replaced() {
    let downs = READY_FAILURES + LIVE_FAILURES;
    let events = (0..downs).map(|n| (2.0 + f64::from(n), down(1))).collect();
    let state = check(started(events), "stopping", &[Effect::Terminate]);
    assert!(state.reason().is_some_and(|reason| reason.contains("live probes")));
}

#[test]
fn an_instance_that_is_unready_for_long_is_replaced() {
    let live = || What::Probed { run: 1, ready: Answer::Down("503".into()), live: Some(Answer::Up) };
    let mut events: Vec<_> = (0..60).map(|n| (2.0 + f64::from(n), live())).collect();
    check(started(events.clone()), "unready", &[]);
    events.push((4.0 + UNREADY_LIMIT.as_secs_f64(), What::Tick));
    check(started(events), "stopping", &[Effect::Terminate]);
}

#[test]
fn an_instance_that_never_gets_ready_is_given_up_and_tried_again() {
    let mut events = vec![(0.0, What::Go { migrate: false }), (0.0, What::Spawned { run: 1 }), (1.0, down(1))];
    events.push((30.0, What::Tick));
    let state = check(events.clone(), "stopping", &[Effect::Terminate]);
    assert_eq!(state.reason(), Some("it was not ready within 30 s (last answer: 503)"));
    events.extend([(31.0, ended(1)), (31.0, What::Tick)]);
    check(events, "starting", &[Effect::Start { run: 2 }]);
}

#[test]
fn a_process_that_does_not_stop_is_killed_and_killed_again() {
    let stop = vec![(2.0, What::Stop), (12.0, What::Tick)];
    check(started(stop.clone()), "stopping", &[Effect::Kill]);
    let mut again = stop;
    again.push((12.0 + KILL_AGAIN.as_secs_f64(), What::Tick));
    check(started(again), "stopping", &[Effect::Kill]);
}

#[test]
fn a_stop_in_the_middle_of_a_start_ends_what_was_being_started() {
    let go = vec![(0.0, What::Go { migrate: false }), (0.1, What::Stop)];
    check(go.clone(), "stopping", &[]);
    let mut events = go;
    events.push((0.2, What::Spawned { run: 1 }));
    check(events.clone(), "stopping", &[Effect::Terminate]);
    events.push((0.3, ended(1)));
    check(events, "stopped", &[]);
}

#[test]
fn a_missing_secret_blocks_without_a_loop_of_starts() {
    let refused = |run| What::Refused { run, reason: "secret X is missing".into() };
    let events = vec![(0.0, What::Go { migrate: false }), (0.0, refused(1))];
    let state = check(events.clone(), "blocked", &[]);
    assert_eq!((state.reason(), state.crashes()), (Some("secret X is missing"), 0));
    let mut looked = events;
    looked.push((1.0, What::Recheck));
    check(looked, "starting", &[Effect::Start { run: 2 }]);
}

#[test]
fn an_adopted_instance_keeps_its_traffic_until_probes_say_otherwise() {
    let mut state = State::adopted(POLICY, 3, None, true, at(0.0));
    assert!(state.ready());
    assert_eq!(state.step(event(1.0, down(1))), []);
    assert!(state.ready());
    assert!(!State::adopted(POLICY, 3, None, false, at(0.0)).ready());
}

/// A world that carries out effects the way the machine does, in an order chosen by chance.
#[derive(Debug, Default)]
struct World {
    now: Duration,
    /// Runs whose start was asked for and not answered.
    asked: Vec<u64>,
    /// Runs that have a process.
    running: Vec<u64>,
    stopped: bool,
}

#[derive(Debug, Clone, Copy)]
enum Chance {
    Wait(u64),
    Go(bool),
    Spawn,
    FailToSpawn,
    Refuse,
    End(bool),
    Probe(u8, u8),
    Stop,
    TooMuchMemory,
    Recheck,
    Late(u64),
}

fn chance() -> impl Strategy<Value = Chance> {
    prop_oneof![
        4 => (0_u64..90_000).prop_map(Chance::Wait),
        2 => any::<bool>().prop_map(Chance::Go),
        6 => Just(Chance::Spawn),
        1 => Just(Chance::FailToSpawn),
        1 => Just(Chance::Refuse),
        3 => any::<bool>().prop_map(Chance::End),
        8 => (0_u8..3, 0_u8..4).prop_map(|(ready, live)| Chance::Probe(ready, live)),
        1 => Just(Chance::Stop),
        1 => Just(Chance::TooMuchMemory),
        1 => Just(Chance::Recheck),
        1 => (0_u64..5).prop_map(Chance::Late),
    ]
}

fn answer(number: u8) -> Answer {
    match number {
        0 => Answer::Up,
        1 => Answer::Down("down".into()),
        _ => Answer::Unknown("unknown".into()),
    }
}

impl World {
    /// Turns chance into an event that could happen in this world.
    fn happen(&mut self, chance: Chance, state: &State) -> Option<What> {
        Some(match chance {
            Chance::Wait(millis) => {
                self.now += Duration::from_millis(millis);
                What::Tick
            }
            Chance::Go(migrate) => What::Go { migrate },
            Chance::Spawn => {
                let run = self.asked.pop()?;
                self.running.push(run);
                What::Spawned { run }
            }
            Chance::FailToSpawn => What::NotSpawned { run: self.asked.pop()?, reason: "no memory".into() },
            Chance::Refuse => What::Refused { run: self.asked.pop()?, reason: "no secret".into() },
            Chance::End(success) => What::Exited { run: self.running.pop()?, success, reason: "end".into() },
            Chance::Probe(ready, live) => {
                What::Probed { run: state.run(), ready: answer(ready), live: (live < 3).then(|| answer(live)) }
            }
            Chance::Stop => {
                self.stopped = true;
                What::Stop
            }
            Chance::TooMuchMemory => What::Fail { run: state.run(), reason: "memory".into() },
            Chance::Recheck => What::Recheck,
            Chance::Late(back) => {
                What::Exited { run: state.run().checked_sub(back + 1)?, success: true, reason: "late".into() }
            }
        })
    }

    fn carry_out(&mut self, effects: &[Effect]) -> Result<(), TestCaseError> {
        for effect in effects {
            match effect {
                Effect::Migrate { run } | Effect::Start { run } => {
                    prop_assert!(self.asked.is_empty() && self.running.is_empty(), "two processes for one instance");
                    prop_assert!(!self.stopped, "started after a stop");
                    self.asked.push(*run);
                }
                Effect::Terminate => prop_assert!(!self.running.is_empty(), "nothing to end"),
                // A kill may meet a process that is still being started: it is repeated.
                Effect::Kill => {}
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn invariants_hold_over_any_sequence(chances in proptest::collection::vec((chance(), 0.0_f64..=1.0), 1..200)) {
        let mut world = World::default();
        let mut state = State::new(POLICY);
        for (chance, jitter) in chances {
            let ready_before = state.ready();
            let Some(what) = world.happen(chance, &state) else { continue };
            let up = matches!(&what, What::Probed { ready: Answer::Up, .. });
            let late = matches!(&what, What::Exited { reason, .. } if reason == "late").then(|| state.clone());
            let effects = state.step(Event { at: Time(world.now), jitter, what });
            world.carry_out(&effects)?;

            if let Some(before) = late {
                prop_assert_eq!(&state, &before, "a late event changed something");
            }
            prop_assert!(!state.ready() || ready_before || up, "ready without a probe that said so");
            prop_assert_eq!(state.has_process(), !world.asked.is_empty() || !world.running.is_empty());
            match state.phase() {
                Phase::Stopped => prop_assert!(!state.has_process(), "stopped with a process"),
                Phase::Waiting => prop_assert_eq!(state.run(), 0, "only a first start waits for others"),
                Phase::Ready { .. } => prop_assert!(!world.running.is_empty(), "ready without a process"),
                Phase::Backoff { until } => {
                    prop_assert!(until.since(Time(world.now)) <= BACKOFF_CAP);
                    prop_assert!(state.reason().is_some(), "backing off without saying why");
                }
                Phase::Blocked { .. } => prop_assert!(state.reason().is_some(), "blocked without saying why"),
                _ => prop_assert!(state.timer().is_some(), "nothing would ever happen again"),
            }
        }
    }

    #[test]
    fn a_stop_always_ends_in_stopped(chances in proptest::collection::vec((chance(), 0.0_f64..=1.0), 1..60)) {
        let mut world = World::default();
        let mut state = State::new(POLICY);
        for (chance, jitter) in chances {
            let Some(what) = world.happen(chance, &state) else { continue };
            let effects = state.step(Event { at: Time(world.now), jitter, what });
            world.carry_out(&effects)?;
        }
        world.stopped = true;
        let mut pending = vec![What::Stop];
        for _ in 0..10 {
            for what in std::mem::take(&mut pending) {
                let effects = state.step(Event { at: Time(world.now), jitter: 0.5, what });
                world.carry_out(&effects)?;
            }
            pending.extend(world.asked.pop().map(|run| {
                world.running.push(run);
                What::Spawned { run }
            }));
            if pending.is_empty() {
                pending.extend(world.running.pop().map(ended));
            }
        }
        prop_assert_eq!(state.phase(), &Phase::Stopped);
    }
}
