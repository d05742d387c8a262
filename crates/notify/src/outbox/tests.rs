use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::Severity;

fn message(key: &str, at_ms: u64) -> Message {
    Message {
        key: key.to_owned(),
        title: "t".to_owned(),
        text: String::new(),
        severity: Severity::Info,
        link: None,
        facts: Vec::new(),
        at_ms,
    }
}

/// An outbox with its disk, and channels that are up or down. It dies and comes back.
#[derive(Default)]
struct World {
    now_ms: u64,
    outbox: Outbox,
    disk: BTreeMap<(String, String), Delivery>,
    on_its_way: Vec<Delivery>,
    /// What each channel took, in order.
    taken: BTreeMap<String, Vec<Delivery>>,
    given_up: Vec<Id>,
}

impl World {
    fn step(&mut self, what: What) {
        let step = self.outbox.step(&Event { at_ms: self.now_ms, chance: 1.0, what });
        for kept in step.keep {
            self.disk.insert((kept.channel.clone(), kept.message.key.clone()), kept);
        }
        for id in step.forget {
            self.disk.remove(&(id.channel, id.key));
        }
        for effect in step.effects {
            match effect {
                Effect::Send(delivery) => self.on_its_way.push(delivery),
                Effect::SayGivenUp(delivery) => self.given_up.push(delivery.id()),
            }
        }
    }

    fn queue(&mut self, key: &str, channels: &[&str]) {
        let channels = channels.iter().map(|&name| name.to_owned()).collect();
        self.step(What::Queued { message: message(key, self.now_ms), channels });
    }

    /// What is on its way arrives, where its channel is up.
    fn answer(&mut self, up: impl Fn(&str) -> bool) {
        for delivery in std::mem::take(&mut self.on_its_way) {
            let id = delivery.id();
            if up(&delivery.channel) {
                self.taken.entry(delivery.channel.clone()).or_default().push(delivery);
                self.step(What::Sent(id));
            } else {
                self.step(What::Failed(id, Failure { why: "down".to_owned(), refused: false }));
            }
        }
    }

    fn die(&mut self) {
        self.on_its_way.clear();
        self.outbox = Outbox::recall(self.disk.values().cloned());
    }

    fn pass(&mut self, millis: u64) {
        self.now_ms += millis;
        self.step(What::Tick);
    }

    fn run(&mut self, millis: u64, up: impl Fn(&str) -> bool) {
        let end = self.now_ms + millis;
        loop {
            self.answer(&up);
            match self.outbox.timer_ms(self.now_ms) {
                Some(at) if at <= end => {
                    self.now_ms = at.max(self.now_ms);
                    self.step(What::Tick);
                }
                _ if self.on_its_way.is_empty() => break,
                _ => {}
            }
        }
        self.now_ms = end;
        self.step(What::Tick);
        self.answer(&up);
    }

    fn keys(&self, channel: &str) -> Vec<&str> {
        self.taken.get(channel).into_iter().flatten().map(|delivery| delivery.message.key.as_str()).collect()
    }
}

const HOUR_MS: u64 = 3_600_000;

#[test]
fn a_channel_that_is_down_for_an_hour_loses_and_doubles_nothing_and_holds_up_nobody_else() {
    let mut world = World::default();
    for number in 0..20 {
        world.queue(&format!("k{number:02}"), &["down", "up"]);
        world.run(180_000, |channel| channel == "up");
    }
    assert_eq!((world.keys("up").len(), world.keys("down").len()), (20, 0));
    world.run(HOUR_MS, |_| true);
    let expected: Vec<String> = (0..20).map(|number| format!("k{number:02}")).collect();
    assert_eq!(world.keys("down"), expected, "in order, each once");
    assert_eq!((world.outbox.waiting(), world.given_up.len()), (0, 0));
}

#[test]
fn the_same_key_is_sent_once_even_after_a_restart() {
    let mut world = World::default();
    world.queue("a", &["x"]);
    world.queue("a", &["x"]);
    world.answer(|_| true);
    world.die();
    world.queue("a", &["x"]);
    world.run(HOUR_MS, |_| true);
    assert_eq!(world.keys("x"), ["a"]);
}

