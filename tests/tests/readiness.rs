//! Traffic goes to what is ready, and to nothing else.

use std::fs;
use std::time::Duration;

use reqwest::StatusCode;
use system_tests::ecosystem::text;
use system_tests::{Ecosystem, manifest_in, wait};

/// The shipped manifest with chat-backend's migration turned off, so that it meets an empty schema.
fn manifest_without_migration(folder: &std::path::Path) -> std::path::PathBuf {
    manifest_in(folder, |text| {
        let changed = text
            .replace("[services.chat-backend]\n", "[services.chat-backend]\nmigrate = []\nstart_timeout = \"3s\"\n");
        assert!(changed.contains("migrate = []"), "the shipped manifest has changed its shape");
        changed
    })
}

#[tokio::test]
async fn a_service_against_an_empty_schema_is_unready_and_gets_no_traffic() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ecosystem = Ecosystem::new().with_manifest(manifest_without_migration(folder.path()));
    let up = ecosystem.mana(["up"]);
    assert_eq!(up.status.code(), Some(1), "{}", text(&up));
    assert!(text(&up).contains("chat-backend"), "{}", text(&up));

    let status = ecosystem.mana(["status"]);
    assert_eq!(status.status.code(), Some(3), "{}", text(&status));
    assert!(text(&status).contains("chat-backend"), "{}", text(&status));

    let client = ecosystem.client();
    let url = format!("{}/api/models", ecosystem.url("api-chat.localhost"));
    let answer = client.get(&url).send().await.expect("the edge answers");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));

    let migrate = ecosystem.mana(["run", "chat-backend", "--", "migrate"]);
    assert!(migrate.status.success(), "{}", text(&migrate));
    wait::until("chat-backend gets traffic once its schema is there", Duration::from_secs(90), || async {
        let status = client.get(&url).send().await.ok()?.status();
        (status != StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_wrong_manifest_starts_nothing_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("mana.toml");
    fs::write(&path, "name = \"x\"\ndomain = \"x.example\"\n\n[services.a-backend]\ncomand = \"true\"\nport = 3001\n")
        .expect("written");
    let ecosystem = Ecosystem::new().with_manifest(path);
    let up = ecosystem.mana(["up"]);
    assert_eq!(up.status.code(), Some(64), "{}", text(&up));
    assert!(text(&up).contains("comand") && text(&up).contains("command"), "{}", text(&up));
    assert!(!ecosystem.data().join("control.sock").exists());
}
