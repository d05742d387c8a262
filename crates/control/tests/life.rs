//! The life of an ecosystem under a real control plane and a real edge.

mod support;

use mana_control::api::{Event, ServiceState};
use rustix::process::Signal;
use support::{Ecosystem, Service, all, runs, until};

#[tokio::test]
async fn an_ecosystem_comes_up_in_order_answers_and_goes_down_without_a_trace() {
    let mut ecosystem = Ecosystem::start().await;
    let services = [Service::new("b").needs("a"), Service::new("a"), Service::new("c").needs("b")];
    let events = all(ecosystem.apply(&services).await).await;
    assert!(matches!(events.last(), Some(Event::Settled { .. })), "{events:#?}");
    let up: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            Event::Service { service, state: ServiceState::Up, .. } if service != "edge" => Some(service.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(up, ["a", "b", "c"]);

    let status = ecosystem.status().await;
    assert_eq!(status.differences, Vec::<String>::new());
    for name in ["a", "b", "c"] {
        let (code, body) = ecosystem.get(name, "/").await.expect("answers");
        assert_eq!((code, body), (200, ecosystem.instance(name).await.id));
    }
    let pids: Vec<u32> = ecosystem.pids().await.into_iter().flat_map(|(_, pids)| pids).collect();
    assert_eq!(pids.len(), 4, "the edge and three services");
    ecosystem.down().await;
    for pid in pids {
        assert!(!runs(pid));
    }
}

#[tokio::test]
async fn a_crashed_instance_is_back_within_a_second() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a")]).await;
    let first = ecosystem.pid("a").await;
    support::kill(first, Signal::KILL);
    let began = std::time::Instant::now();
    until("it answers again", async || {
        let (code, _) = ecosystem.get("a", "/").await.ok()?;
        (code == 200).then_some(())
    })
    .await;
    assert!(began.elapsed() < std::time::Duration::from_secs(1), "{:?}", began.elapsed());
    let instance = ecosystem.instance("a").await;
    assert_ne!(instance.pid, Some(first));
    assert_eq!((instance.restarts, instance.last_exit.as_deref()), (1, Some("signal 9 (SIGKILL)")));
    ecosystem.down().await;
}

#[tokio::test]
async fn a_service_that_crashes_again_and_again_is_reported_with_its_last_words_and_tried_on() {
    let mut ecosystem = Ecosystem::start().await;
    let services =
        [Service::new("good"), Service::new("bad").env("CRASH_AT_START", "1"), Service::new("c").needs("bad")];
    let events = all(ecosystem.apply(&services).await).await;
    let Some(Event::Failed { reason }) = events.last() else { panic!("{events:#?}") };
    assert_eq!(reason, "not up: bad", "{events:#?}");
    let failed = events.iter().find_map(|event| match event {
        Event::ServiceFailed { service, reason, log_tail, hint } if service == "bad" => Some((reason, log_tail, hint)),
        _ => None,
    });
    let (reason, log_tail, hint) = failed.expect("it is reported");
    assert!(reason.contains("exit code 3") && reason.contains("next try in"), "{reason}");
    assert_eq!(log_tail.last().map(String::as_str), Some("this instance crashes at its start"));
    assert!(hint.contains("mana logs bad"), "{hint}");

    let status = ecosystem.status().await;
    assert_eq!(status.differences.len(), 2, "{:?}", status.differences);
    assert!(status.differences[0].starts_with("bad: 0 of 1 ready"), "{:?}", status.differences);
    assert_eq!(status.differences[1], "c: 0 of 1 ready, waiting for bad");
    assert_eq!(ecosystem.state("good").await, ServiceState::Up);
    let before = ecosystem.instance("bad").await.restarts;
    until("it is tried again", async || (ecosystem.instance("bad").await.restarts > before).then_some(())).await;
    ecosystem.down().await;
}

#[tokio::test]
async fn an_unready_instance_gets_no_traffic_until_it_is_ready_again() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a")]).await;
    let instance = ecosystem.instance("a").await;
    let port = instance.port.expect("a port");
    support::get(port, "/unready").await.expect("told");
    until("the edge answers for it", async || (ecosystem.get("a", "/").await.ok()?.0 == 503).then_some(())).await;
    assert_eq!(ecosystem.state("a").await, ServiceState::Degraded);
    let differences = ecosystem.status().await.differences;
    assert!(differences[0].contains("no table"), "{differences:?}");
    support::get(port, "/ready").await.expect("told");
    until("it answers again", async || (ecosystem.get("a", "/").await.ok()?.0 == 200).then_some(())).await;
    assert_eq!(ecosystem.instance("a").await.pid, instance.pid, "nothing was restarted");
    ecosystem.down().await;
}

#[tokio::test]
async fn an_instance_that_ignores_the_stop_signal_is_killed() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a").env("IGNORE_TERM", "1").with("stop_timeout = \"1s\"")]).await;
    let pid = ecosystem.pid("a").await;
    ecosystem.down().await;
    assert!(!runs(pid));
}

#[tokio::test]
async fn several_instances_of_a_service_share_its_traffic() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a").with("instances = 2")]).await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        seen.insert(ecosystem.get("a", "/").await.expect("answers").1);
    }
    let ids: std::collections::BTreeSet<String> =
        ecosystem.service("a").await.instances.into_iter().map(|instance| instance.id).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(seen, ids);
    ecosystem.down().await;
}

#[tokio::test]
async fn two_ecosystems_live_side_by_side_and_one_going_down_leaves_the_other_alone() {
    let (mut one, mut other) = (Ecosystem::start().await, Ecosystem::start().await);
    one.up(&[Service::new("a")]).await;
    other.up(&[Service::new("a")]).await;
    let pids = other.pids().await;
    one.down().await;
    assert_eq!(other.pids().await, pids);
    assert_eq!(other.get("a", "/").await.expect("answers").0, 200);
    other.down().await;
}
