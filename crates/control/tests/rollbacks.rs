//! The ways back: in the window, after it, while something else is under way, and what they leave alone.

mod support;

use std::time::{Duration, Instant};

use mana_control::api::{Deploy, PutBack};
use mana_delivery::rollout::Command;

use support::shop::{
    QUICK, SHOP, WARM, command, deploy, reaches, release, release_of, shop, slots, up, version, write_program,
};
use support::{Ecosystem, Load, until};

#[tokio::test]
async fn back_and_forth_in_the_window_and_back_for_good() {
    let mut ecosystem = up(WARM).await;
    release(&ecosystem, "v1", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let number = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, number, &["window"]).await;
    assert_eq!(version(&ecosystem).await, "v1");
    let put_back = |slot: Option<&str>| PutBack {
        service: SHOP.into(),
        by: "ada".into(),
        slot: slot.map(Into::into),
        release: None,
        key: None,
    };
    for (slot, expected) in [("blue", "v0"), ("green", "v1"), ("blue", "v0"), ("green", "v1")] {
        ecosystem.client().await.put_back(&put_back(Some(slot))).await.expect("taken");
        until(expected, async || (version(&ecosystem).await == expected).then_some(())).await;
    }
    ecosystem.client().await.put_back(&put_back(None)).await.expect("taken");
    let began = Instant::now();
    until("the old version serves", async || (version(&ecosystem).await == "v0").then_some(())).await;
    assert!(began.elapsed() < Duration::from_secs(10));
    reaches(&ecosystem, number, &["rolled-back"]).await;
    load.end().await;
    assert_eq!(slots(&ecosystem).await.len(), 1);
    // Asked for again, it says that it holds already.
    let again = ecosystem.client().await.put_back(&put_back(None)).await.expect("taken");
    assert_eq!(again.stage, "rolled-back");
    ecosystem.down().await;
}

#[tokio::test]
async fn what_is_done_is_gone_back_on_by_starting_the_old_version_first() {
    let mut ecosystem = up(QUICK).await;
    release(&ecosystem, "v1", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let number = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, number, &["done"]).await;
    let put_back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None, key: None };
    ecosystem.client().await.put_back(&put_back).await.expect("taken");
    reaches(&ecosystem, number, &["rolled-back"]).await;
    load.end().await;
    assert_eq!(version(&ecosystem).await, "v0");
    ecosystem.down().await;
}

#[tokio::test]
async fn a_rollback_after_a_rollout_that_moved_nothing_brings_back_what_served_before() {
    let mut ecosystem = up("rollout = { canary = [], warm = \"0s\" }").await;
    for (version, wrong) in [("v1", ""), ("v2", ""), ("v3", "CRASH_AT_START=1"), ("v4", "")] {
        release(&ecosystem, version, wrong);
    }
    let put_back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None, key: None };
    let aborted = deploy(&ecosystem, "v3").await.number;
    reaches(&ecosystem, aborted, &["aborted"]).await;
    let refused = ecosystem.client().await.put_back(&put_back).await.expect_err("nothing served before");
    assert!(refused.to_string().contains("rollout 1 of v3 ended aborted"), "{refused}");
    for version in ["v1", "v2"] {
        let number = deploy(&ecosystem, version).await.number;
        reaches(&ecosystem, number, &["done"]).await;
    }
    let aborted = deploy(&ecosystem, "v3").await.number;
    reaches(&ecosystem, aborted, &["aborted"]).await;
    let back = ecosystem.client().await.put_back(&put_back).await.expect("begun");
    assert_eq!((back.number, back.version.as_str()), (aborted + 1, "v1"));
    reaches(&ecosystem, back.number, &["done"]).await;
    assert_eq!(version(&ecosystem).await, "v1");
    let refused = ecosystem.client().await.put_back(&put_back).await.expect_err("v2 was gone back from");
    assert!(refused.to_string().contains("name the version"), "{refused}");
    // The same while one is under way that has sent nobody anywhere.
    let number = deploy(&ecosystem, "v2").await.number;
    reaches(&ecosystem, number, &["done"]).await;
    let paused = Deploy {
        service: SHOP.into(),
        release: Some("v4".into()),
        by: "ada".into(),
        supersede: false,
        pause_at: Some("green-starting".into()),
        overrides: Vec::new(),
        key: None,
    };
    let paused = ecosystem.client().await.deploy(&paused).await.expect("begun").number;
    reaches(&ecosystem, paused, &["held"]).await;
    let back = ecosystem.client().await.put_back(&put_back).await.expect("begun");
    assert_eq!(back.version, "v1");
    reaches(&ecosystem, paused, &["superseded"]).await;
    reaches(&ecosystem, back.number, &["done"]).await;
    assert_eq!((version(&ecosystem).await.as_str(), slots(&ecosystem).await.len()), ("v1", 1));
    ecosystem.down().await;
}

