//! Triggers on tables that the running version writes to, and copies of what it has: what is let through does it no harm on the real engine,
//! and what is not would have.

use rusqlite::Connection;

use super::*;

/// Everything that the running version may write, with each way to resolve a conflict: that of the statement overrides the trigger's own.
const BLUE: &[&str] = &[
    "INSERT INTO users (id, email, name, old) VALUES ('1', 'a', 'x', 1)",
    "INSERT INTO users (id, email) VALUES (NULL, 'b'), (NULL, 'c')",
    "INSERT OR REPLACE INTO users (id, email, name) VALUES ('1', 'a', x'00ff')",
    "REPLACE INTO users (id, email) VALUES ('2', 'b')",
    "INSERT OR ABORT INTO users (id, email) VALUES ('3', 'd')",
    "INSERT OR FAIL INTO users (id, email) VALUES ('4', 'e')",
    "INSERT OR ROLLBACK INTO users (id, email) VALUES ('5', 'f')",
    "INSERT OR IGNORE INTO users (id, email) VALUES ('5', 'f')",
    "INSERT INTO users (id, email) VALUES ('6', 'f') ON CONFLICT (email) DO UPDATE SET name = 'again'",
    "UPDATE users SET name = 9223372036854775807, old = NULL",
    "UPDATE OR REPLACE users SET id = '1' WHERE id = '5'",
    "DELETE FROM users WHERE id = '1'",
    "INSERT INTO users (id, email) VALUES ('1', 'a')",
    "INSERT OR ABORT INTO users (id, email) VALUES ('5', 'g')",
    "DELETE FROM users",
];

/// A file that is let through while the database is small.
const ALLOWED: &[&str] = &[
    "CREATE TABLE t (n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT, at TEXT DEFAULT 'now');
     CREATE TRIGGER g AFTER INSERT ON users WHEN NEW.name IS NOT NULL OR NEW.old > 1 BEGIN
        INSERT INTO t (id) VALUES (NEW.id), (coalesce(NEW.name, upper('none')));
     END",
    "CREATE TABLE t (id TEXT, was TEXT); CREATE INDEX i ON t (id);
     CREATE TRIGGER g AFTER UPDATE OF name, old ON users FOR EACH ROW BEGIN
        DELETE FROM t WHERE id = OLD.id OR rowid IN (1, 2);
        INSERT INTO t (was, id) VALUES (lower(OLD.name), NEW.id);
     END",
    "CREATE VIRTUAL TABLE words USING fts5 (name, id UNINDEXED, tokenize = 'porter unicode61', prefix = '2');
     CREATE TABLE whose (id TEXT, n INTEGER);
     CREATE TRIGGER g AFTER INSERT ON users BEGIN
        INSERT INTO words (name, id) VALUES (NEW.name, NEW.id);
        INSERT INTO whose (id, n) VALUES (NEW.id, last_insert_rowid());
     END;
     CREATE TRIGGER h AFTER DELETE ON users BEGIN
        DELETE FROM words WHERE rowid IN (SELECT n FROM whose WHERE id = OLD.id);
        DELETE FROM whose WHERE id = OLD.id;
     END;
     INSERT INTO words (name, id) SELECT name, id FROM users;
     INSERT INTO whose (id, n) SELECT id, rowid FROM words;
     CREATE INDEX i ON whose (id);
     ALTER TABLE whose ADD COLUMN more TEXT",
    "ALTER TABLE users ADD COLUMN small TEXT; UPDATE users SET small = lower(email) WHERE small IS NULL",
];

