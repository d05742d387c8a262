//! Attempts to have run what was not read, or to have read as harmless what is not.

use super::{Engine, Row, check};

const POSTGRES: &[Row] = &[
    // Comments and strings.
    ("SELECT 1 /* ; */; /* */ DROP /* x */ TABLE users", "drops-object"),
    ("SELECT 1 /* /* */ ; DROP TABLE users; */", "Nothing"),
    ("/* /* */ DROP TABLE users; */ SELECT 1 */", "unparsed"),
    ("SELECT 1 -- ; \n; DROP TABLE users", "drops-object"),
    ("SELECT ';', 'it''s; DROP TABLE users', \";\"", "Nothing"),
    ("SELECT $$; DROP TABLE users; $$, $a$ $$ ; $b$ $a$", "Nothing"),
    ("SELECT $a$ $A$; DROP TABLE users; $a$", "Nothing"),
    ("SELECT E'\\'; DROP TABLE users; --'", "Nothing"),
    ("SELECT e'\\\\'; DROP TABLE users; --'", "drops-object"),
    ("SELECT '\\'; DROP TABLE users; --'", "drops-object"),
    ("SELECT a$b$ FROM users; DROP TABLE users; SELECT a$b$", "side-effects"),
    (
        "-- \r DROP TABLE users",
        "unreadable: the character U+000D is not allowed in a migration: it is invisible, or ends a line for one reader only",
    ),
    (
        "-- \u{2028} DROP TABLE users",
        "unreadable: the character U+2028 is not allowed in a migration: it is invisible, or ends a line for one reader only",
    ),
    (
        "SELECT 1 -- \u{202e}",
        "unreadable: the character U+202E is not allowed in a migration: it is invisible, or ends a line for one reader only",
    ),
    (
        "SELECT '\0'",
        "unreadable: the character U+0000 is not allowed in a migration: it is invisible, or ends a line for one reader only",
    ),
    (
        "\u{feff}SELECT 1",
        "unreadable: the character U+FEFF is not allowed in a migration: it is invisible, or ends a line for one reader only",
    ),
    ("-- lines end as Windows has them\r\nSELECT 1\r\n", "Nothing"),
    (
        "SELECT E'a'\n'\\''; DROP TABLE users; --'",
        "unreadable: a string right after another one: write one string, as the second one's escapes depend on the first",
    ),
    (
        "SELECT U&'d\\0061t'",
        "unreadable: strings and names with U& hide what they spell: write the characters themselves",
    ),
    (
        "DROP TABLE U&\"us\\0065rs\"",
        "unreadable: strings and names with U& hide what they spell: write the characters themselves",
    ),
    ("SELECT 'a", "unreadable: what begins here does not end: a string or a name in quotes"),
    ("SELECT /* 1", "unreadable: what begins here does not end: a comment"),
    ("SELECT $a$ 1", "unreadable: what begins here does not end: a string in dollar quotes"),
    (
        "SELECT date'2020-01-01'",
        "unreadable: a quote right after a word, a number or another quote: put a blank between them",
    ),
    ("SELECT $1", "unreadable: '$' begins a parameter, and a migration is run without any"),
    ("\\! rm -rf /", "unreadable: a backslash outside of a string is no SQL: commands of psql cannot be run"),
    (
        "CREATE TABLE größe (a int)",
        "unreadable: 'ö' outside of quotes: put the name in double quotes, as engines fold such letters in different ways",
    ),
    ("CREATE TABLE \"größe\" (a int)", "NewObject"),
    (
        "SELECT 1\u{a0}",
        "unreadable: '\\u{a0}' outside of quotes: put the name in double quotes, as engines fold such letters in different ways",
    ),
    ("SELECT 1)", "unreadable: a bracket is closed that was not opened, or not closed at all"),
    // Names.
    ("dRoP tAbLe UsErS", "drops-object"),
    ("CREATE TABLE \"Users\" (a int); DROP TABLE \"Users\"", "NewTable"),
    ("CREATE TABLE \"Users\" (a int); DROP TABLE users", "drops-object"),
    ("CREATE TABLE \"Users\" (a int); ALTER TABLE Users DROP COLUMN old", "drops-column"),
    ("CREATE TABLE app.users (a int); ALTER TABLE users DROP COLUMN old", "drops-column"),
    ("CREATE TABLE users2 (a int); ALTER TABLE public.users2 DROP COLUMN a", "drops-column"),
    ("CREATE TABLE IF NOT EXISTS users (a int); CREATE INDEX i ON users (name)", "if-not-exists"),
    ("CREATE TABLE t (a int); DROP TABLE t; CREATE TABLE t (b int); CREATE INDEX i ON t (b)", "NewTable"),
    ("CREATE TABLE \"t\" (a int); CREATE INDEX i ON T (a)", "NewTable"),
    // Within other statements.
    ("CREATE TABLE t (a int); WITH x AS (DELETE FROM users RETURNING 1) INSERT INTO t SELECT 1", "changes-data"),
    (
        "CREATE TABLE t (a int); INSERT INTO t WITH x AS (DELETE FROM users RETURNING old) SELECT old FROM x",
        "changes-data",
    ),
    ("SELECT * FROM (WITH x AS (UPDATE users SET old = 1 RETURNING 1) SELECT 1) y", "changes-data"),
    ("CREATE VIEW v AS WITH x AS (DELETE FROM users RETURNING 1) SELECT 1", "changes-data"),
    ("CREATE TABLE t (a int); INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = danger()", "side-effects"),
    ("CREATE TABLE t (a int); INSERT INTO t VALUES (1) RETURNING danger()", "side-effects"),
    ("CREATE TABLE t (a int DEFAULT public.gen_random_uuid())", "side-effects"),
    ("CREATE TABLE t (a int); CREATE INDEX i ON t (danger(a))", "side-effects"),
    ("CREATE TABLE t (a int); ALTER TABLE t ALTER COLUMN a TYPE int USING danger(a)", "side-effects"),
    ("CREATE TABLE t (a int); UPDATE t SET a = 1 FROM users WHERE pg_sleep(1) IS NULL", "side-effects"),
    ("CREATE TABLE t (a int); INSERT INTO t SELECT 1 UNION ALL TABLE users", "side-effects"),
    ("CREATE TABLE t (a int); DELETE FROM t USING users", "copies-data"),
    ("CREATE DOMAIN d AS int CHECK (danger(VALUE))", "side-effects"),
    ("SELECT 1 OPERATOR(public.+) 2", "side-effects"),
    ("SELECT (SELECT danger())", "side-effects"),
    ("SELECT CASE WHEN true THEN danger() END", "side-effects"),
    ("SELECT 1 ORDER BY danger()", "side-effects"),
    ("SELECT 1 LIMIT danger()", "side-effects"),
    ("SELECT count(*) FILTER (WHERE danger())", "side-effects"),
    ("SELECT lower(danger())", "side-effects"),
    ("SELECT \"NOW\"()", "side-effects"),
    ("SELECT pg_catalog.now(), \"now\"()", "Nothing"),
    ("SELECT \"PG_CATALOG\".now()", "side-effects"),
    ("VALUES (danger())", "side-effects"),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC; DELETE FROM users; END", "unparsed"),
    ("ALTER TABLE users ADD COLUMN a int; ALTER TABLE users ADD COLUMN b int, DROP CONSTRAINT x", "drops-constraint"),
];

