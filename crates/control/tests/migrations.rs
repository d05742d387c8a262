//! The guard of migrations in front of a release that is to start.

mod support;

use std::fs;

use mana_control::api::{Deploy, PutBack, RolloutView};
use mana_control::paths;
use mana_delivery::migration::Override;
use support::repository::{Repository, SHOP, up};

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
    // The example writes none; the copy that an override asks for is of this file.
    let path = paths::service_data(&repository.production.data()).join("shop.db");
    rusqlite::Connection::open(path).expect("made").execute_batch("CREATE TABLE people (id)").expect("filled");
    repository
}

async fn deploy(repository: &Repository, overrides: Vec<Override>) -> RolloutView {
    let deploy = Deploy {
        service: SHOP.into(),
        release: None,
        by: "ada".into(),
        supersede: false,
        pause_at: None,
        overrides,
        key: None,
    };
    repository.production.client().await.deploy(&deploy).await.expect("begun")
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
    let superseding = Deploy {
        service: SHOP.into(),
        release: None,
        by: "ada".into(),
        supersede: true,
        pause_at: None,
        overrides: Vec::new(),
        key: None,
    };
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

fn promote() -> mana_control::api::RolloutCommand {
    mana_control::api::RolloutCommand { by: "ada".into(), command: mana_delivery::rollout::Command::Promote }
}

#[tokio::test]
async fn a_version_from_before_comes_back_without_migrating_and_is_not_deployed_as_if_it_were_new() {
    let repository = shop().await;
    let ran = repository.folder().join(".mana/ran");
    let text = fs::read_to_string(repository.folder().join("mana.toml")).expect("read");
    let text = text
        .replace(
            "database = \"shop\"",
            &format!("database = \"shop\"\nenv = {{ MIGRATIONS = {:?} }}", ran.display().to_string()),
        )
        .replace("warm = \"1h\", requests = 1, staging", "warm = \"0s\", requests = 1, staging");
    repository.write("mana.toml", &text);
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
    let migrated = || fs::read_to_string(&ran).expect("read").lines().count();
    let before = migrated();
    let client = repository.production.client().await;
    let back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: Some("v2".into()) };
    let back = client.put_back(&back).await.expect("begun");
    repository.reaches(back.number, &["done"]).await;
    assert_eq!((repository.version().await.as_str(), migrated()), ("v2", before));
    // From there forward again: what the newer one has has run, and is read again as if it had not.
    let forward = Deploy {
        service: SHOP.into(),
        release: Some("v4".into()),
        by: "ada".into(),
        supersede: false,
        pause_at: None,
        overrides: Vec::new(),
        key: None,
    };
    let begun = client.deploy(&forward).await.expect("begun");
    repository.reaches(begun.number, &["done"]).await;
    assert_eq!((repository.version().await.as_str(), migrated()), ("v4", before + 1));
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
    let deploy = Deploy {
        service: SHOP.into(),
        release: Some(changed),
        by: "ada".into(),
        supersede: false,
        pause_at: None,
        overrides: Vec::new(),
        key: None,
    };
    let begun = repository.production.client().await.deploy(&deploy).await.expect("begun");
    let refused = repository.reaches(begun.number, &["aborted"]).await;
    assert!(refused.why.as_ref().is_some_and(|why| why.contains("0001_people.sql")), "{refused:#?}");
    repository.down().await;
}

fn abort() -> mana_control::api::RolloutCommand {
    mana_control::api::RolloutCommand { by: "ada".into(), command: mana_delivery::rollout::Command::Abort }
}
