use super::*;

fn slow() -> Rule {
    Rule { hold: Span::from_mins(1), keep_firing_for: Span::from_mins(2), ..rule("Slow") }
}

fn became(world: &World) -> Vec<(Became, i64)> {
    world.changes.iter().map(|change| (change.to.clone(), (change.at - START) / SECOND)).collect()
}

#[test]
fn an_alert_is_pending_fires_and_resolves_each_after_its_time() {
    let mut world = World::of(vec![slow()]);
    world.run(MINUTE, &[("Slow", rows(&["chat"]))]);
    world.none();
    world.run(MINUTE, &[("Slow", rows(&["chat"]))]);
    let began = world.one();
    assert_eq!((began.kind, began.title.as_str()), (TellKind::Began, "[P2] chat has Slow at 2"));
    assert_eq!(began.audience, ["on-call"]);
    world.run(2 * MINUTE, &[("Slow", rows(&[]))]);
    world.none();
    world.run(MINUTE, &[("Slow", rows(&[]))]);
    let over = world.one();
    assert_eq!((over.kind, over.title.as_str()), (TellKind::Over, "[P2] over: chat has Slow at 2 (over after 2 min)"));
    let resolved = Became::Resolved { well_at: START + 2 * MINUTE, unwatched: false };
    assert_eq!(became(&world), [(Became::Pending, 0), (Became::Firing, 60), (resolved, 240)]);
}

#[test]
fn flapping_at_half_of_its_time_tells_nobody() {
    let mut world = World::of(vec![slow()]);
    for _ in 0..100 {
        world.run(30 * SECOND, &[("Slow", rows(&["chat"]))]);
        world.run(30 * SECOND, &[("Slow", rows(&[]))]);
    }
    world.none();
    assert!(world.changes.iter().all(|change| matches!(change.to, Became::Pending | Became::Inactive)));
}

#[test]
fn what_is_well_for_less_than_its_time_goes_on_firing_untold() {
    let mut world = World::of(vec![slow()]);
    world.run(2 * MINUTE, &[("Slow", rows(&["chat"]))]);
    for _ in 0..20 {
        world.run(MINUTE, &[("Slow", rows(&[]))]);
        world.run(MINUTE, &[("Slow", rows(&["chat"]))]);
    }
    assert_eq!(world.kinds(), [TellKind::Began, TellKind::Escalated]);
}

#[test]
fn without_an_answer_nothing_is_well_and_nothing_is_worse() {
    for answer in [Outcome::NoData, Outcome::Error("the store is away".to_owned())] {
        let mut world = World::of(vec![slow()]);
        world.run(30 * SECOND, &[("Slow", rows(&["chat"]))]);
        world.run(4 * MINUTE, &[("Slow", answer.clone())]);
        world.none();
        // Half a minute is missing still.
        world.run(30 * SECOND, &[("Slow", rows(&["chat"]))]);
        world.none();
        world.run(MINUTE, &[("Slow", rows(&["chat"]))]);
        assert_eq!(world.one().kind, TellKind::Began);
        world.run(MINUTE, &[("Slow", rows(&[]))]);
        world.run(4 * MINUTE, &[("Slow", answer)]);
        world.run(30 * SECOND, &[("Slow", rows(&[]))]);
        world.none();
        world.run(2 * MINUTE, &[("Slow", rows(&[]))]);
        assert_eq!(world.one().kind, TellKind::Over);
    }
}

#[test]
fn a_rule_that_finds_nothing_or_fails_or_is_not_evaluated_is_told_after_a_while_and_so_is_its_end() {
    let cases: [(Option<Outcome>, i64, &str); 3] = [
        (Some(Outcome::NoData), 10 * MINUTE, "[P3] Slow finds nothing that is measured: nothing is known of it"),
        (
            Some(Outcome::Error("no such function".to_owned())),
            5 * MINUTE,
            "[P3] Slow cannot be evaluated: no such function",
        ),
        (None, 5 * MINUTE, "[P3] Slow has not been evaluated for 5 min: nothing is known of it"),
    ];
    for (outcome, bound, title) in cases {
        let mut world = World::of(vec![slow()]);
        let outcomes: Vec<(&str, Outcome)> = outcome.into_iter().map(|outcome| ("Slow", outcome)).collect();
        world.run(bound - 10 * SECOND, &outcomes);
        world.none();
        world.run(MINUTE, &outcomes);
        assert_eq!(world.one().title, title);
        world.run(MINUTE, &[("Slow", rows(&[]))]);
        assert_eq!(world.one().kind, TellKind::Over);
    }
}

#[test]
fn a_rule_that_may_find_nothing_is_shown_and_told_to_nobody() {
    let mut world = World::of(vec![Rule { no_data: Absence::Shown, ..slow() }]);
    world.run(HOUR, &[("Slow", Outcome::NoData)]);
    world.none();
    assert_eq!(world.state.rules().next().unwrap().state, RuleState::NoData);
}

#[test]
fn more_alerts_than_are_kept_are_told_as_an_error_of_the_rule() {
    let mut world = World::of(vec![rule("Many")]);
    let services: Vec<String> = (0..MAX_PER_RULE + 7).map(|number| format!("s{number:05}")).collect();
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    world.run(MINUTE, &[("Many", rows(&services))]);
    let titles: Vec<&str> = world.told.iter().map(|tell| tell.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "[P2] s00000 has Many at 2, and 999 more",
            "[P3] Many gives more alerts than are kept, 7 are not: let it give fewer, by sum or max"
        ]
    );
    assert!(world.told.iter().all(|tell| tell.text.len() < 5_000), "a message stays short");
}

#[test]
fn a_rule_that_is_taken_away_ends_its_alerts_and_says_so() {
    let mut world = World::of(vec![rule("Slow"), rule("Other")]);
    world.run(MINUTE, &[("Slow", rows(&["chat"])), ("Other", rows(&[]))]);
    world.take();
    world.step(What::RulesChanged(Box::new(book(vec![rule("Other")]))));
    let over = world.one();
    assert_eq!(over.kind, TellKind::Over);
    assert!(over.text.contains("its rule was taken away"), "{}", over.text);
    assert!(world.changes.iter().any(|change| matches!(change.to, Became::Resolved { unwatched: true, .. })));
    // A late answer of it says nothing.
    world.run(MINUTE, &[("Slow", rows(&["chat"])), ("Other", rows(&[]))]);
    world.none();
}

#[test]
fn a_rule_that_changes_goes_on_with_its_alerts() {
    let mut world = World::of(vec![slow()]);
    world.run(30 * SECOND, &[("Slow", rows(&["chat"]))]);
    world.step(What::RulesChanged(Box::new(book(vec![Rule { severity: Severity::P1, ..slow() }]))));
    world.run(MINUTE, &[("Slow", rows(&["chat"]))]);
    assert_eq!(world.one().severity, Severity::P1);
}

#[test]
fn rules_that_cannot_be_taken_are_refused_one_by_one() {
    let bad = Rule { path: "nowhere".to_owned(), ..rule("Bad") };
    let world = World::of(vec![rule("Good"), rule("Good"), bad]);
    let refused = ["two rules are called \"Good\"", "there are database, security, server, service"];
    for (why, expected) in world.refused.iter().zip(refused) {
        assert!(why.contains(expected), "{why}");
    }
    assert_eq!((world.refused.len(), world.state.rules().count()), (2, 1));
}
