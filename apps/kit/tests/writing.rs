//! Transactions that write, on SQLite: what they see, what they leave behind, and in which order they come.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use kit::database::{CommitError, Database};
use kit::testing::{Store, TestDatabase};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tokio::time::timeout;

async fn start() -> (TestDatabase, Database) {
    let test_database = TestDatabase::create(Store::Sqlite).await;
    let database = test_database.connect().await;
    let transaction = database.begin_write().await.unwrap();
    transaction.execute_unprepared("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT)").await.unwrap();
    transaction.commit().await.unwrap();
    (test_database, database)
}

fn statement(sql: &str, values: impl IntoIterator<Item = i64>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values.into_iter().map(sea_orm::Value::from))
}

fn insert(id: i64) -> Statement {
    statement("INSERT INTO things (id) VALUES (?)", [id])
}

async fn ids(database: &Database) -> Vec<i64> {
    let rows = database.query_all_raw(statement("SELECT id FROM things ORDER BY id", [])).await.unwrap();
    rows.iter().map(|row| row.try_get("", "id").unwrap()).collect()
}

/// Somebody else can write.
async fn is_free(database: &Database) -> bool {
    let write = async {
        let transaction = database.begin_write().await?;
        transaction.execute_raw(statement("DELETE FROM things WHERE id = ?", [-1])).await?;
        transaction.commit().await
    };
    timeout(Duration::from_secs(3), write).await.is_ok_and(|written| written.is_ok())
}

#[tokio::test]
async fn the_last_statements_and_the_commit_are_one() {
    let (_file, database) = start().await;
    let transaction = database.begin_write().await.unwrap();
    transaction.execute_raw(insert(1)).await.unwrap();
    transaction.commit_with(vec![insert(2), insert(3)]).await.unwrap();
    database.begin_write().await.unwrap().commit_with(vec![insert(4)]).await.unwrap();
    database.begin_write().await.unwrap().commit_with(Vec::new()).await.unwrap();
    assert_eq!(ids(&database).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn of_statements_that_are_refused_nothing_is_there() {
    let (_file, database) = start().await;
    for refused in
        [vec![insert(1), insert(1)], vec![insert(1), insert(2), statement("INSERT INTO nothing VALUES (?)", [1])]]
    {
        let transaction = database.begin_write().await.unwrap();
        let outcome = transaction.commit_with(refused).await;
        assert!(matches!(outcome, Err(CommitError::Undone(_))), "{outcome:?}");
        assert_eq!(ids(&database).await, [0; 0]);
        assert!(is_free(&database).await);
    }
}

#[tokio::test]
async fn a_commit_that_is_refused_is_told_as_one_of_which_nothing_is_known() {
    let (_file, database) = start().await;
    let transaction = database.begin_write().await.unwrap();
    let deferred = "CREATE TABLE parts (thing INTEGER REFERENCES things (id) DEFERRABLE INITIALLY DEFERRED)";
    transaction.execute_unprepared(deferred).await.unwrap();
    transaction.commit().await.unwrap();
    let transaction = database.begin_write().await.unwrap();
    let outcome = transaction.commit_with(vec![statement("INSERT INTO parts VALUES (?)", [7])]).await;
    assert!(matches!(outcome, Err(CommitError::Unknown(_))), "{outcome:?}");
    assert!(is_free(&database).await);
    let left = database.query_one_raw(statement("SELECT COUNT(*) AS n FROM parts", [])).await.unwrap().unwrap();
    assert_eq!(left.try_get::<i64>("", "n").unwrap(), 0);
}

#[tokio::test]
async fn what_is_dropped_or_rolled_back_is_undone_and_holds_up_nobody() {
    let (_file, database) = start().await;
    let transaction = database.begin_write().await.unwrap();
    transaction.execute_raw(insert(1)).await.unwrap();
    drop(transaction);
    assert!(is_free(&database).await);
    let transaction = database.begin_write().await.unwrap();
    transaction.execute_raw(insert(2)).await.unwrap();
    transaction.rollback().await.unwrap();
    assert!(is_free(&database).await);
    // One that was given up in the middle of a statement.
    let transaction = database.begin_write().await.unwrap();
    let long = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000)
        INSERT INTO things (id) SELECT 100 + i FROM n";
    assert!(timeout(Duration::from_millis(5), transaction.execute_unprepared(long)).await.is_err());
    drop(transaction);
    let next = database.begin_write().await.unwrap();
    next.commit_with(vec![insert(3)]).await.unwrap();
    assert_eq!(ids(&database).await, [3]);
}

#[tokio::test]
async fn a_refusal_costs_nobody_the_connection_and_ends_no_transaction() {
    let (_file, database) = start().await;
    let transaction = database.begin_write().await.unwrap();
    transaction.execute_unprepared("CREATE TEMP TABLE here (id INTEGER)").await.unwrap();
    transaction.commit().await.unwrap();
    let transaction = database.begin_write().await.unwrap();
    transaction.execute_raw(insert(1)).await.unwrap();
    let refused = transaction.execute_raw(insert(1)).await.unwrap_err();
    assert!(kit::database::is_unique_violation(&refused), "{refused}");
    transaction.execute_raw(insert(2)).await.unwrap();
    drop(transaction);
    let transaction = database.begin_write().await.unwrap();
    transaction.execute_raw(statement("INSERT INTO here VALUES (?)", [1])).await.unwrap();
    transaction.commit_with(vec![insert(3)]).await.unwrap();
    assert_eq!(ids(&database).await, [3]);
}

#[tokio::test]
async fn whoever_could_not_begin_writes_nothing() {
    let (file, database) = start().await;
    let other = file.connect().await;
    let held = other.begin_write().await.unwrap();
    held.execute_raw(insert(1)).await.unwrap();
    let transaction = database.begin_write().await.unwrap();
    let busy = transaction.execute_raw(insert(2)).await.unwrap_err();
    assert!(kit::database::is_unavailable(&busy), "{busy}");
    held.commit().await.unwrap();
    assert!(transaction.commit_with(vec![insert(3)]).await.is_err());
    assert_eq!(ids(&database).await, [1]);
    assert!(is_free(&database).await);
}

#[tokio::test]
async fn how_many_rows_a_statement_changed_is_not_mixed_up_with_those_of_the_one_before() {
    let (_file, database) = start().await;
    database.begin_write().await.unwrap().commit_with(vec![insert(1), insert(2), insert(3)]).await.unwrap();
    let change = || statement("UPDATE things SET name = 'x' WHERE id >= ?", [2]);
    for _ in 0..2 {
        let transaction = database.begin_write().await.unwrap();
        assert_eq!(transaction.execute_raw(change()).await.unwrap().rows_affected(), 2, "the first of its transaction");
        assert_eq!(transaction.execute_raw(change()).await.unwrap().rows_affected(), 2);
        transaction.commit().await.unwrap();
    }
}

#[tokio::test]
async fn who_has_begun_has_the_turn() {
    let (_file, database) = start().await;
    let first = database.begin_write().await.unwrap();
    let second = database.clone();
    let second = tokio::spawn(async move {
        let transaction = second.begin_write().await.unwrap();
        let rows = transaction.query_all_raw(statement("SELECT id FROM things", [])).await.unwrap();
        transaction.commit_with(vec![insert(10 + i64::try_from(rows.len()).unwrap())]).await.unwrap();
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    first.commit_with(vec![insert(1)]).await.unwrap();
    second.await.unwrap();
    assert_eq!(ids(&database).await, [1, 11]);
}