#[test]
fn waits_double_up_to_the_longest_and_after_a_day_it_is_given_up_and_said() {
    let waits: Vec<u64> = (0..9).map(|failures| wait(failures, 1.0).as_secs()).collect();
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
    assert_eq!(wait(0, 0.0), FIRST_WAIT / 2);
    let mut world = World::default();
    world.queue("a", &["x"]);
    world.run(23 * HOUR_MS, |_| false);
    assert!(world.given_up.is_empty());
    world.run(2 * HOUR_MS, |_| false);
    assert_eq!(world.given_up, [Id { channel: "x".into(), key: "a".into() }]);
    world.run(HOUR_MS, |_| true);
    assert!(world.keys("x").is_empty());
}

#[test]
fn what_is_refused_holds_up_nothing_behind_it() {
    let mut world = World::default();
    world.queue("bad", &["x"]);
    world.queue("good", &["x"]);
    let bad = Id { channel: "x".into(), key: "bad".into() };
    world.on_its_way.clear();
    world.step(What::Failed(bad, Failure { why: "400".to_owned(), refused: true }));
    world.run(2_000, |_| true);
    assert_eq!(world.keys("x"), ["good"]);
    world.run(HOUR_MS, |_| true);
    assert_eq!(world.keys("x"), ["good", "bad"]);
}

#[test]
fn messages_keep_a_second_between_them_and_a_flood_is_counted_in_the_last_one() {
    let mut world = World::default();
    for number in 0..MAX_WAITING + 12 {
        world.queue(&format!("k{number}"), &["x"]);
    }
    assert_eq!(world.outbox.waiting(), MAX_WAITING);
    world.run(50_000, |_| true);
    assert!((49..=51).contains(&world.keys("x").len()), "{}", world.keys("x").len());
    world.run(HOUR_MS, |_| true);
    let taken = &world.taken["x"];
    assert_eq!((taken.len(), taken[MAX_WAITING - 1].more), (MAX_WAITING, 12));
    assert!(taken[MAX_WAITING - 1].message.plain(12).contains("and 12 more"));
}

#[test]
fn a_clock_that_was_set_back_makes_nobody_wait() {
    let mut world = World { now_ms: 100 * HOUR_MS, ..World::default() };
    world.queue("a", &["x"]);
    world.answer(|_| false);
    world.now_ms = HOUR_MS;
    world.run(10_000, |_| true);
    assert_eq!(world.keys("x"), ["a"]);
}

#[derive(Debug, Clone)]
enum Happening {
    Queue(u8),
    Answer(bool, bool),
    Pass(u32),
    Die,
    /// Taken, and then the process dies before it is written down.
    TakenThenDie,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..40_u8).prop_map(Happening::Queue),
        4 => any::<(bool, bool)>().prop_map(|(a, b)| Happening::Answer(a, b)),
        4 => (0..900_000_u32).prop_map(Happening::Pass),
        1 => Just(Happening::Die),
        1 => Just(Happening::TakenThenDie),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_nothing_is_lost_and_only_a_death_doubles(happenings in prop::collection::vec(happening(), 0..120)) {
        let mut world = World::default();
        let mut queued = std::collections::BTreeSet::new();
        let mut unheard = 0;
        for happening in happenings {
            match happening {
                Happening::Queue(key) => {
                    world.queue(&key.to_string(), &["a", "b"]);
                    queued.insert(key.to_string());
                }
                Happening::Answer(a, b) => world.answer(|channel| if channel == "a" { a } else { b }),
                Happening::Pass(millis) => world.pass(u64::from(millis)),
                Happening::Die => world.die(),
                Happening::TakenThenDie => {
                    for delivery in std::mem::take(&mut world.on_its_way) {
                        unheard += 1;
                        world.taken.entry(delivery.channel.clone()).or_default().push(delivery);
                    }
                    world.die();
                }
            }
            prop_assert!(world.on_its_way.len() <= 2, "one at a time for each channel");
            let recalled = Outbox::recall(world.disk.values().cloned());
            prop_assert_eq!(recalled.waiting(), world.outbox.waiting(), "the disk knows all");
        }
        world.step(What::Tick);
        world.run(2 * HOUR_MS, |_| true);
        prop_assert_eq!(world.outbox.waiting(), 0);
        let mut sent = 0;
        for channel in ["a", "b"] {
            let keys: std::collections::BTreeSet<String> = world.keys(channel).into_iter().map(str::to_owned).collect();
            let given_up = world.given_up.iter().filter(|id| id.channel == channel).map(|id| id.key.clone());
            let told: std::collections::BTreeSet<String> = keys.into_iter().chain(given_up).collect();
            prop_assert_eq!(&told, &queued);
            sent += world.keys(channel).len();
        }
        prop_assert!(sent <= 2 * queued.len() + unheard, "doubles only where a death left it open");
    }
}

