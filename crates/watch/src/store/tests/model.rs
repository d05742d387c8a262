//! Whatever is appended is what is read, through blocks, restarts and everything between.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// A round of a group after some time, with values of these series.
    Round {
        group: u8,
        wait: i64,
        values: BTreeMap<u8, u64>,
    },
    Stale {
        group: u8,
        wait: i64,
    },
    Maintain {
        wait: i64,
        times: u8,
    },
    Reopen,
}

fn any_bits() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0u32..1_000).prop_map(|n| f64::from(n).to_bits()),
        2 => any::<f64>().prop_map(f64::to_bits),
        1 => any::<u64>(),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::from_bits(STALE_BITS)]).prop_map(f64::to_bits),
    ]
}

fn any_wait() -> impl Strategy<Value = i64> {
    prop_oneof![20 => 1i64..20_000, 3 => 1i64..HOUR, 1 => HOUR..5 * HOUR]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (0u8..3, any_wait(), prop::collection::btree_map(0u8..6, any_bits(), 1..6))
            .prop_map(|(group, wait, values)| Step::Round { group, wait, values }),
        2 => (0u8..3, any_wait()).prop_map(|(group, wait)| Step::Stale { group, wait }),
        5 => (any_wait(), 1u8..5).prop_map(|(wait, times)| Step::Maintain { wait, times }),
        2 => Just(Step::Reopen),
    ]
}

/// Labels of a group's series: some share their name with those of other groups.
fn series(group: u8, number: u8) -> (String, Labels, Kind) {
    let name = format!("m{}", number / 2);
    let kind = if number.is_multiple_of(2) { Kind::Counter } else { Kind::Gauge };
    (format!("g{group}"), labels(&name, &[("group", &group.to_string()), ("number", &number.to_string())]), kind)
}

fn measures(store: &Store, labels: &Labels) -> bool {
    let state = store.shared.read();
    state.head.registry.slots().any(|(_, measured)| Labels::new(state.head.registry.pairs(measured)) == *labels)
}

type Model = BTreeMap<Labels, BTreeMap<i64, u64>>;

fn check(store: &Store, model: &Model, from: i64, to: i64) {
    for matchers in [vec![], named("m1"), vec![Matcher::equal("group", "1")], vec![Matcher::equal("group", "")]] {
        let mut expected: Vec<(Labels, Vec<(i64, u64)>)> = Vec::new();
        for (labels, samples) in model.iter().filter(|(labels, _)| matchers.iter().all(|matcher| matcher.fits(labels)))
        {
            let within: Vec<(i64, u64)> = samples.range(from..=to).map(|(at, bits)| (*at, *bits)).collect();
            if !within.is_empty() {
                expected.push((labels.clone(), within));
            }
        }
        let found = store.select(&matchers, from, to, 0, Keep::Last).unwrap();
        let found: Vec<_> = found.into_iter().map(|series| (series.labels, bits(&series.samples))).collect();
        assert_eq!(found, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out(steps in prop::collection::vec(any_step(), 1..120), from in 0i64..6 * HOUR, length in 0i64..6 * HOUR) {
        let folder = temporary();
        let mut now = START;
        let mut store = open(folder.path(), Limits::default(), now);
        let mut model = Model::new();
        for step in steps {
            // More windows than fit are given up, which another test is about.
            while store.stats().windows >= MAX_WINDOWS {
                store.maintain(now).unwrap();
            }
            match step {
                Step::Round { group, wait, values } => {
                    now += wait;
                    let mut round = Vec::new();
                    for (number, bits) in values {
                        let (group, labels, kind) = series(group, number);
                        let value = f64::from_bits(bits);
                        round.push((store.identify(&group, &labels, kind).unwrap(), value));
                        let bits = if bits == values::ABSENT { f64::NAN.to_bits() } else { bits };
                        model.entry(labels).or_default().insert(now, bits);
                    }
                    let appended = store.append(&round, now);
                    prop_assert_eq!(appended.taken, round.len());
                    prop_assert!(appended.unwritten.is_none());
                }
                Step::Stale { group, wait } => {
                    now += wait;
                    let number = group.to_string();
                    let measured = model.iter_mut().filter(|(labels, _)| labels.get("group") == number);
                    let mut expected = 0;
                    for (labels, samples) in measured {
                        let last = samples.last_key_value().map(|(_, bits)| *bits).unwrap();
                        // Series that have no samples in memory may have been forgotten.
                        let held = measures(&store, labels);
                        if last != STALE_BITS && held {
                            samples.insert(now, STALE_BITS);
                            expected += 1;
                        }
                    }
                    prop_assert_eq!(store.end_group(&format!("g{group}"), now).taken, expected);
                }
                Step::Maintain { wait, times } => {
                    now += wait;
                    for _ in 0..times {
                        store.maintain(now).unwrap();
                    }
                }
                Step::Reopen => {
                    drop(store);
                    store = open(folder.path(), Limits::default(), now);
                    prop_assert_eq!(store.stats().torn, Torn::default());
                }
            }
        }
        check(&store, &model, i64::MIN, i64::MAX);
        check(&store, &model, START + from, START + from + length);
        settle(&mut store, now + 3 * HOUR);
        check(&store, &model, i64::MIN, i64::MAX);
        check(&store, &model, START + from, START + from + length);
        drop(store);
        let store = open(folder.path(), Limits::default(), now);
        check(&store, &model, i64::MIN, i64::MAX);
    }
}
