//! Damaged files: every wrong byte is noticed, none is a panic, and nothing wrong is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;

/// Some hours of two series, so that there are blocks of two levels and a journal. Gives what is right.
fn filled(folder: &Path) -> BTreeMap<String, Vec<(i64, u64)>> {
    let mut store = open(folder, Limits::default(), START);
    for minute in 0..5 * 60 {
        let at = START + minute * MINUTE;
        let names = ["requests_total", "memory_bytes"];
        let ids = [Kind::Counter, Kind::Gauge].map(|kind| {
            let name = if kind == Kind::Counter { names[0] } else { names[1] };
            identify(&mut store, "chat", name, kind)
        });
        let value = f64::from(u32::try_from(minute).unwrap());
        assert_eq!(store.append(&[(ids[0], value), (ids[1], (value * 0.7).sin())], at).taken, 2);
        settle(&mut store, at);
    }
    ["requests_total", "memory_bytes"].into_iter().map(|name| (name.to_owned(), all(&store, name))).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().unwrap() != "lock");
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// Everything that is read is right; gives how much that is.
fn read_right(store: &Store, right: &BTreeMap<String, Vec<(i64, u64)>>) -> usize {
    let mut count = 0;
    for (name, expected) in right {
        for (step, keep) in [(0, Keep::Last), (MINUTE, Keep::Max)] {
            let found = read(store, name, i64::MIN, i64::MAX, step, keep);
            assert!(found.iter().all(|sample| expected.binary_search(sample).is_ok()), "{name} is wrong");
            count += found.len();
        }
    }
    count
}

#[test]
fn any_wrong_byte_in_any_file_is_noticed_and_nothing_wrong_is_read() {
    let original = temporary();
    let right = filled(original.path());
    let whole = right.values().map(|samples| samples.len() * 2).sum::<usize>();
    let mut noticed = 0;
    let mut tried = 0;
    for path in files(original.path()) {
        let bytes = std::fs::read(&path).unwrap();
        // Every byte of what frames the file, and some of the rest.
        let step = (bytes.len() / 80).max(1);
        for at in (0..bytes.len()).filter(|at| at % step == 0 || *at < 16 || *at + 80 > bytes.len()) {
            let folder = temporary();
            copy(original.path(), folder.path());
            let mut wrong = bytes.clone();
            wrong[at] ^= 1 << (at % 8);
            std::fs::write(folder.path().join(path.file_name().unwrap()), &wrong).unwrap();
            let mut store = open(folder.path(), Limits::default(), START);
            let first = read_right(&store, &right);
            settle(&mut store, START + 5 * HOUR);
            let second = read_right(&store, &right);
            let stats = store.stats();
            let said = !stats.set_aside.is_empty() || stats.torn.segments > 0;
            assert!(said || first == whole, "byte {at} of {}: nobody noticed", path.display());
            assert!(second + 400 >= first, "byte {at} of {}", path.display());
            noticed += usize::from(said);
            tried += 1;
        }
    }
    assert_eq!(noticed, tried, "every byte means something");
}

#[test]
fn files_that_are_cut_short_or_empty_or_strange_are_noticed() {
    let original = temporary();
    let right = filled(original.path());
    for path in files(original.path()) {
        let bytes = std::fs::read(&path).unwrap();
        let cut = |length: usize| bytes[..length].to_vec();
        let longer = [bytes.as_slice(), &[0; 100]].concat();
        for wrong in [cut(0), cut(7), cut(8), cut(bytes.len() / 2), cut(bytes.len() - 1), longer, vec![0xff; 3_000]] {
            let folder = temporary();
            copy(original.path(), folder.path());
            std::fs::write(folder.path().join(path.file_name().unwrap()), &wrong).unwrap();
            let mut store = open(folder.path(), Limits::default(), START);
            read_right(&store, &right);
            settle(&mut store, START + 5 * HOUR);
            read_right(&store, &right);
            let id = identify(&mut store, "chat", "requests_total", Kind::Counter);
            append_one(&mut store, id, 1.0, START + 6 * HOUR);
        }
    }
}

#[test]
fn what_a_damaged_block_held_is_read_from_a_coarser_one() {
    let folder = temporary();
    let right = filled(folder.path());
    let raw = files(folder.path()).into_iter().find(|path| path.to_string_lossy().contains("raw-")).unwrap();
    let mut bytes = std::fs::read(&raw).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&raw, &bytes).unwrap();
    let mut store = open(folder.path(), Limits::default(), START);
    // A round a minute: what the minutes kept is all of it.
    let check = |store: &Store| right.iter().for_each(|(name, expected)| assert_eq!(all(store, name), *expected));
    check(&store);
    settle(&mut store, START + 5 * HOUR);
    assert_eq!(store.stats().set_aside.len(), 1);
    assert!(raw.with_extension("block.bad").exists());
    check(&store);
    drop(store);
    let store = open(folder.path(), Limits::default(), START);
    check(&store);
}

#[test]
fn a_block_that_becomes_shorter_while_it_is_open_is_set_aside() {
    let folder = temporary();
    let right = filled(folder.path());
    let mut store = open(folder.path(), Limits::default(), START);
    let raw = files(folder.path()).into_iter().find(|path| path.to_string_lossy().contains("raw-")).unwrap();
    std::fs::OpenOptions::new().write(true).open(&raw).unwrap().set_len(100).unwrap();
    for (name, expected) in &right {
        assert_eq!(all(&store, name), *expected);
    }
    settle(&mut store, START + 5 * HOUR);
    assert_eq!(store.stats().set_aside.len(), 1);
}

#[test]
fn a_torn_record_costs_that_round_alone_and_is_counted() {
    let folder = temporary();
    let mut store = open(folder.path(), Limits::default(), START);
    let id = identify(&mut store, "a", "m", Kind::Gauge);
    for round in 0..10 {
        append_one(&mut store, id, 1.5, START + round * SECOND);
    }
    drop(store);
    let journal = files(folder.path()).pop().unwrap();
    let bytes = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &bytes[..bytes.len() - 1]).unwrap();
    let mut store = open(folder.path(), Limits::default(), START);
    assert_eq!(all(&store, "m").len(), 9);
    assert_eq!(store.stats().torn.segments, 1);
    let id = identify(&mut store, "a", "m", Kind::Gauge);
    append_one(&mut store, id, 1.5, START + 10 * SECOND);
    drop(store);
    let store = open(folder.path(), Limits::default(), START);
    assert_eq!((all(&store, "m").len(), store.stats().torn.segments), (10, 0));
}

#[test]
fn a_store_that_is_in_use_is_not_opened() {
    let folder = temporary();
    let store = open(folder.path(), Limits::default(), START);
    assert!(matches!(Store::open(folder.path(), Limits::default(), START), Err(StoreError::InUse { .. })));
    drop(store);
    open(folder.path(), Limits::default(), START);
}
