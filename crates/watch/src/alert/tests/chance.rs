//! Whatever happens, in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const RULES: [&str; 4] = ["Down", "Slow", "Failing", "Blip"];
const SERVICES: [&str; 4] = ["postgres", "auth", "chat", "web"];

#[derive(Debug, Clone)]
enum Act {
    /// A rule gives these services.
    Rows(usize, u8),
    Blind(usize, bool),
    /// Seconds pass, ticked; all rules give what they gave last.
    Pass(u16),
    /// The clock is set.
    Jump(i32),
    Acknowledge(u64, Option<u16>),
    Silence(usize, u16),
    Maintain(u8, u16, u16),
    Unsilence(u64),
    Word(prop::sample::Index, bool),
    Rules(u8),
    Restart,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (0..RULES.len(), any::<u8>()).prop_map(|(rule, services)| Act::Rows(rule, services % 16)),
        2 => (0..RULES.len(), any::<bool>()).prop_map(|(rule, error)| Act::Blind(rule, error)),
        10 => (1..400_u16).prop_map(Act::Pass),
        1 => (-7_200..7_200_i32).prop_map(Act::Jump),
        1 => (0..12_u64, prop::option::of(1..2_000_u16)).prop_map(|(group, until)| Act::Acknowledge(group, until)),
        1 => (0..SERVICES.len(), 1..2_000_u16).prop_map(|(service, until)| Act::Silence(service, until)),
        1 => (0..16_u8, 0..1_000_u16, 1..2_000_u16).prop_map(|(set, from, span)| Act::Maintain(set, from, span)),
        1 => (0..5_u64).prop_map(Act::Unsilence),
        3 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, good)| Act::Word(which, good)),
        1 => any::<u8>().prop_map(|set| Act::Rules(set % 16)),
        2 => Just(Act::Restart),
    ];
    prop::collection::vec(act, 1..60)
}

fn rules_of(set: u8) -> Book {
    let all = [
        Rule { hold: Span::from_secs(30), severity: Severity::P1, role: Role::Cause, ..rule("Down") },
        Rule {
            hold: Span::from_mins(2),
            keep_firing_for: Span::from_mins(1),
            group_by: vec!["service".into()],
            ..rule("Slow")
        },
        Rule { hold: Span::from_mins(1), severity: Severity::P3, tell: vec!["ana".into()], ..rule("Failing") },
        Rule { severity: Severity::P4, role: Role::Fact, no_data: Absence::Shown, ..rule("Blip") },
    ];
    let rules = all.into_iter().enumerate().filter(|(bit, _)| set & (1 << bit) != 0).map(|(_, rule)| rule).collect();
    let needs = [("web", vec!["chat", "auth"]), ("chat", vec!["auth", "postgres"]), ("auth", vec!["postgres"])];
    let needs = needs.map(|(name, needs)| (name.to_owned(), needs.into_iter().map(str::to_owned).collect()));
    Book { needs: Needs::new(needs.into_iter().collect()), ..book(rules) }
}

fn services(set: u8) -> Vec<&'static str> {
    SERVICES.into_iter().enumerate().filter(|(bit, _)| set & (1 << bit) != 0).map(|(_, name)| name).collect()
}

/// Watches the watcher.
struct Judge {
    world: World,
    last: BTreeMap<&'static str, Outcome>,
    /// For each alert in breach: milliseconds of evaluations in breach, at most.
    breach: BTreeMap<AlertId, i64>,
    wall: i64,
    steps: usize,
    keys: BTreeSet<String>,
    /// Episodes that began, and whether they were told, or muted when they ended.
    told: BTreeSet<u64>,
    began: BTreeSet<u64>,
    excused: BTreeSet<u64>,
    over: BTreeSet<u64>,
}

impl Judge {
    fn new() -> Self {
        let world = World::new(rules_of(15));
        Self {
            wall: world.now,
            steps: 0,
            world,
            last: BTreeMap::new(),
            breach: BTreeMap::new(),
            keys: BTreeSet::new(),
            told: BTreeSet::new(),
            began: BTreeSet::new(),
            excused: BTreeSet::new(),
            over: BTreeSet::new(),
        }
    }

