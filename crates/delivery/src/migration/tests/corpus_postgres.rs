//! PostgreSQL: what is allowed, what is refused, and for which reason.

use super::{Engine, Row, check};

const NEW_TABLES: &[Row] = &[
    ("CREATE TABLE t (id uuid PRIMARY KEY, n int NOT NULL CHECK (n > 0), at timestamptz DEFAULT now())", "NewObject"),
    (
        "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY, a int, b int GENERATED ALWAYS AS (a + 1) STORED)",
        "NewObject",
    ),
    ("CREATE TABLE t (id uuid DEFAULT gen_random_uuid(), f mood, g positive, PRIMARY KEY (id))", "NewObject"),
    ("CREATE TABLE t (a serial, b text[] DEFAULT '{}', c jsonb DEFAULT '{}'::jsonb, UNIQUE (a, b))", "NewObject"),
    ("CREATE TABLE public.t (LIKE users INCLUDING DEFAULTS)", "NewObject"),
    ("CREATE UNLOGGED TABLE t (a int) WITH (fillfactor = 70)", "NewObject"),
    (
        "CREATE TABLE t (a int) PARTITION BY RANGE (a); CREATE TABLE u PARTITION OF t FOR VALUES FROM (1) TO (2)",
        "NewObject",
    ),
    ("CREATE TABLE t (u uuid REFERENCES users (id) ON DELETE CASCADE)", "NewObject"),
    ("CREATE TABLE t (u uuid REFERENCES users ON DELETE SET NULL)", "NewObject"),
    ("CREATE TABLE t (u uuid, FOREIGN KEY (u) REFERENCES users (id) ON DELETE SET NULL)", "NewObject"),
    ("CREATE TABLE t (u uuid NOT NULL REFERENCES users ON DELETE SET NULL)", "holds-blue"),
    ("CREATE TABLE t (u uuid PRIMARY KEY REFERENCES users ON DELETE SET NULL)", "holds-blue"),
    (
        "CREATE TABLE t (u uuid, CHECK (u IS NOT NULL), FOREIGN KEY (u) REFERENCES users ON DELETE SET NULL)",
        "holds-blue",
    ),
    ("CREATE TABLE t (u uuid REFERENCES users)", "holds-blue"),
    ("CREATE TABLE t (u uuid REFERENCES users ON DELETE RESTRICT)", "holds-blue"),
    ("CREATE TABLE t (u uuid, FOREIGN KEY (u) REFERENCES users)", "holds-blue"),
    ("CREATE TABLE t (id int PRIMARY KEY, p int REFERENCES t)", "NewObject"),
    (
        "CREATE TABLE t (id int PRIMARY KEY, p int REFERENCES t, u uuid REFERENCES users ON DELETE CASCADE)",
        "holds-blue",
    ),
    ("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (t int REFERENCES t)", "NewObject"),
    // Deletions of blue would reach the first by its cascade, and fail on the second.
    (
        "CREATE TABLE t (id int PRIMARY KEY, u uuid REFERENCES users ON DELETE CASCADE); CREATE TABLE v (t int REFERENCES t)",
        "holds-blue",
    ),
    (
        "CREATE TABLE t (id int PRIMARY KEY, u uuid); CREATE TABLE v (t int REFERENCES t);
      ALTER TABLE t ADD FOREIGN KEY (u) REFERENCES users ON DELETE CASCADE",
        "holds-blue",
    ),
    ("CREATE TABLE IF NOT EXISTS t (a int)", "if-not-exists"),
    ("CREATE TEMP TABLE t (a int)", "temporary"),
    ("CREATE TABLE pg_temp.t (a int)", "temporary"),
    ("CREATE TABLE t AS SELECT * FROM users", "copies-data"),
    ("CREATE TABLE t (a int DEFAULT setval('numbers', 1))", "side-effects"),
    ("CREATE TABLE t (a int CHECK (danger(a)))", "side-effects"),
    ("CREATE TABLE t () INHERITS (users)", "unknown"),
    ("CREATE TABLE t PARTITION OF orders FOR VALUES FROM (1) TO (2)", "unknown"),
    ("CREATE TABLE a.b.c (a int)", "unclear-name"),
    ("CREATE TABLE x123456789012345678901234567890123456789012345678901234567890123 (a int)", "unclear-name"),
    ("CREATE TABLE t (a int); ALTER TABLE t ADD COLUMN b int NOT NULL, DROP COLUMN a", "NewTable"),
    ("CREATE TABLE t (a int); ALTER TABLE t ALTER COLUMN a TYPE bigint", "NewTable"),
    ("CREATE TABLE t (a int); ALTER TABLE t ADD CONSTRAINT k UNIQUE (a); ALTER TABLE t DROP CONSTRAINT k", "NewTable"),
    ("CREATE TABLE t (a int); ALTER TABLE t RENAME COLUMN a TO b", "NewTable"),
    ("CREATE TABLE t (a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY", "NewTable"),
    ("CREATE TABLE t (a int); ALTER TABLE t RENAME TO users2", "unknown"),
    ("CREATE TABLE t (a int); CREATE UNIQUE INDEX i ON t (a); DROP INDEX i", "NewTable"),
    ("CREATE TABLE t (a int); CREATE INDEX ON t ((a / 2))", "NewTable"),
    ("CREATE TABLE t (a int); DROP TABLE t", "NewTable"),
    ("CREATE TABLE t (a int); DROP TABLE t CASCADE", "drops-object"),
    ("CREATE TABLE t (a int); DROP TABLE t; DROP TABLE t", "drops-object"),
    (
        "CREATE TABLE t (a int, b text); INSERT INTO t (a, b) VALUES (1, 'x'), (2, NULL) ON CONFLICT DO NOTHING",
        "NewTable",
    ),
    ("CREATE TABLE t (a int); INSERT INTO t SELECT 1; UPDATE t SET a = a + 1 WHERE a = 1; DELETE FROM t", "NewTable"),
    ("CREATE TABLE t (a uuid, b timestamptz); INSERT INTO t VALUES (gen_random_uuid(), now())", "NewTable"),
    ("CREATE TABLE t (a int); INSERT INTO t SELECT old FROM users", "copies-data"),
    ("CREATE TABLE t (a int); INSERT INTO t SELECT setval('numbers', 7)", "side-effects"),
    ("CREATE TABLE t (a int); INSERT INTO t SELECT pg_sleep(100)", "side-effects"),
    ("CREATE TABLE t (a int); INSERT INTO t SELECT * FROM generate_series(1, 9)", "side-effects"),
    ("CREATE TABLE t (a int); CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION touch()", "NewTable"),
    (
        "CREATE TABLE t (a int); CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION touch(); INSERT INTO t VALUES (1)",
        "side-effects",
    ),
    (
        "CREATE TABLE t (u uuid REFERENCES users ON DELETE CASCADE);
      CREATE TRIGGER g BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION touch()",
        "holds-blue",
    ),
];

