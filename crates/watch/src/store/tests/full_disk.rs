//! A disk that refuses: at every single change, and for hours.

use std::collections::BTreeMap;

use super::*;

/// What was appended: of each time its value, and whether the disk took it.
type Taken = BTreeMap<i64, (f64, bool)>;

fn open_on(disk: &Disk, now_ms: i64) -> Result<Store, StoreError> {
    Store::open_on(disk.clone(), Limits::default(), now_ms)
}

/// Hours of rounds, with upkeep between them that is allowed to fail.
fn run(store: &mut Store, from_minute: i64, minutes: i64, taken: &mut Taken) {
    for minute in from_minute..from_minute + minutes {
        let at = START + minute * MINUTE;
        let id = identify(store, "a", "m", Kind::Counter);
        let value = f64::from(u32::try_from(minute).unwrap());
        let appended = store.append(&[(id, value)], at);
        assert_eq!(appended.taken, 1);
        taken.insert(at, (value, appended.unwritten.is_none()));
        for _ in 0..3 {
            let _ = store.maintain(at);
        }
    }
}

fn expect(taken: &Taken) -> Vec<(i64, u64)> {
    taken.iter().map(|(at, (value, _))| (*at, value.to_bits())).collect()
}

#[test]
fn an_error_at_any_change_loses_nothing_that_was_taken_and_leaves_nothing_broken() {
    // How many changes there are without an error.
    let folder = temporary();
    let disk = Disk::open(folder.path()).unwrap();
    let mut store = open_on(&disk, START).unwrap();
    run(&mut store, 0, 400, &mut Taken::new());
    let changes = disk.faults.made();
    assert!(changes > 800, "{changes}");
    let mut refused = 0;
    for after in (0..changes).step_by(13) {
        for count in [1, 4] {
            let folder = temporary();
            let disk = Disk::open(folder.path()).unwrap();
            let mut taken = Taken::new();
            let mut store = open_on(&disk, START).unwrap();
            disk.faults.fail(after, count);
            run(&mut store, 0, 400, &mut taken);
            disk.faults.fail(-1, 0);
            run(&mut store, 400, 10, &mut taken);
            // Everything can be read, whatever the disk said, and the store has recovered.
            assert_eq!(all(&store, "m"), expect(&taken), "after {after}");
            assert_eq!(store.stats().trouble, None, "after {after}");
            assert!(store.stats().windows <= 2);
            drop(store);
            let store = open_on(&disk, START + 400 * MINUTE).unwrap();
            // What is lost by the end of the process is what was said to be unwritten, and not in a block yet.
            let found: BTreeMap<i64, u64> = all(&store, "m").into_iter().collect();
            for (at, (value, written)) in &taken {
                match found.get(at) {
                    Some(bits) => assert_eq!(*bits, value.to_bits()),
                    None => assert!(!written, "after {after}: {at} was written and is lost"),
                }
            }
            assert_eq!(store.stats().set_aside, []);
            refused += taken.values().filter(|(_, written)| !written).count();
            let left: Vec<String> =
                disk.names().unwrap().into_iter().filter(|name| name.ends_with("unfinished")).collect();
            assert!(left.is_empty());
        }
    }
    assert!(refused > 20, "the errors hit something: {refused}");
}

#[test]
fn while_the_disk_is_full_the_newest_is_still_read_and_memory_is_bounded_and_with_room_all_goes_on() {
    let folder = temporary();
    let disk = Disk::open(folder.path()).unwrap();
    let mut store = open_on(&disk, START).unwrap();
    let mut taken = Taken::new();
    run(&mut store, 0, 200, &mut taken);
    disk.faults.room(Some(100));
    run(&mut store, 200, 20 * 60, &mut taken);
    let stats = store.stats();
    assert!(stats.windows <= MAX_WINDOWS);
    assert!(stats.counts.unwritten > 1_000 && stats.counts.given_up > 0, "{stats:?}");
    assert!(stats.trouble.unwrap().contains("see that the disk has room"));
    // The newest hours are there, and so is what became a block before.
    let found = all(&store, "m");
    let expected = expect(&taken);
    assert_eq!(found[..120], expected[..120]);
    assert_eq!(found[found.len() - 360..], expected[expected.len() - 360..]);
    disk.faults.room(None);
    run(&mut store, 200 + 20 * 60, 10 * 60, &mut taken);
    assert_eq!(store.stats().trouble, None);
    assert!(store.stats().windows <= 2);
    let before: Vec<(i64, u64)> = all(&store, "m");
    drop(store);
    let store = open_on(&disk, START).unwrap();
    assert_eq!(all(&store, "m"), before);
    let newest = expect(&taken);
    assert_eq!(before[before.len() - 900..], newest[newest.len() - 900..]);
}