/// A file that is refused, and the reason. The running version would trip: with `true` this is shown.
const REFUSED: &[(&str, &str, bool)] = &[
    // A row that is refused.
    (
        "CREATE TABLE t (id TEXT UNIQUE); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES (NEW.id); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT UNIQUE); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT OR IGNORE INTO t (id) VALUES (NEW.id); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT NOT NULL); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES (NEW.id); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TRIGGER g AFTER UPDATE ON users BEGIN INSERT INTO t (id) VALUES (7); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id INT PRIMARY KEY); CREATE TRIGGER g AFTER UPDATE ON users BEGIN INSERT INTO t (id) VALUES (1); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id INT) STRICT; CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES (NEW.email); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT CHECK (id <> '3')); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES (NEW.id); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT); CREATE UNIQUE INDEX i ON t (id); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES ('1'); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES (NEW.id); END; CREATE UNIQUE INDEX i ON t (id)",
        "unique-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER h BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, 'no'); END; CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES (NEW.id); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES (NEW.id); END; CREATE TRIGGER h BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, 'no'); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT); CREATE TABLE u (id TEXT); CREATE TRIGGER h AFTER INSERT ON t BEGIN INSERT INTO u (id) VALUES (NEW.id); END; CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES (NEW.id); END; CREATE UNIQUE INDEX i ON u (id)",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT PRIMARY KEY); CREATE TABLE u (t TEXT REFERENCES t); CREATE TRIGGER g AFTER DELETE ON users BEGIN DELETE FROM t; END",
        "trigger-on-existing",
        false,
    ),
    // What is not there is found out when it runs.
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (ids) VALUES (NEW.id); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES (NEW.ids); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES (OLD.id); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES (1, 2); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER DELETE ON users BEGIN DELETE FROM t WHERE name = OLD.id; END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT, b TEXT); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t VALUES (NEW.id, ''); END",
        "trigger-on-existing",
        false,
    ),
    (
        "CREATE TABLE t (id TEXT); ALTER TABLE t RENAME COLUMN id TO other; CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES (1); END",
        "trigger-on-existing",
        true,
    ),
    // A value that is none for some rows.
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER UPDATE ON users BEGIN INSERT INTO t (id) VALUES (abs(-1 - NEW.name)); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER INSERT ON users WHEN json_extract(NEW.name, '$') BEGIN DELETE FROM t; END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES (lower()); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER INSERT ON users WHEN NEW.id = 'x' COLLATE nobodys BEGIN DELETE FROM t; END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER INSERT ON users BEGIN SELECT RAISE(ABORT, 'no'); END",
        "trigger-on-existing",
        true,
    ),
    // What keeps its text elsewhere has to be told what it was told before.
    (
        "CREATE VIRTUAL TABLE w USING fts5 (name, content = ''); CREATE TRIGGER g AFTER DELETE ON users BEGIN INSERT INTO w (w, rowid, name) VALUES ('delete', 1, OLD.name); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE VIRTUAL TABLE w USING fts5 (name); CREATE TRIGGER g AFTER UPDATE ON users BEGIN INSERT INTO w (rowid, name) VALUES (1, NEW.name); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE VIRTUAL TABLE w USING fts5 (name); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO w (w) VALUES (NEW.id); END",
        "trigger-on-existing",
        true,
    ),
    // What the running version sees.
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES (NEW.id); UPDATE users SET old = 7; END",
        "trigger-on-existing",
        false,
    ),
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER g BEFORE DELETE ON users BEGIN INSERT INTO t (id) VALUES (OLD.id); SELECT RAISE(IGNORE); END",
        "trigger-on-existing",
        false,
    ),
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO orders (id) VALUES (NEW.id); END",
        "trigger-on-existing",
        true,
    ),
    (
        "CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES (NEW.id); END; DROP TABLE t",
        "drops-object",
        true,
    ),
    // Copies that are out of date at once, or of what triggers would see.
    ("CREATE TABLE t (id TEXT); INSERT INTO t (id) SELECT id FROM users", "copies-data", false),
    ("UPDATE users SET old = 1 WHERE old IS NULL", "changes-data", false),
    ("ALTER TABLE users ADD COLUMN a TEXT; UPDATE users SET a = '', old = 1", "changes-data", false),
    ("ALTER TABLE users ADD COLUMN a TEXT; UPDATE OR REPLACE users SET a = ''", "changes-data", false),
    ("ALTER TABLE users ADD COLUMN a TEXT; UPDATE users SET a = danger(name)", "side-effects", false),
    (
        "ALTER TABLE users ADD COLUMN a TEXT; CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER UPDATE ON users BEGIN INSERT INTO t (id) VALUES (NEW.id); END; UPDATE users SET a = ''",
        "side-effects",
        false,
    ),
];