#[test]
fn a_message_is_unheard_once_all_of_its_channels_have_failed_so_often_and_until_one_takes_it() {
    const TRIES: u32 = 3;
    let unheard = |world: &World| world.outbox.unheard(TRIES).into_keys().map(str::to_owned).collect::<Vec<_>>();
    let mut world = World::default();
    world.queue("a", &["dead"]);
    world.queue("b", &["dead", "slow"]);
    world.queue("c", &["dead", "up"]);
    world.run(4_000, |channel| channel == "up");
    assert_eq!(unheard(&world), Vec::<String>::new(), "it has only just begun");
    world.run(60_000, |channel| channel == "up");
    // Those behind the first one are not tried while that fails.
    assert_eq!(unheard(&world), ["a", "b"]);
    assert_eq!((world.outbox.failing("dead", TRIES), world.outbox.failing("up", TRIES)), (Some("down"), None));
    // What comes to a channel that is known to fail is unheard from the beginning.
    world.queue("d", &["dead"]);
    assert_eq!(unheard(&world), ["a", "b", "d"]);
    world.run(HOUR_MS, |channel| channel != "dead");
    assert_eq!(unheard(&world), ["a", "d"], "one has taken it");
    world.die();
    assert_eq!(unheard(&world), ["a", "d"], "a restart changes nothing");
    world.run(HOUR_MS, |_| true);
    assert_eq!(unheard(&world), Vec::<String>::new());
}

#[test]
fn a_message_that_its_channel_refuses_is_unheard_and_others_are_not() {
    let mut world = World::default();
    world.queue("bad", &["x"]);
    for _ in 0..3 {
        let id = world.on_its_way.remove(0).id();
        world.step(What::Failed(id, Failure { why: "too long".to_owned(), refused: true }));
        world.pass(millis(LONGEST_WAIT));
    }
    world.queue("good", &["x"]);
    let unheard = world.outbox.unheard(3);
    assert_eq!(unheard.into_iter().collect::<Vec<_>>(), [("bad", "too long")]);
}

#[test]
fn a_channel_refuses_until_it_takes_something_again_whatever_ends_meanwhile() {
    let mut world = World::default();
    world.queue("bad", &["x"]);
    let refuse = |world: &mut World| {
        let id = world.on_its_way.remove(0).id();
        world.step(What::Failed(id, Failure { why: "relay denied".to_owned(), refused: true }));
    };
    refuse(&mut world);
    assert_eq!(world.outbox.refusing("x", 2), None, "one failure may be chance");
    world.pass(millis(LONGEST_WAIT));
    refuse(&mut world);
    for _ in 0..2 {
        assert_eq!(world.outbox.refusing("x", 2), Some("relay denied"));
        world.die();
    }
    world.pass(millis(GIVE_UP_AFTER));
    assert_eq!((world.given_up.len(), world.outbox.waiting()), (1, 0));
    for _ in 0..2 {
        assert_eq!(world.outbox.refusing("x", 2), Some("relay denied"), "that nothing waits mends nothing");
        world.die();
    }
    world.queue("good", &["x"]);
    world.run(10_000, |_| true);
    for _ in 0..2 {
        assert_eq!((world.keys("x"), world.outbox.refusing("x", 1)), (vec!["good"], None));
        world.die();
    }
}