const COLUMNS: &[Row] = &[
    ("ALTER TABLE users ADD COLUMN a text", "NewColumn"),
    ("ALTER TABLE users ADD a int, ADD COLUMN b int", "NewColumn"),
    ("alter table Users add column A varchar(10) collate \"C\" null", "NewColumn"),
    ("ALTER TABLE users ADD COLUMN a int NOT NULL DEFAULT 0", "NewColumn"),
    ("ALTER TABLE users ADD COLUMN a int DEFAULT -1", "NewColumn"),
    ("ALTER TABLE users ADD COLUMN a jsonb NOT NULL DEFAULT '{}'::jsonb", "NewColumn"),
    ("ALTER TABLE users ADD COLUMN a text[] NOT NULL DEFAULT ARRAY[]::text[]", "NewColumn"),
    ("ALTER TABLE users ADD COLUMN a timestamptz NOT NULL DEFAULT now()", "NewColumn"),
    (
        "ALTER TABLE users ADD COLUMN a date DEFAULT CURRENT_DATE, ADD COLUMN b timestamp DEFAULT CURRENT_TIMESTAMP",
        "NewColumn",
    ),
    ("ALTER TABLE users ADD COLUMN a mood DEFAULT 'sad'", "NewColumn"),
    (
        "ALTER TABLE users ADD COLUMN a inet, ADD COLUMN b numeric(10, 2), ADD COLUMN c double precision, ADD COLUMN d bytea",
        "NewColumn",
    ),
    ("CREATE TYPE kind AS ENUM ('a'); ALTER TABLE users ADD COLUMN k kind NOT NULL DEFAULT 'a'", "NewColumn"),
    (
        "ALTER TABLE users ADD COLUMN a uuid; ALTER TABLE users ALTER COLUMN a SET DEFAULT gen_random_uuid()",
        "NewColumn",
    ),
    ("ALTER TABLE users ADD COLUMN IF NOT EXISTS a int", "if-not-exists"),
    ("ALTER TABLE IF EXISTS users ADD COLUMN a int", "if-not-exists"),
    ("ALTER TABLE ONLY users ADD COLUMN a int", "unknown"),
    ("ALTER TABLE users ADD COLUMN a int NOT NULL", "not-null-without-default"),
    ("ALTER TABLE users ADD COLUMN a int NOT NULL DEFAULT NULL", "not-null-without-default"),
    ("ALTER TABLE users ADD COLUMN a int NOT NULL DEFAULT (NULL::int)", "not-null-without-default"),
    ("ALTER TABLE users ADD COLUMN a uuid DEFAULT gen_random_uuid()", "volatile-default"),
    ("ALTER TABLE users ADD COLUMN a timestamptz DEFAULT clock_timestamp()", "volatile-default"),
    ("ALTER TABLE users ADD COLUMN a int DEFAULT nextval('numbers')", "volatile-default"),
    ("ALTER TABLE users ADD COLUMN a text DEFAULT public.now()", "volatile-default"),
    ("ALTER TABLE users ADD COLUMN a bigserial", "volatile-default"),
    ("ALTER TABLE users ADD COLUMN a positive", "unknown-type"),
    ("ALTER TABLE users ADD COLUMN a \"text\"", "unknown-type"),
    ("ALTER TABLE users ADD COLUMN a datetime", "unknown-type"),
    ("ALTER TABLE users ADD COLUMN a positive[]", "unknown-type"),
    ("ALTER TABLE users ADD COLUMN a int GENERATED ALWAYS AS (old + 1) STORED", "generated-column"),
    ("ALTER TABLE users ADD COLUMN a int GENERATED BY DEFAULT AS IDENTITY", "generated-column"),
    ("ALTER TABLE users ADD COLUMN a int UNIQUE", "unique-on-existing"),
    ("ALTER TABLE users ADD COLUMN a int PRIMARY KEY", "unique-on-existing"),
    ("ALTER TABLE users ADD COLUMN a int CHECK (a > 0)", "scans-table"),
    ("ALTER TABLE users ADD COLUMN a uuid REFERENCES orders", "scans-table"),
    ("ALTER TABLE users ADD COLUMN a int, DROP COLUMN old", "drops-column"),
    ("ALTER TABLE users DROP COLUMN old", "drops-column"),
    ("ALTER TABLE users DROP old", "drops-column"),
    ("ALTER TABLE users DROP COLUMN IF EXISTS old CASCADE", "drops-column"),
    ("ALTER TABLE users RENAME COLUMN old TO new", "renames"),
    ("ALTER TABLE users RENAME TO people", "renames"),
    ("ALTER TABLE users ALTER COLUMN old TYPE bigint", "changes-type"),
    ("ALTER TABLE users ALTER COLUMN old SET DATA TYPE text USING old::text", "changes-type"),
    ("ALTER TABLE users ALTER COLUMN old SET NOT NULL", "sets-not-null"),
    ("ALTER TABLE users ALTER COLUMN email DROP NOT NULL", "drops-not-null"),
    ("ALTER TABLE users ALTER COLUMN old SET DEFAULT 1", "changes-default"),
    ("ALTER TABLE users ALTER COLUMN old DROP DEFAULT", "changes-default"),
    (
        "ALTER TABLE users ADD COLUMN a int NOT NULL DEFAULT 1; ALTER TABLE users ALTER COLUMN a DROP DEFAULT",
        "changes-default",
    ),
    (
        "ALTER TABLE users ADD COLUMN a int NOT NULL DEFAULT 1; ALTER TABLE users ALTER COLUMN a SET DEFAULT NULL",
        "changes-default",
    ),
    ("ALTER TABLE users ADD COLUMN a int; ALTER TABLE users ALTER COLUMN a SET NOT NULL", "sets-not-null"),
    (
        "ALTER TABLE users ADD COLUMN a int; ALTER TABLE users ALTER COLUMN a SET DEFAULT nextval('numbers')",
        "changes-default",
    ),
    ("ALTER TABLE users ENABLE ROW LEVEL SECURITY", "privileges"),
    ("ALTER TABLE users OWNER TO someone", "privileges"),
    ("ALTER TABLE users DISABLE TRIGGER ALL", "trigger-on-existing"),
    ("ALTER TABLE users SET SCHEMA other", "unparsed"),
    ("ALTER TABLE users REPLICA IDENTITY FULL", "unknown"),
    ("ALTER TABLE users SET UNLOGGED", "unknown"),
];