#[tokio::test]
async fn a_rollback_means_the_rollout_that_is_under_way_and_asked_twice_keeps_nobody_waiting() {
    let mut ecosystem = up(WARM).await;
    release(&ecosystem, "v1", "");
    // The same files, of another commit.
    assert_eq!(release_of(&ecosystem, "v1-again", "v1", ""), release(&ecosystem, "v1", ""));
    release(&ecosystem, "v2", "");
    let first = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, first, &["window"]).await;
    let waiting = deploy(&ecosystem, "v2").await.number;
    let put_back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None, key: None };
    assert_eq!(ecosystem.client().await.put_back(&put_back).await.expect("taken").number, first);
    reaches(&ecosystem, first, &["rolled-back"]).await;
    // Then it is the next one's turn.
    reaches(&ecosystem, waiting, &["window"]).await;
    for _ in 0..3 {
        ecosystem.client().await.put_back(&put_back).await.expect("taken");
        reaches(&ecosystem, waiting, &["rolled-back"]).await;
    }
    let retried = command(&ecosystem, first, "ada", Command::Retry).await.expect_err("another one came after it");
    assert!(retried.to_string().contains("after it"), "{retried}");
    let last = deploy(&ecosystem, "v2").await.number;
    reaches(&ecosystem, last, &["window"]).await;
    assert_eq!(version(&ecosystem).await, "v2");
    ecosystem.down().await;
}

#[tokio::test]
async fn the_way_back_does_not_migrate() {
    let quick = format!("migrate = [\"migrate\"]\n{QUICK}");
    let mut ecosystem = Ecosystem::start().await;
    let migrations = ecosystem.folder.path().join("migrations");
    write_program(ecosystem.folder.path(), "v0", "");
    let shop = shop(&quick).env("MIGRATIONS", &migrations.display().to_string());
    ecosystem.up(&[shop]).await;
    let migrated = || std::fs::read_to_string(&migrations).expect("written").lines().count();
    release(&ecosystem, "v1", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let number = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, number, &["done"]).await;
    assert_eq!(migrated(), 2, "each version once");
    let put_back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None, key: None };
    ecosystem.client().await.put_back(&put_back).await.expect("taken");
    reaches(&ecosystem, number, &["rolled-back"]).await;
    load.end().await;
    assert_eq!((version(&ecosystem).await.as_str(), migrated()), ("v0", 2));
    ecosystem.down().await;
}

#[tokio::test]
async fn a_rollback_while_the_old_version_drains_starts_it_again_and_loses_no_request() {
    let mut ecosystem =
        up("rollout = { canary = [], warm = \"1s\", guard = \"1s\", requests = 10, errors = \"20%\" }").await;
    release(&ecosystem, "v1", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let port = ecosystem.port(SHOP);
    // Held by the old version for longer than the window.
    let slow = tokio::spawn(support::get(port, "/slow/20000"));
    let number = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, number, &["decommissioning"]).await;
    let put_back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None, key: None };
    ecosystem.client().await.put_back(&put_back).await.expect("taken");
    reaches(&ecosystem, number, &["rolled-back"]).await;
    assert_eq!(slow.await.expect("no panic"), Ok((200, "slow".into())));
    load.end().await;
    assert_eq!(version(&ecosystem).await, "v0");
    until("one is left", async || (slots(&ecosystem).await.len() == 1).then_some(())).await;
    ecosystem.down().await;
}
