use super::*;

fn slow() -> Rule {
    Rule { hold: Span::from_mins(5), keep_firing_for: Span::from_mins(5), ..rule("Slow") }
}

#[test]
fn a_clock_that_jumps_fires_and_resolves_nothing() {
    for jump in [-HOUR, -MINUTE, HOUR, 400 * 24 * HOUR] {
        let mut world = World::of(vec![slow()]);
        world.run(4 * MINUTE, &[("Slow", rows(&["chat"]))]);
        world.now += jump;
        world.run(10 * SECOND, &[("Slow", rows(&["chat"]))]);
        assert_eq!(world.changes.len(), 1, "{jump}: it is pending, and no more");
        world.run(2 * MINUTE, &[("Slow", rows(&["chat"]))]);
        assert_eq!(world.one().kind, TellKind::Began, "{jump}");
        world.run(4 * MINUTE, &[("Slow", rows(&[]))]);
        world.now -= jump;
        world.run(10 * SECOND, &[("Slow", rows(&[]))]);
        assert_eq!(world.changes.len(), 2, "{jump}: it fires still");
        world.run(2 * MINUTE, &[("Slow", rows(&[]))]);
        assert_eq!(world.one().kind, TellKind::Over, "{jump}");
    }
}

#[test]
fn a_clock_that_stands_still_ends_nothing_and_starts_nothing() {
    let mut world = World::of(vec![slow()]);
    for _ in 0..1_000 {
        world.evaluate("Slow", rows(&["chat"]));
    }
    world.none();
    assert_eq!(world.changes.len(), 1);
}

#[test]
fn a_silence_that_has_ended_stays_ended_when_the_clock_goes_back() {
    let mut world = World::of(vec![rule("Slow")]);
    let condition = Condition { label: "service".into(), is: Comparison::Equal, value: "chat".into() };
    let alerts = Selector::new(vec![condition]).unwrap();
    world.step(What::Silence { alerts, until: START + HOUR, by: "ana".into(), reason: "load test".into() });
    world.run(HOUR + MINUTE, &[("Slow", rows(&[]))]);
    world.now -= 30 * MINUTE;
    world.run(MINUTE, &[("Slow", rows(&["chat"]))]);
    assert_eq!(world.one().kind, TellKind::Began);
}

#[test]
fn events_that_come_a_little_late_do_not_count_time_twice() {
    let mut world = World::of(vec![slow()]);
    for _ in 0..200 {
        world.evaluate("Slow", rows(&["chat"]));
        world.now += 2 * SECOND;
        world.step(What::Tick);
        world.now -= SECOND;
    }
    // Three minutes and a third have passed.
    world.none();
}

#[test]
fn time_in_which_nobody_watched_is_no_time_in_breach() {
    let mut world = World::of(vec![slow()]);
    world.run(MINUTE, &[("Slow", rows(&["chat"]))]);
    let text = serde_json::to_string(&world.state).unwrap();
    world.state = serde_json::from_str(&text).unwrap();
    world.now += 3 * HOUR;
    world.run(3 * MINUTE, &[("Slow", rows(&["chat"]))]);
    world.none();
    world.run(MINUTE, &[("Slow", rows(&["chat"]))]);
    assert_eq!(world.one().kind, TellKind::Began);
}
