use super::*;

fn down() -> Rule {
    Rule { hold: Span::from_secs(30), severity: Severity::P1, role: Role::Cause, ..rule("Down") }
}

fn needs() -> Needs {
    [("web", ["chat"]), ("chat", ["postgres"]), ("auth", ["postgres"])].into_iter().collect()
}

#[test]
fn two_hundred_targets_that_die_at_once_make_one_message() {
    let names: Vec<String> = (0..200).map(|number| format!("service-{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let by_service = |rule: Rule| Rule { group_by: vec!["service".to_owned()], ..rule };
    // Grouped as a whole, or by service; at once, or after a while; seen in one evaluation, or since scrapes are spread, in two.
    for rule in [
        down(),
        Rule { hold: Span::ZERO, ..down() },
        by_service(down()),
        by_service(Rule { hold: Span::ZERO, ..down() }),
    ] {
        for first in [200, 90] {
            let mut world = World::of(vec![rule.clone()]);
            world.run(MINUTE, &[("Down", rows(&[]))]);
            world.run(10 * SECOND, &[("Down", rows(&names[..first]))]);
            world.run(MINUTE, &[("Down", rows(&names))]);
            let began = world.take();
            let told: usize = began.iter().map(|tell| tell.episodes.len()).sum();
            assert_eq!(told, 200);
            assert_eq!(began.len(), 1, "{} {first}", rule.hold);
            assert_eq!(began[0].title, "[P1] service-000 has Down at 2, and 199 more");
            world.run(MINUTE, &[("Down", rows(&[]))]);
            assert_eq!(world.one().kind, TellKind::Over);
        }
    }
}

/// Evaluates every two seconds, with time told every second, as rules that fire at once are.
fn often(world: &mut World, seconds: i64, seen: impl Fn(i64) -> Outcome) {
    for second in 0..seconds {
        if second % 2 == 0 {
            world.evaluate("Down", seen(second));
        }
        world.now += SECOND;
        world.step(What::Tick);
    }
}

#[test]
fn targets_that_die_at_once_make_one_message_though_each_is_scraped_at_its_own_moment_and_rules_are_evaluated_often() {
    // Scraped four seconds after each other: more often than that nothing new is seen.
    let names = ["a", "b", "c"];
    let mut world = World::of(vec![Rule { hold: Span::ZERO, ..down() }]);
    often(&mut world, 10, |_| rows(&[]));
    often(&mut world, 30, |second| rows(&names[..usize::try_from(second / 4 + 1).unwrap().min(3)]));
    assert_eq!(world.one().episodes.len(), 3);
}

#[test]
fn one_alert_alone_that_fires_at_once_is_told_within_six_seconds_of_its_evaluation() {
    let mut world = World::of(vec![Rule { hold: Span::ZERO, ..down() }]);
    often(&mut world, 10, |_| rows(&[]));
    let began = world.now;
    often(&mut world, 7, |_| rows(&["chat"]));
    let told = world.one();
    assert!((told.at - began) / SECOND <= 6, "{} ms", told.at - began);
}

#[test]
fn one_alert_alone_is_told_by_the_next_evaluation() {
    let mut world = World::of(vec![Rule { hold: Span::ZERO, ..down() }]);
    world.run(MINUTE, &[("Down", rows(&[]))]);
    world.run(10 * SECOND, &[("Down", rows(&["chat"]))]);
    world.none();
    world.evaluate("Down", rows(&["chat"]));
    assert_eq!(world.one().kind, TellKind::Began);
}

#[test]
fn alerts_that_share_the_labels_of_their_rules_are_told_together() {
    let by_service = |name: &str| Rule { group_by: vec!["service".to_owned()], ..rule(name) };
    let mut world = World::of(vec![by_service("Slow"), by_service("Failing")]);
    world.run(MINUTE, &[("Slow", rows(&["chat", "auth"])), ("Failing", rows(&["chat"]))]);
    let told: Vec<usize> = world.take().iter().map(|tell| tell.episodes.len()).collect();
    assert_eq!(told, [1, 2], "auth alone, chat with both");
}

#[test]
fn what_is_related_and_begins_within_a_moment_is_told_together() {
    let by_service = |name: &str| Rule { group_by: vec!["service".to_owned()], ..rule(name) };
    let mut world = World::new(Book { needs: needs(), ..book(vec![by_service("Slow")]) });
    world.run(MINUTE, &[("Slow", rows(&["chat", "web"]))]);
    assert_eq!(world.one().episodes.len(), 2);
    // Later it is a message of its own.
    let mut world = World::new(Book { needs: needs(), ..book(vec![by_service("Slow")]) });
    world.run(MINUTE, &[("Slow", rows(&["chat"]))]);
    world.run(MINUTE, &[("Slow", rows(&["chat", "web"]))]);
    assert_eq!(world.kinds(), [TellKind::Began, TellKind::Began]);
}

#[test]
fn a_dead_database_holds_back_what_needs_it_and_names_it() {
    let mut world = World::new(Book { needs: needs(), ..book(vec![down(), rule("Failing")]) });
    // The errors are seen before anybody can say that the database is dead.
    world.run(2 * MINUTE, &[("Failing", rows(&["chat", "web", "auth"])), ("Down", rows(&["postgres"]))]);
    let began = world.one();
    assert_eq!(began.title, "[P1] postgres has Down at 2");
    assert!(began.text.contains("Held back, since it follows from this\n- auth has Failing at 2\n"), "{}", began.text);
    let held = world.state.alerts().filter(|(_, alert)| matches!(alert.muted, Some(Muted::Inhibited { .. })));
    assert_eq!(held.count(), 3);
    // All is well together: that the others failed is never told.
    world.run(2 * MINUTE, &[("Failing", rows(&[])), ("Down", rows(&[]))]);
    assert_eq!(world.one().kind, TellKind::Over);
}

#[test]
fn what_outlives_its_cause_is_told_then() {
    let mut world = World::new(Book { needs: needs(), ..book(vec![down(), rule("Failing")]) });
    world.run(2 * MINUTE, &[("Failing", rows(&["chat", "auth"])), ("Down", rows(&["postgres"]))]);
    world.take();
    world.run(50 * SECOND, &[("Failing", rows(&["chat"])), ("Down", rows(&[]))]);
    assert_eq!(world.one().kind, TellKind::Over);
    world.run(MINUTE, &[("Failing", rows(&["chat"])), ("Down", rows(&[]))]);
    assert_eq!(world.one().title, "[P2] chat has Failing at 2");
}

#[test]
fn a_dead_service_holds_back_its_own_symptoms_but_no_facts() {
    let fact = Rule { role: Role::Fact, ..rule("Certificate") };
    let mut world = World::new(Book { needs: needs(), ..book(vec![down(), rule("Slow"), fact]) });
    world.run(
        2 * MINUTE,
        &[("Slow", rows(&["chat"])), ("Certificate", rows(&["chat"])), ("Down", rows(&["chat", "web"]))],
    );
    let began = world.one();
    assert_eq!(began.title, "[P1] chat has Down at 2, and 1 more");
    assert!(began.text.contains("- chat has Certificate at 2"), "{}", began.text);
    assert!(
        began.text.contains("Held back, since it follows from this\n- web has Down at 2\n- chat has Slow at 2"),
        "{}",
        began.text
    );
}

#[test]
fn of_two_that_need_each_other_both_are_told() {
    let circle = [("a", ["b"]), ("b", ["a"])].into_iter().collect();
    let mut world = World::new(Book { needs: circle, ..book(vec![down()]) });
    world.run(2 * MINUTE, &[("Down", rows(&["a", "b"]))]);
    assert_eq!(world.one().episodes.len(), 2);
}

#[test]
fn a_cause_that_comes_late_stops_the_repeats_of_what_it_explains() {
    let mut world = World::new(Book { needs: needs(), ..book(vec![down(), rule("Failing")]) });
    world.run(2 * MINUTE, &[("Failing", rows(&["chat"])), ("Down", rows(&[]))]);
    assert_eq!(world.one().kind, TellKind::Began);
    world.run(MINUTE, &[("Failing", rows(&["chat"])), ("Down", rows(&["postgres"]))]);
    let cause = world.one();
    assert!(cause.text.contains("Held back"), "{}", cause.text);
    world.run(5 * HOUR, &[("Failing", rows(&["chat"])), ("Down", rows(&["postgres"]))]);
    assert!(world.take().iter().all(|tell| tell.group == cause.group));
    world.run(10 * MINUTE, &[("Failing", rows(&[])), ("Down", rows(&[]))]);
    assert_eq!(world.kinds(), [TellKind::Over, TellKind::Over], "who was told that it began is told that it is over");
}

#[test]
fn what_joins_a_group_that_was_told_is_told_no_more_often_than_its_urgency_allows() {
    let p3 = Rule { severity: Severity::P3, ..rule("Slow") };
    let mut world = World::of(vec![p3]);
    let names: Vec<String> = (0..60).map(|number| format!("s{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for count in 1..=60 {
        world.run(20 * SECOND, &[("Slow", rows(&names[..count]))]);
    }
    world.run(10 * MINUTE, &[("Slow", rows(&names))]);
    let told = world.take();
    assert_eq!(told.iter().map(|tell| tell.episodes.len()).sum::<usize>(), 60);
    assert!((4..=6).contains(&told.len()), "20 minutes of trickling at one message in 5 minutes: {}", told.len());
}

#[test]
fn an_alert_that_is_over_before_it_is_told_is_told_in_one_message() {
    let mut world = World::of(vec![rule("Blip")]);
    world.run(10 * SECOND, &[("Blip", rows(&["chat"]))]);
    world.run(MINUTE, &[("Blip", rows(&[]))]);
    let passed = world.one();
    assert_eq!((passed.kind, passed.episodes.len()), (TellKind::Passed, 1));
    assert_eq!(passed.title, "[P2] was, and is over: chat has Blip at 2 (over after 10 s)");
}
