//! SQLite: what is allowed, what is refused, and for which reason.

use rusqlite::Connection;
use rusqlite::fallible_iterator::FallibleIterator as _;

use super::{Engine, Row, check, is_allowed};

const ROWS: &[Row] = &[
    // New tables.
    (
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, n INT NOT NULL CHECK (n > 0), at TEXT DEFAULT CURRENT_TIMESTAMP)",
        "NewObject",
    ),
    ("CREATE TABLE t (a, b) ", "NewObject"),
    ("CREATE TABLE t (a TEXT PRIMARY KEY, b ANY) STRICT, WITHOUT ROWID", "NewObject"),
    ("CREATE TABLE main.t (a INT, b INT AS (a + 1), UNIQUE (a))", "NewObject"),
    ("CREATE TABLE t (id TEXT DEFAULT (lower(hex(randomblob(16)))))", "NewObject"),
    ("CREATE TABLE [t] (`a` INT, \"b\" INT)", "NewObject"),
    ("CREATE TABLE t (u TEXT REFERENCES users (id) ON DELETE CASCADE)", "NewObject"),
    ("CREATE TABLE t (u TEXT REFERENCES users ON DELETE SET NULL)", "NewObject"),
    ("CREATE TABLE t (u TEXT NOT NULL REFERENCES users ON DELETE SET NULL)", "holds-blue"),
    ("CREATE TABLE t (u TEXT REFERENCES users)", "holds-blue"),
    ("CREATE TABLE t (u TEXT, FOREIGN KEY (u) REFERENCES USERS (id) ON DELETE RESTRICT)", "holds-blue"),
    ("CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE u (t INT REFERENCES T)", "NewObject"),
    (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT REFERENCES users ON DELETE CASCADE); CREATE TABLE v (t INT REFERENCES t)",
        "holds-blue",
    ),
    ("CREATE TABLE IF NOT EXISTS t (a INT)", "if-not-exists"),
    ("CREATE TEMP TABLE users (a INT)", "temporary"),
    ("CREATE TABLE temp.users (a INT)", "temporary"),
    ("CREATE TABLE other.t (a INT)", "temporary"),
    ("CREATE TABLE t AS SELECT * FROM users", "copies-data"),
    ("CREATE VIRTUAL TABLE t USING fts5 (a)", "NewObject"),
    ("CREATE VIRTUAL TABLE t USING fts5 (a, b UNINDEXED, content = '', prefix = '2 3')", "NewObject"),
    (
        "CREATE VIRTUAL TABLE t USING fts5 (a); INSERT INTO t (t, rank) VALUES ('secure-delete', 1); DROP TABLE t",
        "NewTable",
    ),
    ("CREATE VIRTUAL TABLE t USING fts5 (a /* b */)", "unknown"),
    ("CREATE VIRTUAL TABLE t USING rtree (a, b, c)", "unknown"),
    ("CREATE VIRTUAL TABLE temp.t USING fts5 (a)", "temporary"),
    ("CREATE TABLE t (a INT CHECK (danger(a)))", "side-effects"),
    ("CREATE TABLE t (a INT); ALTER TABLE T ADD COLUMN b INT NOT NULL DEFAULT 1", "NewTable"),
    ("CREATE TABLE t (a INT, b INT); ALTER TABLE t DROP COLUMN b; ALTER TABLE t RENAME COLUMN a TO c", "NewTable"),
    ("CREATE TABLE t (a INT); CREATE UNIQUE INDEX i ON t (a); DROP INDEX i", "NewTable"),
    ("CREATE TABLE t (a INT); DROP TABLE \"T\"", "NewTable"),
    ("CREATE TABLE t (a INT); DROP TABLE t; ALTER TABLE t DROP COLUMN a", "drops-column"),
    ("CREATE TABLE t (a INT, b TEXT); INSERT INTO t VALUES (1, 'a;b'), (2, NULL)", "NewTable"),
    (
        "CREATE TABLE t (a INT); INSERT OR IGNORE INTO t (a) VALUES (1); UPDATE t SET a = 2; DELETE FROM t WHERE a = 2",
        "NewTable",
    ),
    ("CREATE TABLE t (a TEXT); INSERT INTO t SELECT name FROM users", "copies-data"),
    ("CREATE TABLE t (a TEXT); INSERT INTO t VALUES (load_extension('x'))", "side-effects"),
    ("CREATE TABLE t (a INT); INSERT INTO t VALUES ((SELECT count(*) FROM users))", "copies-data"),
    (
        "CREATE TABLE t (a INT); CREATE TRIGGER g BEFORE UPDATE ON t BEGIN SELECT RAISE(ABORT, 'no; never'); END",
        "NewTable",
    ),
    (
        "CREATE TABLE t (a INT); CREATE TRIGGER g AFTER INSERT ON t WHEN NEW.a > 1 BEGIN UPDATE t SET a = 1; DELETE FROM t; END;",
        "NewTable",
    ),
    (
        "CREATE TABLE t (a INT); CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM users; END; INSERT INTO t VALUES (1)",
        "side-effects",
    ),
    (
        "CREATE TABLE t (u TEXT REFERENCES users ON DELETE CASCADE); CREATE TRIGGER g BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, ''); END",
        "holds-blue",
    ),
    // Columns of tables that blue knows.
    ("ALTER TABLE users ADD COLUMN a", "NewColumn"),
    ("ALTER TABLE \"Users\" ADD a TEXT COLLATE NOCASE", "NewColumn"),
    (
        "ALTER TABLE users ADD COLUMN a INT NOT NULL DEFAULT 0; ALTER TABLE users ADD COLUMN b REAL DEFAULT -1.5",
        "NewColumn",
    ),
    ("ALTER TABLE users ADD COLUMN a BLOB DEFAULT x'00'", "NewColumn"),
    ("ALTER TABLE users ADD COLUMN o TEXT REFERENCES orders (id) ON DELETE SET NULL", "NewColumn"),
    ("CREATE TABLE t (id INTEGER PRIMARY KEY); ALTER TABLE users ADD COLUMN t INT REFERENCES t", "NewColumn"),
    ("ALTER TABLE users ADD COLUMN o TEXT REFERENCES orders (id)", "holds-blue"),
    ("ALTER TABLE users ADD COLUMN a INT NOT NULL", "not-null-without-default"),
    ("ALTER TABLE users ADD COLUMN a INT NOT NULL DEFAULT NULL", "not-null-without-default"),
    ("ALTER TABLE users ADD COLUMN a TEXT DEFAULT CURRENT_TIMESTAMP", "volatile-default"),
    ("ALTER TABLE users ADD COLUMN a TEXT DEFAULT (random())", "volatile-default"),
    ("ALTER TABLE users ADD COLUMN a INT UNIQUE", "unique-on-existing"),
    ("ALTER TABLE users ADD COLUMN a INT PRIMARY KEY", "unique-on-existing"),
    ("ALTER TABLE users ADD COLUMN a INT CHECK (a > old)", "scans-table"),
    ("ALTER TABLE users ADD COLUMN a INT AS (old / 0)", "generated-column"),
    ("ALTER TABLE users ADD COLUMN a INT GENERATED ALWAYS AS (old) VIRTUAL", "generated-column"),
    ("ALTER TABLE users DROP COLUMN old", "drops-column"),
    ("ALTER TABLE USERS DROP old", "drops-column"),
    ("ALTER TABLE users RENAME COLUMN old TO new", "renames"),
    ("ALTER TABLE users RENAME old TO new", "renames"),
    ("ALTER TABLE users RENAME TO people", "renames"),
    ("ALTER TABLE users ADD CONSTRAINT c CHECK (old > 0) NOT VALID", "wrong-engine"),
    ("ALTER TABLE users ALTER COLUMN old SET NOT NULL", "wrong-engine"),
    // Indexes.
    ("CREATE INDEX i ON users (name, lower(email)) WHERE old IS NOT NULL", "Index"),
    ("CREATE INDEX i ON orders (total DESC)", "Index"),
    ("ALTER TABLE users ADD COLUMN a TEXT; CREATE UNIQUE INDEX i ON users (a)", "Index"),
    (
        "ALTER TABLE users ADD COLUMN a TEXT NOT NULL DEFAULT ''; CREATE UNIQUE INDEX i ON users (a)",
        "unique-on-existing",
    ),
    ("CREATE UNIQUE INDEX i ON users (name)", "unique-on-existing"),
    ("CREATE INDEX IF NOT EXISTS i ON users (name)", "if-not-exists"),
    ("CREATE INDEX CONCURRENTLY i ON users (name)", "wrong-engine"),
    ("CREATE INDEX i ON users (json_extract(data, '$.a'))", "risky-index"),
    ("CREATE INDEX i ON users (name) WHERE abs(old) > 1", "risky-index"),
    ("DROP INDEX orders_by_user", "drops-object"),
    ("DROP INDEX IF EXISTS orders_by_user", "drops-object"),
    // Everything else.
    ("CREATE VIEW v AS SELECT id FROM users", "NewObject"),
    ("CREATE VIEW IF NOT EXISTS names AS SELECT 1", "if-not-exists"),
    ("CREATE TEMP VIEW users AS SELECT 1", "temporary"),
    ("DROP VIEW names", "drops-object"),
    ("DROP TABLE users", "drops-object"),
    ("DROP TABLE IF EXISTS main.users", "drops-object"),
    ("DROP TRIGGER g", "unknown"),
    ("CREATE TRIGGER g AFTER INSERT ON users BEGIN DELETE FROM orders; END", "trigger-on-existing"),
    (
        "CREATE TABLE t (a TEXT); CREATE TRIGGER g AFTER INSERT ON users BEGIN INSERT INTO t (a) VALUES (NEW.id); END",
        "Feeds",
    ),
    ("CREATE TRIGGER g INSTEAD OF INSERT ON names BEGIN SELECT 1; END", "trigger-on-existing"),
    ("CREATE TEMP TRIGGER g AFTER INSERT ON users BEGIN SELECT 1; END", "temporary"),
    ("SELECT 1", "Nothing"),
    ("/* nothing */", "Nothing"),
    ("SELECT * FROM users", "side-effects"),
    ("SELECT load_extension('evil')", "side-effects"),
    ("INSERT INTO users (id) VALUES ('a')", "changes-data"),
    ("REPLACE INTO users (id) VALUES ('a')", "changes-data"),
    ("INSERT OR REPLACE INTO users (id) VALUES ('a')", "changes-data"),
    ("UPDATE users SET name = ''", "changes-data"),
    ("DELETE FROM users", "changes-data"),
    ("WITH x AS (SELECT 1) DELETE FROM users", "changes-data"),
    ("BEGIN", "transaction"),
    ("BEGIN IMMEDIATE; SELECT 1; COMMIT", "transaction"),
    ("END", "transaction"),
    ("RELEASE a", "transaction"),
    ("PRAGMA foreign_keys = OFF", "session"),
    ("PRAGMA writable_schema = 1", "session"),
    ("ATTACH DATABASE 'x.db' AS x", "session"),
    ("DETACH x", "session"),
    ("VACUUM", "maintenance"),
    ("VACUUM INTO 'x.db'", "maintenance"),
    ("REINDEX", "maintenance"),
    ("ANALYZE", "maintenance"),
    ("EXPLAIN DELETE FROM users", "maintenance"),
    ("CREATE TYPE t AS ENUM ('a')", "wrong-engine"),
    ("CREATE SEQUENCE s", "wrong-engine"),
    ("COMMENT ON TABLE users IS 'x'", "unparsed"),
    ("GRANT SELECT ON users TO someone", "wrong-engine"),
    ("DO $$ x $$", "unreadable: '$' begins a parameter, and a migration is run without any"),
    ("no SQL at all", "unparsed"),
];

