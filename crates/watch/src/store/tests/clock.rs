//! Late rounds, clocks that jump, and what is kept of ends and gaps.

use super::*;

#[test]
fn what_is_older_than_the_newest_of_its_group_is_refused_and_counted() {
    let folder = temporary();
    let mut store = open(folder.path(), Limits::default(), START);
    let one = identify(&mut store, "a", "up", Kind::Gauge);
    let other = identify(&mut store, "b", "down", Kind::Gauge);
    append_one(&mut store, one, 1.0, START + 10_000);
    assert_eq!(store.append(&[(one, 2.0)], START + 9_999).late, 1);
    assert_eq!(store.append(&[(one, 2.0)], START + 10_000).repeated, 1);
    assert_eq!(store.append(&[(one, 2.0), (one, 3.0)], START + 10_001).repeated, 1);
    // Another group has times of its own.
    append_one(&mut store, other, 1.0, START + 5_000);
    assert_eq!((store.stats().counts.late, store.stats().counts.repeated), (1, 2));
    assert_eq!(all(&store, "up"), [(START + 10_000, 1f64.to_bits()), (START + 10_001, 2f64.to_bits())]);
}

#[test]
fn a_clock_that_comes_back_from_the_future_stops_nothing_and_loses_nothing() {
    let folder = temporary();
    let mut store = open(folder.path(), Limits::default(), START);
    let id = identify(&mut store, "a", "up", Kind::Gauge);
    let mut expected = Vec::new();
    let mut run = |store: &mut Store, from: i64, rounds: i64| {
        for round in 0..rounds {
            let at = from + round * 10 * SECOND;
            append_one(store, id, 7.0, at);
            expected.push((at, 7f64.to_bits()));
            store.maintain(at).unwrap();
        }
    };
    run(&mut store, START, 90);
    run(&mut store, START + 400 * DAY, 90);
    run(&mut store, START + 15 * MINUTE, 900);
    // Also within the two hours of one window.
    run(&mut store, START + 5 * HOUR, 90);
    run(&mut store, START + 4 * HOUR + 30 * SECOND, 90);
    run(&mut store, START + 5 * HOUR + 15 * MINUTE + 5 * SECOND, 90);
    expected.sort_unstable();
    assert_eq!(all(&store, "up"), expected);
    settle(&mut store, START + 9 * HOUR);
    assert_eq!(store.stats().windows, 0);
    assert_eq!(all(&store, "up"), expected);
    drop(store);
    let mut store = open(folder.path(), Limits::default(), START + 9 * HOUR);
    assert_eq!(all(&store, "up"), expected);
    // A store that only knows of its future from blocks takes the present in as well.
    let id = identify(&mut store, "a", "up", Kind::Gauge);
    append_one(&mut store, id, 7.0, START + 9 * HOUR);
}

#[test]
fn times_that_are_none_are_refused_and_those_before_1970_are_taken() {
    let folder = temporary();
    let mut store = open(folder.path(), Limits::default(), START);
    let id = identify(&mut store, "a", "up", Kind::Gauge);
    for at in [i64::MIN, i64::MAX, MAX_TIME_MS + 1] {
        assert_eq!(store.append(&[(id, 1.0)], at).late, 1);
    }
    for at in [-MAX_TIME_MS, -1, 0, MAX_TIME_MS] {
        append_one(&mut store, id, 1.0, at);
    }
    for now in [i64::MIN, 0, i64::MAX] {
        settle(&mut store, now);
    }
    assert_eq!(all(&store, "up").iter().map(|(at, _)| *at).collect::<Vec<_>>(), [-MAX_TIME_MS, -1, 0, MAX_TIME_MS]);
}

#[test]
fn a_small_step_back_refuses_rounds_until_time_has_caught_up() {
    let folder = temporary();
    let mut store = open(folder.path(), Limits::default(), START);
    let id = identify(&mut store, "a", "up", Kind::Gauge);
    append_one(&mut store, id, 1.0, START + MINUTE);
    assert_eq!(store.append(&[(id, 2.0)], START + 30 * SECOND).late, 1);
    append_one(&mut store, id, 3.0, START + MINUTE + 1);
    // The same after a restart that finds everything in a block.
    settle(&mut store, START + 3 * HOUR);
    drop(store);
    let mut store = open(folder.path(), Limits::default(), START);
    let id = identify(&mut store, "a", "up", Kind::Gauge);
    assert_eq!(store.append(&[(id, 2.0)], START + 30 * SECOND).late, 1);
}

#[test]
fn a_clock_that_jumps_ahead_drops_nothing_before_it_had_time_to_be_set_right() {
    let folder = temporary();
    let mut store = open(folder.path(), Limits::default(), START);
    let id = identify(&mut store, "a", "up", Kind::Gauge);
    append_one(&mut store, id, 1.0, START);
    settle(&mut store, START + 3 * HOUR);
    let ahead = START + 1_000 * DAY;
    settle(&mut store, ahead);
    settle(&mut store, ahead + SETTLE_MS - 1);
    settle(&mut store, START + 4 * HOUR);
    assert_eq!(all(&store, "up").len(), 1);
    for minutes in (0..=90).step_by(10) {
        settle(&mut store, ahead + minutes * MINUTE);
    }
    assert_eq!(all(&store, "up"), []);
    assert!(store.stats().counts.dropped_blocks >= 1);
}

#[test]
fn ends_and_gaps_are_kept_in_memory_and_in_blocks() {
    let folder = temporary();
    let mut store = open(folder.path(), Limits::default(), START);
    let one = identify(&mut store, "a", "one", Kind::Gauge);
    let other = identify(&mut store, "a", "other", Kind::Counter);
    for round in 0..30 {
        let at = START + round * 10 * SECOND;
        append_one(&mut store, other, 1.0, at);
        if !(5..=20).contains(&round) {
            append_one(&mut store, one, 2.0, at);
        }
    }
    assert_eq!(store.mark_stale(&[one], START + 5 * MINUTE).taken, 1);
    assert_eq!(store.end_group("a", START + 6 * MINUTE).taken, 1, "one of them ended before");
    assert_eq!(store.end_group("a", START + 7 * MINUTE).taken, 0);
    let check = |store: &Store| {
        let one = all(store, "one");
        assert_eq!(one.len(), 5 + 9 + 1);
        assert_eq!((one[4].0, one[5].0), (START + 40 * SECOND, START + 210 * SECOND));
        assert_eq!(one[14], (START + 5 * MINUTE, STALE_BITS));
        assert_eq!(all(store, "other").last(), Some(&(START + 6 * MINUTE, STALE_BITS)));
    };
    check(&store);
    settle(&mut store, START + 3 * HOUR);
    check(&store);
    // Minutes know the ends as well.
    assert_eq!(
        read(&store, "one", START, START + HOUR, MINUTE, Keep::Last).last(),
        Some(&(START + 5 * MINUTE, STALE_BITS))
    );
}
