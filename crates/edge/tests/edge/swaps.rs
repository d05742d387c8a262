//! Snapshots that change under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mana_edge::admin::Retired;
use mana_edge::snapshot::{Snapshot, Target};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::support::{Raw, Service, TestEdge, internal, read_head, route, slot, snapshot, until};

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

/// Takes a request, and closes without a word when it is told to.
fn closing(begun: &Arc<Notify>, close: &Arc<Notify>) -> Service {
    let (begun, close) = (Arc::clone(begun), Arc::clone(close));
    Service::raw(move |mut socket| {
        let (begun, close) = (Arc::clone(&begun), Arc::clone(&close));
        async move {
            read_head(&mut socket).await;
            begun.notify_one();
            close.notified().await;
        }
    })
}

#[tokio::test]
async fn a_request_that_is_sent_again_goes_to_an_instance_of_now() {
    let (begun, close) = (Arc::default(), Arc::default());
    let (one, two) = (closing(&begun, &close), closing(&begun, &close));
    let new = Service::saying("new");
    let edge = TestEdge::start(&switched(1, Target::Slots(vec![slot("blue", 1, &[one.address, two.address])]), false));
    let mut client = Raw::connect(edge.address()).await;
    client.write("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
    begun.notified().await;
    // Another route before it, and no blue slot that gets anything: no place is what it was.
    let target =
        Target::Slots(vec![slot("red", 0, &[]), slot("blue", 0, &[two.address]), slot("green", 1, &[new.address])]);
    let routes = vec![route("another", Target::Slots(vec![slot("blue", 1, &[two.address])])), route("chat", target)];
    edge.admin().put(&Snapshot { generation: 2, ..snapshot(routes) }).await.unwrap();
    close.notify_one();
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "new"));
    let series = |slot: &str| format!("{{route=\"chat\",slot=\"{slot}\",release=\"{slot}-1\"");
    for (metric, value) in [
        (format!("mana_edge_requests_in_flight{}}}", series("blue")), None),
        (format!("mana_edge_requests_in_flight{}}}", series("green")), Some(0.0)),
        (format!("mana_edge_requests_total{},class=\"2xx\"}}", series("green")), Some(1.0)),
    ] {
        let seen = edge.metric(&metric).await;
        assert!(seen == value || value.is_none() && seen == Some(0.0), "{metric}: {seen:?}");
    }
}

#[tokio::test]
async fn a_request_whose_route_is_gone_is_not_sent_again() {
    let (begun, close) = (Arc::default(), Arc::default());
    let (one, two) = (closing(&begun, &close), closing(&begun, &close));
    let edge = TestEdge::start(&switched(1, Target::Slots(vec![slot("blue", 1, &[one.address, two.address])]), false));
    let mut client = Raw::connect(edge.address()).await;
    client.write("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
    begun.notified().await;
    edge.admin().put(&Snapshot { generation: 2, ..snapshot(Vec::new()) }).await.unwrap();
    close.notify_one();
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.title().as_str()), (502, "Instance broke off"));
}

#[tokio::test]
async fn a_request_that_finds_no_other_instance_is_counted_where_it_failed() {
    let (begun, close) = (Arc::default(), Arc::default());
    let one = closing(&begun, &close);
    let edge = TestEdge::start(&switched(1, Target::Slots(vec![slot("blue", 1, &[one.address])]), false));
    let mut client = Raw::connect(edge.address()).await;
    client.write("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
    begun.notified().await;
    // The same slot, with nobody in it but the one that fails.
    let target = Target::Slots(vec![slot("red", 0, &[]), slot("blue", 1, &[one.address])]);
    edge.admin().put(&switched(2, target, false)).await.unwrap();
    close.notify_one();
    assert_eq!(client.answer().await.status, 502);
    let series = "mana_edge_requests_total{route=\"chat\",slot=\"blue\",release=\"blue-1\",class=\"5xx\"}";
    assert_eq!(edge.metric(series).await, Some(1.0));
}

#[tokio::test]
async fn an_old_connection_that_closes_is_not_opened_again_to_an_instance_that_is_gone() {
    let begun = Arc::<Notify>::default();
    let close = Arc::<Notify>::default();
    let (signal, told) = (Arc::clone(&begun), Arc::clone(&close));
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let old = Service::raw(move |mut socket| {
        counted.fetch_add(1, Ordering::Relaxed);
        let (signal, told) = (Arc::clone(&signal), Arc::clone(&told));
        async move {
            read_head(&mut socket).await;
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold").await.unwrap();
            read_head(&mut socket).await;
            signal.notify_one();
            told.notified().await;
        }
    });
    let new = Service::saying("new");
    let edge = TestEdge::start(&switched(1, Target::Slots(vec![slot("blue", 1, &[old.address])]), false));
    let mut client = Raw::connect(edge.address()).await;
    let ask = "GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n";
    assert_eq!(client.ask(ask).await.text(), "old");
    client.write(ask).await;
    begun.notified().await;
    edge.admin().put(&switched(2, Target::Slots(vec![slot("green", 1, &[new.address])]), false)).await.unwrap();
    close.notify_one();
    assert_eq!(client.answer().await.text(), "new");
    assert_eq!(connections.load(Ordering::Relaxed), 1);
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
