//! The guard of migrations in front of a release that is to start, their rehearsal, and the stage in which they run.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use mana_control::api::{Deploy, PutBack, RolloutCommand, RolloutView};
use mana_control::paths;
use mana_delivery::migration::Override;
use mana_delivery::rollout::{Command, Stage};
use support::repository::{Repository, SHOP, up};
use support::until;

/// One that migrates, without staging; its first migration has run.
async fn shop() -> Repository {
    let repository = Repository::new("").await;
    let text = fs::read_to_string(repository.folder().join("mana.toml")).expect("read");
    let text = text
        .replace(
            "command = \"./make.sh\"",
            "command = \"./make.sh\"\nartefact = [\"out/shop\", \"sql\"]\nmigrations = \"sql\"",
        )
        .replace("command = \"out/shop\"", "command = \"out/shop\"\ndatabase = \"shop\"")
        .replace("warm = \"1h\", requests = 1 }", "warm = \"1h\", requests = 1, staging = false }");
    repository.write("mana.toml", &text);
    fs::create_dir_all(repository.folder().join("sql")).expect("made");
    repository.write("sql/0001_people.sql", "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\n");
    repository.commit("a database");
    up(&repository.production).await;
    // The example writes none; what is rehearsed, and the copy that an override asks for, is of this file.
    let path = paths::service_data(&repository.production.data()).join("shop.db");
    let schema = "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
        CREATE TABLE schema_migrations (version BIGINT NOT NULL PRIMARY KEY); INSERT INTO schema_migrations VALUES (1)";
    rusqlite::Connection::open(path).expect("made").execute_batch(schema).expect("filled");
    repository
}

/// The file in which the example notes each run of a migration, and what else it is told.
async fn noting(repository: &Repository, more: &str) -> PathBuf {
    let ran = repository.folder().join(".mana/ran");
    let text = fs::read_to_string(repository.folder().join("mana.toml")).expect("read");
    let env = format!("database = \"shop\"\nenv = {{ MIGRATIONS = {:?}{more} }}", ran.display().to_string());
    repository.write("mana.toml", &text.replace("database = \"shop\"", &env));
    repository.commit("it notes when it migrates");
    up(&repository.production).await;
    ran
}

fn migrated(ran: &Path) -> usize {
    fs::read_to_string(ran).unwrap_or_default().lines().count()
}

async fn said(repository: &Repository, kind: &str) -> Vec<String> {
    let journal = repository.production.client().await.journal(1_000).await.expect("journal");
    journal.into_iter().filter(|entry| entry.kind == kind).map(|entry| entry.detail).collect()
}

#[tokio::test]
async fn migrating_is_a_stage_that_can_be_paused_before_and_after_and_starts_nothing_else() {
    let repository = shop().await;
    let ran = noting(&repository, "").await;
    let before = migrated(&ran);
    repository.write("sql/0002_mail.sql", "ALTER TABLE people ADD COLUMN mail TEXT;\n");
    repository.write("version", "two");
    repository.commit("a column more");
    let load = support::Load::at(repository.port, "/work");
    let begun = Deploy { pause_at: Some("migrating".into()), ..deployment(Vec::new()) };
    let begun = repository.production.client().await.deploy(&begun).await.expect("begun");
    let held = repository.reaches(begun.number, &["held"]).await;
    assert!(held.why.as_ref().is_none_or(|why| why.contains("migrating")), "{held:#?}");
    let instances = async || repository.production.service(SHOP).await.instances.len();
    assert_eq!((migrated(&ran), instances().await), (before, 1), "nothing of it has run");
    assert_eq!(said(&repository, "rehearsal").await.len(), 0);
    let client = repository.production.client().await;
    let pause = Command::PauseAt { stage: Stage::GreenStarting };
    client
        .rollout_command(begun.number, &RolloutCommand { by: "ada".into(), key: None, command: pause })
        .await
        .expect("taken");
    client.rollout_command(begun.number, &promote()).await.expect("taken");
    until("it has migrated and rests", async || {
        let stages = repository.stages(begun.number).await;
        (stages.ends_with(&["migrating".to_owned(), "held".to_owned()])).then_some(())
    })
    .await;
    until("its program has ended", async || (instances().await == 1).then_some(())).await;
    assert_eq!((migrated(&ran), repository.production.status().await.differences), (before + 1, Vec::<String>::new()));
    let rehearsed = said(&repository, "rehearsal").await;
    assert!(
        rehearsed.len() == 1 && rehearsed[0].contains("1 migration rehearsed on a copy of the schema"),
        "{rehearsed:?}"
    );
    client.rollout_command(begun.number, &promote()).await.expect("taken");
    repository.reaches(begun.number, &["window"]).await;
    let stages = repository.stages(begun.number).await;
    let way = ["held", "migrating", "held", "green-starting", "verifying", "cutting-over", "window"];
    assert!(stages.ends_with(&way.map(str::to_owned)), "{stages:?}");
    assert_eq!((repository.version().await.as_str(), migrated(&ran)), ("two", before + 1));
    load.end().await;
    repository.down().await;
}

