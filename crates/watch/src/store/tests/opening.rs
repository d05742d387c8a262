//! Opening reads what blocks say of themselves, and the journal: a store of years opens as fast as one of days.

use super::*;

const SERIES: u32 = 200;

/// Bytes that this thread has read so far.
fn read_so_far() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    text.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok()).unwrap()
}

/// A day of values that cannot be told shorter, all of it in blocks; its last round.
fn fill(store: &mut Store) -> i64 {
    let name = |number: u32| format!("noise_{number:03}");
    let ids: Vec<SeriesId> = (0..SERIES).map(|number| identify(store, "g", &name(number), Kind::Gauge)).collect();
    let (end, mut chance) = (START + DAY - MINUTE, 1_u64);
    for at in (START..=end).step_by(60_000) {
        let mut value = |id: &SeriesId| {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*id, f64::from_bits(chance >> 2))
        };
        let round: Vec<(SeriesId, f64)> = ids.iter().map(&mut value).collect();
        assert!(store.append(&round, at).unwritten.is_none());
        if at % HOUR == 0 {
            settle(store, at);
        }
    }
    settle(store, end + 3 * HOUR);
    end
}

#[test]
fn opening_reads_a_small_part_of_what_is_there() {
    let folder = temporary();
    let end = fill(&mut open(folder.path(), Limits::default(), START));
    let before = read_so_far();
    let store = open(folder.path(), Limits::default(), end);
    let read = read_so_far() - before;
    let stats = store.stats();
    let there: u64 = stats.levels.iter().map(|level| level.bytes).sum();
    assert!(stats.windows == 0 && there > 2_000_000, "{stats:?}");
    assert!(read < there / 50, "{read} of {there} bytes were read");
    assert_eq!(store.select(&[], end, end, 0, Keep::Last).unwrap().len(), SERIES as usize);
}
