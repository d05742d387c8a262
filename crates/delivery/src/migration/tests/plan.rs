//! What the runner is told to do.

use super::*;

fn steps_of(engine: Engine, files: &[&str], look: impl Fn(&[Step<'_>])) {
    let set = set(engine, files);
    let approved = review_of(&set).approve(&[]).expect("it may run");
    assert_eq!(approved.snapshot(), Snapshot::NotNeeded);
    look(&approved.steps());
}

#[test]
fn a_file_is_one_transaction_with_short_waits() {
    steps_of(Engine::Postgres, &["-- one\nCREATE TABLE t (a int);\n\n INSERT INTO t VALUES (1); -- two"], |steps| {
        let [step] = steps else { panic!("{steps:?}") };
        assert_eq!((step.file.name(), step.begin, step.before.len()), ("0002_x.sql", Some("BEGIN"), 0));
        assert_eq!(step.statements, ["CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)"]);
        let expected = [
            "SET LOCAL lock_timeout = 500",
            "SET LOCAL statement_timeout = 5000",
            "SET LOCAL idle_in_transaction_session_timeout = 10000",
            "SET LOCAL standard_conforming_strings = on",
        ];
        assert_eq!(step.within, expected);
    });
}

#[test]
fn an_index_is_built_outside_of_a_transaction_and_found_again() {
    steps_of(Engine::Postgres, &["CREATE INDEX CONCURRENTLY \"By Name\" ON app.Users (name)"], |steps| {
        let [step] = steps else { panic!("{steps:?}") };
        assert_eq!((step.begin, step.within.len()), (None, 0));
        assert_eq!(step.before.first().map(String::as_str), Some("SET lock_timeout = 600000"));
        assert_eq!(step.after.first().map(String::as_str), Some("RESET lock_timeout"));
        assert_eq!(step.before.len(), step.after.len());
        let leftover = step.leftover.as_ref().expect("what to look for");
        assert_eq!((leftover.index.as_str(), leftover.table.as_str()), ("\"app\".\"By Name\"", "\"app\".\"users\""));
        assert_eq!(leftover.drop_statement(), "DROP INDEX CONCURRENTLY \"app\".\"By Name\"");
    });
    assert_eq!([None, Some(false), Some(true)].map(Leftover::next), [Next::Run, Next::DropFirst, Next::Record]);
}

#[test]
fn a_value_and_a_validation_have_a_transaction_of_their_own() {
    let files =
        ["ALTER TYPE mood ADD VALUE 'angry'", "ALTER TABLE orders VALIDATE CONSTRAINT total_is_positive", "-- none"];
    steps_of(Engine::Postgres, &files, |steps| {
        assert_eq!(steps.iter().map(|step| step.statements.len()).collect::<Vec<_>>(), [1, 1, 0]);
        assert!(steps.iter().all(|step| step.begin == Some("BEGIN")));
        assert_eq!(
            steps.get(1).and_then(|step| step.within.get(1)).map(String::as_str),
            Some("SET LOCAL statement_timeout = 3600000")
        );
    });
}

#[test]
fn sqlite_takes_its_write_lock_at_once() {
    steps_of(Engine::Sqlite, &["CREATE TABLE t (a INT)"], |steps| {
        let [step] = steps else { panic!("{steps:?}") };
        assert_eq!(
            (step.begin, step.before.as_slice()),
            (Some("BEGIN IMMEDIATE"), &["PRAGMA busy_timeout = 5000".to_owned()][..])
        );
    });
}

/// After a rollout that was rolled back half-way: its first file has run, blue knows nothing of it.
#[test]
fn what_a_failed_rollout_left_is_still_unknown_to_blue() {
    let files = ["CREATE TABLE t (a int, b int)", "CREATE INDEX i ON t (a); INSERT INTO t VALUES (1)"];
    let set = set(Engine::Postgres, &files);
    let ran = applied(&set, 2);
    let again = review(&set, &ran, Blue::Knows(Version(1)), Size::Large).expect("a history");
    assert_eq!(outcome(&again), "NewTable");
    assert_eq!(again.approve(&[]).expect("it may run").steps().len(), 1);
    let known = review(&set, &ran, Blue::Knows(Version(2)), Size::Large).expect("a history");
    assert_eq!(outcome(&known), "blocking-index");
}

/// The canary may have written to it.
#[test]
fn what_a_failed_rollout_left_is_not_thrown_away() {
    for (statement, expected) in [
        ("DROP TABLE t", "drops-object"),
        ("ALTER TABLE t DROP COLUMN b", "drops-column"),
        ("DELETE FROM t", "changes-data"),
        ("UPDATE t SET a = 1", "changes-data"),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1", "changes-data"),
        ("ALTER TABLE t ADD COLUMN c int", "NewTable"),
    ] {
        let set = set(Engine::Postgres, &["CREATE TABLE t (a int, b int)", statement]);
        for blue in [Blue::Knows(Version(1)), Blue::Nothing] {
            let review = review(&set, &applied(&set, 2), blue, Size::Large).expect("a history");
            assert_eq!(outcome(&review), expected, "{statement}");
        }
    }
}

#[test]
fn a_set_that_does_not_continue_the_history_is_not_even_read() {
    let set = set(Engine::Postgres, &["SELECT 'open"]);
    let mut ran = applied(&set, 1);
    for row in &mut ran {
        row.checksum = Checksum::of("another");
    }
    assert!(matches!(review(&set, &ran, Blue::Knows(Version(1)), Size::Large), Err(HistoryError::Changed { .. })));
}