#[tokio::test]
async fn what_fails_on_a_copy_of_the_schema_fails_the_rollout_before_anything_runs() {
    let repository = shop().await;
    let ran = noting(&repository, "").await;
    let before = migrated(&ran);
    let path = paths::service_data(&repository.production.data()).join("shop.db");
    let real = rusqlite::Connection::open(path).expect("opened");
    // Made by hand, as nobody remembers: no file says so, and no guard can know.
    real.execute_batch("CREATE INDEX people_by_name ON people (name)").expect("made");
    repository.write("sql/0002_index.sql", "CREATE INDEX people_by_name ON people (name);\n");
    repository.write("version", "two");
    repository.commit("an index");
    let load = support::Load::at(repository.port, "/work");
    let begun = deploy(&repository, Vec::new()).await;
    let failed = repository.reaches(begun.number, &["aborted"]).await;
    let why = failed.why.expect("a reason");
    let expected = "0002_index.sql fails on a copy of the schema: `CREATE INDEX people_by_name ON people (name)`: index people_by_name already exists";
    assert!(why.contains(expected), "{why}");
    assert_eq!((migrated(&ran), repository.production.service(SHOP).await.instances.len()), (before, 1));
    let stages = repository.stages(begun.number).await;
    assert!(!stages.contains(&"green-starting".to_owned()), "{stages:?}");
    load.end().await;
    repository.down().await;
}

#[tokio::test]
async fn a_control_plane_that_is_killed_while_it_migrates_goes_on() {
    let mut repository = shop().await;
    let ran = noting(&repository, ", MIGRATION_MILLIS = \"1500\"").await;
    let before = migrated(&ran);
    repository.write("sql/0002_mail.sql", "ALTER TABLE people ADD COLUMN mail TEXT;\n");
    repository.write("version", "two");
    repository.commit("a column more");
    let load = support::Load::at(repository.port, "/work");
    let begun = deploy(&repository, Vec::new()).await;
    until("it migrates", async || (migrated(&ran) > before).then_some(())).await;
    repository.production.kill_control();
    repository.production.start_control().await;
    repository.reaches(begun.number, &["window"]).await;
    assert_eq!(repository.version().await, "two");
    // How the first run ended nobody knows, so there was another one.
    assert_eq!(migrated(&ran), before + 2);
    load.end().await;
    repository.down().await;
}

fn deployment(overrides: Vec<Override>) -> Deploy {
    Deploy { service: SHOP.into(), by: "ada".into(), overrides, ..Deploy::default() }
}

async fn deploy(repository: &Repository, overrides: Vec<Override>) -> RolloutView {
    repository.production.client().await.deploy(&deployment(overrides)).await.expect("begun")
}

#[tokio::test]
async fn what_the_running_version_bears_goes_through_and_what_breaks_it_starts_nothing() {
    let repository = shop().await;
    repository.write("sql/0002_mail.sql", "ALTER TABLE people ADD COLUMN mail TEXT;\n");
    repository.write("version", "two");
    repository.commit("a column more");
    let begun = deploy(&repository, Vec::new()).await;
    repository.reaches(begun.number, &["window"]).await;
    assert_eq!(repository.version().await, "two");
    repository.write("sql/0003_drop.sql", "-- nobody needs it\nALTER TABLE people DROP COLUMN name;\n");
    repository.write("version", "three");
    repository.commit("a column less");
    let load = support::Load::at(repository.port, "/work");
    let superseding = Deploy { supersede: true, ..deployment(Vec::new()) };
    let client = repository.production.client().await;
    client.rollout_command(begun.number, &promote()).await.expect_err("its window is not over");
    let refused = client.deploy(&superseding).await.expect("begun");
    let refused = repository.reaches(refused.number, &["aborted"]).await;
    let why = refused.why.expect("a reason");
    assert!(why.contains("0003_drop.sql:2:1") && why.contains("override"), "{why}");
    assert_eq!(repository.production.service(SHOP).await.instances.len(), 1, "nothing of it was started");
    load.end().await;
    repository.down().await;
}

fn promote() -> RolloutCommand {
    RolloutCommand { by: "ada".into(), key: None, command: Command::Promote }
}

