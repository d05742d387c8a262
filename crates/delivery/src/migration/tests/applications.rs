//! The apps of this repository: what they carry passes as the first migrations of an empty database, on both engines.

use std::fs;
use std::path::Path;

use super::{Blue, Engine, File, Set, Version, outcome, review};

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

/// A table of FTS5 is written in a form that the parser does not know (`content = '…'`), so the guard refuses it, and what fills it, until somebody says otherwise. On SQLite only, where
/// `mana up` migrates in development without a guard; docs/CHAT.md says so.
const NOT_UNDERSTOOD: &str = "0042_search.sqlite.sql";

#[test]
fn first_migrations_of_every_app_pass() {
    let apps = migrations();
    assert!(apps.len() >= 3, "auth, chat and its web: {apps:?}");
    for (name, files) in apps {
        for engine in [Engine::Postgres, Engine::Sqlite] {
            let set = Set::new(engine, files.clone()).expect("a set");
            assert!(!set.files().is_empty());
            let review = review(&set, &[], Blue::Nothing).expect("a history");
            let approved = match review.approve(&[]) {
                Ok(approved) => approved,
                Err(error) => {
                    let error = error.to_string();
                    let mut refused = error.lines().skip(1).peekable();
                    assert!(
                        engine == Engine::Sqlite
                            && refused.peek().is_some_and(|first| first.contains("[unparsed]"))
                            && refused.all(|line| line.trim_start().starts_with(NOT_UNDERSTOOD)),
                        "{name} on {engine:?}: {error}"
                    );
                    continue;
                }
            };
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
    let review = review(&set, &super::applied(&set, 1), Blue::Knows(Version(1))).expect("a history");
    assert_eq!(outcome(&review), "holds-blue");
}

/// What came with gift codes is no trouble for the version before it.
#[test]
fn the_ledgers_later_migrations_run_beside_the_version_before() {
    let apps = migrations();
    let (_, files) = apps.iter().find(|(name, _)| name.contains("mana-core-auth")).expect("auth");
    let ledgers = |file: &&File| file.version() < Version(10) || (Version(20)..Version(30)).contains(&file.version());
    let files: Vec<File> = files.iter().filter(ledgers).cloned().collect();
    for engine in [Engine::Postgres, Engine::Sqlite] {
        let set = Set::new(engine, files.clone()).expect("a set");
        let review = review(&set, &super::applied(&set, 4), Blue::Knows(Version(4))).expect("a history");
        let approved = review.approve(&[]).unwrap_or_else(|error| panic!("on {engine:?}: {error}"));
        assert_eq!(approved.steps().len(), 2, "{engine:?}");
    }
}
