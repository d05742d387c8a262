//! Triggers that run for nothing that the running version writes: what is let through does it no harm on the real engine, and what is not would
//! have, or is not known not to.

use super::feeding::{blue, database, outcome_of};
use super::*;

const REVERSED_ONCE: &str = "
    ALTER TABLE users ADD COLUMN a TEXT;
    CREATE TRIGGER g BEFORE INSERT ON users
    WHEN NEW.a IS NOT NULL AND EXISTS (SELECT 1 FROM users WHERE a = NEW.a)
    BEGIN SELECT RAISE(ABORT, 'once'); END;
    CREATE UNIQUE INDEX i ON users (a) WHERE a IS NOT NULL";

const ALLOWED: &[(&str, &str)] = &[
    (REVERSED_ONCE, "Index"),
    (
        "ALTER TABLE users ADD COLUMN a TEXT;
         CREATE TRIGGER g AFTER INSERT ON users WHEN (NEW.a IS NOT NULL) BEGIN SELECT RAISE(FAIL, 'no'); END",
        "Sleeps",
    ),
    (
        "ALTER TABLE users ADD COLUMN a TEXT; CREATE TABLE t (id TEXT);
         CREATE TRIGGER g BEFORE INSERT ON users WHEN (NEW.A IS NOT NULL AND NEW.name = 'x') AND NEW.id NOT IN (SELECT id FROM t)
         BEGIN SELECT RAISE(ROLLBACK, 'no'); SELECT RAISE(ABORT, 'no'); END",
        "Sleeps",
    ),
];

/// With what would make the running version trip on it: with `true` this is shown.
const REFUSED: &[(&str, bool)] = &[
    // It runs for what the running version inserts.
    (
        "ALTER TABLE users ADD COLUMN a TEXT DEFAULT 'x'; CREATE TRIGGER g BEFORE INSERT ON users WHEN NEW.a IS NOT NULL BEGIN SELECT RAISE(ABORT, 'no'); END",
        true,
    ),
    ("CREATE TRIGGER g BEFORE INSERT ON users WHEN NEW.name IS NOT NULL BEGIN SELECT RAISE(ABORT, 'no'); END", true),
    (
        "ALTER TABLE users ADD COLUMN a TEXT; CREATE TRIGGER g BEFORE INSERT ON users WHEN NEW.a IS NOT NULL OR NEW.old = 1 BEGIN SELECT RAISE(ABORT, 'no'); END",
        true,
    ),
    (
        "ALTER TABLE users ADD COLUMN a TEXT; CREATE TRIGGER g BEFORE INSERT ON users WHEN NEW.a IS NULL BEGIN SELECT RAISE(ABORT, 'no'); END",
        true,
    ),
    (
        "ALTER TABLE users ADD COLUMN a TEXT; CREATE TRIGGER g BEFORE INSERT ON users WHEN NOT (NEW.a IS NOT NULL) BEGIN SELECT RAISE(ABORT, 'no'); END",
        true,
    ),
    (
        "ALTER TABLE users ADD COLUMN a TEXT; CREATE TRIGGER g BEFORE INSERT ON users BEGIN SELECT RAISE(ABORT, 'no'); END",
        true,
    ),
    (
        "ALTER TABLE orders ADD COLUMN a TEXT; CREATE TRIGGER g BEFORE INSERT ON users WHEN NEW.a IS NOT NULL BEGIN SELECT RAISE(ABORT, 'no'); END",
        true,
    ),
    // It cannot be compiled.
    (
        "ALTER TABLE users ADD COLUMN a TEXT; CREATE TRIGGER g BEFORE INSERT ON users WHEN NEW.a IS NOT NULL AND EXISTS (SELECT 1 FROM users WHERE b = NEW.a) BEGIN SELECT RAISE(ABORT, 'no'); END",
        true,
    ),
    (
        "ALTER TABLE users ADD COLUMN a TEXT; CREATE TRIGGER g BEFORE INSERT ON users WHEN NEW.a IS NOT NULL AND EXISTS (SELECT 1 FROM nowhere WHERE a = NEW.a) BEGIN SELECT RAISE(ABORT, 'no'); END",
        true,
    ),
    (
        "ALTER TABLE users ADD COLUMN a TEXT; CREATE TRIGGER g BEFORE INSERT ON users WHEN NEW.a IS NOT NULL AND danger(NEW.a) BEGIN SELECT RAISE(ABORT, 'no'); END",
        true,
    ),
    (
        "ALTER TABLE users ADD COLUMN a TEXT; CREATE TRIGGER g BEFORE INSERT ON users WHEN NEW.a IS NOT NULL BEGIN SELECT RAISE(ABORT, 'no') FROM nowhere; END",
        true,
    ),
    // Rows that are changed may be the new version's.
    (
        "ALTER TABLE users ADD COLUMN a TEXT; CREATE TRIGGER g BEFORE UPDATE ON users WHEN NEW.a IS NOT NULL BEGIN SELECT RAISE(ABORT, 'no'); END",
        false,
    ),
    (
        "ALTER TABLE users ADD COLUMN a TEXT; CREATE TRIGGER g BEFORE DELETE ON users WHEN OLD.a IS NOT NULL BEGIN SELECT RAISE(ABORT, 'no'); END",
        false,
    ),
    // It asks something else first, which may take its time.
    (
        "ALTER TABLE users ADD COLUMN a TEXT; CREATE TRIGGER g BEFORE INSERT ON users WHEN EXISTS (SELECT 1 FROM users WHERE a = NEW.a) AND NEW.a IS NOT NULL BEGIN SELECT RAISE(ABORT, 'no'); END",
        false,
    ),
    // It does something else.
    (
        "ALTER TABLE users ADD COLUMN a TEXT; CREATE TRIGGER g BEFORE INSERT ON users WHEN NEW.a IS NOT NULL BEGIN UPDATE users SET name = 'x'; END",
        false,
    ),
    (
        "ALTER TABLE users ADD COLUMN a TEXT; CREATE TRIGGER g BEFORE INSERT ON users WHEN NEW.a IS NOT NULL BEGIN SELECT RAISE(ABORT, 'no'); DELETE FROM users; END",
        false,
    ),
];

