//! The properties over the seeds, as they are and changed by chance: what the fuzzer would begin with.

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::TARGETS;

/// What means something to one parser or another.
const WORDS: [&str; 36] = [
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "\0",
    ":",
    ";",
    ",",
    "=",
    "\"",
    "\\",
    "/",
    "..",
    "%2e",
    "%2f",
    "%",
    "#",
    "0",
    "1",
    "-1",
    "ffffffff",
    "18446744073709551616",
    "content-length: 5\r\n",
    "transfer-encoding: chunked\r\n",
    "0\r\n\r\n",
    "HTTP/1.0",
    "PROXY ",
    "UNKNOWN",
    "for=",
    "unknown",
    "max-age=",
    "q=0",
    "*",
    "W/",
    "::ffff:10.0.0.1",
];

#[derive(Debug, Clone)]
enum Change {
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Replace(usize, u8),
    Repeat(usize, usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let at = |place: &usize| place % (bytes.len() + 1);
        match self {
            Self::Insert(place, word) => {
                let at = at(place);
                bytes.splice(at..at, word.iter().copied());
            }
            Self::Remove(place, length) => {
                let at = at(place);
                bytes.drain(at..bytes.len().min(at + length));
            }
            Self::Replace(place, byte) => {
                let at = at(place);
                if let Some(other) = bytes.get_mut(at) {
                    *other = *byte;
                }
            }
            Self::Repeat(place, length) => {
                let at = at(place);
                let part = bytes[at..bytes.len().min(at + length)].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), prop::sample::select(&WORDS[..])).prop_map(|(at, word)| Change::Insert(at, word.into())),
        (any::<usize>(), 1..20_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        (any::<usize>(), 1..40_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
    ]
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn what_holds_for_any_bytes_holds_for_the_seeds_and_what_is_like_them() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        for seed in &seeds {
            for cut in [0, 1, 7] {
                let mut bytes = seed.clone();
                if let Some(first) = bytes.first_mut() {
                    *first = if cut == 0 { *first } else { cut };
                }
                target(&bytes);
            }
            for end in 0..seed.len() {
                target(&seed[..end]);
            }
        }
        let changed = (prop::sample::select(seeds), prop::collection::vec(change(), 1..6));
        let config = ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() };
        let ran = TestRunner::new(config).run(&changed, |(mut bytes, changes)| {
            for change in &changes {
                change.apply(&mut bytes);
            }
            target(&bytes);
            Ok(())
        });
        assert!(ran.is_ok(), "{name}: {}", ran.unwrap_err());
    }
}

#[test]
fn each_target_is_in_the_fuzzers_manifest() {
    let manifest = include_str!("../../fuzz/Cargo.toml");
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}
