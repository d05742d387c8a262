//! How a schema is brought up to date, on both engines, while others use it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use kit::database::{Database, Migration, Migrations, State};
use kit::testing::{Store, TestDatabase};
use sea_orm::{ConnectionTrait, Statement, TransactionTrait};

const MIGRATIONS: Migrations = Migrations(&[
    Migration::shared(1, "things", "CREATE TABLE things (id BIGINT NOT NULL PRIMARY KEY);"),
    Migration::shared(2, "more", "ALTER TABLE things ADD COLUMN name TEXT; CREATE INDEX by_name ON things (name);"),
]);

async fn a_failed_migration_changes_nothing_and_what_ran_before_it_stays(store: Store) {
    const BROKEN: Migrations = Migrations(&[
        Migration::shared(1, "good", "CREATE TABLE good (id BIGINT);"),
        Migration::shared(2, "broken", "CREATE TABLE worse (id BIGINT); CREATE TABLE good (id BIGINT);"),
    ]);
    const MENDED: Migrations = Migrations(&[
        Migration::shared(1, "good", "CREATE TABLE good (id BIGINT);"),
        Migration::shared(2, "mended", "CREATE TABLE worse (id BIGINT);"),
    ]);
    let test = TestDatabase::create(store).await;
    let database = test.connect().await;
    let message = BROKEN.run(&database).await.unwrap_err().to_string();
    assert!(message.contains("migration 2 (broken)"), "{message}");
    assert_eq!(BROKEN.state(&database).await.unwrap(), State::Behind { pending: 1 });
    assert_eq!(MENDED.run(&database).await.unwrap(), [2]);

    assert_eq!(MIGRATIONS.state(&database).await.unwrap(), State::Changed { version: 1 });
    assert!(MIGRATIONS.run(&database).await.is_err());
}

#[tokio::test]
async fn a_failed_migration_changes_nothing_on_sqlite() {
    a_failed_migration_changes_nothing_and_what_ran_before_it_stays(Store::Sqlite).await;
}

#[tokio::test]
async fn a_failed_migration_changes_nothing_on_postgres() {
    a_failed_migration_changes_nothing_and_what_ran_before_it_stays(Store::Postgres).await;
}