    fn step(&mut self, what: What) {
        let passed = (self.world.now - self.wall).max(0);
        self.wall = self.world.now;
        self.breach.values_mut().for_each(|time| *time += passed);
        if let What::Evaluated { rule, outcome: Outcome::Values(rows) } = &what {
            let now: BTreeSet<AlertId> = rows
                .iter()
                .map(|(labels, _)| AlertId { rule: rule.clone(), kind: Kind::Breach, labels: labels.clone() })
                .collect();
            self.breach.retain(|id, _| id.rule != *rule || now.contains(id));
            for id in now {
                self.breach.entry(id).or_insert(0);
            }
        }
        self.steps += 1;
        // The same from what is on disk, by the event as it is on disk; not each time, since that takes most of the time.
        let before = self.steps.is_multiple_of(8).then(|| self.world.state.clone());
        let event = Event { at: self.world.now, what: what.clone() };
        let step = self.world.step(what);
        for effect in &step.effects {
            self.effect(effect);
        }
        assert!(step.save || step.effects.is_empty());
        for (id, alert) in self.world.state.alerts() {
            assert!(!alert.told || alert.group.is_some(), "{id:?} was told, so it has a group");
            if let (Some(Muted::Inhibited { by, .. }), None) = (&alert.muted, alert.cause_gone) {
                let fires = self.world.state.alerts.get(&**by).is_some_and(|cause| cause.fired.is_some());
                assert!(fires || alert.clear.is_some(), "{id:?} is held back by what fires");
                assert_ne!(**by, *id);
            }
        }
        let Some(before) = before else { return };
        let stored: (State, Event) = serde_json::from_str(&serde_json::to_string(&(&before, &event)).unwrap()).unwrap();
        let (mut again, event) = stored;
        assert_eq!(again, before);
        assert_eq!(again.step(&event).effects, step.effects);
        assert_eq!(again, self.world.state);
    }

