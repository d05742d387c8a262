use std::path::PathBuf;

use mana_delivery::migration::{Applied, Blue, File, Set, Size, Version, review};
use rusqlite::Connection;

use super::*;

const FIRST: &str = "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL);";

fn scratch() -> Scratch {
    Scratch { prefix: format!("mana_rehearsal_{}_", &crate::clock::unique()[..12]), rollout: 7 }
}

/// Rehearses files that follow a first one, which the version that serves knows.
fn rehearsed(database: &Database, files: &[&str], scratch: &Scratch) -> Result<String, String> {
    let file = |(index, text): (usize, &&str)| File::new(&format!("{:04}_x.sql", index + 1), *text).expect("a file");
    let files: Vec<File> = std::iter::once(&FIRST).chain(files).enumerate().map(file).collect();
    let set = Set::new(database.engine(), files).expect("a set");
    let first = &set.files()[0];
    let applied = [Applied { version: first.version(), name: first.name().into(), checksum: first.checksum() }];
    let review = review(&set, &applied, Blue::Knows(Version(1)), Size::Small).expect("a history");
    let approved = review.approve(&[]).unwrap_or_else(|error| panic!("{error}"));
    rehearse(database, &approved.steps(), scratch)
}

/// A file of a service, in use, with the rows of its history.
fn sqlite(more: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("shop.db");
    let real = Connection::open(&path).expect("made");
    let history =
        "PRAGMA journal_mode = WAL; CREATE TABLE schema_migrations (version BIGINT NOT NULL PRIMARY KEY, name TEXT);
        INSERT INTO schema_migrations VALUES (1, 'x');";
    real.execute_batch(&format!("{history} {FIRST} {more}")).expect("a schema");
    (folder, path)
}

#[test]
fn sqlite_is_tried_on_a_copy_and_nothing_of_the_file_changes() {
    let words = "CREATE VIRTUAL TABLE words USING fts5 (name); CREATE VIEW names AS SELECT name FROM people;
        CREATE TABLE numbered (n INTEGER PRIMARY KEY AUTOINCREMENT); CREATE INDEX i ON people (name);";
    let (_folder, path) = sqlite(words);
    let before = std::fs::read(&path).expect("read");
    let database = Database::Sqlite(path.clone());
    let went = |files: &[&str]| rehearsed(&database, files, &scratch());
    let said =
        went(&["ALTER TABLE people ADD COLUMN mail TEXT", "CREATE TABLE t (a INT); CREATE INDEX t_by_a ON t (a)"]);
    assert!(said.as_ref().is_ok_and(|said| said.starts_with("2 migrations rehearsed")), "{said:?}");
    // The guard lets both through: it does not know what else there is.
    for (sql, why) in [
        ("ALTER TABLE people ADD COLUMN mail TEXT; CREATE INDEX i ON people (mail)", "index i already exists"),
        ("CREATE TABLE names (a INT)", "view names already exists"),
        ("CREATE INDEX j ON people (town)", "town"),
    ] {
        let failed = went(&[sql]).expect_err(sql);
        assert!(failed.contains("0002_x.sql fails on a copy of the schema: `") && failed.contains(why), "{failed}");
    }
    assert_eq!(std::fs::read(&path).expect("read"), before);
}

#[test]
fn what_has_run_is_what_the_service_noted_and_without_a_note_nothing_is_tried() {
    let (_folder, path) =
        sqlite("CREATE TABLE t (a INT); INSERT INTO schema_migrations VALUES (2, 'ran before it was rolled back')");
    let database = Database::Sqlite(path.clone());
    let files = ["CREATE TABLE t (a INT)", "ALTER TABLE t ADD COLUMN b INT"];
    let said = rehearsed(&database, &files, &scratch());
    assert!(said.as_ref().is_ok_and(|said| said.starts_with("1 migration rehearsed")), "{said:?}");
    assert_eq!(rehearsed(&database, &files[..1], &scratch()), Ok("its migrations have run here before".into()));
    Connection::open(&path).expect("opened").execute_batch("DROP TABLE schema_migrations").expect("dropped");
    let said = rehearsed(&database, &files, &scratch()).expect("no reason to stop");
    assert!(said.starts_with("its migrations were not rehearsed: it notes nowhere what has run"), "{said}");
    let gone = rehearsed(&Database::Sqlite("/nowhere/x.db".into()), &files, &scratch()).expect("no reason to stop");
    assert!(gone.starts_with("its migrations were not rehearsed"), "{gone}");
}

#[test]
fn a_table_that_could_not_be_written_to_any_more_stops_it() {
    let broken =
        "CREATE TABLE other (a); CREATE TRIGGER old AFTER DELETE ON other BEGIN INSERT INTO gone VALUES (1); END;";
    let (_folder, path) = sqlite(broken);
    let file = ["CREATE TABLE t (a INT)"];
    // What was broken before is nobody's fault now.
    rehearsed(&Database::Sqlite(path), &file, &scratch()).expect("no worse than before");
    let (_folder, path) = sqlite("CREATE TRIGGER g AFTER INSERT ON people BEGIN SELECT 1; END");
    let copy = Connection::open(&path).expect("opened");
    copy.execute_batch("CREATE TRIGGER h AFTER UPDATE OF name ON people BEGIN INSERT INTO gone VALUES (NEW.id); END")
        .expect("made");
    let found = super::sqlite::what_cannot_be_written(&copy).expect("looked at");
    let [(statement, why)] = found.as_slice() else { panic!("{found:?}") };
    assert!(statement.starts_with("UPDATE \"people\"") && why.contains("gone"), "{statement}: {why}");
}

