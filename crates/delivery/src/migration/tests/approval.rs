//! Overrides, and what refusals say.

use super::*;

const FILE: &str = "CREATE TABLE t (a int);\n  ALTER TABLE users DROP COLUMN old;\nCOMMIT";

fn given(fingerprint: &str, reason: &str) -> Override {
    Override { file: "0002_x.sql".into(), fingerprint: fingerprint.into(), reason: reason.into() }
}

fn drops() -> String {
    Fingerprint::of("ALTER TABLE users DROP COLUMN old").short()
}

#[test]
fn a_refusal_says_what_where_why_and_what_to_do() {
    let set = set(Engine::Postgres, &[FILE]);
    let error = review_of(&set).approve(&[]).expect_err("refused").to_string();
    let expected = format!(
        "the migrations may not run:\n  0002_x.sql:2:3: changes users: DROP COLUMN old [drops-column]: the running version still \
         reads or writes the column. Instead: stop using it in one release; drop it in a later one, by an override, once no \
         running version knows it (to run it all the same: override {})\n  0002_x.sql:3:1: COMMIT is refused in a migration \
         [transaction]: the runner opens and ends the transactions, so that a file runs wholly or not at all. Instead: leave it \
         out; what must be committed earlier goes to a file of its own",
        drops()
    );
    assert_eq!(error, expected);
}

#[test]
fn an_override_lets_run_what_it_names_at_the_price_of_a_snapshot() {
    let set = set(Engine::Postgres, &["ALTER TABLE users DROP COLUMN old", "SELECT 1"]);
    let approved = review_of(&set).approve(&[given(&drops(), " nothing reads it ")]).expect("approved");
    assert_eq!(approved.snapshot(), Snapshot::First);
    let [audited] = approved.to_audit() else { panic!("one") };
    assert_eq!((audited.rule, audited.reason.as_str()), (Rule::DropsColumn, "nothing reads it"));
    assert_eq!(audited.statement.text, "ALTER TABLE users DROP COLUMN old");
    let long = |step: &Step<'_>| step.within.contains(&"SET LOCAL statement_timeout = 3600000".to_owned());
    assert_eq!(approved.steps().iter().map(long).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_mistaken_override_stops_everything() {
    let check = |file: &str, overrides: &[Override], expected: fn(&Mistaken) -> bool| {
        let set = set(Engine::Postgres, &[file]);
        let error = review_of(&set).approve(overrides).expect_err("refused");
        assert!(error.mistaken.iter().any(expected), "{error}");
    };
    let dropping = "ALTER TABLE users DROP COLUMN old";
    let short = drops();
    check(dropping, &[given(&short[..11], "x")], |error| matches!(error, Mistaken::NamesNothing { .. }));
    check(dropping, &[given("000000000000", "x")], |error| matches!(error, Mistaken::NamesNothing { .. }));
    check("ALTER TABLE users DROP COLUMN  old", &[given(&short, "x")], |error| {
        matches!(error, Mistaken::NamesNothing { .. })
    });
    check(dropping, &[given(&short, " ")], |error| matches!(error, Mistaken::Reason { .. }));
    check(dropping, &[given(&short, &"x".repeat(MAX_REASON_BYTES + 1))], |error| {
        matches!(error, Mistaken::Reason { .. })
    });
    let other_file = Override { file: "0001_x.sql".into(), ..given(&short, "x") };
    check(dropping, &[other_file], |error| matches!(error, Mistaken::NamesNothing { .. }));
    check("SELECT 1", &[given(&Fingerprint::of("SELECT 1").short(), "x")], |error| {
        matches!(error, Mistaken::NotNeeded { .. })
    });
    check("COMMIT", &[given(&Fingerprint::of("COMMIT").short(), "x")], |error| {
        matches!(error, Mistaken::Impossible { .. })
    });
}

/// What an overridden statement names may be anything afterwards, so that nothing of it counts as new.
#[test]
fn an_overridden_statement_opens_no_door() {
    for (first, then, expected) in [
        ("ALTER TABLE users RENAME TO people", "CREATE TABLE users (a int); DROP TABLE users", "drops-object"),
        (
            "ALTER TABLE users RENAME TO people",
            "CREATE TABLE people (a int); ALTER TABLE people DROP COLUMN old",
            "drops-column",
        ),
        ("DROP TABLE orders", "CREATE TABLE Orders (a int); CREATE INDEX i ON orders (a)", "blocking-index"),
        ("CREATE TABLE IF NOT EXISTS users (a int)", "CREATE INDEX i ON users (name)", "blocking-index"),
        (
            "DO $$ BEGIN CREATE TABLE t (a int); END $$",
            "CREATE TABLE t (a int); CREATE INDEX i ON t (a)",
            "blocking-index",
        ),
        ("CREATE TABLE t (a int); DROP TABLE t CASCADE", "DROP TABLE t", "drops-object"),
        ("DROP TYPE mood", "ALTER TABLE users ADD COLUMN a mood", "unknown-type"),
        ("CREATE TEMP TABLE users (a int)", "ALTER TABLE users DROP COLUMN old", "drops-column"),
    ] {
        let set = set(Engine::Postgres, &[first, then]);
        let review = review_of(&set);
        let refused = review.statements.iter().filter_map(|statement| match &statement.verdict {
            Verdict::Refused(refusal) => Some(refusal.rule.advice().code),
            Verdict::Allowed(_) => None,
        });
        let refused: Vec<_> = refused.collect();
        assert_eq!(refused.get(1), Some(&expected), "{first}; {then}: {refused:?}");
    }
}

#[test]
fn an_unreadable_file_is_refused_with_its_place() {
    let set = set(Engine::Postgres, &["SELECT 1;\n  SELECT 'a"]);
    let error = review_of(&set).approve(&[]).expect_err("refused");
    let [unreadable] = error.unreadable.as_slice() else { panic!("{error}") };
    assert_eq!(unreadable.to_string(), "0002_x.sql:2:10: what begins here does not end: a string or a name in quotes");
}

#[test]
fn what_is_not_understood_is_told_with_its_place() {
    let set = set(Engine::Postgres, &["SELECT 1;\n\nALTER TABLE users\n  FROBNICATE a"]);
    let error = review_of(&set).approve(&[]).expect_err("refused").to_string();
    assert!(error.contains("0002_x.sql:3:1: not understood at 4:3:"), "{error}");
}
