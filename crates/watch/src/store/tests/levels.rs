//! Blocks of all levels say what the raw samples said.

use super::*;
use crate::store::thin::thin;

/// Four days of two series: a counter that is reset now and then, and a gauge. Gives all that was appended.
fn four_days(store: &mut Store) -> [Vec<(i64, f64)>; 2] {
    let counter = identify(store, "chat", "requests_total", Kind::Counter);
    let gauge = identify(store, "chat", "memory_bytes", Kind::Gauge);
    let (mut requests, mut samples) = (0u32, [Vec::new(), Vec::new()]);
    for round in 0..4 * DAY / (20 * SECOND) {
        let at = START + round * 20 * SECOND + round % 7 * 100;
        requests += u32::try_from(round % 5).unwrap();
        if round % 1_234 == 0 {
            requests = u32::try_from(round % 3).unwrap();
        }
        let memory = f64::from(u32::try_from(round * 7_919 % 10_007).unwrap()) * 4_096.0;
        let appended = store.append(&[(counter, f64::from(requests)), (gauge, memory)], at);
        assert_eq!(appended.taken, 2);
        samples[0].push((at, f64::from(requests)));
        samples[1].push((at, memory));
        if round % 60 == 0 {
            settle(store, at);
        }
    }
    samples
}

fn points(samples: &[(i64, f64)]) -> Vec<thin::Point> {
    samples.iter().map(|(at, value)| thin::Point { at: *at, last: *value, min: *value, max: *value }).collect()
}

fn increase(samples: &[(i64, u64)]) -> f64 {
    let values = samples.windows(2).map(|pair| (f64::from_bits(pair[0].1), f64::from_bits(pair[1].1)));
    values.map(|(before, after)| if after < before { after } else { after - before }).sum()
}

#[test]
fn coarse_blocks_hold_the_last_of_each_span_both_sides_of_resets_and_the_extremes_of_gauges() {
    let folder = temporary();
    let limits = Limits {
        keep_raw: std::time::Duration::from_hours(6),
        keep_minutes: std::time::Duration::from_hours(12),
        ..Limits::default()
    };
    let mut store = open(folder.path(), limits, START);
    let [counter, gauge] = four_days(&mut store);
    let end = START + 4 * DAY + 6 * HOUR;
    for hours in 0..8 {
        settle(&mut store, end + hours * HOUR);
        settle(&mut store, end + hours * HOUR + HOUR / 2);
    }
    // Raw and minutes are gone by age, and hours stand for all.
    assert_eq!((level_stats(&store, Level::Raw).blocks, level_stats(&store, Level::Minute).blocks), (0, 0));
    let expect = |samples: &[(i64, f64)], counter, value: fn(&thin::Point) -> f64| -> Vec<(i64, u64)> {
        let mut points: Vec<thin::Point> = Vec::new();
        // The first one of a block is kept as well: hours were made of days.
        for day in self::points(samples).chunk_by(|a, b| a.at.div_euclid(DAY) == b.at.div_euclid(DAY)) {
            points.extend(thin(&thin(day, counter, Level::Minute), counter, Level::Hour));
        }
        points.iter().map(|point| (point.at, value(point).to_bits())).collect()
    };
    let read_all = |name, keep| read(&store, name, 0, i64::MAX, 0, keep);
    assert_eq!(read_all("requests_total", Keep::Last), expect(&counter, true, |point| point.last));
    assert_eq!(read_all("requests_total", Keep::Max), expect(&counter, true, |point| point.last));
    assert_eq!(read_all("memory_bytes", Keep::Last), expect(&gauge, false, |point| point.last));
    assert_eq!(read_all("memory_bytes", Keep::Min), expect(&gauge, false, |point| point.min));
    assert_eq!(read_all("memory_bytes", Keep::Max), expect(&gauge, false, |point| point.max));
    let raw: Vec<(i64, u64)> = counter.iter().map(|(at, value)| (*at, value.to_bits())).collect();
    assert!((increase(&read_all("requests_total", Keep::Last)) - increase(&raw)).abs() < 1e-9);
}

#[test]
fn each_step_is_answered_from_the_coarsest_level_that_has_it_and_the_increase_is_the_same_in_all() {
    let folder = temporary();
    let mut store = open(folder.path(), Limits::default(), START);
    let [counter, _] = four_days(&mut store);
    let raw: Vec<(i64, u64)> = counter.iter().map(|(at, value)| (*at, value.to_bits())).collect();
    let end = START + 4 * DAY;
    let of_step = |step| read(&store, "requests_total", START, end, step, Keep::Last);
    let (tens, minutes, hours) = (of_step(10 * SECOND), of_step(MINUTE), of_step(HOUR));
    // Two days are raw, and what is older has a sample a minute.
    assert!(tens.len() > 2 * 4_320 && tens.len() < 2 * 4_320 + 2 * 1_440 + 1_000, "{}", tens.len());
    assert!(minutes.len() > 4 * 1_440 - 120 && minutes.len() < 4 * 1_440 + 500, "{}", minutes.len());
    // The last day is not over for long enough, so minutes still stand for it.
    assert!(hours.len() > 3 * 24 && hours.len() < 3 * 24 + 1_440 + 500, "{}", hours.len());
    for samples in [&tens, &minutes, &hours] {
        assert!((increase(samples) - increase(&raw)).abs() < 1e-9);
        assert!(samples.is_sorted_by(|a, b| a.0 < b.0));
        // Nothing is made up.
        assert!(samples.iter().all(|sample| raw.binary_search(sample).is_ok()));
    }
}