#[test]
fn every_row_is_judged_as_it_says() {
    check(Engine::Sqlite, ROWS);
}

/// Each statement by itself, as a runner does: the engine must take every slice for exactly one statement. Afterwards blue's
/// own statements still work.
#[test]
fn what_is_allowed_runs() {
    let mut failed = Vec::new();
    for row in ROWS.iter().filter(|row| is_allowed(row)) {
        let database = Connection::open_in_memory().expect("a database");
        database.execute_batch("PRAGMA foreign_keys = ON").expect("a setting");
        database.execute_batch(super::SQLITE).expect("the known schema");
        let set = super::set(Engine::Sqlite, &[row.0]);
        for statement in super::review_of(&set).statements {
            let mut batch = rusqlite::Batch::new(&database, statement.text);
            let ran = batch.next().and_then(|first| first.expect("a statement").raw_execute_any());
            let rest = batch.next().map(|rest| rest.is_some());
            if ran.is_err() || rest != Ok(false) {
                failed.push(format!("{}\n  {ran:?} {rest:?}", row.0));
            }
        }
        if let Err(error) = database.execute_batch(super::BLUE) {
            failed.push(format!("{}\n  blue fails: {error}", row.0));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Runs a statement whether it gives rows or not.
trait RunAny {
    fn raw_execute_any(self) -> rusqlite::Result<()>;
}

impl RunAny for rusqlite::Statement<'_> {
    fn raw_execute_any(mut self) -> rusqlite::Result<()> {
        let mut rows = self.query([])?;
        while rows.next()?.is_some() {}
        Ok(())
    }
}
