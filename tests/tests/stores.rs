//! The same ecosystem on PostgreSQL and Redis: two lines of the manifest, no other change.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use system_tests::ecosystem::text;
use system_tests::people::Person;
use system_tests::{Ecosystem, manifest_in};

/// What `scripts/test-services.sh run` sets.
fn server(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run it inside `scripts/test-services.sh run`"))
}

fn query(url: &str, sql: &str) -> String {
    let output = Command::new("psql").args([url, "-tAc", sql]).output().expect("psql starts");
    assert!(output.status.success(), "{sql}: {}", text(&output));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// The shipped manifest, with development moved to the servers.
fn manifest(folder: &Path, database: &str, cache: &str) -> PathBuf {
    manifest_in(folder, |text| {
        format!("{text}\n[environments.development]\ndatabase = \"{database}\"\ncache = \"{cache}\"\n")
    })
}

#[tokio::test]
async fn the_ecosystem_runs_on_postgresql_and_redis() {
    let (postgres, redis) = (server("MANA_TEST_POSTGRES_URL"), server("MANA_TEST_REDIS_URL"));
    let (server_url, _) = postgres.rsplit_once('/').expect("a URL with a database");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ecosystem = Ecosystem::new();
    let prefix = format!("system_{}", ecosystem.offset());
    for name in ["manacore", "chat", "chat_web"] {
        query(&postgres, &format!("DROP DATABASE IF EXISTS {prefix}_{name}"));
        query(&postgres, &format!("CREATE DATABASE {prefix}_{name}"));
    }
    let database = format!("{server_url}/{prefix}_{{database}}");
    let cache = format!("{}#{prefix}:", redis.trim_end_matches('/'));
    let ecosystem = ecosystem.with_manifest(manifest(folder.path(), &database, &cache));
    ecosystem.start();

    let person = Person::register(&ecosystem).await;
    let answer = person.ask("What is a mana?", None).await;
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(body["credits"], 49, "{body}");
    assert_eq!(query(&format!("{server_url}/{prefix}_chat"), "SELECT count(*) FROM messages"), "2");
    assert_eq!(query(&format!("{server_url}/{prefix}_manacore"), "SELECT count(*) FROM users"), "1");
    let files: Vec<_> = std::fs::read_dir(ecosystem.data().join("data")).expect("the folder").collect();
    assert!(files.is_empty(), "nothing lies in SQLite files: {files:?}");
    let ledger = ecosystem.mana(["run", "mana-core-auth", "--", "check-ledger"]);
    assert!(ledger.status.success(), "{}", text(&ledger));

    let down = ecosystem.mana(["down"]);
    assert!(down.status.success(), "{}", text(&down));
    for name in ["manacore", "chat", "chat_web"] {
        query(&postgres, &format!("DROP DATABASE {prefix}_{name}"));
    }
}
