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
