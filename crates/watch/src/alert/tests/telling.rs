use super::*;

fn firing() -> [(&'static str, Outcome); 1] {
    [("Slow", rows(&["chat"]))]
}

fn of(severity: Severity) -> World {
    World::of(vec![Rule { severity, ..rule("Slow") }])
}

fn acknowledge(group: u64, until: Option<i64>) -> What {
    What::Acknowledge { group, by: "ana".to_owned(), comment: "on it".to_owned(), until }
}

#[test]
fn by_its_severity_others_are_called_and_it_is_told_again() {
    // When the second step of the path is told, and when all are told again, in minutes since the first message.
    for (severity, calls, repeat) in [(Severity::P2, 30, 270), (Severity::P3, 120, 360), (Severity::P4, 1440, 2880)] {
        let mut world = of(severity);
        world.run(MINUTE, &firing());
        let began = world.one();
        assert_eq!(began.audience, ["on-call"]);
        world.run(49 * HOUR, &firing());
        let told: Vec<(TellKind, i64, Vec<String>)> =
            world.take().into_iter().map(|tell| (tell.kind, (tell.at - began.at) / MINUTE, tell.audience)).collect();
        let (escalated, again) = (&told[0], &told[1]);
        assert_eq!(*escalated, (TellKind::Escalated, calls, vec!["devops-lead".to_owned()]));
        assert_eq!(*again, (TellKind::Again, repeat, vec!["devops-lead".to_owned(), "on-call".to_owned()]));
    }
}

#[test]
fn the_most_urgent_calls_both_at_once_and_does_not_let_go() {
    let mut world = World::of(vec![Rule { severity: Severity::P1, path: "database".to_owned(), ..rule("Slow") }]);
    world.run(MINUTE, &firing());
    assert_eq!(world.one().audience, ["cto", "database-admin"]);
    world.run(4 * HOUR, &firing());
    assert_eq!(world.kinds(), [TellKind::Again; 8]);
}

#[test]
fn who_acknowledges_stops_repeats_and_escalation_until_it_is_over() {
    let mut world = of(Severity::P2);
    world.run(MINUTE, &firing());
    let group = world.one().group;
    world.step(acknowledge(group, None));
    let taken = world.one();
    assert_eq!((taken.kind, taken.text.lines().nth(1)), (TellKind::Taken, Some("- ana: on it")));
    world.run(24 * HOUR, &firing());
    world.none();
    world.run(MINUTE, &[("Slow", rows(&[]))]);
    assert_eq!(world.one().kind, TellKind::Over);
    // What begins anew is a new matter.
    world.run(MINUTE, &firing());
    assert_ne!(world.one().group, group);
}

#[test]
fn an_acknowledgement_with_an_end_ends() {
    let mut world = of(Severity::P2);
    world.run(MINUTE, &firing());
    let group = world.one().group;
    world.step(acknowledge(group, Some(world.now + HOUR)));
    world.take();
    world.run(59 * MINUTE, &firing());
    world.none();
    world.run(2 * MINUTE, &firing());
    assert_eq!(world.one().kind, TellKind::Again);
    world.run(30 * MINUTE, &firing());
    assert_eq!(world.one().kind, TellKind::Escalated);
}

#[test]
fn an_acknowledgement_does_not_hold_for_what_is_worse() {
    let by_service = |name: &str, severity| Rule { severity, group_by: vec!["service".to_owned()], ..rule(name) };
    let mut world = World::of(vec![by_service("Slow", Severity::P3), by_service("Dead", Severity::P1)]);
    world.run(MINUTE, &[("Slow", rows(&["chat"])), ("Dead", rows(&[]))]);
    let group = world.one().group;
    world.step(acknowledge(group, None));
    world.take();
    world.run(MINUTE, &[("Slow", rows(&["chat"])), ("Dead", rows(&["chat"]))]);
    let grew = world.one();
    assert_eq!((grew.kind, grew.group, grew.severity), (TellKind::Grew, group, Severity::P1));
    assert_eq!(grew.audience, ["devops-lead", "on-call"]);
    world.run(HOUR, &[("Slow", rows(&["chat"])), ("Dead", rows(&["chat"]))]);
    assert_eq!(world.kinds(), [TellKind::Again; 2]);
}

#[test]
fn acknowledgements_of_nothing_by_nobody_or_of_the_past_are_refused() {
    let mut world = of(Severity::P2);
    world.run(MINUTE, &firing());
    let group = world.one().group;
    world.step(acknowledge(group + 1, None));
    world.step(acknowledge(group, Some(world.now)));
    world.step(What::Acknowledge { group, by: " ".to_owned(), comment: String::new(), until: None });
    assert_eq!(world.refused.len(), 3);
    world.run(HOUR, &firing());
    assert_eq!(world.one().kind, TellKind::Escalated);
}

#[test]
fn a_message_that_comes_to_nobody_calls_the_next_ones_at_once() {
    let mut policy = Policy::default();
    policy.paths.insert(DEFAULT_PATH.to_owned(), ["first", "second", "third"].map(|name| vec![name.to_owned()]).into());
    let mut world = World::new(Book { policy, ..book(vec![rule("Slow")]) });
    world.run(MINUTE, &firing());
    let began = world.one();
    world.step(What::Failed { key: began.key.clone(), why: "the webhook answers 404".to_owned() });
    let escalated = world.one();
    assert_eq!((escalated.kind, escalated.audience), (TellKind::Escalated, vec!["second".to_owned()]));
    assert_eq!(world.state.groups().next().unwrap().undelivered.as_deref(), Some("the webhook answers 404"));
    // Words about messages that are not ours change nothing, nor that one once more: the next step has been told since.
    for key in ["", "alert-1-1-1", "deploy-7", &format!("{}0", began.key), &began.key] {
        world.step(What::Failed { key: key.to_owned(), why: "?".to_owned() });
    }
    world.run(MINUTE, &firing());
    world.none();
}

#[test]
fn what_was_not_said_to_be_sent_is_sent_again_after_a_restart_with_its_key() {
    let mut world = of(Severity::P2);
    world.run(MINUTE, &firing());
    let began = world.one();
    let text = serde_json::to_string(&world.state).unwrap();
    let restarted: State = serde_json::from_str(&text).unwrap();
    assert_eq!(restarted.outstanding().collect::<Vec<_>>(), [&began]);
    world.step(What::Sent { key: began.key });
    assert_eq!(world.state.outstanding().count(), 0);
}

#[test]
fn outstanding_messages_are_bounded() {
    let mut world = of(Severity::P2);
    for _ in 0..MAX_OUTSTANDING {
        world.run(20 * SECOND, &firing());
        world.run(20 * SECOND, &[("Slow", rows(&[]))]);
    }
    assert!(world.told.len() > MAX_OUTSTANDING);
    assert_eq!(world.state.outstanding().count(), MAX_OUTSTANDING);
}

#[test]
fn people_read_what_it_is_since_when_and_what_to_do() {
    let runbook = Some("https://docs.example.com/slow".to_owned());
    let mut world = World::of(vec![Rule { runbook, ..rule("Slow") }]);
    world.run(MINUTE, &[("Slow", rows(&["chat", "auth"]))]);
    let began = world.one();
    insta::assert_snapshot!(format!("{}\n\n{}\n\n{:?}\n{:?}", began.title, began.text, began.link, began.facts));
}

#[test]
fn a_message_says_what_it_is_about_to_its_end_and_who_needs_what_is_dead_is_meant_too() {
    let mut world = of(Severity::P2);
    world.run(MINUTE, &[("Slow", rows(&["chat", "auth"]))]);
    assert_eq!(world.one().about, ["auth", "chat"]);
    world.run(MINUTE, &[("Slow", rows(&[]))]);
    let over = world.one();
    assert_eq!((over.kind, over.about), (TellKind::Over, vec!["auth".to_owned(), "chat".to_owned()]));
    let needs: Needs = [("web", ["chat"]), ("chat", ["postgres"]), ("auth", ["redis"])].into_iter().collect();
    let dead = |role| Rule { subject: "server".to_owned(), role, ..rule("Dead") };
    let server = || Outcome::Values(vec![(Labels::new([("server", "postgres")]), 0.0)]);
    for (role, about) in [(Role::Cause, &["chat", "postgres", "web"][..]), (Role::Fact, &["postgres"])] {
        let mut world = World::new(Book { needs: needs.clone(), ..book(vec![dead(role)]) });
        world.run(MINUTE, &[("Dead", server())]);
        assert_eq!(world.one().about, about);
    }
    // A service that a rule names beside its subject is one that it is about.
    let mut world = World::of(vec![dead(Role::Symptom)]);
    let both = Labels::new([("server", "postgres"), ("service", "chat")]);
    world.run(MINUTE, &[("Dead", Outcome::Values(vec![(both, 0.0)]))]);
    assert_eq!(world.one().about, ["chat", "postgres"]);
    // That a rule has no data is about nothing that has a name.
    let mut world = of(Severity::P2);
    world.run(20 * MINUTE, &[("Slow", Outcome::NoData)]);
    assert_eq!(world.take()[0].about, Vec::<String>::new());
}
