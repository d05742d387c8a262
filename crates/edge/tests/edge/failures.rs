//! Instances that do not answer as they should.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use mana_edge::snapshot::{Probe, Snapshot, Target};
use tokio::io::AsyncWriteExt;

use crate::support::{Raw, Service, TestEdge, get, read_head, route, send, slot, slots, snapshot, text, until};

const GET: &str = "GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nhost: chat.localhost\r\ncontent-length: 4\r\n\r\nbody";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_dead_instance_is_passed_over() {
    let alive = Service::saying("alive");
    let edge = TestEdge::with_threads(&snapshot(vec![route("chat", slots(&[Service::nobody(), alive.address]))]), 1);
    for request in [GET, POST] {
        // Each goes to one of the two by chance: so many that the dead one is certainly tried as often as it may be.
        for _ in 0..60 {
            assert_eq!(send(edge.address(), request).await.text(), "alive");
        }
    }
    let labels = "{route=\"chat\",slot=\"blue\",release=\"blue-1\"}";
    assert_eq!(
        edge.metric(&format!("mana_edge_connect_failures_total{labels}")).await,
        Some(5.0),
        "then it is left out"
    );
    assert_eq!(edge.metric(&format!("mana_edge_retries_total{labels}")).await, Some(5.0));
}

#[tokio::test]
async fn a_dead_slot_is_passed_over_but_counted() {
    let blue = Service::saying("blue");
    let target = Target::Slots(vec![slot("blue", 50, &[blue.address]), slot("green", 50, &[Service::nobody()])]);
    let edge = TestEdge::start(&snapshot(vec![route("chat", target)]));
    for _ in 0..10 {
        assert_eq!(get(edge.address(), "chat.localhost", "/").await.text(), "blue");
    }
    let series =
        |name: &str, slot: &str| format!("mana_edge_{name}{{route=\"chat\",slot=\"{slot}\",release=\"{slot}-1\"");
    assert_eq!(edge.metric(&format!("{}}}", series("connect_failures_total", "green"))).await, Some(5.0));
    assert_eq!(edge.metric(&format!("{}}}", series("requests_in_flight", "green"))).await, Some(0.0));
    assert_eq!(edge.metric(&format!("{},class=\"2xx\"}}", series("requests_total", "blue"))).await, Some(10.0));
}

#[tokio::test]
async fn when_nobody_listens_it_is_502() {
    let edge = TestEdge::start(&snapshot(vec![route(
        "chat",
        slots(&[Service::nobody(), Service::nobody(), Service::nobody()]),
    )]));
    for request in [GET, POST] {
        let answer = send(edge.address(), request).await;
        assert_eq!((answer.status, answer.title().as_str()), (502, "Instance unreachable"));
    }
}

/// Answers the first request of each connection and closes without a word after reading the second.
fn closing_at_the_second(connections: &Arc<AtomicUsize>) -> Service {
    let connections = Arc::clone(connections);
    Service::raw(move |mut socket| {
        connections.fetch_add(1, Ordering::Relaxed);
        async move {
            read_head(&mut socket).await;
            socket.write_all(OK).await.unwrap();
            read_head(&mut socket).await;
        }
    })
}

#[tokio::test]
async fn a_kept_connection_that_closes_before_it_answers_does_not_show() {
    let connections = Arc::default();
    let service = closing_at_the_second(&connections);
    let edge = TestEdge::with_threads(&snapshot(vec![route("chat", slots(&[service.address]))]), 1);
    let mut client = Raw::connect(edge.address()).await;
    for _ in 0..10 {
        assert_eq!(client.ask(GET).await.text(), "ok");
    }
    assert_eq!(connections.load(Ordering::Relaxed), 10);
}

