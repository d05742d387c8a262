//! Nothing grows beyond its limit.

use super::*;

#[test]
fn one_series_too_many_of_a_group_is_refused_with_what_fills_it() {
    let folder = temporary();
    let limits = Limits { series_per_group: 50, ..Limits::default() };
    let mut store = open(folder.path(), limits, START);
    let of_user = |user: usize| labels("requests_total", &[("instance", "chat"), ("user", &user.to_string())]);
    identify(&mut store, "chat", "up", Kind::Gauge);
    for user in 0..49 {
        store.identify("chat", &of_user(user), Kind::Counter).unwrap();
    }
    let error = store.identify("chat", &of_user(49), Kind::Counter).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`chat` has 50 series, which is the limit, and takes no new one of `requests_total`: most are `requests_total`, whose label `user` has 49 \
         values. Leave that label out, or raise the limit"
    );
    let error = store.identify("chat", &labels("other", &[]), Kind::Counter).unwrap_err();
    assert!(error.to_string().contains("no new one of `other`: most are `requests_total`"), "{error}");
    // Those that are known go on, and so do other groups.
    store.identify("chat", &of_user(7), Kind::Counter).unwrap();
    identify(&mut store, "other", "up", Kind::Gauge);
    assert_eq!((store.stats().series, store.stats().counts.refused_series), (51, 2));
}

#[test]
fn one_series_too_many_in_all_is_refused_until_others_are_forgotten() {
    let folder = temporary();
    let limits = Limits { series: 10, ..Limits::default() };
    let mut store = open(folder.path(), limits, START);
    let ids: Vec<SeriesId> = (0..10).map(|n| identify(&mut store, &format!("t{n}"), "up", Kind::Gauge)).collect();
    let symbols = store.shared.read().head.registry.symbols.len();
    let round: Vec<(SeriesId, f64)> = ids.iter().map(|id| (*id, 1.0)).collect();
    assert_eq!(store.append(&round, START).taken, 10);
    let refused = |store: &mut Store| match store.identify("new", &labels("up", &[]), Kind::Gauge) {
        Err(StoreError::TooManySeries(error)) => error,
        other => panic!("{other:?}"),
    };
    let error = refused(&mut store);
    assert_eq!(
        (error.limit, error.group, &*error.metric, &*error.label, error.values),
        (10, None, "up", "instance", 10)
    );
    // Two windows later nothing holds them any more, but for the one that goes on.
    for hours in [2, 4] {
        assert_eq!(store.append(&[(ids[3], 1.0)], START + hours * HOUR + 1).taken, 1);
        settle(&mut store, START + (hours + 1) * HOUR);
    }
    assert_eq!((store.stats().series, store.stats().groups), (1, 1));
    assert!(store.shared.read().head.registry.symbols.len() < symbols);
    let appended = store.append(&[(ids[0], 1.0), (ids[3], 1.0)], START + 5 * HOUR);
    assert_eq!((appended.unknown, appended.taken), (vec![ids[0]], 1));
    store.identify("new", &labels("up", &[]), Kind::Gauge).unwrap();
}

#[test]
fn the_same_labels_from_two_groups_are_refused_until_the_first_one_ended() {
    let folder = temporary();
    let mut store = open(folder.path(), Limits::default(), START);
    let same = labels("up", &[("service", "chat")]);
    let blue = store.identify("blue", &same, Kind::Gauge).unwrap();
    append_one(&mut store, blue, 1.0, START);
    assert!(matches!(store.identify("green", &same, Kind::Gauge), Err(StoreError::Elsewhere { .. })));
    assert_eq!(store.end_group("blue", START + SECOND).taken, 1);
    let green = store.identify("green", &same, Kind::Gauge).unwrap();
    append_one(&mut store, green, 2.0, START + 2 * SECOND);
    // The old one has to be identified again, which is refused.
    assert_eq!(store.append(&[(blue, 3.0)], START + 3 * SECOND).unknown, [blue]);
    assert!(matches!(store.identify("blue", &same, Kind::Gauge), Err(StoreError::Elsewhere { .. })));
    let expected = [(START, 1f64.to_bits()), (START + SECOND, STALE_BITS), (START + 2 * SECOND, 2f64.to_bits())];
    assert_eq!(all(&store, "up"), expected);
    drop(store);
    let mut store = open(folder.path(), Limits::default(), START);
    assert_eq!(all(&store, "up"), expected);
    settle(&mut store, START + 3 * HOUR);
    assert_eq!(all(&store, "up"), expected);
    assert_eq!(read(&store, "up", 0, i64::MAX, MINUTE, Keep::Last), expected);
}

