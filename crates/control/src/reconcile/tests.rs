//! Single decisions as a table, and whole rollings as a simulation.

use proptest::prelude::*;

use super::*;

fn place<'a>(key: Key, service: &'a str, needs: &'a [String]) -> PlaceView<'a> {
    PlaceView {
        key,
        service,
        slot: Slot::Blue,
        ordinal: 1,
        needs,
        current: true,
        waiting: false,
        has_process: true,
        ready: true,
        serving: true,
        retiring: false,
        drained: false,
        stopping: false,
        stopped: false,
    }
}

fn wanted<'a>(name: &'a str, needs: &'a [String]) -> WantedView<'a> {
    WantedView { name, slot: Slot::Blue, count: 1, needs, migration_pending: false }
}

fn waiting<'a>(key: Key, service: &'a str, needs: &'a [String]) -> PlaceView<'a> {
    PlaceView { waiting: true, has_process: false, ready: false, serving: false, ..place(key, service, needs) }
}

fn needs(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_runs_as_it_should_is_left_alone() {
    assert_eq!(actions(&[wanted("a", &[])], &[place(1, "a", &[])]), []);
}

#[test]
fn a_missing_instance_gets_a_place() {
    let two = WantedView { count: 2, ..wanted("a", &[]) };
    let expected = [Action::Create { service: "a".into(), slot: Slot::Blue, ordinal: 2 }];
    assert_eq!(actions(&[two], &[place(1, "a", &[])]), expected);
}

#[test]
fn a_service_starts_when_what_it_needs_serves() {
    let of_b = needs(&["a"]);
    let both = [wanted("a", &[]), wanted("b", &of_b)];
    let ready_not_serving = PlaceView { serving: false, ..place(1, "a", &[]) };
    assert_eq!(actions(&both, &[ready_not_serving, waiting(2, "b", &of_b)]), []);
    let expected = [Action::Go { key: 2, migrate: false }];
    assert_eq!(actions(&both, &[place(1, "a", &[]), waiting(2, "b", &of_b)]), expected);
}

#[test]
fn one_instance_migrates_and_the_others_wait_for_it() {
    let two = WantedView { count: 2, migration_pending: true, ..wanted("a", &[]) };
    let second = PlaceView { ordinal: 2, ..waiting(2, "a", &[]) };
    assert_eq!(actions(&[two], &[waiting(1, "a", &[]), second]), [Action::Go { key: 1, migrate: true }]);
    let done = WantedView { migration_pending: false, ..two };
    let expected = [Action::Go { key: 2, migrate: false }];
    assert_eq!(actions(&[done], &[place(1, "a", &[]), second]), expected);
}

#[test]
fn a_changed_service_is_replaced_beside_the_old_instance() {
    let old = PlaceView { current: false, ..place(1, "a", &[]) };
    let all = [wanted("a", &[])];
    assert_eq!(actions(&all, &[old]), [Action::Create { service: "a".into(), slot: Slot::Blue, ordinal: 1 }]);
    let fresh = PlaceView { ready: false, serving: false, ..place(2, "a", &[]) };
    assert_eq!(actions(&all, &[old, fresh]), []);
    let ready_not_serving = PlaceView { serving: false, ..place(2, "a", &[]) };
    assert_eq!(actions(&all, &[old, ready_not_serving]), []);
    assert_eq!(actions(&all, &[old, place(2, "a", &[])]), [Action::Retire { key: 1 }]);
    let retiring = PlaceView { retiring: true, ..old };
    assert_eq!(actions(&all, &[retiring, place(2, "a", &[])]), []);
    let drained = PlaceView { drained: true, ..retiring };
    assert_eq!(actions(&all, &[drained, place(2, "a", &[])]), [Action::Stop { key: 1 }]);
    let stopping = PlaceView { stopping: true, ..drained };
    assert_eq!(actions(&all, &[stopping, place(2, "a", &[])]), []);
    let stopped = PlaceView { stopped: true, has_process: false, ..stopping };
    assert_eq!(actions(&all, &[stopped, place(2, "a", &[])]), [Action::Forget { key: 1 }]);
}

#[test]
fn an_old_instance_that_takes_no_traffic_is_not_waited_for() {
    let crashed = PlaceView { current: false, ready: false, serving: false, ..place(1, "a", &[]) };
    let all = [wanted("a", &[])];
    let fresh = PlaceView { ready: false, serving: false, ..place(2, "a", &[]) };
    assert_eq!(actions(&all, &[crashed, fresh]), [Action::Retire { key: 1 }]);
}

#[test]
fn an_edge_is_replaced_beside_the_old_one_like_any_other() {
    let old = PlaceView { current: false, ..place(1, EDGE, &[]) };
    let all = [wanted(EDGE, &[])];
    assert_eq!(actions(&all, &[old]), [Action::Create { service: EDGE.into(), slot: Slot::Blue, ordinal: 1 }]);
    let starting = PlaceView { ready: false, serving: false, ..place(2, EDGE, &[]) };
    assert_eq!(actions(&all, &[old, starting]), []);
    assert_eq!(actions(&all, &[old, place(2, EDGE, &[])]), [Action::Retire { key: 1 }]);
}

#[test]
fn all_go_down_in_reverse_order_and_the_edge_last() {
    let of_b = needs(&["a"]);
    let (edge, a, b) = (place(1, EDGE, &[]), place(2, "a", &[]), place(3, "b", &of_b));
    assert_eq!(actions(&[], &[edge, a, b]), [Action::Retire { key: 3 }]);
    let b_retiring = PlaceView { retiring: true, ..b };
    assert_eq!(actions(&[], &[edge, a, b_retiring]), []);
    assert_eq!(actions(&[], &[edge, a]), [Action::Retire { key: 2 }]);
    assert_eq!(actions(&[], &[edge]), [Action::Retire { key: 1 }]);
}

#[test]
fn a_removed_service_goes_though_others_that_stay_needed_it_once() {
    let of_b = needs(&["a"]);
    let (a, b) = (place(1, "a", &[]), place(2, "b", &of_b));
    assert_eq!(actions(&[wanted("b", &[])], &[a, b]), [Action::Retire { key: 1 }]);
}

#[test]
fn both_slots_of_a_service_run_side_by_side_and_one_goes_without_the_other() {
    let green = WantedView { slot: Slot::Green, ..wanted("a", &[]) };
    let running = PlaceView { slot: Slot::Green, ..place(2, "a", &[]) };
    let expected = [Action::Create { service: "a".into(), slot: Slot::Green, ordinal: 1 }];
    assert_eq!(actions(&[wanted("a", &[]), green], &[place(1, "a", &[])]), expected);
    assert_eq!(actions(&[wanted("a", &[]), green], &[place(1, "a", &[]), running]), []);
    assert_eq!(actions(&[wanted("a", &[])], &[place(1, "a", &[]), running]), [Action::Retire { key: 2 }]);
    assert_eq!(actions(&[green], &[place(1, "a", &[]), running]), [Action::Retire { key: 1 }]);
}

#[test]
fn each_slot_migrates_for_itself() {
    let green = WantedView { slot: Slot::Green, migration_pending: true, ..wanted("a", &[]) };
    let new = PlaceView { slot: Slot::Green, ..waiting(2, "a", &[]) };
    let expected = [Action::Go { key: 2, migrate: true }];
    assert_eq!(actions(&[wanted("a", &[]), green], &[place(1, "a", &[]), new]), expected);
}

/// A place that lives in the simulation.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a place")]
struct Simulated {
    key: Key,
    service: &'static str,
    ordinal: u16,
    version: u32,
    waiting: bool,
    running: bool,
    ready: bool,
    /// In the last acknowledged snapshot.
    routed: bool,
    retiring: bool,
    stopping: bool,
    stopped: bool,
}

#[derive(Debug, Clone, Copy)]
enum Chance {
    /// The n-th starting place gets ready.
    Ready(usize),
    /// The n-th running place crashes.
    Crash(usize),
    /// The edge acknowledges the present ready set.
    Acknowledge,
    /// A stopping process ends.
    End,
    /// A new version is wanted.
    Change,
    /// So many instances of `b` are wanted.
    Count(u16),
}

fn chance() -> impl Strategy<Value = Chance> {
    prop_oneof![
        5 => (0_usize..4).prop_map(Chance::Ready),
        1 => (0_usize..4).prop_map(Chance::Crash),
        5 => Just(Chance::Acknowledge),
        3 => Just(Chance::End),
        1 => Just(Chance::Change),
        1 => (1_u16..4).prop_map(Chance::Count),
    ]
}

#[derive(Debug)]
struct World {
    places: Vec<Simulated>,
    version: u32,
    count: u16,
    next: Key,
    of_b: Vec<String>,
}

impl World {
    fn new() -> Self {
        Self { places: Vec::new(), version: 1, count: 1, next: 1, of_b: needs(&["a"]) }
    }

    fn actions(&self) -> Vec<Action> {
        let wanted = [wanted("a", &[]), WantedView { count: self.count, ..wanted("b", &self.of_b) }];
        let views: Vec<PlaceView<'_>> = self
            .places
            .iter()
            .map(|place| PlaceView {
                key: place.key,
                service: place.service,
                slot: Slot::Blue,
                ordinal: place.ordinal,
                needs: if place.service == "b" { &self.of_b } else { &[] },
                current: place.version == self.version,
                waiting: place.waiting,
                has_process: place.running,
                ready: place.ready,
                serving: place.ready && place.routed,
                retiring: place.retiring,
                drained: place.retiring && !place.routed,
                stopping: place.stopping,
                stopped: place.stopped,
            })
            .collect();
        actions(&wanted, &views)
    }

    fn carry_out(&mut self, action: &Action) -> Result<(), TestCaseError> {
        let world = format!("{:?}", self.places);
        match action {
            Action::Create { service, ordinal, .. } => {
                let service = if service == "a" { "a" } else { "b" };
                self.places.push(Simulated {
                    key: self.next,
                    service,
                    ordinal: *ordinal,
                    version: self.version,
                    waiting: true,
                    running: false,
                    ready: false,
                    routed: false,
                    retiring: false,
                    stopping: false,
                    stopped: false,
                });
                self.next += 1;
            }
            Action::Go { key, .. } => {
                let place = self.get(*key);
                prop_assert!(place.waiting);
                place.waiting = false;
                place.running = true;
            }
            Action::Retire { key } => {
                let place = self.get(*key).clone();
                let heir = self.places.iter().any(|other| {
                    other.key != place.key
                        && (other.service, other.ordinal) == (place.service, place.ordinal)
                        && other.ready
                        && other.routed
                        && !other.retiring
                });
                let unwanted = place.service == "b" && place.ordinal > self.count;
                prop_assert!(!(place.ready && place.routed) || heir || unwanted, "traffic without a heir: {world}");
                prop_assert!(!place.retiring, "twice");
                self.get(*key).retiring = true;
            }
            Action::Stop { key } => {
                let place = self.get(*key);
                prop_assert!(!place.routed || !place.running, "stopped while the edge may send requests: {world}");
                prop_assert!(!place.stopping, "twice");
                place.stopping = true;
                place.ready = false;
                place.stopped = !place.running;
            }
            Action::Forget { key } => {
                prop_assert!(!self.get(*key).running);
                self.places.retain(|place| place.key != *key);
            }
        }
        Ok(())
    }

    fn get(&mut self, key: Key) -> &mut Simulated {
        self.places.iter_mut().find(|place| place.key == key).expect("known")
    }

    fn happen(&mut self, chance: Chance) {
        match chance {
            Chance::Ready(n) => {
                let mut starting = self.places.iter_mut().filter(|place| place.running && !place.stopping);
                if let Some(place) = starting.nth(n) {
                    place.ready = true;
                }
            }
            Chance::Crash(n) => {
                // Back at once: it runs again but is not ready.
                if let Some(place) = self.places.iter_mut().filter(|place| place.running).nth(n) {
                    place.ready = false;
                    if place.stopping {
                        place.running = false;
                        place.stopped = true;
                    }
                }
            }
            Chance::Acknowledge => {
                for place in &mut self.places {
                    place.routed = place.ready && !place.retiring;
                }
            }
            Chance::End => {
                if let Some(place) = self.places.iter_mut().find(|place| place.stopping && place.running) {
                    place.running = false;
                    place.stopped = true;
                }
            }
            Chance::Change => self.version += 1,
            Chance::Count(count) => self.count = count,
        }
    }

    /// Carries out actions until there are none.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..50 {
            let actions = self.actions();
            if actions.is_empty() {
                return Ok(());
            }
            for action in &actions {
                self.carry_out(action)?;
            }
        }
        Err(TestCaseError::fail("it never settles"))
    }
}

proptest! {
    #[test]
    fn no_traffic_is_lost_on_the_way_and_the_end_is_as_wanted(chances in proptest::collection::vec(chance(), 1..120)) {
        let mut world = World::new();
        world.settle()?;
        for chance in chances {
            world.happen(chance);
            world.settle()?;
        }
        // From any state: once the world behaves, it becomes what is wanted.
        for _ in 0..20 {
            for n in 0..8 {
                world.happen(Chance::Ready(n));
            }
            world.happen(Chance::Acknowledge);
            world.settle()?;
            for _ in 0..8 {
                world.happen(Chance::End);
            }
            world.settle()?;
        }
        let mut got: Vec<_> = world.places.iter().map(|place| (place.service, place.ordinal, place.version)).collect();
        got.sort_unstable();
        let mut expected = vec![("a", 1, world.version)];
        expected.extend((1..=world.count).map(|ordinal| ("b", ordinal, world.version)));
        prop_assert_eq!(got, expected);
        prop_assert!(world.places.iter().all(|place| place.ready && place.routed));
    }
}