#[tokio::test]
async fn what_may_have_had_an_effect_is_not_sent_twice() {
    let connections = Arc::default();
    let service = closing_at_the_second(&connections);
    let edge = TestEdge::with_threads(&snapshot(vec![route("chat", slots(&[service.address]))]), 1);
    for request in [POST, "POST / HTTP/1.1\r\nhost: chat.localhost\r\ncontent-length: 0\r\n\r\n"] {
        assert_eq!(send(edge.address(), GET).await.text(), "ok");
        let answer = send(edge.address(), request).await;
        assert_eq!((answer.status, answer.title().as_str()), (502, "Instance broke off"));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_kept_connection_that_closed_meanwhile_is_noticed_before_anything_is_sent() {
    let closed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&closed);
    let service = Service::raw(move |mut socket| {
        let count = Arc::clone(&count);
        async move {
            if let Some(head) = read_head(&mut socket).await {
                if head.starts_with("POST") {
                    tokio::io::AsyncReadExt::read_exact(&mut socket, &mut [0; 4]).await.unwrap();
                }
                socket.write_all(OK).await.unwrap();
                drop(socket);
                count.fetch_add(1, Ordering::Release);
            }
        }
    });
    let edge = TestEdge::with_threads(&snapshot(vec![route("chat", slots(&[service.address]))]), 1);
    for turn in 1..=20 {
        // POST too: nothing of it was sent, so sending it elsewhere is safe.
        assert_eq!(send(edge.address(), POST).await.text(), "ok");
        crate::support::until("the service has closed", async || closed.load(Ordering::Acquire) == turn).await;
    }
}

#[tokio::test]
async fn an_instance_that_breaks_off_before_its_answer_is_502() {
    for said in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-", b"not http\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n"] {
        let service = Service::raw(move |mut socket| async move {
            read_head(&mut socket).await;
            socket.write_all(said).await.unwrap();
        });
        let edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[service.address]))]));
        let answer = send(edge.address(), GET).await;
        assert_eq!(
            (answer.status, answer.title().as_str()),
            (502, "Instance broke off"),
            "{:?}",
            String::from_utf8_lossy(said)
        );
    }
}

#[tokio::test]
async fn an_instance_that_breaks_off_in_its_answer_cuts_the_clients_connection() {
    for (head, body) in [("content-length: 10", "half"), ("transfer-encoding: chunked", "4\r\nhalf\r\n")] {
        let service = Service::raw(move |mut socket| async move {
            read_head(&mut socket).await;
            socket.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
        });
        let edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[service.address]))]));
        let mut client = Raw::connect(edge.address()).await;
        client.write(GET).await;
        assert_eq!(client.head().await.status, 200);
        let rest = client.rest().await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "the end must not look like one");
        assert!(rest.windows(4).any(|window| window == b"half"));
        let series = "mana_edge_broken_off_total{route=\"chat\",slot=\"blue\",release=\"blue-1\"}";
        assert_eq!(edge.metric(series).await, Some(1.0));
    }
}

#[tokio::test]
async fn an_instance_that_is_killed_under_load_costs_only_what_it_was_answering() {
    let (doomed, alive) = (Service::saying("ok"), Service::saying("ok"));
    let edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[doomed.address, alive.address]))]));
    let address = edge.address();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = Raw::connect(address).await;
                let mut statuses = Vec::new();
                for _ in 0..200 {
                    statuses.push(client.ask(GET).await.status);
                }
                statuses
            })
        })
        .collect();
    tokio::task::yield_now().await;
    drop(doomed);
    for client in clients {
        let statuses = client.await.unwrap();
        assert!(statuses.iter().all(|status| *status == 200), "GET is repeated elsewhere: {statuses:?}");
    }
}

#[tokio::test]
async fn an_instance_that_fails_is_left_out_and_the_last_ones_never() {
    // Accepts and closes at once: nothing of a request is ever answered.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broken = listener.local_addr().unwrap();
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    let closing = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            drop(socket);
        }
    });
    let service = Service::saying("well");
    let both = slots(&[service.address, broken]);
    let edge = TestEdge::with_threads(&snapshot(vec![route("chat", both), route("alone", slots(&[broken]))]), 1);
    let mut client = Raw::connect(edge.address()).await;
    for _ in 0..100 {
        // Idempotent: what the broken one drops, the other one answers.
        assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await.text(), "well");
    }
    assert_eq!(attempts.load(Ordering::Relaxed), 5, "five failures, and it is left out");
    let ejections = "mana_edge_ejections_total{route=\"chat\",slot=\"blue\",release=\"blue-1\"}";
    assert_eq!(edge.metric(ejections).await, Some(1.0));
    // The only one there is gets its requests however often it fails.
    for attempt in 6..20 {
        assert_eq!(get(edge.address(), "alone.localhost", "/").await.status, 502);
        assert_eq!(attempts.load(Ordering::Relaxed), attempt);
    }
    closing.abort();
}