#[test]
fn a_range_is_closed_at_both_ends() {
    let folder = temporary();
    let mut store = open(folder.path(), Limits::default(), START);
    let id = identify(&mut store, "chat", "up", Kind::Gauge);
    for round in 0..10 {
        append_one(&mut store, id, 1.0, START + round * 1_000);
    }
    let check = |store: &Store| {
        let times = |from, to| -> Vec<i64> {
            read(store, "up", START + from, START + to, 0, Keep::Last).iter().map(|(at, _)| at - START).collect()
        };
        assert_eq!(times(2_000, 4_000), [2_000, 3_000, 4_000]);
        assert_eq!(times(2_001, 3_999), [3_000]);
        assert_eq!(times(9_001, 20_000), [0i64; 0]);
    };
    check(&store);
    settle(&mut store, START + 3 * HOUR);
    check(&store);
}

#[test]
fn labels_are_found_in_memory_and_in_blocks() {
    let folder = temporary();
    let mut store = open(folder.path(), Limits::default(), START);
    for (hours, zone) in [(0, "a"), (4, "b")] {
        let id = store.identify(zone, &labels("up", &[("zone", zone), (zone, "x")]), Kind::Gauge).unwrap();
        append_one(&mut store, id, 1.0, START + hours * HOUR);
        settle(&mut store, START + hours * HOUR);
    }
    let reader = store.reader();
    let (from, to) = (START, START + 5 * HOUR);
    assert_eq!(reader.label_names(&[], from, to).unwrap(), ["__name__", "a", "b", "zone"]);
    assert_eq!(reader.label_values("zone", &[], from, to).unwrap(), ["a", "b"]);
    assert_eq!(reader.label_values("zone", &[], from, START + HOUR).unwrap(), ["a"]);
    assert_eq!(reader.label_values("zone", &[], START + 3 * HOUR, to).unwrap(), ["b"]);
    assert_eq!(
        reader.series(&[Matcher::equal("zone", "a")], from, to, &|| false).unwrap(),
        [labels("up", &[("zone", "a"), ("a", "x")])]
    );
    assert!(reader.series(&named("down"), from, to, &|| false).unwrap().is_empty());
    for (matchers, from, to, there) in [
        (named("up"), from, to, true),
        (named("down"), from, to, false),
        (vec![Matcher::equal("zone", "b")], from, START + HOUR, false),
        (vec![Matcher::equal("zone", "b")], START + 3 * HOUR, to, true),
    ] {
        assert_eq!(reader.has(&matchers, from, to).unwrap(), there, "{matchers:?} {from} {to}");
    }
}

#[test]
fn readers_beside_the_writer_see_every_round_once_and_none_go_missing() {
    let folder = temporary();
    let mut store = open(folder.path(), Limits::default(), START);
    let id = identify(&mut store, "chat", "count_total", Kind::Counter);
    let reader = store.reader();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut longest = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let found = reader.select(&named("count_total"), 0, i64::MAX, 0, Keep::Last).unwrap();
                let samples = found.first().map_or(&[][..], |series| series.samples.as_slice());
                for (number, sample) in samples.iter().enumerate() {
                    assert_eq!(sample.at, START + i64::try_from(number).unwrap() * 10 * SECOND);
                }
                assert!(samples.len() >= longest);
                longest = samples.len();
            }
            longest
        });
        for round in 0..3_000u32 {
            let at = START + i64::from(round) * 10 * SECOND;
            append_one(&mut store, id, f64::from(round), at);
            if round % 30 == 0 {
                settle(&mut store, at);
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(reading.join().unwrap() > 0);
    });
    assert!(level_stats(&store, Level::Raw).blocks >= 3);
}

#[test]
fn many_series_of_many_groups_are_found_in_blocks_of_all_levels() {
    let folder = temporary();
    let mut store = open(folder.path(), Limits::default(), START);
    let groups: Vec<String> = (0..40).map(|group| format!("t{group}")).collect();
    let names: Vec<String> = (0..9).map(|name| format!("metric_{name}")).collect();
    for minute in 0..150i64 {
        for (number, group) in groups.iter().enumerate() {
            // Every group has times of its own.
            let at = START + minute * MINUTE + i64::try_from(number).unwrap();
            let round: Vec<(SeriesId, f64)> = names
                .iter()
                .zip(0u32..)
                .map(|(name, value)| {
                    (
                        identify(&mut store, group, name, Kind::Gauge),
                        f64::from(value * 1_000) + f64::from(u32::try_from(number).unwrap()),
                    )
                })
                .collect();
            assert_eq!(store.append(&round, at).taken, 9);
        }
    }
    settle(&mut store, START + 5 * HOUR);
    let minutes = level_stats(&store, Level::Minute);
    assert_eq!((minutes.blocks, minutes.samples), (2, 150 * 40 * 9));
    for step in [0, MINUTE] {
        let found = store.select(&named("metric_7"), START, START + 3 * HOUR, step, Keep::Min).unwrap();
        assert_eq!(found.len(), 40);
        for series in found {
            let number: u32 = series.labels.get("instance")[1..].parse().unwrap();
            assert_eq!(series.samples.len(), 150);
            let expected = f64::from(7_000 + number).to_bits();
            assert!(series.samples.iter().all(|sample| sample.value.to_bits() == expected));
            assert_eq!(series.samples[0].at, START + i64::from(number));
        }
        let one = [Matcher::equal("instance", "t33")];
        assert_eq!(store.select(&one, START, START + 3 * HOUR, step, Keep::Last).unwrap().len(), 9);
    }
}
