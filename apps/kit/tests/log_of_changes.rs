//! SQLite's log of changes comes into its file without a commit that waits for it.

use std::time::{Duration, Instant};

use kit::testing::{Store, TestDatabase};
use sea_orm::ConnectionTrait;
use secrecy::ExposeSecret;

#[tokio::test]
async fn what_was_written_is_brought_into_the_file_though_nobody_writes_any_more() {
    const WRITTEN: &[u8] = b"what was written";
    let test_database = TestDatabase::create(Store::Sqlite).await;
    let database = test_database.connect().await;
    let file = test_database.url.expose_secret().trim_start_matches("sqlite://").to_owned();
    let transaction = database.begin_write().await.unwrap();
    transaction.execute_unprepared("CREATE TABLE texts (text TEXT)").await.unwrap();
    let insert = format!("INSERT INTO texts VALUES ('{}')", String::from_utf8_lossy(WRITTEN));
    transaction.execute_unprepared(&insert).await.unwrap();
    transaction.commit().await.unwrap();
    let began = Instant::now();
    while !std::fs::read(&file).unwrap().windows(WRITTEN.len()).any(|bytes| bytes == WRITTEN) {
        assert!(began.elapsed() < Duration::from_secs(10), "it is in the log only");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
