use proptest::prelude::*;

use super::*;
use crate::Labels;
use crate::alert::{AlertId, Became, Change, Kind, Muted, Severity, Value};

/// 2025-11-27 12:34 UTC, when the reference's incident began.
const START: i64 = 1_764_246_840_000;
const MINUTE: i64 = 60_000;

struct World {
    incidents: Incidents,
    effects: Vec<Effect>,
}

impl World {
    fn new() -> Self {
        Self { incidents: Incidents::default(), effects: Vec::new() }
    }

    fn step(&mut self, minute: i64, what: What) -> Vec<Effect> {
        let effects = self.incidents.step(&Event { at: START + minute * MINUTE, what });
        self.effects.extend(effects.iter().cloned());
        effects
    }

    fn one(&self) -> &Incident {
        assert_eq!(self.incidents.iter().count(), 1);
        self.incidents.iter().next().unwrap()
    }
}

/// A change of a rule about a service, which needs some.
fn change(episode: u64, rule: &str, subject: &str, needs: &[&str], minute: i64, to: Became) -> Change {
    Change {
        alert: AlertId { rule: rule.to_owned(), kind: Kind::Breach, labels: Labels::new([("service", subject)]) },
        episode: Some(episode),
        to,
        at: START + minute * MINUTE,
        began_at: START + minute * MINUTE,
        severity: Severity::P1,
        subject: subject.to_owned(),
        summary: format!("{subject} has {rule}"),
        value: Value(1.0),
        muted: None,
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
    }
}

fn fires(episode: u64, rule: &str, subject: &str, needs: &[&str], minute: i64) -> What {
    What::Alert(Box::new(change(episode, rule, subject, needs, minute, Became::Firing)))
}

fn over(episode: u64, rule: &str, subject: &str, minute: i64, well: i64) -> What {
    let to = Became::Resolved { well_at: START + well * MINUTE, unwatched: false };
    What::Alert(Box::new(change(episode, rule, subject, &[], minute, to)))
}

#[test]
fn the_references_incident_is_told_as_the_reference_tells_it() {
    let mut world = World::new();
    let by = || "ana".to_owned();
    world.step(-10, What::Deployed { service: "chat-backend".into(), text: "1.6.0 is out".into() });
    world.step(-50, What::Deployed { service: "chat-backend".into(), text: "1.5.2 is out".into() });
    world.step(-5, What::Restarted { service: "auth".into(), text: "another matter".into() });
    world.step(0, fires(1, "ServiceDown", "chat-backend", &["postgres"], 0));
    world.step(1, What::Restarted { service: "chat-backend".into(), text: "chat-backend-1, out of memory".into() });
    world.step(1, What::Counted { incident: 1, users: 500, of: "active users".into() });
    world.step(1, What::Counted { incident: 1, users: 300, of: "active users".into() });
    world.step(2, What::Posted { incident: 1, by: by(), text: "Health check passing\n".into(), status: None });
    world.step(2, What::Impact { incident: 1, by: by(), text: "API requests failing (100% error rate)".into() });
    let draft = post_mortem(world.one());
    assert_eq!(world.step(4, over(1, "ServiceDown", "chat-backend", 4, 2)), [Effect::Resolved(1)]);
    let cause = "OOM killer terminated process (memory leak)";
    world.step(60, What::Cause { incident: 1, by: by(), text: cause.into() });
    world.step(61, What::Action { incident: 1, by: by(), text: "Increase memory limit to 1GB (from 512MB)".into() });
    world.step(61, What::Action { incident: 1, by: by(), text: "Add memory monitoring alert".into() });
    world.step(62, What::FollowedUp { incident: 1, point: 2, by: by() });
    let incident = world.one();
    assert_eq!((incident.to_detect().millis(), incident.to_recover().unwrap().spoken().as_str()), (0, "2 min"));
    insta::assert_snapshot!(format!("{}\n{draft}\n{}", announcement(incident), post_mortem(incident)));
}

#[test]
fn what_has_the_same_cause_is_one_incident() {
    let mut world = World::new();
    assert_eq!(world.step(0, fires(1, "Errors", "chat", &["auth", "postgres"], 0)), [Effect::Opened(1)]);
    // What it needs, what needs it, the same one, and the same rule in the same minute.
    for (episode, rule, subject, needs) in [
        (2, "DatabaseDown", "postgres", &[][..]),
        (3, "Latency", "web", &["chat", "auth", "postgres"]),
        (4, "Latency", "chat", &["auth", "postgres"]),
        (5, "Latency", "news", &[]),
    ] {
        assert_eq!(world.step(1, fires(episode, rule, subject, needs, 1)), [Effect::Changed(1)], "{rule} {subject}");
    }
    assert_eq!(world.one().title, "Database Down - postgres");
    assert_eq!(world.step(1, fires(6, "Disk", "/srv", &[], 1)), [Effect::Opened(2)]);
    for episode in 1..5 {
        assert_eq!(world.step(5, over(episode, "x", "x", 5, 4)), [Effect::Changed(1)]);
    }
    assert_eq!(world.step(5, over(5, "x", "x", 5, 4)), [Effect::Resolved(1)]);
    assert_eq!(world.incidents.open().count(), 1);
}

