//! The same on a real PostgreSQL server, by `psql`: `scripts/test-services.sh run cargo nextest run -p mana-delivery`.

use std::process::Command;

use super::corpus_postgres::ALL;
use super::*;

/// A database of its own, dropped at the end.
struct Database {
    server: String,
    name: String,
}

impl Database {
    /// With the known schema.
    fn create(name: &str) -> Self {
        let database = Self::like("template0", name);
        let role = "DO $$ BEGIN CREATE ROLE reader; EXCEPTION WHEN duplicate_object THEN END $$";
        let danger = "CREATE FUNCTION danger(uuid) RETURNS boolean LANGUAGE sql AS 'SELECT true'";
        database.run(&[POSTGRES, role, danger]).expect("the known schema");
        database
    }

    /// A copy of another one.
    fn like(template: &str, name: &str) -> Self {
        let server = std::env::var("MANA_TEST_POSTGRES_URL")
            .expect("MANA_TEST_POSTGRES_URL is not set: run this inside of `scripts/test-services.sh run`");
        let database = Self { server, name: format!("mana_migration_{name}_{}", std::process::id()) };
        psql(&database.server, &[&format!("CREATE DATABASE {} TEMPLATE {template}", database.name)])
            .expect("a database");
        database
    }

    /// Each by a call of its own, on one connection; gives the rows.
    fn run(&self, statements: &[&str]) -> Result<String, String> {
        let (address, _) = self.server.rsplit_once('/').expect("a database in the address");
        psql(&format!("{address}/{}", self.name), statements)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = psql(&self.server, &[&format!("DROP DATABASE {}", self.name)]);
    }
}

fn psql(address: &str, statements: &[&str]) -> Result<String, String> {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", address]);
    for statement in statements {
        command.args(["-c", statement]);
    }
    let output = command.output().expect("psql runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// As the runner does it, with the settings of each step.
fn run(database: &Database, step: &Step<'_>) -> Result<String, String> {
    let mut statements: Vec<&str> = step.before.iter().map(String::as_str).collect();
    statements.extend(step.begin);
    statements.extend(step.within.iter().map(String::as_str));
    statements.extend(&step.statements);
    statements.extend(step.begin.map(|_| "COMMIT"));
    statements.extend(step.after.iter().map(String::as_str));
    database.run(&statements)
}

/// They change when a table is rewritten.
const FILES: &str = "SELECT pg_relation_filenode('users'), pg_relation_filenode('orders')";

/// And rewrites no table, and lets blue go on.
#[test]
fn what_is_allowed_runs() {
    let template = Database::create("known");
    let mut failed = Vec::new();
    for (number, row) in ALL.iter().copied().flatten().filter(|row| is_allowed(row)).enumerate() {
        let database = Database::like(&template.name, &format!("allowed_{number}"));
        let before = database.run(&[FILES]).expect("the tables' files");
        let set = set(Engine::Postgres, &[row.0]);
        let approved = review_of(&set).approve(&[]).expect("allowed");
        let ran: Result<Vec<String>, String> = approved.steps().iter().map(|step| run(&database, step)).collect();
        // Within one transaction, so that no row is left which a later one meets.
        let blue = format!("BEGIN; {BLUE} ROLLBACK");
        let after = ran.and_then(|_| database.run(&[&blue])).and_then(|_| database.run(&[FILES]));
        if after.as_ref() != Ok(&before) {
            failed.push(format!("{}\n  {after:?}, before {before:?}", row.0));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn an_interrupted_index_is_found_and_replaced() {
    let database = Database::create("leftover");
    let set = set(Engine::Postgres, &["CREATE INDEX CONCURRENTLY i ON users (name)"]);
    let approved = review_of(&set).approve(&[]).expect("allowed");
    let steps = approved.steps();
    let [step] = steps.as_slice() else { panic!("{steps:?}") };
    let leftover = step.leftover.as_ref().expect("what to look for");
    let query =
        Leftover::QUERY.replace("$1", &format!("'{}'", leftover.index)).replace("$2", &format!("'{}'", leftover.table));
    let next = || {
        Leftover::next(match database.run(&[&query]).expect("an answer").trim() {
            "" => None,
            answer => Some(answer == "t"),
        })
    };
    assert_eq!(next(), Next::Run);
    // Building fails on the second of two equal names, and leaves an invalid index.
    let rows =
        "INSERT INTO users (id, email, name) VALUES (gen_random_uuid(), 'a', 'x'), (gen_random_uuid(), 'b', 'x')";
    database.run(&[rows]).expect("rows");
    database.run(&["CREATE UNIQUE INDEX CONCURRENTLY i ON users (name)"]).expect_err("not unique");
    assert_eq!(next(), Next::DropFirst);
    run(&database, step).expect_err("it is there");
    database.run(&[&leftover.drop_statement()]).expect("dropped");
    assert_eq!(next(), Next::Run);
    run(&database, step).expect("an index");
    assert_eq!(next(), Next::Record);
}