async fn several_at_once_migrate_once(store: Store) {
    let test = TestDatabase::create(store).await;
    let url = Arc::new(test.url.clone());
    let runs = (0..6).map(|_| {
        let url = Arc::clone(&url);
        tokio::spawn(async move {
            let database = kit::database::connect(Some(&url)).await.unwrap();
            MIGRATIONS.run(&database).await.unwrap().len()
        })
    });
    let mut ran = 0;
    for run in runs.collect::<Vec<_>>() {
        ran += run.await.unwrap();
    }
    assert_eq!(ran, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_at_once_migrate_once_on_sqlite() {
    // The moment in which they can get into each other's way is short: a new file each time.
    for _ in 0..60 {
        several_at_once_migrate_once(Store::Sqlite).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_at_once_migrate_once_on_postgres() {
    several_at_once_migrate_once(Store::Postgres).await;
}

const BESIDE: Migrations = Migrations(&[
    Migration::shared(1, "things", "CREATE TABLE things (id BIGINT NOT NULL PRIMARY KEY, name TEXT);"),
    Migration::split(
        2,
        "by_name",
        "CREATE INDEX by_name ON things (name);",
        "-- Others write meanwhile.\nCREATE INDEX CONCURRENTLY by_name ON things (name);",
    ),
    Migration::shared(3, "by_both", "CREATE INDEX by_both ON things (name, id);"),
]);

async fn is_valid(database: &Database, index: &str) -> Option<bool> {
    let query = format!("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{index}')");
    let row = database.query_one_raw(Statement::from_string(database.engine(), query)).await.unwrap();
    row.map(|row| row.try_get("", "indisvalid").unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_index_is_made_beside_a_transaction_that_writes_and_beside_others_that_migrate() {
    let test = TestDatabase::create(Store::Postgres).await;
    let database = test.connect().await;
    Migrations(&BESIDE.0[..1]).run(&database).await.unwrap();
    let writing = database.begin().await.unwrap();
    writing.execute_unprepared("INSERT INTO things VALUES (1, 'a')").await.unwrap();
    let url = Arc::new(test.url.clone());
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let url = Arc::clone(&url);
            tokio::spawn(async move {
                let database = kit::database::connect(Some(&url)).await.unwrap();
                BESIDE.run(&database).await.unwrap()
            })
        })
        .collect();
    // It waits for the transaction; whoever reads and writes does not wait for it.
    while is_valid(&database, "by_name").await.is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    database.execute_unprepared("INSERT INTO things VALUES (2, 'b')").await.unwrap();
    writing.commit().await.unwrap();
    let mut ran = Vec::new();
    for run in runs {
        ran.extend(run.await.unwrap());
    }
    ran.sort_unstable();
    assert_eq!(ran, [2, 3]);
    assert_eq!(is_valid(&database, "by_name").await, Some(true));
}

#[tokio::test]
async fn an_index_that_was_left_half_made_is_made_anew_and_one_that_is_there_is_noted() {
    let test = TestDatabase::create(Store::Postgres).await;
    let database = test.connect().await;
    Migrations(&BESIDE.0[..1]).run(&database).await.unwrap();
    // Twice the same value: a unique index is left half-made.
    database.execute_unprepared("INSERT INTO things VALUES (1, 'a'), (2, 'a')").await.unwrap();
    database.execute_unprepared("CREATE UNIQUE INDEX CONCURRENTLY by_name ON things (name)").await.unwrap_err();
    assert_eq!(is_valid(&database, "by_name").await, Some(false));
    assert_eq!(BESIDE.run(&database).await.unwrap(), [2, 3]);
    assert_eq!(is_valid(&database, "by_name").await, Some(true));
    // Cut off before it was noted.
    database.execute_unprepared("DELETE FROM schema_migrations WHERE version >= 2; DROP INDEX by_both").await.unwrap();
    assert_eq!(BESIDE.run(&database).await.unwrap(), [2, 3]);
    assert!(matches!(BESIDE.state(&database).await.unwrap(), State::Matches { version: 3 }));
}

#[tokio::test]
async fn what_cannot_run_beside_others_says_so_and_runs_nothing() {
    const TWO: Migrations = Migrations(&[Migration::shared(
        1,
        "two",
        "CREATE TABLE things (id BIGINT); CREATE INDEX CONCURRENTLY by_id ON things (id);",
    )]);
    let test = TestDatabase::create(Store::Postgres).await;
    let database = test.connect().await;
    let message = TWO.run(&database).await.unwrap_err().to_string();
    assert!(message.contains("migration 1 (two)") && message.contains("alone in its file"), "{message}");
    assert_eq!(TWO.state(&database).await.unwrap(), State::Empty);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_migration_that_waits_for_a_lock_lets_others_pass_and_runs_once_it_gets_it() {
    let test = TestDatabase::create(Store::Postgres).await;
    let database = test.connect().await;
    Migrations(&MIGRATIONS.0[..1]).run(&database).await.unwrap();
    let reading = database.begin().await.unwrap();
    reading.execute_unprepared("SELECT * FROM things").await.unwrap();
    let url = test.url.clone();
    let run = tokio::spawn(async move {
        let database = kit::database::connect(Some(&url)).await.unwrap();
        MIGRATIONS.run(&database).await.unwrap()
    });
    // It waits for the lock, and whoever reads waits behind it, until it gives up for now.
    let waits = "SELECT 1 AS one FROM pg_locks WHERE relation = to_regclass('things') AND NOT granted";
    while database.query_one_raw(Statement::from_string(database.engine(), waits)).await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    database.execute_unprepared("SELECT * FROM things").await.unwrap();
    assert!(!run.is_finished(), "it is tried again");
    reading.commit().await.unwrap();
    assert_eq!(run.await.unwrap(), [2]);
}