#[test]
fn what_sleeps_is_let_through_and_does_the_running_version_no_harm() {
    for (sql, expected) in ALLOWED {
        assert_eq!(outcome_of(sql, Size::Large), *expected, "{sql}");
        let database = database();
        database.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        blue(&database).unwrap_or_else(|error| panic!("{sql}\n  {error}"));
    }
}

#[test]
fn what_could_run_for_the_running_version_or_break_its_statements_is_refused() {
    let mut wrong = Vec::new();
    for (sql, trips) in REFUSED {
        let outcome = outcome_of(sql, Size::Large);
        if outcome != "trigger-on-existing" {
            wrong.push(format!("{sql}\n  is {outcome}"));
        }
        let database = database();
        match database.execute_batch(sql) {
            Ok(()) if *trips && blue(&database).is_ok() => wrong.push(format!("{sql}\n  would have been no harm")),
            Ok(()) => {}
            Err(error) => wrong.push(format!("{sql}\n  does not even run: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// It is there for the new version.
#[test]
fn what_sleeps_wakes_for_the_new_version() {
    let database = database();
    database.execute_batch(REVERSED_ONCE).expect("it runs");
    let insert = |id: &str, email: &str| {
        database.execute("INSERT INTO users (id, email, a) VALUES (?1, ?2, 'once')", [id, email])
    };
    assert_eq!(insert("1", "a"), Ok(1));
    assert!(insert("2", "b").expect_err("it is there").to_string().contains("once"));
}

#[test]
fn no_trigger_of_postgresql_sleeps() {
    let sql = "ALTER TABLE users ADD COLUMN a text;
               CREATE TRIGGER g BEFORE INSERT ON users FOR EACH ROW WHEN (NEW.a IS NOT NULL) EXECUTE FUNCTION touch()";
    check(Engine::Postgres, &[(sql, "trigger-on-existing")]);
}
