//! What the built-in rules make of many deaths at once, with the real store, by the turns that rules have, through the outbox.

use std::collections::BTreeSet;

use mana_notify::outbox::{self, Outbox};
use mana_watch::store::{Kind, Limits, SeriesId, Store};

use super::super::turns::{outcomes, turn};
use super::*;
use crate::watching::subjects::{Service, Subjects};

const SECOND: i64 = 1_000;
const TARGETS: usize = 200;

/// An ecosystem that is measured every ten seconds, each target at a moment of its own.
struct World {
    store: Store,
    targets: Vec<Target>,
    /// What the machine has of memory and disk, and what is left of it.
    host: [SeriesId; 4],
    /// In milliseconds since 1970.
    now: i64,
    state: alert::State,
    ready: Vec<Ready>,
    evaluations: usize,
    /// Milliseconds that the last evaluation took.
    late: i64,
    outbox: Outbox,
    /// What a channel took: when, and the title.
    taken: Vec<(i64, String)>,
}

struct Target {
    name: String,
    /// Instances that there should be, and what is 0 where it is dead.
    gauges: Vec<SeriesId>,
    /// Restarts, and ends for want of memory: none.
    quiet: [SeriesId; 2],
    /// Requests that were answered, and that were not.
    requests: [SeriesId; 2],
    counts: [f64; 2],
}

impl World {
    fn start(folder: &Path) -> Self {
        let now = 1_764_246_840_000;
        let mut store = Store::open(folder, Limits::default(), now).expect("a store");
        let targets: Vec<Target> = (0..TARGETS).map(|number| Target::of(&mut store, number)).collect();
        let mut of = |metric: &str, more: &[(&str, &str)]| {
            let labels = [("__name__", metric)].into_iter().chain(more.iter().copied());
            store.identify("host", &Labels::new(labels), Kind::Gauge).expect("room")
        };
        let disk = [("device", "/dev/vda"), ("mountpoint", "/"), ("fstype", "ext4")];
        let host = [
            of("node_memory_MemTotal_bytes", &[]),
            of("node_memory_MemAvailable_bytes", &[]),
            of("node_filesystem_size_bytes", &disk),
            of("node_filesystem_avail_bytes", &disk),
        ];
        let service =
            |target: &Target| Service { name: target.name.clone(), wanted: 1, ready: 1, ..Service::default() };
        let subjects = Subjects { services: targets.iter().map(service).collect(), ..Subjects::default() };
        let book = book(&subjects, false);
        let mut world = Self {
            store,
            targets,
            host,
            now,
            state: alert::State::default(),
            ready: book.rules.iter().map(Ready::of).collect(),
            evaluations: 0,
            late: 0,
            outbox: Outbox::default(),
            taken: Vec::new(),
        };
        world.step(What::RulesChanged(Box::new(book)));
        world
    }

    /// So many seconds pass, in which targets are well or dead.
    fn run(&mut self, seconds: i64, dead: bool) {
        for _ in 0..seconds {
            self.now += SECOND;
            let second = usize::try_from(self.now / SECOND).expect("after 1970");
            for (number, target) in self.targets.iter_mut().enumerate() {
                if second % 10 == number % 10 {
                    let appended = self.store.append(&target.measured(dead), self.now);
                    assert_eq!((appended.late, appended.unknown.len()), (0, 0));
                }
            }
            if second.is_multiple_of(10) {
                let values = [16e9, 9e9, 100e9, 60e9];
                let host: Vec<_> = self.host.into_iter().zip(values).collect();
                assert_eq!(self.store.append(&host, self.now).late, 0);
            }
            self.evaluate(turn(second as u64));
            self.step(What::Tick);
        }
    }

    /// Rules take a moment, and not the same one each time.
    fn evaluate(&mut self, turn: Turn) {
        let outcomes = outcomes(&self.store.reader(), &self.ready, turn, self.evaluations, self.now);
        self.evaluations += usize::from(turn == Turn::All);
        self.late = (self.late + 17) % 50;
        for (rule, outcome) in outcomes {
            assert!(!matches!(outcome, Outcome::Error(_)), "{rule}: {outcome:?}");
            self.step(What::Evaluated { rule, outcome });
        }
    }