#[tokio::test]
async fn a_version_from_before_comes_back_without_migrating_and_is_not_deployed_as_if_it_were_new() {
    let repository = shop().await;
    let text = fs::read_to_string(repository.folder().join("mana.toml")).expect("read");
    repository.write(
        "mana.toml",
        &text.replace("warm = \"1h\", requests = 1, staging", "warm = \"0s\", requests = 1, staging"),
    );
    let ran = noting(&repository, "").await;
    for (version, migration) in [("v2", "0002_mail"), ("v3", "0003_phone"), ("v4", "0004_town")] {
        let column = &migration[5..];
        repository.write(&format!("sql/{migration}.sql"), &format!("ALTER TABLE people ADD COLUMN {column} TEXT;\n"));
        repository.write("version", version);
        repository.commit(version);
        repository.git(&["tag", version]);
        up(&repository.production).await;
        let begun = deploy(&repository, Vec::new()).await;
        repository.reaches(begun.number, &["done"]).await;
    }
    let before = migrated(&ran);
    let client = repository.production.client().await;
    let back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: Some("v2".into()), key: None };
    let back = client.put_back(&back).await.expect("begun");
    repository.reaches(back.number, &["done"]).await;
    assert_eq!((repository.version().await.as_str(), migrated(&ran)), ("v2", before));
    // From there forward again: what the newer one has has run, and is read again as if it had not.
    let forward = Deploy { release: Some("v4".into()), ..deployment(Vec::new()) };
    let begun = client.deploy(&forward).await.expect("begun");
    repository.reaches(begun.number, &["done"]).await;
    assert_eq!((repository.version().await.as_str(), migrated(&ran)), ("v4", before + 1));
    let older = client.deploy(&Deploy { release: Some("v3".into()), ..forward }).await.expect("begun");
    let refused = repository.reaches(older.number, &["aborted"]).await;
    assert!(refused.why.as_ref().is_some_and(|why| why.contains("it is an older release")), "{refused:#?}");
    repository.down().await;
}

#[tokio::test]
async fn an_override_names_the_statement_copies_the_database_and_is_in_the_journal() {
    let repository = shop().await;
    repository.write("sql/0002_drop.sql", "ALTER TABLE people DROP COLUMN name;\n");
    repository.commit("a column less");
    let begun = deploy(&repository, Vec::new()).await;
    let refused = repository.reaches(begun.number, &["aborted"]).await;
    let why = refused.why.expect("a reason");
    let fingerprint = why.split("override ").nth(1).and_then(|rest| rest.split(')').next()).expect("a fingerprint");
    let given = |fingerprint: &str| {
        vec![Override {
            file: "0002_drop.sql".into(),
            fingerprint: fingerprint.into(),
            reason: "nobody reads it".into(),
        }]
    };
    let wrong = deploy(&repository, given("000000000000")).await;
    let wrong = repository.reaches(wrong.number, &["aborted"]).await;
    assert!(wrong.why.as_ref().is_some_and(|why| why.contains("names no statement")), "{wrong:#?}");
    let begun = deploy(&repository, given(fingerprint)).await;
    repository.reaches(begun.number, &["window"]).await;
    let dumps: Vec<_> =
        fs::read_dir(paths::dumps(&repository.production.data(), SHOP)).expect("read").flatten().collect();
    assert_eq!(dumps.len(), 1, "{dumps:?}");
    let journal = repository.production.client().await.journal(1_000).await.expect("journal");
    let audited = journal.iter().find(|entry| entry.kind == "override").expect("in the journal");
    assert!(audited.detail.contains("0002_drop.sql:1:1") && audited.detail.contains("nobody reads it"), "{audited:?}");
    repository.down().await;
}

#[tokio::test]
async fn a_migration_that_has_run_and_was_changed_is_refused_by_name() {
    let repository = shop().await;
    let begun = deploy(&repository, Vec::new()).await;
    repository.reaches(begun.number, &["window"]).await;
    repository.production.client().await.rollout_command(begun.number, &abort()).await.expect("asked");
    repository.reaches(begun.number, &["rolled-back"]).await;
    repository.write("sql/0001_people.sql", "CREATE TABLE people (id INTEGER PRIMARY KEY);\n");
    repository.commit("rewritten");
    // The folder is what serves, and what it holds has run: a checkout of another commit.
    let changed = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["checkout", "-q", "HEAD~1"]);
    let deploy = Deploy { release: Some(changed), ..deployment(Vec::new()) };
    let begun = repository.production.client().await.deploy(&deploy).await.expect("begun");
    let refused = repository.reaches(begun.number, &["aborted"]).await;
    assert!(refused.why.as_ref().is_some_and(|why| why.contains("0001_people.sql")), "{refused:#?}");
    repository.down().await;
}

fn abort() -> RolloutCommand {
    RolloutCommand { by: "ada".into(), key: None, command: Command::Abort }
}
