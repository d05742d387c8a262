//! What the gate says, and what comes of it.

use std::time::Duration;

use super::super::super::*;
use super::super::plans::{full, short};
use super::super::world::{Fate, Quality, World, operator, stages};
use super::{at, at_with, canary, last_news};
use crate::gate::{Counts, Reading, Series, SeriesLimit, Verdict};

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
fn smoke_traffic_gives_a_quiet_service_a_verdict() {
    let mut world = World::new(Plan { smoke_traffic: true, ..short() });
    world.start();
    world.quality = Quality::Silent;
    let asked = |intent: &Intent| matches!(intent.effect, Effect::SmokeTraffic { requests: 100 });
    while !world.flying.iter().any(asked) {
        world.act_all();
        world.wake();
        world.act(usize::MAX, Fate::Honest);
    }
    assert!(world.state.clock().now() >= Elapsed(600_000), "not before the window is over");
    world.run_to(Stage::CuttingOver);
    assert_eq!(world.carried_out.iter().filter(|intent| asked(intent)).count(), 1);
}

#[test]
fn a_gap_in_the_samples_is_no_pass() {
    let mut world = canary();
    world.quality = Quality::Gap;
    world.run_to(Stage::Held);
    assert!(!stages(&world).contains(&Stage::CuttingOver));
    world.act_all();
    let why = last_news(&world).why.clone().unwrap_or_default();
    assert!(why.contains("do not cover the whole window"), "{why}");
}

#[test]
fn a_canary_with_a_gap_begins_its_window_anew_at_once() {
    let mut world = canary();
    let before = world.state.traffic().generation;
    world.quality = Quality::Gap;
    while world.state.traffic().generation == before {
        assert!(world.wake());
        world.act_all();
    }
    assert!(world.state.clock().now() < Elapsed(60_000), "at the look that finds it: {:?}", world.state.clock().now());
    let look = world.state.looks().last().unwrap();
    assert_eq!((look.judgement.verdict, look.reading.complete), (Verdict::NoData, false));
    assert_eq!(world.stage(), Stage::Canary);
    world.quality = Quality::Good;
    world.run_to(Stage::CuttingOver);
    let passed = world.state.looks().iter().rev().find(|look| look.stage == Stage::Canary).unwrap();
    assert!(passed.generation > before && passed.reading.complete && passed.reading.elapsed >= passed.reading.window);
}

#[test]
fn a_guard_with_a_gap_passes_nothing_and_the_next_one_begins() {
    let mut world = at(Stage::Window);
    world.act_all();
    world.quality = Quality::Gap;
    let from = |world: &World| match world.state.phase() {
        Phase::Window(window) => window.guard_from.expect("requests are counted"),
        phase => panic!("{phase:?}"),
    };
    let first = from(&world);
    while from(&world) == first {
        world.wake();
        world.act_all();
    }
    let lasted = from(&world).since(first);
    assert!(lasted >= full().warm.guard && lasted < full().gate.longest, "{lasted:?}");
    let look = world.state.looks().last().unwrap();
    assert_eq!((look.judgement.verdict, look.reading.complete), (Verdict::NoData, false));
    // However long it goes on: what serves is not said to be well.
    while world.state.waits_for().is_none() {
        world.wake();
        world.act_all();
    }
    assert_eq!((world.stage(), last_news(&world).what), (Stage::Window, Headline::Asking));
    world.quality = Quality::Good;
    assert_eq!(world.finish(), Stage::Done);
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
                world.answer(key, Outcome::Measured { reading, series: Vec::new() });
            }
            None if world.flying.is_empty() => assert!(world.wake()),
            None => world.act(0, Fate::Honest),
        }
    }
    assert_eq!(world.stage(), Stage::Held, "neither passed nor failed");
}

#[test]
fn a_window_does_not_end_before_its_time_however_the_edges_clock_jumps() {
    for stage in [Stage::Canary, Stage::Window] {
        let mut world = at(stage);
        world.act_all();
        let looks = |world: &World| world.state.looks().iter().filter(|look| look.stage == stage).count();
        while looks(&world) == 0 {
            let measure = world.flying.iter().find(|intent| intent.effect.kind() == EffectKind::Measure);
            match measure.map(|intent| intent.key) {
                Some(key) => {
                    let counts = Counts { requests: 20_000, errors: 0, timed: 20_000, slow: 0 };
                    let (elapsed, window) = (Duration::from_hours(2), Duration::from_mins(10));
                    let reading = Reading { elapsed, window, green: counts, blue: Some(counts), complete: true };
                    world.answer(key, Outcome::Measured { reading, series: Vec::new() });
                }
                None if world.flying.is_empty() => assert!(world.wake()),
                None => world.act(0, Fate::Honest),
            }
        }
        assert_eq!(world.stage(), stage);
        let look = world.state.looks().last().unwrap();
        assert!(look.reading.elapsed <= LOOK_EVERY, "{look:?}");
        assert_ne!(look.judgement.verdict, Verdict::Pass);
    }
}

#[test]
fn a_limit_of_ones_own_stops_it_and_nothing_passes_without_its_value() {
    let limit = SeriesLimit { name: "queue".into(), query: "max(jobs_waiting)".into(), max: Some(5.0), min: None };
    let given = |value: Option<f64>| {
        let why = value.is_none().then(|| "nobody measures it".to_owned());
        vec![Series { name: "queue".into(), value, why }]
    };
    for (value, stage, why) in [
        (Some(4.0), Stage::Window, ""),
        (Some(6.0), Stage::RolledBack, "gate queue 6 against a limit of 5"),
        (None, Stage::Held, "the gate's queue is not known: nobody measures it"),
    ] {
        let mut plan = full();
        plan.gate.series = vec![limit.clone()];
        let mut world = at_with(plan, Stage::Canary);
        world.series = given(value);
        world.run_to(stage);
        world.act_all();
        let told = last_news(&world).why.clone().unwrap_or_default();
        assert!(told.contains(why), "{value:?}: {told}");
        let look = world.state.looks().last().unwrap();
        assert_eq!(look.series, world.series, "the figure is kept with its verdict");
    }
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