#[test]
fn two_hundred_services_that_go_down_at_once_are_one_incident() {
    let mut world = World::new();
    for episode in 0..200 {
        world.step(0, fires(episode, "ServiceDown", &format!("service-{episode}"), &[], 0));
    }
    assert_eq!((world.one().firing.len(), world.one().subjects.len()), (200, 200));
}

#[test]
fn only_what_is_urgent_and_unexcused_opens_an_incident() {
    let mut world = World::new();
    let muted = |muted: Option<Muted>, severity, to| {
        let mut change = change(1, "Errors", "chat", &[], 0, to);
        (change.muted, change.severity) = (muted, severity);
        What::Alert(Box::new(change))
    };
    let silenced = Some(Muted::Silenced { number: 1 });
    assert_eq!(world.step(0, muted(None, Severity::P3, Became::Firing)), []);
    assert_eq!(world.step(0, muted(silenced, Severity::P1, Became::Firing)), []);
    assert_eq!(world.step(0, muted(Some(Muted::Maintained { number: 1 }), Severity::P1, Became::Muted)), []);
    // It outlives the silence.
    assert_eq!(world.step(0, muted(None, Severity::P2, Became::Muted)), [Effect::Opened(1)]);
    // Something less urgent about the same joins.
    let mut minor = change(2, "Latency", "chat", &[], 1, Became::Firing);
    minor.severity = Severity::P4;
    assert_eq!(world.step(1, What::Alert(Box::new(minor))), [Effect::Changed(1)]);
    assert_eq!(world.one().severity, Severity::P2);
}

#[test]
fn what_begins_again_soon_has_not_been_over() {
    let mut world = World::new();
    world.step(0, fires(1, "Errors", "chat", &[], 0));
    world.step(5, over(1, "Errors", "chat", 5, 4));
    assert_eq!(world.step(14, fires(2, "Errors", "chat", &[], 14)), [Effect::Reopened(1)]);
    assert_eq!((world.one().resolved_at, world.one().to_recover()), (None, None));
    world.step(20, over(2, "Errors", "chat", 20, 19));
    assert_eq!(world.one().to_recover().unwrap().spoken(), "19 min");
    assert_eq!(world.step(40, fires(3, "Errors", "chat", &[], 40)), [Effect::Opened(2)]);
}

#[test]
fn people_declare_and_resolve_what_no_alert_sees() {
    let mut world = World::new();
    let declared = What::Declared {
        by: "ana".into(),
        title: "Customers report wrong invoices".into(),
        severity: Severity::P2,
        services: ["billing".to_owned()].into(),
    };
    assert_eq!(world.step(0, declared), [Effect::Opened(1)]);
    assert_eq!(world.step(1, fires(1, "Errors", "billing", &[], 1)), [Effect::Changed(1)]);
    assert_eq!(world.one().title, "Customers report wrong invoices");
    let resolved = || What::Resolved { incident: 1, by: "ana".into() };
    assert!(
        matches!(&world.step(2, resolved())[..], [Effect::Refused(why)] if why.contains("1 of its alerts still fire"))
    );
    world.step(3, over(1, "Errors", "billing", 3, 3));
    assert!(matches!(&world.step(4, resolved())[..], [Effect::Refused(why)] if why.contains("resolved already")));
}

#[test]
fn an_alert_that_is_silenced_does_not_hold_an_incident_open_against_a_persons_word() {
    let mut world = World::new();
    let muted = |muted| {
        let change = Change { muted, ..change(1, "Errors", "chat", &[], 1, Became::Muted) };
        What::Alert(Box::new(change))
    };
    world.step(0, fires(1, "Errors", "chat", &[], 0));
    assert_eq!(world.step(1, muted(Some(Muted::Silenced { number: 1 }))), [Effect::Changed(1)]);
    assert_eq!(world.one().status(), Status::Investigating);
    assert_eq!(world.step(2, What::Resolved { incident: 1, by: "ana".into() }), [Effect::Resolved(1)]);
    // The silence ends, and it was not wrong.
    assert_eq!(world.step(5, muted(None)), [Effect::Reopened(1)]);
    assert_eq!(world.step(6, over(1, "Errors", "chat", 6, 6)), [Effect::Resolved(1)]);
}

