//! A store whose process is killed at any moment, over and over, is whole and has all that was taken.
//!
//! `MANA_KILLS` says how often (default 25).

#![expect(clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use mana_watch::series::{Keep, Labels, NAME, Source};
use mana_watch::store::{Kind, Limits, Store, Torn};

const NAME_OF_TEST: &str = "killed_over_and_over_the_store_is_whole_and_has_every_round_that_was_taken";
const START: i64 = 1_728_000_000_000;
/// Long, so that there are blocks of all levels after a few thousand rounds.
const INTERVAL: i64 = 60_000;
const SERIES: i64 = 20;
/// Rounds that are looked at after every kill; all of them are looked at in the end.
const LOOK_BACK: i64 = 2_000;

fn limits() -> Limits {
    // Raw samples are kept for as long as the test goes on, so that all can be compared.
    Limits { keep_raw: Duration::from_hours(1_000_000), ..Limits::default() }
}

/// What a series has in a round: whole numbers that grow, floats, and some that stand still.
fn value(series: i64, round: i64) -> f64 {
    let grown = f64::from(i32::try_from(round * (series + 1) % 1_000_000).unwrap());
    match series % 3 {
        0 => grown,
        1 => (grown * 0.7).sin(),
        _ => f64::from(i32::try_from(series + round / 500).unwrap()),
    }
}

fn labels(series: i64) -> Labels {
    Labels::new([(NAME, "m"), ("series", &format!("{series:02}"))])
}

/// Appends round after round and says after each that it was taken, until it is killed.
fn ingest(folder: &Path, first: i64) -> ! {
    let mut store = Store::open(folder, limits(), START + first * INTERVAL).expect("the store opens");
    let mut out = std::io::stdout();
    for round in first.. {
        let at = START + round * INTERVAL;
        let samples: Vec<_> = (0..SERIES)
            .map(|series| {
                let group = format!("g{}", series % 4);
                (store.identify(&group, &labels(series), Kind::Gauge).expect("there is room"), value(series, round))
            })
            .collect();
        let appended = store.append(&samples, at);
        let there = i64::try_from(appended.taken + appended.repeated);
        assert!(appended.unwritten.is_none() && there == Ok(SERIES), "{appended:?}");
        writeln!(out, "\ntaken {round}").expect("somebody listens");
        while store.maintain(at).expect("upkeep goes on") {}
    }
    unreachable!("there is always another round")
}

/// How many rounds there are from `from` on, all of them whole and right.
fn count(store: &Store, from: i64) -> i64 {
    let found = store.select(&[], START + from * INTERVAL, i64::MAX, 0, Keep::Last).unwrap();
    let mut counts = Vec::new();
    for series in &found {
        let number: i64 = series.labels.get("series").parse().unwrap();
        for (round, sample) in (from..).zip(&series.samples) {
            assert_eq!(sample.at, START + round * INTERVAL, "a round is missing");
            assert_eq!(sample.value.to_bits(), value(number, round).to_bits());
        }
        counts.push(from + i64::try_from(series.samples.len()).unwrap());
    }
    // A kill between the records of a round's groups may leave the last one in part.
    let (least, most) = (counts.iter().min().copied().unwrap_or(from), counts.iter().max().copied().unwrap_or(from));
    assert!(most - least <= 1, "{counts:?}");
    least
}

#[test]
fn killed_over_and_over_the_store_is_whole_and_has_every_round_that_was_taken() {
    if let (Ok(folder), Ok(first)) = (std::env::var("MANA_STORE_FOLDER"), std::env::var("MANA_STORE_ROUND")) {
        ingest(Path::new(&folder), first.parse().unwrap());
    }
    let kills: u64 = std::env::var("MANA_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(25);
    // In memory where there is such a place: what a kill may do is the same, and there are far more rounds.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut next = 0;
    let mut torn = 0;
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME_OF_TEST, "--nocapture"])
            .env("MANA_STORE_FOLDER", folder.path())
            .env("MANA_STORE_ROUND", next.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut taken = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("taken ")?.parse::<i64>().ok());
        let first = taken.next().expect("the child takes rounds");
        assert_eq!(first, next);
        // At another moment each time, of a round and of what follows it.
        std::thread::sleep(Duration::from_micros(20_000 + kill * 7_919 % 60_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let last = taken.last().unwrap_or(first);
        let store = Store::open(folder.path(), limits(), START).unwrap();
        let stats = store.stats();
        assert!(stats.set_aside.is_empty(), "{:?}", stats.set_aside);
        torn += stats.torn.segments;
        let whole = count(&store, (last - LOOK_BACK).max(0));
        // The one that was on its way may be there in whole or in part.
        assert!(whole == last + 1 || whole == last + 2, "of {last} rounds that were taken {whole} are there");
        // Of the next one a part may be there; it is completed.
        next = whole;
    }
    let store = Store::open(folder.path(), limits(), START).unwrap();
    assert_eq!(store.stats().torn, Torn::default());
    assert_eq!(count(&store, 0), next);
    let blocks: Vec<usize> = store.stats().levels.iter().map(|level| level.blocks).collect();
    assert!(blocks[0] > 3, "{blocks:?}");
    println!("{kills} kills, {next} rounds, {torn} torn records, {blocks:?} blocks");
}
