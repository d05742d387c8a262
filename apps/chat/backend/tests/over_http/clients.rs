//! Clients of others, unchanged but for address and key: they are what OpenAI's protocol means in practice. What each tries is in
//! `tests/clients`; they are installed when they are not there.

use std::process::Output;

use crate::support::{Store, World};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// Runs a client's script with someone who has credits and someone who has none.
async fn works(store: Store, program: &str, script: &str) {
    let world = World::start(store).await;
    let (person, broke) = (world.person("ada").await, world.person("broke").await);
    for _ in 0..50 {
        assert_eq!(world.ask(&broke, "spend").await.status(), 200);
    }
    let control = world.gate.control("reserve").await;
    let mut command = tokio::process::Command::new(program);
    command.args([script, &world.url("/v1"), &person.token, &broke.token]).current_dir(FOLDER);
    let Output { status, stdout, stderr } = command.env("CONTROL", &control.url).output().await.unwrap();
    assert!(status.success(), "{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
}

async fn openai_for_javascript_works_with_base_url_and_key_changed(store: Store) {
    kit::testing::install_clients(FOLDER);
    works(store, "node", "openai.mjs").await;
}

async fn openai_for_python_works_with_base_url_and_key_changed(store: Store) {
    let python = kit::testing::install_python_clients(FOLDER);
    works(store, python.to_str().unwrap(), "openai_client.py").await;
}

async fn the_ai_sdk_works_as_with_any_provider_of_the_protocol(store: Store) {
    kit::testing::install_clients(FOLDER);
    works(store, "node", "ai-sdk.mjs").await;
}

crate::support::on_both_stores!(
    openai_for_javascript_works_with_base_url_and_key_changed,
    openai_for_python_works_with_base_url_and_key_changed,
    the_ai_sdk_works_as_with_any_provider_of_the_protocol,
);