#[test]
fn people_say_how_far_they_are_and_what_they_say_last_ends_it() {
    let mut world = World::new();
    let posted = |text: &str, status| What::Posted { incident: 1, by: "ana".into(), text: text.into(), status };
    world.step(0, fires(1, "Errors", "chat", &[], 0));
    assert_eq!(world.step(1, posted("the disk is full", Some(Status::Identified))), [Effect::Changed(1)]);
    assert_eq!(world.step(2, posted("still", None)), [Effect::Changed(1)]);
    let shown = |world: &World| -> Vec<Status> { world.one().updates().filter_map(|entry| entry.status).collect() };
    assert_eq!((world.one().status(), shown(&world)), (Status::Identified, vec![Status::Identified; 2]));
    // Nobody says that it is over while it is not; nothing of it is kept then.
    let refused = world.step(3, posted("over", Some(Status::Resolved)));
    assert!(matches!(&refused[..], [Effect::Refused(why)] if why.contains("still fire")), "{refused:?}");
    assert_eq!(world.one().updates().count(), 2);
    world.step(4, over(1, "Errors", "chat", 4, 4));
    assert_eq!(world.step(5, posted("a larger disk is in", None)), [Effect::Changed(1)]);
    assert_eq!(shown(&world).last(), Some(&Status::Resolved));
    let refused = world.step(5, posted("looking", Some(Status::Monitoring)));
    assert!(matches!(&refused[..], [Effect::Refused(why)] if why.contains("resolved already")), "{refused:?}");
    // What begins again is looked into anew.
    world.step(6, fires(2, "Errors", "chat", &[], 6));
    assert_eq!(world.one().status(), Status::Investigating);
    let declared = What::Declared {
        by: "ana".into(),
        title: "Slow".into(),
        severity: Severity::P3,
        services: ["web".into()].into(),
    };
    world.step(7, declared);
    let end = What::Posted { incident: 2, by: "ana".into(), text: "It was us".into(), status: Some(Status::Resolved) };
    assert_eq!(world.step(8, end), [Effect::Resolved(2)]);
    assert_eq!(world.incidents.get(2).unwrap().status(), Status::Resolved);
}

#[test]
fn what_cannot_be_done_is_refused_and_says_why() {
    let mut world = World::new();
    world.step(0, fires(1, "Errors", "chat", &[], 0));
    let said = |incident, text: &str| What::Said { incident, by: "ana".into(), text: text.into() };
    for (what, problem) in [
        (said(7, "x"), "no incident 7"),
        (said(1, " \n"), "empty"),
        (said(1, &"x".repeat(MAX_TEXT + 1)), "2001 characters"),
        (What::FollowedUp { incident: 1, point: 0, by: "ana".into() }, "no follow-up point 0"),
        (What::FollowedUp { incident: 1, point: 7, by: "ana".into() }, "1 to 6"),
    ] {
        let effects = world.step(1, what);
        assert!(matches!(&effects[..], [Effect::Refused(why)] if why.contains(problem)), "{effects:?}");
    }
}

#[test]
fn everything_is_bounded() {
    let mut world = World::new();
    for episode in 0..300 {
        world.step(
            episode * 20,
            fires(u64::try_from(episode).unwrap(), "Errors", &format!("s{episode}"), &[], episode * 20),
        );
    }
    assert_eq!(world.incidents.iter().count(), MAX_OPEN, "what is too much joins the newest");
    for number in 0..2_000 {
        world.step(6_000, What::Restarted { service: "s0".into(), text: format!("restart {number}") });
    }
    let first = world.incidents.get(1).unwrap();
    assert_eq!((first.timeline.len(), first.left_out), (MAX_ENTRIES, 1_501));
    assert!(first.timeline[0].text.contains("Alert triggered") && first.timeline[499].text == "restart 1999");
    let mut world = World::new();
    for episode in 0..300 {
        let (minute, number) = (episode * 20, u64::try_from(episode).unwrap());
        world.step(minute, fires(number, "Errors", "chat", &[], minute));
        world.step(minute + 1, over(number, "Errors", "chat", minute + 1, minute + 1));
    }
    assert_eq!(world.incidents.iter().count(), MAX_KEPT);
    assert_eq!(world.effects.iter().filter(|effect| matches!(effect, Effect::Forgotten(_))).count(), 100);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_alert_is_in_one_incident_and_that_is_open(
        acts in prop::collection::vec((0..40_i64, 0..12_u64, 0..5_usize, any::<bool>()), 1..80)
    ) {
        let subjects = ["postgres", "auth", "chat", "web", ""];
        let mut world = World::new();
        let (mut minute, mut firing) = (0, std::collections::BTreeSet::new());
        for (passed, episode, subject, is_over) in acts {
            minute += passed / 4;
            let subject = subjects[subject];
            if is_over && firing.remove(&episode) {
                world.step(minute, over(episode, "Errors", subject, minute, minute));
            } else if !is_over && firing.insert(episode) {
                world.step(minute, fires(episode, "Errors", subject, &[], minute));
            }
            let mut inside: Vec<u64> = world.incidents.iter().flat_map(|incident| incident.firing.keys().copied()).collect();
            inside.sort_unstable();
            prop_assert_eq!(inside, firing.iter().copied().collect::<Vec<_>>());
            for incident in world.incidents.iter() {
                prop_assert_eq!(incident.firing.is_empty(), incident.status() == Status::Resolved);
                prop_assert!(incident.began_at <= incident.detected_at && !incident.title.is_empty());
                prop_assert!(!announcement(incident).is_empty() && post_mortem(incident).contains("6. Update runbooks"));
            }
            let text = serde_json::to_string(&world.incidents).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Incidents>(&text).unwrap(), &world.incidents);
        }
    }
}
