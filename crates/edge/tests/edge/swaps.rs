//! Snapshots that change under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mana_edge::admin::Retired;
use mana_edge::snapshot::{Snapshot, Target};
use tokio::task::JoinSet;

use crate::support::{Raw, Service, TestEdge, internal, route, slot, snapshot, until};

const SWITCHES: u64 = 200;

/// Asks without pause until told to stop. Returns how many answers each slot gave; anything else is a failure.
async fn ask_on(address: std::net::SocketAddr, stop: Arc<AtomicBool>, reconnect_every: usize) -> (usize, usize) {
    let (mut blue, mut green) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let mut client = Raw::connect(address).await;
        for _ in 0..reconnect_every {
            let body = "POST / HTTP/1.1\r\nhost: chat.localhost\r\ncontent-length: 2\r\n\r\nhi";
            let answer = client.ask(body).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            match answer.text() {
                "blue" => blue += 1,
                "green" => green += 1,
                other => panic!("{other}"),
            }
        }
    }
    (blue, green)
}

fn switched(generation: u64, target: Target, with_internal: bool) -> Snapshot {
    let mut given = Snapshot { generation, ..snapshot(vec![route("chat", target)]) };
    if with_internal {
        given.listeners.push(internal("chat"));
    }
    given
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_switches_under_load_fail_no_request() {
    let (blue, green) = (Service::saying("blue"), Service::saying("green"));
    let target = |to_green: bool| {
        let weights = if to_green { (0, 1) } else { (1, 0) };
        Target::Slots(vec![slot("blue", weights.0, &[blue.address]), slot("green", weights.1, &[green.address])])
    };
    let edge = TestEdge::start(&switched(1, target(false), false));
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for client in 0..8 {
        clients.spawn(ask_on(edge.address(), Arc::clone(&stop), 1 + client * 7));
    }
    for switch in 1..=SWITCHES {
        let to_green = switch % 2 == 1;
        edge.admin().put(&switched(switch + 1, target(to_green), switch % 10 == 0)).await.unwrap();
        // From the moment it is acknowledged, every new request goes to the other slot.
        let answer = crate::support::get(edge.address(), "chat.localhost", "/").await;
        assert_eq!(answer.text(), if to_green { "green" } else { "blue" }, "switch {switch}");
    }
    stop.store(true, Ordering::Relaxed);
    let (mut blues, mut greens) = (0, 0);
    while let Some(counts) = clients.join_next().await {
        let counts = counts.unwrap();
        blues += counts.0;
        greens += counts.1;
    }
    assert!(blues > 0 && greens > 0, "{blues} and {greens}: both slots answered");
    let aborted = edge.admin().metrics().await.unwrap();
    assert!(!aborted.contains("class=\"5xx\"} 1"), "{aborted}");
}

#[tokio::test]
async fn requests_in_progress_end_on_the_instance_that_is_gone() {
    let begun = Arc::new(tokio::sync::Notify::new());
    let go_on = Arc::new(tokio::sync::Notify::new());
    let (signal, wait) = (Arc::clone(&begun), Arc::clone(&go_on));
    let slow = Service::http(move |_| {
        let (signal, wait) = (Arc::clone(&signal), Arc::clone(&wait));
        async move {
            signal.notify_one();
            wait.notified().await;
            crate::support::text("old")
        }
    });
    let fast = Service::saying("new");
    let edge = TestEdge::start(&switched(1, Target::Slots(vec![slot("blue", 1, &[slow.address])]), false));
    let mut client = Raw::connect(edge.address()).await;
    let ask = "GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n";
    client.write(ask).await;
    begun.notified().await;
    edge.admin().put(&switched(2, Target::Slots(vec![slot("green", 1, &[fast.address])]), false)).await.unwrap();
    assert!(client.is_silent_for(Duration::from_millis(20)).await);
    let id = format!("blue-{}", slow.address.port());
    assert_eq!(edge.admin().retired().await.unwrap(), [Retired { id, in_flight: 1 }]);
    go_on.notify_one();
    assert_eq!(client.answer().await.text(), "old");
    until("nothing is with it", async || edge.admin().retired().await.unwrap().is_empty()).await;
    assert_eq!(client.ask(ask).await.text(), "new", "the same connection's next request goes to the new one");
}

#[tokio::test]
async fn a_thousand_routes_are_applied_in_no_time() {
    let service = Service::saying("ok");
    let routes = |count: usize| {
        (0..count)
            .map(|index| route(&format!("r{index}"), Target::Slots(vec![slot("blue", 1, &[service.address])])))
            .collect::<Vec<_>>()
    };
    let edge = TestEdge::start(&snapshot(routes(1)));
    let large = Snapshot { generation: 2, ..snapshot(routes(1_000)) };
    edge.admin().put(&large).await.unwrap();
    for host in ["r0.localhost", "r999.localhost"] {
        assert_eq!(crate::support::get(edge.address(), host, "/").await.status, 200);
    }
}
