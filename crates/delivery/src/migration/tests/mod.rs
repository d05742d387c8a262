//! The guard as a whole, over a schema that the running version knows and a file that is to run.

mod applications;
mod approval;
mod arbitrary;
mod bypass;
mod corpus_postgres;
mod corpus_sqlite;
mod dormant;
mod feeding;
mod plan;
mod server;

use super::*;

/// What the running version knows.
pub(super) const POSTGRES: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE TABLE users (id uuid PRIMARY KEY, email text NOT NULL UNIQUE, name text, old int, data jsonb, feeling mood);
    CREATE TABLE orders (id uuid PRIMARY KEY, user_id uuid NOT NULL, total int);
    CREATE INDEX orders_by_user ON orders (user_id);
    ALTER TABLE orders ADD CONSTRAINT total_is_positive CHECK (total > 0) NOT VALID;
    CREATE VIEW names AS SELECT name FROM users;
    CREATE SEQUENCE numbers;
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;";

pub(super) const SQLITE: &str = "
    CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT, old INT, data TEXT);
    CREATE TABLE orders (id TEXT PRIMARY KEY, user_id TEXT NOT NULL, total INT);
    CREATE INDEX orders_by_user ON orders (user_id);
    CREATE VIEW names AS SELECT name FROM users;";

/// What the running version does, on either engine; it must go on doing so after whatever is allowed.
pub(super) const BLUE: &str = "
    INSERT INTO users (id, email, name, old) VALUES ('00000000-0000-0000-0000-000000000001', 'a', 'x', 1);
    INSERT INTO users (id, email, name, old) VALUES ('00000000-0000-0000-0000-000000000002', 'b', 'x', 1);
    INSERT INTO users (id, email) VALUES ('00000000-0000-0000-0000-000000000003', 'c') ON CONFLICT (email) DO NOTHING;
    INSERT INTO orders (id, user_id, total)
        VALUES ('00000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-000000000001', 7);
    UPDATE users SET name = 'y', old = 2 WHERE email = 'a';
    SELECT users.id, email, name, old, total FROM users LEFT JOIN orders ON user_id = users.id;
    SELECT name FROM names;
    DELETE FROM orders;
    DELETE FROM users;";

/// A set of the known schema and what is to run after it, as files.
pub(super) fn set(engine: Engine, pending: &[&str]) -> Set {
    let known = if engine == Engine::Postgres { POSTGRES } else { SQLITE };
    let texts = std::iter::once(&known).chain(pending);
    let file = |(index, text): (usize, &&str)| File::new(&format!("{:04}_x.sql", index + 1), *text).expect("a file");
    Set::new(engine, texts.enumerate().map(file).collect()).expect("a set")
}

/// As if the first `count` files had run.
pub(super) fn applied(set: &Set, count: usize) -> Vec<Applied> {
    let row = |file: &File| Applied { version: file.version(), name: file.name().into(), checksum: file.checksum() };
    set.files().iter().take(count).map(row).collect()
}

/// The review of what runs after the known schema, which blue knows.
pub(super) fn review_of(set: &Set) -> Review<'_> {
    review(set, &applied(set, 1), Blue::Knows(Version(1)), Size::Large).expect("a history")
}

/// In one word: the rule of what is refused first, else what the last statement is allowed as.
pub(super) fn outcome(review: &Review<'_>) -> String {
    if let Some(unreadable) = review.unreadable.first() {
        return format!("unreadable: {}", unreadable.problem);
    }
    let refused = review.statements.iter().find_map(|statement| match &statement.verdict {
        Verdict::Refused(refusal) => Some(refusal.rule.advice().code.to_owned()),
        Verdict::Allowed(_) => None,
    });
    let allowed = review.statements.last().map(|statement| format!("{:?}", statement.verdict));
    refused.unwrap_or_else(|| {
        let allowed = allowed.unwrap_or_else(|| "Allowed(Nothing)".into());
        allowed.trim_start_matches("Allowed(").trim_end_matches(')').to_owned()
    })
}

/// One row: a file, and what is said of it.
pub(super) type Row = (&'static str, &'static str);

/// All rows that come out differently, at once.
#[track_caller]
pub(super) fn check(engine: Engine, rows: &[Row]) {
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(sql, expected)| {
            let set = set(engine, &[sql]);
            let review = review_of(&set);
            let outcome = outcome(&review);
            let details: Vec<String> =
                review.statements.iter().map(|statement| format!("{:?}", statement.verdict)).collect();
            (outcome != *expected).then(|| format!("{sql}\n  is {outcome}, not {expected}: {details:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a row of the corpus says that a file may run: kinds of allowance are in upper case, codes of rules are not.
pub(super) fn is_allowed(row: &Row) -> bool {
    row.1.starts_with(|first: char| first.is_ascii_uppercase())
}