pub(super) fn outcome_of(sql: &str, size: Size) -> String {
    let set = set(Engine::Sqlite, &[sql]);
    outcome(&review(&set, &applied(&set, 1), Blue::Knows(Version(1)), size).expect("a history"))
}

pub(super) fn database() -> Connection {
    let database = Connection::open_in_memory().expect("a database");
    database.execute_batch("PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON").expect("settings");
    database.execute_batch(SQLITE).expect("the known schema");
    database
}

pub(super) fn blue(database: &Connection) -> Result<(), String> {
    BLUE.iter().try_for_each(|sql| database.execute_batch(sql).map_err(|error| format!("{sql}: {error}")))
}

#[test]
fn what_is_let_through_does_the_running_version_no_harm() {
    for sql in ALLOWED {
        assert!(outcome_of(sql, Size::Small).starts_with(|first: char| first.is_ascii_uppercase()), "{sql}");
        for recursive in ["ON", "OFF"] {
            let database = database();
            database.execute_batch(&format!("PRAGMA recursive_triggers = {recursive}")).expect("a setting");
            let rows = "INSERT INTO users (id, email, name) VALUES ('8', 'old', 'an old name'), ('9', 'older', NULL)";
            database.execute_batch(rows).expect("rows");
            database.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            database
                .execute_batch("UPDATE users SET name = 'another'; DELETE FROM users WHERE id = '8'")
                .expect("written");
            blue(&database).unwrap_or_else(|error| panic!("{sql}\n  {error}"));
        }
    }
}

#[test]
fn what_could_fail_within_a_write_of_the_running_version_is_refused() {
    let mut wrong = Vec::new();
    for (sql, expected, trips) in REFUSED {
        let outcome = outcome_of(sql, Size::Small);
        if outcome != *expected {
            wrong.push(format!("{sql}\n  is {outcome}, not {expected}"));
        }
        let database = database();
        if *trips {
            database.execute_batch("PRAGMA recursive_triggers = OFF").expect("a setting");
            match database.execute_batch(sql) {
                Ok(()) if blue(&database).is_ok() => wrong.push(format!("{sql}\n  would have been no harm")),
                Ok(()) => {}
                Err(error) => wrong.push(format!("{sql}\n  does not even run: {error}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn copying_at_once_is_for_small_databases() {
    for sql in &ALLOWED[2..] {
        assert_eq!(outcome_of(sql, Size::Large), "fills-at-once", "{sql}");
    }
    assert_eq!(Size::of(Some(SMALL_BYTES)), Size::Small);
    assert_eq!((Size::of(Some(SMALL_BYTES + 1)), Size::of(None)), (Size::Large, Size::Large));
    let postgres = set(Engine::Postgres, &["ALTER TABLE users ADD COLUMN a text; UPDATE users SET a = lower(name)"]);
    let look =
        |size| outcome(&review(&postgres, &applied(&postgres, 1), Blue::Knows(Version(1)), size).expect("a history"));
    assert_eq!((look(Size::Small).as_str(), look(Size::Large).as_str()), ("Fills", "fills-at-once"));
}

/// What a rollout left that was rolled back is still fed by the version that serves.
#[test]
fn what_is_fed_stays_fed_after_a_rollback() {
    let fed = "CREATE TABLE t (id TEXT); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (id) VALUES (NEW.id); END";
    for (next, expected) in
        [("CREATE UNIQUE INDEX i ON t (id)", "unique-on-existing"), ("DROP TABLE t", "drops-object")]
    {
        let set = set(Engine::Sqlite, &[fed, next]);
        let review = review(&set, &applied(&set, 2), Blue::Knows(Version(1)), Size::Small).expect("a history");
        assert_eq!(outcome(&review), expected, "{next}");
    }
}
