//! The apps of this repository: what they carry passes as the first migrations of an empty database, on both engines.

use std::fs;
use std::path::Path;

use super::{Blue, Engine, File, Rule, Set, Size, Version, outcome, review};

/// By the folders that are there, so that an app added later is checked as well.
fn migrations() -> Vec<(String, Vec<File>)> {
    let apps = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps");
    let mut folders = vec![apps];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            match entry.file_name().and_then(|name| name.to_str()) {
                Some("migrations") => found.push((entry.display().to_string(), files(&entry))),
                Some("target" | "node_modules") => {}
                _ if entry.is_dir() => folders.push(entry),
                _ => {}
            }
        }
    }
    found
}

fn files(folder: &Path) -> Vec<File> {
    let read = |path: std::path::PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        File::new(&name, fs::read_to_string(&path).expect("its text")).expect("a migration")
    };
    fs::read_dir(folder).expect("a folder").map(|entry| read(entry.expect("an entry").path())).collect()
}

#[test]
fn first_migrations_of_every_app_pass() {
    let apps = migrations();
    assert!(apps.len() >= 3, "auth, chat and its web: {apps:?}");
    for (name, files) in apps {
        for engine in [Engine::Postgres, Engine::Sqlite] {
            let set = Set::new(engine, files.clone()).expect("a set");
            assert!(!set.files().is_empty());
            let review = review(&set, &[], Blue::Nothing, Size::Large).expect("a history");
            let approved = review.approve(&[]).unwrap_or_else(|error| panic!("{name} on {engine:?}: {error}"));
            assert_eq!(approved.steps().len(), set.files().len());
        }
    }
}

/// The ledger's second file refers to users, whom the first version already deletes.
#[test]
fn a_later_migration_is_judged_by_what_blue_does() {
    let apps = migrations();
    let (_, files) = apps.iter().find(|(name, _)| name.contains("mana-core-auth")).expect("auth");
    let set = Set::new(Engine::Postgres, files.clone()).expect("a set");
    let review = review(&set, &super::applied(&set, 1), Blue::Knows(Version(1)), Size::Large).expect("a history");
    assert_eq!(outcome(&review), "holds-blue");
}

/// What came with gift codes, roles and reversals is no trouble for the version before it.
#[test]
fn the_ledgers_later_migrations_run_beside_the_version_before() {
    let apps = migrations();
    let (_, files) = apps.iter().find(|(name, _)| name.contains("mana-core-auth")).expect("auth");
    let ledgers = |file: &&File| file.version() < Version(10) || (Version(20)..Version(30)).contains(&file.version());
    let files: Vec<File> = files.iter().filter(ledgers).cloned().collect();
    for engine in [Engine::Postgres, Engine::Sqlite] {
        let set = Set::new(engine, files.clone()).expect("a set");
        let review = review(&set, &super::applied(&set, 4), Blue::Knows(Version(4)), Size::Large).expect("a history");
        let approved = review.approve(&[]).map(|approved| approved.steps().len());
        assert_eq!(approved, Ok(set.files().len() - 4), "{engine:?}");
    }
}

/// Chat's tree of messages and their index of words come beside a version that knows neither, as long as copying takes a moment.
#[test]
fn chats_tree_and_index_of_words_run_beside_the_version_before() {
    let apps = migrations();
    let (_, files) = apps.iter().find(|(name, _)| name.contains("chat/backend")).expect("chat");
    for engine in [Engine::Postgres, Engine::Sqlite] {
        let set = Set::new(engine, files.clone()).expect("a set");
        let knows = set.files().iter().filter(|file| file.version() < Version(40)).count();
        let look = |size| {
            let applied = super::applied(&set, knows);
            let blue = Blue::Knows(applied.last().expect("a first one").version);
            review(&set, &applied, blue, size).expect("a history").approve(&[]).map(|approved| approved.steps().len())
        };
        assert_eq!(look(Size::Small), Ok(set.files().len() - knows), "{engine:?}");
        let refused = look(Size::Large).expect_err("too much to copy at once").refused;
        let rules: Vec<_> = refused.iter().map(|refused| (refused.file.as_str(), refused.refusal.rule)).collect();
        let mut copied = vec![("0041_parents.sql", Rule::FillsAtOnce)];
        if engine == Engine::Sqlite {
            copied.extend([("0042_search.sqlite.sql", Rule::FillsAtOnce); 2]);
        }
        assert_eq!(rules, copied, "{engine:?}");
    }
}