const CONSTRAINTS_AND_INDEXES: &[Row] = &[
    ("ALTER TABLE users ADD CONSTRAINT c CHECK (old > 0) NOT VALID", "NotValid"),
    (
        "ALTER TABLE orders ADD CONSTRAINT c FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE NOT VALID",
        "NotValid",
    ),
    (
        "ALTER TABLE users ADD COLUMN o uuid; ALTER TABLE users ADD FOREIGN KEY (o) REFERENCES orders ON DELETE SET NULL NOT VALID",
        "NotValid",
    ),
    (
        "CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE users ADD COLUMN t int;
      ALTER TABLE users ADD CONSTRAINT c FOREIGN KEY (t) REFERENCES t NOT VALID",
        "NotValid",
    ),
    (
        "CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE users ADD CONSTRAINT c FOREIGN KEY (old) REFERENCES t NOT VALID",
        "refers-to-new",
    ),
    ("ALTER TABLE orders VALIDATE CONSTRAINT total_is_positive", "Validates"),
    ("ALTER TABLE orders ADD CONSTRAINT c FOREIGN KEY (user_id) REFERENCES users NOT VALID", "holds-blue"),
    ("ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE SET NULL NOT VALID", "holds-blue"),
    ("ALTER TABLE users ADD CONSTRAINT c CHECK (old > 0)", "scans-table"),
    ("ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE", "scans-table"),
    ("ALTER TABLE users ADD CONSTRAINT c CHECK (danger(old)) NOT VALID", "side-effects"),
    ("ALTER TABLE users ADD CONSTRAINT c CHECK (old > 0) NOT VALID, VALIDATE CONSTRAINT c", "scans-table"),
    (
        "ALTER TABLE users ADD CONSTRAINT c CHECK (old > 0) NOT VALID; ALTER TABLE users VALIDATE CONSTRAINT c",
        "own-file",
    ),
    ("ALTER TABLE users ADD CONSTRAINT c UNIQUE (old)", "unique-on-existing"),
    ("ALTER TABLE users ADD PRIMARY KEY (id)", "unique-on-existing"),
    ("ALTER TABLE users ADD CONSTRAINT c UNIQUE USING INDEX i", "unique-on-existing"),
    ("ALTER TABLE users ADD EXCLUDE USING gist (name WITH =)", "unique-on-existing"),
    ("ALTER TABLE orders DROP CONSTRAINT total_is_positive", "drops-constraint"),
    ("ALTER TABLE orders RENAME CONSTRAINT total_is_positive TO c", "renames"),
    ("CREATE INDEX CONCURRENTLY i ON users (name, lower(email)) WHERE old IS NOT NULL", "Index"),
    ("CREATE INDEX CONCURRENTLY i ON users USING gin (data)", "Index"),
    (
        "CREATE INDEX CONCURRENTLY i ON public.users (name DESC NULLS LAST) INCLUDE (email) WHERE feeling = 'sad'::mood",
        "Index",
    ),
    ("CREATE INDEX i ON users (name)", "blocking-index"),
    ("CREATE INDEX CONCURRENTLY ON users (name)", "unnamed-index"),
    ("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON users (name)", "if-not-exists"),
    ("CREATE UNIQUE INDEX CONCURRENTLY i ON users (name)", "unique-on-existing"),
    ("CREATE INDEX CONCURRENTLY i ON users ((data ->> 'a'))", "risky-index"),
    ("CREATE INDEX CONCURRENTLY i ON users ((name::int))", "risky-index"),
    ("CREATE INDEX CONCURRENTLY i ON users (name) WHERE 1 / old > 0", "risky-index"),
    ("CREATE INDEX CONCURRENTLY i ON users (danger(name))", "risky-index"),
    ("CREATE INDEX CONCURRENTLY i ON users USING gin (to_tsvector('simple', left(name, 1000)))", "Index"),
    (
        "CREATE INDEX CONCURRENTLY i ON users USING gin (to_tsvector('simple', regexp_replace(left(name, 100000), '[!-/]+', ' ', 'g')))",
        "Index",
    ),
    // Too many words for a tsvector, or more than there were.
    ("CREATE INDEX CONCURRENTLY i ON users USING gin (to_tsvector('simple', name))", "risky-index"),
    ("CREATE INDEX CONCURRENTLY i ON users USING gin (to_tsvector('simple', left(name, 1000000)))", "risky-index"),
    ("CREATE INDEX CONCURRENTLY i ON users USING gin (to_tsvector('somebodys', left(name, 1000)))", "risky-index"),
    (
        "CREATE INDEX CONCURRENTLY i ON users USING gin (to_tsvector('simple', regexp_replace(left(name, 100000), 'x*', ' ', 'g')))",
        "risky-index",
    ),
    ("CREATE INDEX CONCURRENTLY i ON users (regexp_replace(name, '[!-/]+', ' ', 'g'))", "risky-index"),
    ("CREATE INDEX CONCURRENTLY i ON users (name); SELECT 1", "own-file"),
    ("CREATE TABLE t (a int); CREATE INDEX CONCURRENTLY i ON t (a)", "own-file"),
    ("DROP INDEX orders_by_user", "drops-object"),
    ("DROP INDEX CONCURRENTLY orders_by_user", "drops-object"),
    ("REINDEX TABLE users", "maintenance"),
];