#[test]
fn what_takes_too_long_is_interrupted() {
    let (_folder, path) = sqlite("");
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(i) FROM n";
    let file = File::new("0002_x.sql", endless).expect("a file");
    let step = Step {
        file: &file,
        before: Vec::new(),
        begin: Some("BEGIN"),
        within: Vec::new(),
        statements: vec![endless],
        after: Vec::new(),
        limit: Duration::from_secs(5),
        leftover: None,
    };
    let began = Instant::now();
    let stopped = super::sqlite::rehearse(&path, &[step], Duration::from_millis(200));
    assert_eq!(stopped, Err(Stopped::too_long()));
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// A database of a service on the server of `scripts/test-services.sh run`, dropped at the end.
struct Served {
    server: String,
    name: String,
}

impl Served {
    fn new() -> Self {
        let server = std::env::var("MANA_TEST_POSTGRES_URL")
            .expect("MANA_TEST_POSTGRES_URL is not set: run this inside of `scripts/test-services.sh run`");
        let database = Self { server, name: format!("mana_rehearsed_{}", &crate::clock::unique()[..12]) };
        psql(&database.server, &format!("CREATE DATABASE {}", database.name));
        psql(
            &database.url(None),
            &format!(
                "CREATE TABLE schema_migrations (version BIGINT, name TEXT); INSERT INTO schema_migrations VALUES (1, 'x'); {FIRST}"
            ),
        );
        database
    }

    fn url(&self, role: Option<&str>) -> String {
        let mut url = url::Url::parse(&self.server).expect("an address");
        url.set_path(&self.name);
        if let Some(role) = role {
            url.set_username(role).expect("set");
            url.set_password(Some("of-a-test")).expect("set");
        }
        url.into()
    }

    fn database(&self) -> Database {
        Database::at(self.url(None)).expect("a database")
    }

    fn copies(&self, scratch: &Scratch) -> String {
        psql(&self.server, &format!("SELECT datname FROM pg_database WHERE starts_with(datname, '{}')", scratch.prefix))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        psql(&self.server, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

fn psql(url: &str, sql: &str) -> String {
    let output = std::process::Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
        .output();
    let output = output.expect("psql runs");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// As the guard does it, on a thread that may block.
async fn on_server(database: Database, files: &'static [&'static str], scratch: Scratch) -> Result<String, String> {
    tokio::task::spawn_blocking(move || rehearsed(&database, files, &scratch)).await.expect("it does not panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_tried_on_a_copy_that_is_dropped_however_it_ends() {
    let (served, scratch) = (Served::new(), scratch());
    psql(
        &served.url(None),
        "CREATE TYPE mood AS ENUM ('sad'); CREATE VIEW names AS SELECT name FROM people; CREATE INDEX i ON people (name)",
    );
    let good: &[&str] = &[
        "CREATE TABLE t (id int PRIMARY KEY, feeling mood); ALTER TABLE people ADD COLUMN mail text",
        "CREATE INDEX CONCURRENTLY people_by_mail ON people (mail)",
        "ALTER TYPE mood ADD VALUE 'glad'",
    ];
    let said = on_server(served.database(), good, scratch.clone()).await;
    assert!(said.as_ref().is_ok_and(|said| said.starts_with("3 migrations rehearsed")), "{said:?}");
    assert_eq!(served.copies(&scratch), "");
    let there = psql(&served.url(None), "SELECT count(*) FROM pg_attribute WHERE attname = 'mail'");
    assert_eq!(there, "0", "nothing of the service has changed");
    for (files, why) in [
        (&["CREATE TABLE names (id int)"] as &[&str], "relation \"names\" already exists"),
        (&["CREATE TABLE t (feeling modo)"], "type \"modo\" does not exist"),
        (&["CREATE TABLE t (id int)", "CREATE INDEX CONCURRENTLY i ON people (name)"], "relation \"i\" already exists"),
    ] {
        let failed = on_server(served.database(), files, scratch.clone()).await.expect_err("it fails");
        let last = format!("{:04}_x.sql fails on a copy of the schema: `CREATE", files.len() + 1);
        assert!(failed.starts_with(&last) && failed.ends_with(why), "{failed}");
        assert_eq!(served.copies(&scratch), "", "{failed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_control_plane_left_on_the_server_goes_with_the_next_look() {
    let (served, scratch) = (Served::new(), scratch());
    let leave = || psql(&served.server, &format!("CREATE DATABASE {}3", scratch.prefix));
    leave();
    let other = Scratch { prefix: format!("x{}", scratch.prefix), rollout: 1 };
    psql(&served.server, &format!("CREATE DATABASE {}", other.name()));
    let url: secrecy::SecretString = served.url(None).into();
    super::postgres::forget_left(&url, &scratch).await.expect("looked for");
    assert_eq!((served.copies(&scratch), served.copies(&other)), (String::new(), other.name()));
    psql(&served.server, &format!("DROP DATABASE {}", other.name()));
    leave();
    on_server(served.database(), &["CREATE TABLE t (id int)"], scratch.clone()).await.expect("rehearsed");
    assert_eq!(served.copies(&scratch), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_create_databases_is_said_and_stops_nothing() {
    let (served, scratch) = (Served::new(), scratch());
    let role = format!("role_{}", served.name);
    psql(
        &served.url(None),
        &format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'of-a-test'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
        ),
    );
    let database = Database::at(served.url(Some(&role))).expect("a database");
    let said = on_server(database, &["CREATE TABLE t (id int)"], scratch).await;
    psql(&served.url(None), &format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    let said = said.expect("no reason to stop");
    assert!(said.contains("were not rehearsed") && said.contains("may not create databases"), "{said}");
}