    fn effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Changed(change) => match (&change.to, change.episode) {
                (Became::Firing, Some(episode)) => {
                    assert!(self.began.insert(episode), "each episode begins once");
                    if change.alert.kind == Kind::Breach {
                        let hold = self.world.state.rules[&change.alert.rule].hold.millis();
                        let seen = u64::try_from(self.breach[&change.alert]).unwrap();
                        assert!(seen + evaluate::EARLY >= hold, "{:?} fires after {seen} of {hold}", change.alert);
                    }
                }
                (Became::Resolved { .. }, Some(episode)) if change.muted.is_some() => {
                    self.excused.insert(episode);
                }
                (Became::Resolved { .. }, Some(episode)) => assert!(self.began.contains(&episode)),
                _ => {}
            },
            Effect::Tell(tell) => {
                assert!(self.keys.insert(tell.key.clone()), "{} is sent once", tell.key);
                assert!(!tell.audience.is_empty(), "somebody is told");
                assert!(!self.over.contains(&tell.group), "nothing comes after the end");
                if matches!(tell.kind, TellKind::Over | TellKind::Passed) {
                    self.over.insert(tell.group);
                }
                for episode in &tell.episodes {
                    assert!(self.began.contains(episode), "only what fires is told");
                    assert!(self.told.insert(*episode), "nothing is told twice");
                }
            }
            Effect::Acknowledged { .. } | Effect::Refused(_) => {}
        }
    }

    /// Seconds pass, as they do.
    fn pass(&mut self, seconds: u16) {
        for second in 0..seconds {
            if second % 10 == 0 {
                for (rule, outcome) in self.last.clone() {
                    self.step(What::Evaluated { rule: rule.to_owned(), outcome });
                }
            }
            self.world.now += SECOND;
            if second % 5 == 0 {
                self.step(What::Tick);
            }
        }
    }

    fn act(&mut self, act: &Act) {
        let now = self.world.now;
        let later = |seconds: u16| now + i64::from(seconds) * SECOND;
        let (by, reason) = ("ana".to_owned(), "work".to_owned());
        match act {
            Act::Rows(rule, set) => drop(self.last.insert(RULES[*rule], rows(&services(*set)))),
            Act::Blind(rule, error) => {
                let outcome = if *error { Outcome::Error("away".to_owned()) } else { Outcome::NoData };
                self.last.insert(RULES[*rule], outcome);
            }
            Act::Pass(seconds) => self.pass(*seconds),
            Act::Jump(seconds) => self.world.now += i64::from(*seconds) * SECOND,
            Act::Acknowledge(group, until) => {
                let until = until.map(later);
                self.step(What::Acknowledge { group: *group, by, comment: String::new(), until });
            }
            Act::Silence(service, until) => {
                let value = SERVICES[*service].to_owned();
                let condition = Condition { label: "service".into(), is: Comparison::Equal, value };
                let alerts = Selector::new(vec![condition]).unwrap();
                self.step(What::Silence { alerts, until: later(*until), by, reason });
            }
            Act::Maintain(set, from, span) => {
                let services = services(*set).into_iter().map(str::to_owned).collect();
                let (from, until) = (later(*from), later(from + span));
                self.step(What::Maintenance { services, from, until, by, reason });
            }
            Act::Unsilence(number) => self.step(What::Unsilence { number: *number, by }),
            Act::Word(which, good) => {
                if self.keys.is_empty() {
                    return;
                }
                let keys: Vec<&String> = self.keys.iter().collect();
                let key = (*which.get(&keys)).clone();
                let why = "away".to_owned();
                self.step(if *good { What::Sent { key } } else { What::Failed { key, why } });
            }
            Act::Rules(set) => self.step(What::RulesChanged(Box::new(rules_of(*set)))),
            Act::Restart => {
                let text = serde_json::to_string(&self.world.state).unwrap();
                self.world.state = serde_json::from_str(&text).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_alert_is_told_once_or_there_is_a_reason_and_nothing_fires_early(acts in acts()) {
        let mut judge = Judge::new();
        for act in &acts {
            judge.act(act);
        }
        // What still burns has time to be told.
        judge.pass(400);
        for (id, alert) in judge.world.state.alerts() {
            let slow = judge.world.state.groups().any(|group| group.told.is_some() && group.waiting.contains(id));
            prop_assert!(alert.fired.is_none() || alert.told || alert.muted.is_some() || slow, "{id:?} is not told: {alert:?}");
        }
        // All is well.
        judge.step(What::RulesChanged(Box::new(rules_of(15))));
        for rule in RULES {
            judge.last.insert(rule, rows(&[]));
        }
        judge.pass(400);
        prop_assert_eq!(judge.world.state.alerts().count(), 0);
        prop_assert_eq!(judge.world.state.groups().count(), 0);
        let untold: BTreeSet<u64> = judge.began.difference(&judge.told).copied().collect();
        prop_assert!(untold.is_subset(&judge.excused), "{:?} were neither told nor muted", untold);
    }

    #[test]
    fn no_event_breaks_it(events in prop::collection::vec((any::<i64>(), 0..7_u8, any::<u64>(), ".{0,20}"), 0..40)) {
        let mut state = State::default();
        state.step(&Event { at: START, what: What::RulesChanged(Box::new(rules_of(15))) });
        for (at, kind, number, text) in events {
            let (by, why) = (text.clone(), text.clone());
            let what = match kind {
                0 => What::Evaluated { rule: "Blip".to_owned(), outcome: rows(&[&text]) },
                1 => What::Evaluated { rule: text, outcome: Outcome::NoData },
                2 => What::Acknowledge { group: number, by, comment: text, until: Some(at) },
                3 => What::Maintenance { services: [text].into(), from: i64::MIN, until: at, by, reason: why },
                4 => What::Failed { key: format!("alert-{at}-{number}-0"), why },
                5 => What::Unsilence { number, by },
                _ => What::Tick,
            };
            state.step(&Event { at, what });
        }
    }
}