const OBJECTS: &[Row] = &[
    ("CREATE TYPE t AS ENUM ('a', 'b')", "NewObject"),
    ("CREATE TYPE t AS (a int, b text)", "NewObject"),
    ("CREATE TYPE t AS RANGE (subtype = int4, subtype_diff = danger)", "unknown"),
    ("CREATE DOMAIN d AS text CHECK (VALUE <> '')", "NewObject"),
    ("ALTER TYPE mood ADD VALUE 'angry'", "EnumValue"),
    ("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'angry' BEFORE 'sad'", "EnumValue"),
    ("ALTER TYPE mood ADD VALUE 'angry'; SELECT 1", "own-file"),
    ("ALTER TYPE mood RENAME VALUE 'sad' TO 'unhappy'", "renames"),
    ("ALTER TYPE mood RENAME TO feelings", "renames"),
    ("CREATE SEQUENCE s START WITH 5", "NewObject"),
    ("CREATE SEQUENCE IF NOT EXISTS s", "if-not-exists"),
    ("CREATE TEMP SEQUENCE s", "temporary"),
    ("CREATE SEQUENCE s OWNED BY users.old", "unknown"),
    ("ALTER SEQUENCE numbers RESTART", "unparsed"),
    ("CREATE SCHEMA IF NOT EXISTS app; CREATE TABLE app.users (a int); CREATE INDEX ON app.users (a)", "NewTable"),
    ("CREATE VIEW v AS SELECT id, name FROM users WHERE danger(id)", "NewObject"),
    ("CREATE OR REPLACE VIEW names AS SELECT email AS name FROM users", "replaces"),
    ("CREATE TEMP VIEW users AS SELECT 1", "temporary"),
    ("CREATE MATERIALIZED VIEW v AS SELECT * FROM users", "copies-data"),
    ("REFRESH MATERIALIZED VIEW v", "maintenance"),
    (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN DELETE FROM users; RETURN NEW; END $f$",
        "NewObject",
    ),
    ("CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT a'", "callable-function"),
    ("CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'", "replaces"),
    ("CREATE TRIGGER g BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION touch()", "trigger-on-existing"),
    ("CREATE PROCEDURE p() LANGUAGE sql AS 'DELETE FROM users'", "unparsed"),
    ("CREATE EXTENSION pgcrypto", "unknown"),
    ("CREATE RULE r AS ON INSERT TO users DO INSTEAD NOTHING", "unknown"),
    ("CREATE POLICY p ON users USING (true)", "unknown"),
    ("CREATE ROLE r", "unknown"),
    ("COMMENT ON TABLE users IS 'people'", "Comment"),
    ("COMMENT ON COLUMN users.name IS NULL", "Comment"),
    ("GRANT SELECT, INSERT ON users TO reader", "Grant"),
    ("GRANT USAGE ON SCHEMA public TO reader", "Grant"),
    ("GRANT ALL ON users TO PUBLIC", "privileges"),
    ("GRANT ALL ON users TO reader WITH GRANT OPTION", "privileges"),
    ("REVOKE SELECT ON users FROM reader", "privileges"),
    ("DROP TABLE users", "drops-object"),
    ("DROP TABLE IF EXISTS users", "drops-object"),
    ("DROP VIEW names", "drops-object"),
    ("DROP TYPE mood", "drops-object"),
    ("DROP SCHEMA public CASCADE", "drops-object"),
    ("DROP FUNCTION touch()", "unknown"),
    ("DROP OWNED BY someone", "drops-object"),
];