    /// What people are told goes through the outbox to a channel that takes everything.
    fn step(&mut self, what: What) {
        let step = self.state.step(&Event { at: self.now + self.late, what });
        for effect in step.effects {
            let Effect::Tell(tell) = effect else { continue };
            let message = mana_notify::Message {
                key: tell.key.clone(),
                title: tell.title,
                text: tell.text,
                severity: mana_notify::Severity::Page,
                link: None,
                facts: tell.facts,
                at_ms: self.at_ms(),
            };
            self.deliver(outbox::What::Queued { message, channels: vec!["team".to_owned()] });
            self.step(What::Sent { key: tell.key });
        }
        self.deliver(outbox::What::Tick);
    }

    fn deliver(&mut self, what: outbox::What) {
        for effect in self.outbox.step(&outbox::Event { at_ms: self.at_ms(), chance: 0.5, what }).effects {
            let outbox::Effect::Send(delivery) = effect else { panic!("{effect:?}") };
            self.taken.push((self.now, delivery.message.title.clone()));
            self.deliver(outbox::What::Sent(delivery.id()));
        }
    }

    fn at_ms(&self) -> u64 {
        u64::try_from(self.now).expect("after 1970")
    }

    fn firing(&self) -> BTreeSet<&str> {
        let firing = self.state.alerts().filter(|(_, alert)| alert.fired.is_some());
        firing.map(|(id, _)| id.rule.as_str()).collect()
    }
}

impl Target {
    fn of(store: &mut Store, number: usize) -> Self {
        let name = format!("service-{number:03}");
        let mut of = |metric: &str, kind: Kind, more: &[(&str, &str)]| {
            let own = if metric.starts_with("mana_edge") { "route" } else { "service" };
            let labels = [("__name__", metric), (own, &name)].into_iter().chain(more.iter().copied());
            store.identify(&name, &Labels::new(labels), kind).expect("room")
        };
        let gauges = vec![
            of("mana_instances_wanted", Kind::Gauge, &[]),
            of("mana_instances_ready", Kind::Gauge, &[]),
            of("up", Kind::Gauge, &[("instance", "blue-1")]),
            of("probe_success", Kind::Gauge, &[("via", "direct")]),
            of("probe_success", Kind::Gauge, &[("via", "public"), ("host", "a.example")]),
        ];
        let quiet = ["mana_instance_restarts_total", "mana_instance_oom_kills_total"]
            .map(|metric| of(metric, Kind::Counter, &[("instance", "blue-1")]));
        let requests = ["2xx", "5xx"].map(|class| of("mana_edge_requests_total", Kind::Counter, &[("class", class)]));
        Self { gauges, quiet, requests, counts: [0.0; 2], name }
    }

    /// What ten seconds gave: twenty requests a second, and where it is dead, no answer to any of them.
    fn measured(&mut self, dead: bool) -> Vec<(SeriesId, f64)> {
        self.counts[usize::from(dead)] += 200.0;
        let well = if dead { 0.0 } else { 1.0 };
        let gauges = self.gauges.iter().copied().zip([1.0, well, well, well, well]);
        let requests = self.requests.into_iter().zip(self.counts);
        gauges.chain(self.quiet.map(|id| (id, 0.0))).chain(requests).collect()
    }
}

#[test]
fn two_hundred_services_that_die_at_once_make_one_notification_of_all_built_in_rules() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::start(folder.path());
    world.run(363, false);
    assert_eq!((world.taken.len(), world.firing()), (0, BTreeSet::new()), "all is well: {:?}", world.taken);
    let died = world.now;
    // Shorter than until further people are told since nobody has answered.
    world.run(270, true);
    assert_eq!(world.taken.len(), 1, "{:?}: {:#?}", world.firing(), world.taken);
    let (at, title) = world.taken[0].clone();
    assert_eq!(title, "[P1] service-000 is down: no instance of it answers, and 199 more");
    assert!(at - died <= 60 * SECOND, "after {} s", (at - died) / SECOND);
    // Somebody looks after it: what follows from it later is no news.
    let group = world.state.groups().next().expect("one").number;
    world.step(What::Acknowledge { group, by: "ada".to_owned(), comment: String::new(), until: None });
    world.run(120, true);
    assert_eq!(world.firing(), BTreeSet::from(["ErrorsHigh", "ErrorsMost", "InstanceMissing", "ServiceDown"]));
    assert_eq!(world.taken.len(), 2, "{:#?}", world.taken);
    assert_eq!(world.taken[1].1, format!("[P1] looked after: {}", title.trim_start_matches("[P1] ")));
}
