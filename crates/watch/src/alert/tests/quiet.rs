use super::*;

fn silence(label: &str, value: &str, until: i64, reason: &str) -> What {
    let condition = Condition { label: label.to_owned(), is: Comparison::Equal, value: value.to_owned() };
    let alerts = Selector::new(vec![condition]).unwrap();
    What::Silence { alerts, until, by: "ana".to_owned(), reason: reason.to_owned() }
}

fn firing() -> [(&'static str, Outcome); 1] {
    [("Slow", rows(&["chat"]))]
}

#[test]
fn a_silenced_alert_is_shown_and_told_when_it_outlives_the_silence() {
    let mut world = World::of(vec![rule("Slow")]);
    world.step(silence("alertname", "Slow", START + 10 * MINUTE, "load test"));
    world.run(9 * MINUTE, &firing());
    world.none();
    let (_, alert) = world.state.alerts().next().unwrap();
    assert_eq!(alert.muted, Some(Muted::Silenced { number: 1 }));
    world.run(2 * MINUTE, &firing());
    assert_eq!(world.one().kind, TellKind::Began);
}

#[test]
fn a_silenced_alert_that_ends_before_the_silence_is_never_told() {
    let mut world = World::of(vec![rule("Slow")]);
    world.step(silence("severity", "P2", START + 10 * MINUTE, "load test"));
    world.run(5 * MINUTE, &firing());
    world.run(10 * MINUTE, &[("Slow", rows(&[]))]);
    world.none();
}

#[test]
fn a_silence_that_is_ended_early_covers_nothing_any_more() {
    let mut world = World::of(vec![rule("Slow")]);
    world.step(silence("service", "chat", START + HOUR, "load test"));
    world.run(MINUTE, &firing());
    let number = world.state.quiets().next().unwrap().number;
    world.step(What::Unsilence { number, by: "ana".to_owned() });
    world.run(MINUTE, &firing());
    assert_eq!(world.one().kind, TellKind::Began);
    world.step(What::Unsilence { number, by: "ana".to_owned() });
    assert_eq!(world.refused, ["there is no silence 1: it may be over"]);
}

#[test]
fn a_silence_of_what_was_told_stops_repeats_and_its_end_is_told() {
    let mut world = World::of(vec![rule("Slow")]);
    world.run(MINUTE, &firing());
    world.take();
    world.step(silence("service", "chat", START + 10 * HOUR, "known"));
    world.run(9 * HOUR, &firing());
    world.none();
    world.run(MINUTE, &[("Slow", rows(&[]))]);
    assert_eq!(world.one().kind, TellKind::Over);
}

#[test]
fn silences_without_reason_or_beyond_their_bound_are_refused() {
    let mut world = World::of(vec![rule("Slow")]);
    world.step(silence("service", "chat", START + HOUR, ""));
    world.step(silence("service", "chat", START, "too late"));
    assert_eq!((world.state.quiets().count(), world.refused.len()), (0, 2));
    for _ in 0..=MAX_QUIETS {
        world.step(silence("service", "chat", START + HOUR, "again"));
    }
    assert_eq!((world.state.quiets().count(), world.refused.len()), (MAX_QUIETS, 3));
}

#[test]
fn maintenance_covers_its_services_in_its_time_and_what_needs_them_is_held_back() {
    let needs = [("web", ["chat"])].into_iter().collect();
    let down = Rule { role: Role::Cause, severity: Severity::P1, ..rule("Down") };
    let mut world = World::new(Book { needs, ..book(vec![down, rule("Slow")]) });
    world.step(What::Maintenance {
        services: ["chat".to_owned()].into(),
        from: START + 10 * MINUTE,
        until: START + HOUR,
        by: "ana".to_owned(),
        reason: "a larger disk".to_owned(),
    });
    world.run(2 * MINUTE, &[("Down", rows(&[])), ("Slow", rows(&["chat"]))]);
    assert_eq!(world.one().kind, TellKind::Began, "it has not begun yet");
    world.run(9 * MINUTE, &[("Down", rows(&[])), ("Slow", rows(&[]))]);
    world.take();
    world.run(40 * MINUTE, &[("Down", rows(&["chat"])), ("Slow", rows(&["web", "auth"]))]);
    let told = world.take();
    assert!(told.iter().all(|tell| tell.title.contains("auth has Slow")), "{told:#?}");
    // It takes longer than was said.
    world.run(20 * MINUTE, &[("Down", rows(&["chat"])), ("Slow", rows(&["web"]))]);
    assert!(world.take().iter().any(|tell| tell.title == "[P1] chat has Down at 2"));
}

#[test]
fn a_silenced_cause_holds_nothing_back_since_nobody_hears_of_it() {
    let needs = [("web", ["chat"])].into_iter().collect();
    let down = Rule { role: Role::Cause, severity: Severity::P1, ..rule("Down") };
    let mut world = World::new(Book { needs, ..book(vec![down, rule("Slow")]) });
    world.step(silence("alertname", "Down", START + HOUR, "it flaps"));
    world.run(5 * MINUTE, &[("Down", rows(&["chat"])), ("Slow", rows(&["web"]))]);
    assert_eq!(world.one().title, "[P2] web has Slow at 2");
}

#[test]
fn a_lesser_cause_holds_nothing_back_that_is_more_urgent() {
    let needs: Needs = [("web", ["provider"])].into_iter().collect();
    for (severity, told) in [(Severity::P2, true), (Severity::P1, false)] {
        let gone = Rule { role: Role::Cause, severity, ..rule("Gone") };
        let down = Rule { role: Role::Cause, severity: Severity::P1, ..rule("Down") };
        let mut world = World::new(Book { needs: needs.clone(), ..book(vec![gone, down, rule("Slow")]) });
        let both = [("Gone", rows(&["provider"])), ("Down", rows(&["web"])), ("Slow", rows(&["web"]))];
        world.run(5 * MINUTE, &both);
        assert_eq!(world.take().iter().any(|tell| tell.title.contains("web has Down")), told);
    }
}

#[test]
fn what_is_well_again_when_its_silence_ends_is_not_told_first() {
    let mut world = World::of(vec![Rule { keep_firing_for: Span::from_mins(10), ..rule("Slow") }]);
    world.step(silence("service", "chat", START + 5 * MINUTE, "load test"));
    world.run(4 * MINUTE, &firing());
    world.run(9 * MINUTE, &[("Slow", rows(&[]))]);
    world.none();
    // It was not over after all.
    world.run(MINUTE, &firing());
    assert_eq!(world.one().kind, TellKind::Began);
}