const SQLITE: &[Row] = &[
    // Here the comment ends at the first mark, and what follows is code.
    ("SELECT 1 /* /* */ ; DROP TABLE users; -- */", "drops-object"),
    ("SELECT 'a\\'; DROP TABLE users; --'", "drops-object"),
    ("SELECT [;], `;`, \";\", ';'", "Nothing"),
    ("SELECT [a]]; DROP TABLE users; --]", "unreadable: a bracket is closed that was not opened, or not closed at all"),
    ("SELECT x'00'; DROP TABLE users", "drops-object"),
    (
        "SELECT e'\\'; DROP TABLE users; --'",
        "unreadable: a quote right after a word, a number or another quote: put a blank between them",
    ),
    ("SELECT ?1", "unreadable: '?' begins a parameter, and a migration is run without any"),
    ("SELECT :a", "unreadable: ':' begins a parameter, and a migration is run without any"),
    ("SELECT /* 1", "unreadable: what begins here does not end: a comment"),
    ("CREATE TABLE USERS2 (a INT); DROP TABLE [users2]", "NewTable"),
    ("CREATE TABLE main.t (a INT); ALTER TABLE t DROP COLUMN a", "drops-column"),
    ("DROP TABLE \"USERS\"", "drops-object"),
    // The body's end is not the first semicolon, nor an END of CASE.
    (
        "CREATE TABLE t (a INT); CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; SELECT 1; END; DROP TABLE users",
        "drops-object",
    ),
    ("CREATE TABLE t (a INT); CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END; COMMIT; END", "transaction"),
    ("CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1;", "unparsed"),
    ("CREATE TABLE t (a INT); WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "changes-data"),
    (
        "CREATE TABLE t (a INT); INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = writefile('x', 'y')",
        "side-effects",
    ),
    ("CREATE TABLE t (a INT DEFAULT (load_extension('x')))", "side-effects"),
    ("SELECT * FROM pragma_table_info('users')", "side-effects"),
    ("PRAGMA main.writable_schema(1)", "session"),
    ("EXPLAIN CREATE TRIGGER g AFTER INSERT ON users BEGIN DELETE FROM users; END", "maintenance"),
];

#[test]
fn postgresql_is_not_deceived() {
    check(Engine::Postgres, POSTGRES);
}

#[test]
fn sqlite_is_not_deceived() {
    check(Engine::Sqlite, SQLITE);
}
