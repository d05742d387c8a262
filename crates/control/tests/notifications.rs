//! What people are told of a rollout, through a real control plane that dies and a webhook that is down first.

mod support;

use std::time::Duration;

use mana_control::api::Deploy;

use mana_control::paths;
use support::webhook::{Taken, sent, webhook};
use support::{Ecosystem, Service, example, free_port, until};

const SHOP: &str = "shop-backend";

#[tokio::test]
async fn a_webhook_that_is_down_gets_each_message_once_when_it_is_back_though_the_control_plane_was_killed() {
    let mut ecosystem = Ecosystem::start().await;
    let port = free_port();
    let more = format!(
        "rollout = {{ canary = [], warm = \"1s\", guard = \"1s\", requests = 20 }}\n\n\
         [notifications.ops]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/hook\"\nsecret = \"${{secret.MADE}}\"\n\
         events = [\"started\", \"failed\"]\n\n\
         [notifications.others]\nkind = \"slack\"\nurl = \"http://127.0.0.1:{port}/\"\nevents = [\"page\"]\n"
    );
    let program = ecosystem.folder.path().join("bin/shop");
    std::fs::create_dir_all(program.parent().expect("a folder")).expect("made");
    std::fs::copy(example("instance"), program).expect("copied");
    ecosystem.up(&[Service::new(SHOP).command("bin/shop").with(&more)]).await;
    let number = deploy_without_program(&ecosystem).await;
    until("it is over", async || {
        ecosystem.client().await.rollout(number).await.expect("known").view.over.then_some(())
    })
    .await;
    ecosystem.kill_control();
    ecosystem.start_control().await;
    let taken = webhook(port).await;
    let done = |taken: &Taken| {
        let taken = taken.lock().expect("no panic");
        taken.values().flatten().any(|body| body["facts"]["event"] == "failed")
    };
    until("the last message", async || done(&taken).then_some(())).await;
    until("both written down as sent", async || (sent(&ecosystem) == 2).then_some(())).await;
    ecosystem.kill_control();
    ecosystem.start_control().await;
    // Longer than the wait after which anything would be sent again.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let taken = taken.lock().expect("no panic").clone();
    assert!(taken.values().all(|bodies| bodies.len() == 1), "each once: {taken:#?}");
    let mut events: Vec<&str> =
        taken.values().flatten().map(|body| body["facts"]["event"].as_str().expect("text")).collect();
    events.sort_unstable();
    assert_eq!(events, ["failed", "started"], "{taken:#?}");
    let last = taken.values().flatten().find(|body| body["facts"]["event"] == "failed").expect("there");
    assert_eq!(last["title"], "shop-backend v1 was aborted; it had no traffic (development)");
    let text = last["text"].as_str().expect("text");
    assert!(text.contains("`mana rollout show 1`"), "{text}");
    ecosystem.down().await;
}

/// Deploys a release whose program is not there: it is aborted.
async fn deploy_without_program(ecosystem: &Ecosystem) -> u64 {
    use mana_release::artefact;
    use mana_release::store::{Attached, Store};
    let source = tempfile::tempdir().expect("folder");
    std::fs::write(source.path().join("readme"), "no program").expect("written");
    let list = artefact::list(source.path(), &["readme".to_owned()]).expect("listed");
    let store = Store::new(&paths::releases(&ecosystem.data()), SHOP);
    let digest = store.add_artefact(&list, source.path()).expect("added");
    let record = serde_json::json!({
        "format": 1, "service": SHOP, "version": "v1", "digest": digest.as_str(), "commit": digest.as_str()[..40],
        "dirty": false, "author": "Ada", "message": "a change", "committed_at": "2026-01-01T00:00:00Z",
        "built_at": "2026-01-01T00:00:00Z", "took_ms": 1, "toolchain": [], "limits": "", "migrations": [],
        "size_bytes": list.size(), "files": 1, "components": null,
    });
    let record = serde_json::from_value(record).expect("a record");
    store.add(&record, &Attached { sbom: None, log: None }).expect("added");
    let deploy = Deploy { service: SHOP.into(), release: Some("v1".into()), by: "ada".into(), ..Deploy::default() };
    ecosystem.client().await.deploy(&deploy).await.expect("begun").number
}