#[test]
fn the_store_may_go_to_another_thread_and_readers_to_many() {
    fn goes<T: Send>() {}
    fn is_shared<T: Send + Sync + Clone>() {}
    goes::<Store>();
    is_shared::<Reader>();
}

#[test]
fn labels_that_cannot_be_stored_are_refused() {
    let folder = temporary();
    let mut store = open(folder.path(), Limits::default(), START);
    let many: Vec<(String, String)> = (0..MAX_LABELS).map(|n| (format!("l{n}"), "x".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(label, value)| (label.as_str(), value.as_str())).collect();
    let long = "x".repeat(MAX_LABEL_BYTES + 1);
    for bad in [Labels::new([("a", "b")]), labels("up", &many), labels("up", &[("a", &long)]), labels(&long, &[])] {
        assert!(matches!(store.identify("a", &bad, Kind::Gauge), Err(StoreError::BadLabels { .. })));
    }
    assert!(store.identify(&long, &labels("up", &[]), Kind::Gauge).is_err());
    assert_eq!(store.stats().series, 0);
}

#[test]
fn a_query_that_reads_too_much_is_refused() {
    let folder = temporary();
    let limits = Limits { query_series: 3, query_samples: 20, ..Limits::default() };
    let mut store = open(folder.path(), limits, START);
    for n in 0..5 {
        let id = identify(&mut store, &format!("t{n}"), if n < 2 { "few" } else { "many" }, Kind::Gauge);
        for round in 0..10 {
            append_one(&mut store, id, 1.0, START + round * SECOND);
        }
    }
    let one = identify(&mut store, "t9", "many", Kind::Gauge);
    append_one(&mut store, one, 1.0, START);
    for _ in 0..2 {
        let select = |name, to| store.select(&named(name), START, to, 0, Keep::Last);
        assert_eq!(select("few", START + HOUR).unwrap().len(), 2);
        assert!(matches!(select("many", START), Err(SourceError::TooManySeries { limit: 3, .. })));
        assert!(matches!(
            store.select(&[], START, START + 4 * SECOND, 0, Keep::Last),
            Err(SourceError::TooManySamples { limit: 20 } | SourceError::TooManySeries { .. })
        ));
        assert!(matches!(
            store.select(
                &[Matcher {
                    label: "instance".into(),
                    test: crate::series::Test::Like(Matcher::like("t[012]").unwrap())
                }],
                START,
                START + HOUR,
                0,
                Keep::Last
            ),
            Err(SourceError::TooManySamples { limit: 20 })
        ));
        settle(&mut store, START + 3 * HOUR);
    }
}

#[test]
fn a_group_with_a_round_each_millisecond_fills_no_memory() {
    let folder = temporary();
    let mut store = open(folder.path(), Limits::default(), START);
    let id = identify(&mut store, "a", "up", Kind::Gauge);
    let rounds = i64::try_from(MAX_ROUNDS).unwrap();
    for round in 0..rounds {
        append_one(&mut store, id, 1.0, START + round);
    }
    assert_eq!(store.append(&[(id, 1.0)], START + rounds).crowded, 1);
    // The next window has room again.
    append_one(&mut store, id, 1.0, START + 2 * HOUR);
    assert_eq!(all(&store, "up").len(), MAX_ROUNDS + 1);
}

#[test]
fn the_disk_holds_no_more_than_it_may_and_the_newest_stays() {
    let folder = temporary();
    let limits = Limits { bytes: 60_000, ..Limits::default() };
    let mut store = open(folder.path(), limits, START);
    let ids: Vec<SeriesId> = (0..10).map(|n| identify(&mut store, "a", &format!("m{n}"), Kind::Gauge)).collect();
    for round in 0..24 * 60 {
        let at = START + round * MINUTE;
        let value =
            |n: usize| f64::from(u32::try_from((round * 7_919 + i64::try_from(n).unwrap()) % 10_007).unwrap()).sqrt();
        let samples: Vec<(SeriesId, f64)> = ids.iter().enumerate().map(|(n, id)| (*id, value(n))).collect();
        assert_eq!(store.append(&samples, at).taken, 10);
        if round % 30 == 0 {
            settle(&mut store, at);
        }
    }
    settle(&mut store, START + DAY);
    let size: u64 =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(size <= 60_000, "{size}");
    assert!(store.stats().counts.dropped_blocks > 0);
    let left = read(&store, "m3", START + 22 * HOUR, START + DAY, 0, Keep::Last);
    assert_eq!(left.len(), 120);
}