const OTHERS: &[Row] = &[
    ("", "Nothing"),
    ("-- nothing yet\n;;", "Nothing"),
    ("SELECT 1", "Nothing"),
    ("SELECT now(), 'x' AS y", "Nothing"),
    ("SELECT * FROM users", "side-effects"),
    ("SELECT 1 INTO t", "side-effects"),
    ("SELECT pg_terminate_backend(1)", "side-effects"),
    ("SELECT setval('numbers', 1)", "side-effects"),
    ("SELECT 1 WHERE EXISTS (SELECT pg_sleep(9))", "side-effects"),
    ("TABLE users", "unparsed"),
    ("WITH x AS (DELETE FROM users RETURNING 1) SELECT 1", "changes-data"),
    ("INSERT INTO users VALUES ('a')", "changes-data"),
    ("UPDATE users SET name = ''", "changes-data"),
    ("DELETE FROM users", "changes-data"),
    ("TRUNCATE users", "changes-data"),
    ("MERGE INTO users USING orders ON true WHEN MATCHED THEN DELETE", "changes-data"),
    ("COPY users FROM '/etc/passwd'", "copy"),
    ("DO $$ BEGIN DELETE FROM users; END $$", "procedure"),
    ("CALL p()", "procedure"),
    ("BEGIN", "transaction"),
    ("COMMIT; DROP TABLE users", "transaction"),
    ("ROLLBACK", "transaction"),
    ("SAVEPOINT a", "transaction"),
    ("PREPARE TRANSACTION 'a'", "transaction"),
    ("SET search_path = other", "session"),
    ("SET LOCAL lock_timeout = 0", "session"),
    ("RESET ALL", "session"),
    ("DISCARD ALL", "session"),
    ("NOTIFY a", "session"),
    ("LOCK TABLE users", "locks"),
    ("VACUUM users", "maintenance"),
    ("ANALYZE users", "maintenance"),
    ("CLUSTER users", "maintenance"),
    ("EXPLAIN ANALYZE DELETE FROM users", "maintenance"),
    ("ALTER SYSTEM SET fsync = off", "unparsed"),
    ("this is no SQL", "unparsed"),
    ("SELECT 1 SELECT 2", "unparsed"),
    ("PRAGMA foreign_keys = OFF", "session"),
];

pub(super) const ALL: &[&[Row]] = &[NEW_TABLES, COLUMNS, CONSTRAINTS_AND_INDEXES, OBJECTS, OTHERS];

#[test]
fn new_tables_are_free() {
    check(Engine::Postgres, NEW_TABLES);
}

#[test]
fn columns_that_blue_need_not_know_are_allowed() {
    check(Engine::Postgres, COLUMNS);
}

#[test]
fn constraints_and_indexes_keep_nobody_from_writing() {
    check(Engine::Postgres, CONSTRAINTS_AND_INDEXES);
}

#[test]
fn new_objects_are_allowed_and_old_ones_left_alone() {
    check(Engine::Postgres, OBJECTS);
}

#[test]
fn what_is_no_change_of_the_schema_is_refused() {
    check(Engine::Postgres, OTHERS);
}