#[tokio::test]
async fn a_slow_instance_gets_few_requests() {
    let counts: [Arc<AtomicUsize>; 3] = std::array::from_fn(|_| Arc::default());
    let services: Vec<_> = [0, 0, 60]
        .into_iter()
        .zip(&counts)
        .map(|(millis, count)| {
            let count = Arc::clone(count);
            Service::http(move |_| {
                let count = Arc::clone(&count);
                async move {
                    count.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    text("done")
                }
            })
        })
        .collect();
    let addresses: Vec<_> = services.iter().map(|service| service.address).collect();
    let edge = TestEdge::with_threads(&snapshot(vec![route("chat", slots(&addresses))]), 1);
    let mut client = Raw::connect(edge.address()).await;
    for _ in 0..300 {
        assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await.status, 200);
    }
    let [one, other, slow] = counts.map(|count| count.load(Ordering::Relaxed));
    assert!(slow < 20 && one > 80 && other > 80, "{one} {other} {slow}");
}

/// Answers probes with the status, and everyone else with its name.
fn probed(name: &'static str, status: &Arc<AtomicU16>) -> Service {
    let status = Arc::clone(status);
    Service::http(move |request| {
        let status = StatusCode::from_u16(status.load(Ordering::SeqCst)).unwrap();
        async move {
            let mut answer = text(name);
            if request.uri().path() == "/health" {
                *answer.status_mut() = status;
            }
            answer
        }
    })
}

fn with_probe(instances: &[SocketAddr]) -> Snapshot {
    let mut route = route("chat", slots(instances));
    route.probe = Some(Probe { path: "/health".into(), interval_ms: 20, timeout_ms: 200 });
    snapshot(vec![route])
}

#[tokio::test]
async fn an_instance_that_probes_find_unwell_gets_nothing_until_it_is_well() {
    let (fine, ill) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicU16::new(200)));
    let (one, two) = (probed("one", &fine), probed("two", &ill));
    let edge = TestEdge::with_threads(&with_probe(&[one.address, two.address]), 1);
    let answers = async || {
        let mut answers = Vec::new();
        for _ in 0..40 {
            answers.push(get(edge.address(), "chat.localhost", "/").await.text().to_owned());
        }
        answers
    };
    assert!(answers().await.contains(&"two".to_owned()));
    ill.store(503, Ordering::SeqCst);
    until("it is left out", async || !answers().await.contains(&"two".to_owned())).await;
    ill.store(200, Ordering::SeqCst);
    until("it is back", async || answers().await.contains(&"two".to_owned())).await;
    // Where all are unwell, somebody has to answer.
    fine.store(500, Ordering::SeqCst);
    ill.store(500, Ordering::SeqCst);
    let failed = edge.metric("mana_edge_probe_failures_total").await.unwrap();
    until("both are unwell", async || edge.metric("mana_edge_probe_failures_total").await.unwrap() >= failed + 8.0)
        .await;
    let answers = answers().await;
    assert!(answers.iter().all(|answer| answer == "one" || answer == "two"), "{answers:?}");
}

#[tokio::test]
async fn an_instance_that_hangs_is_found_by_probes_over_connections_that_are_kept() {
    let (connections, asked) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let counted = Arc::clone(&connections);
    let hangs = Service::raw(move |mut socket| {
        counted.fetch_add(1, Ordering::SeqCst);
        let asked = Arc::clone(&asked);
        async move {
            // Well for a while, and then silent for ever.
            while read_head(&mut socket).await.is_some() && asked.fetch_add(1, Ordering::SeqCst) < 5 {
                socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            }
            std::future::pending::<()>().await;
        }
    });
    let well = Service::saying("well");
    let edge = TestEdge::with_threads(&with_probe(&[hangs.address, well.address]), 1);
    let failures = async || edge.metric("mana_edge_probe_failures_total").await.unwrap_or(0.0);
    until("five questions are answered, and three are not", async || failures().await >= 3.0).await;
    for _ in 0..20 {
        assert_eq!(get(edge.address(), "chat.localhost", "/").await.text(), "well");
    }
    // One for the first five, and one for each question that was not answered.
    let asked = failures().await;
    let connections = connections.load(Ordering::SeqCst);
    assert!(
        f64::from(u32::try_from(connections).unwrap()) <= asked + 2.0,
        "{connections} connections, {asked} failures"
    );
}
