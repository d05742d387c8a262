//! Changes and restarts under load: a new instance beside the old one, traffic over, then the old one away.

mod support;

use std::time::{Duration, Instant};

use mana_control::api::{Event, ServiceState};
use support::{Ecosystem, Load, Service, all, runs, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_restart_loses_no_request() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a"), Service::new("b").needs("a")]).await;
    let (old, b) = (ecosystem.pid("a").await, ecosystem.pid("b").await);
    let (quick, slow) = (Load::on(&ecosystem, "a", "/"), Load::on(&ecosystem, "a", "/slow/300"));
    for _ in 0..3 {
        let before = ecosystem.pid("a").await;
        let events = ecosystem.restart("a").await;
        assert!(matches!(events.last(), Some(Event::Settled { .. })), "{events:#?}");
        assert_ne!(ecosystem.pid("a").await, before);
        assert!(!runs(before), "settled only when the old one is gone");
    }
    quick.end().await;
    slow.end().await;
    assert!(!runs(old));
    assert_eq!(ecosystem.pid("b").await, b);
    ecosystem.down().await;
}

#[tokio::test]
async fn a_replaced_instance_is_stopped_when_its_requests_are_answered_and_its_websockets_had_their_time() {
    let mut ecosystem = Ecosystem::start().await;
    // An instance that is told to stop while it still works is killed long before the request is answered.
    let service = || Service::new("a").with("limits = { drain = \"1500ms\" }").with("stop_timeout = \"100ms\"");
    ecosystem.up(&[service()]).await;
    let (old, port) = (ecosystem.pid("a").await, ecosystem.port("a"));
    let slow = tokio::spawn(support::get(port, "/slow/1000"));
    let mut socket = support::websocket(port).await;
    let restarting = async {
        let events = ecosystem.restart("a").await;
        assert!(matches!(events.last(), Some(Event::Settled { .. })), "{events:#?}");
        assert!(!runs(old), "settled only when the old one is gone");
    };
    let talking = async {
        assert_eq!(slow.await.expect("no panic"), Ok((200, "slow".into())));
        assert!(runs(old));
        socket.write_all(b"\x81\x02hi").await.expect("it goes on");
        let mut said = Vec::new();
        socket.read_to_end(&mut said).await.expect("it is ended, not cut");
        assert_eq!(said, b"\x81\x02hi\x88\x02\x03\xe9", "an echo, and then 1001");
    };
    tokio::join!(restarting, talking);
    // Where nothing is in flight nobody waits.
    let began = Instant::now();
    ecosystem.restart("a").await;
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    ecosystem.down().await;
}

#[tokio::test]
async fn an_apply_replaces_what_changed_and_nothing_else() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a"), Service::new("b")]).await;
    let pids = ecosystem.pids().await;
    ecosystem.up(&[Service::new("a"), Service::new("b")]).await;
    assert_eq!(ecosystem.pids().await, pids, "nothing changed");

    let (a, b) = (ecosystem.pid("a").await, ecosystem.pid("b").await);
    let load = Load::on(&ecosystem, "b", "/");
    ecosystem.up(&[Service::new("a"), Service::new("b").env("COLOUR", "green")]).await;
    load.end().await;
    assert_eq!(ecosystem.pid("a").await, a);
    assert_ne!(ecosystem.pid("b").await, b);
    assert_eq!(ecosystem.get("b", "/env/COLOUR").await.expect("answers"), (200, "green".into()));

    ecosystem.up(&[Service::new("b").env("COLOUR", "green"), Service::new("c")]).await;
    assert!(!runs(a), "what the manifest names no more is stopped");
    assert_eq!(ecosystem.get("c", "/").await.expect("answers").0, 200);
    ecosystem.down().await;
}

#[tokio::test]
async fn a_new_version_that_does_not_come_up_leaves_the_old_one_serving() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a")]).await;
    let old = ecosystem.pid("a").await;
    let load = Load::on(&ecosystem, "a", "/");
    let events = all(ecosystem.apply(&[Service::new("a").env("CRASH_AT_START", "1")]).await).await;
    assert!(matches!(events.last(), Some(Event::Failed { .. })), "{events:#?}");
    assert!(runs(old));
    assert_eq!(ecosystem.state("a").await, ServiceState::Degraded);
    ecosystem.up(&[Service::new("a").env("COLOUR", "green")]).await;
    load.end().await;
    assert!(!runs(old));
    ecosystem.down().await;
}

#[tokio::test]
async fn a_change_of_instances_adds_and_removes_them_under_load() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a")]).await;
    let load = Load::on(&ecosystem, "a", "/");
    ecosystem.up(&[Service::new("a").with("instances = 3")]).await;
    assert_eq!(ecosystem.service("a").await.ready, 3);
    ecosystem.up(&[Service::new("a")]).await;
    until("one is left", async || (ecosystem.service("a").await.instances.len() == 1).then_some(())).await;
    load.end().await;
    ecosystem.down().await;
}

#[tokio::test]
async fn an_instance_over_its_memory_limit_is_replaced_beside_the_old_one() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a").with("limits = { memory = \"64MiB\" }")]).await;
    let instance = ecosystem.instance("a").await;
    let load = Load::on(&ecosystem, "a", "/");
    support::get(instance.port.expect("a port"), "/take/70").await.expect("told");
    until("another one took over", async || (ecosystem.instance("a").await.pid? != instance.pid?).then_some(())).await;
    load.end().await;
    let now = ecosystem.instance("a").await;
    let why = now.last_exit.expect("it says why");
    assert!(why.contains("memory") && why.contains("limit"), "{why}");
    assert_eq!(now.restarts, 1);
    ecosystem.down().await;
}

#[tokio::test]
async fn a_crashed_edge_is_back_and_serves_the_same() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a")]).await;
    let (edge, a) = (ecosystem.pid("edge").await, ecosystem.pid("a").await);
    support::kill(edge, rustix::process::Signal::KILL);
    let began = std::time::Instant::now();
    until("it answers", async || (ecosystem.get("a", "/").await.ok()?.0 == 200).then_some(())).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(ecosystem.pid("a").await, a);
    ecosystem.down().await;
}

#[tokio::test]
async fn an_edge_is_replaced_without_a_failed_request() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a")]).await;
    let a = ecosystem.pid("a").await;
    let load = Load::on(&ecosystem, "a", "/");
    for _ in 0..3 {
        let before = ecosystem.pid("edge").await;
        let events = ecosystem.restart("edge").await;
        assert!(matches!(events.last(), Some(Event::Settled { .. })), "{events:#?}");
        assert_ne!(ecosystem.pid("edge").await, before);
    }
    load.end().await;
    let edge = ecosystem.instance("edge").await;
    assert_eq!((edge.restarts, edge.last_exit.as_deref()), (0, None), "being replaced is no crash");
    assert_eq!(ecosystem.pid("a").await, a);
    // What is applied afterwards reaches the edge that is there now.
    ecosystem.up(&[Service::new("a"), Service::new("b")]).await;
    assert_eq!(ecosystem.get("b", "/").await.expect("answers").0, 200);
    ecosystem.down().await;
}

#[tokio::test]
async fn a_crash_and_a_replacement_of_the_edge_at_once_end_well() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a")]).await;
    let edge = ecosystem.pid("edge").await;
    support::kill(edge, rustix::process::Signal::KILL);
    ecosystem.restart("edge").await;
    until("another edge answers", async || {
        let answers = ecosystem.get("a", "/").await.ok()?.0 == 200;
        (answers && ecosystem.instance("edge").await.pid? != edge).then_some(())
    })
    .await;
    ecosystem.down().await;
}
