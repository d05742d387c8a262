//! The cache through a real edge: what is kept, who gets it, when the service is asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use mana_edge::admin::Purge;
use mana_edge::snapshot::Snapshot;
use tokio::sync::Semaphore;

use crate::support::{
    Answer, Raw, Service, TestEdge, internal, public, read_head, route, send, slots, snapshot, streamed, text, until,
};

/// Requests that reached no slot yet.
const IN_FLIGHT: &str = "mana_edge_requests_in_flight{route=\"chat\",slot=\"\",release=\"\"}";

/// A service whose answers carry the headers of the query (`name=value&…`, `+` for a space) and count themselves.
struct Counting {
    service: Service,
    asked: Arc<AtomicUsize>,
    /// The status of the next answers.
    status: Arc<AtomicU16>,
    /// A permit for each answer.
    gate: Arc<Semaphore>,
}

impl Counting {
    fn start() -> Self {
        let (asked, status) = (Arc::<AtomicUsize>::default(), Arc::new(AtomicU16::new(200)));
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let (count, says, open) = (Arc::clone(&asked), Arc::clone(&status), Arc::clone(&gate));
        let service = Service::http(move |request| {
            let (count, says, open) = (Arc::clone(&count), Arc::clone(&says), Arc::clone(&open));
            async move {
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                open.acquire().await.unwrap().forget();
                let language = request.headers().get("accept-language").map_or("", |value| value.to_str().unwrap());
                let mut answer = text(format!("answer {number} {language}"));
                for (name, value) in request
                    .uri()
                    .query()
                    .iter()
                    .flat_map(|query| query.split('&'))
                    .filter_map(|pair| pair.split_once('='))
                {
                    let value = value.replace('+', " ").replace("%22", "\"");
                    answer.headers_mut().insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
                }
                *answer.status_mut() = StatusCode::from_u16(says.load(Ordering::SeqCst)).unwrap();
                let same = request.headers().get("if-none-match");
                if same.is_some() && same == answer.headers().get("etag") {
                    *answer.status_mut() = StatusCode::NOT_MODIFIED;
                    *answer.body_mut() = text("").into_body();
                    answer.headers_mut().insert("x-confirmed", HeaderValue::from(number));
                }
                answer
            }
        });
        Self { service, asked, status, gate }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn edge(&self) -> TestEdge {
        TestEdge::start(&self.snapshot())
    }

    fn snapshot(&self) -> Snapshot {
        snapshot(vec![route("chat", slots(&[self.service.address]))])
    }
}

async fn ask(edge: &TestEdge, path: &str, headers: &str) -> Answer {
    ask_at(edge.address(), "GET", path, headers).await
}

async fn ask_at(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    send(address, &format!("{method} {path} HTTP/1.1\r\nhost: chat.localhost\r\n{headers}\r\n")).await
}

fn cache_status(answer: &Answer) -> &str {
    answer.header("cache-status").unwrap_or_default()
}

#[tokio::test]
async fn an_answer_that_says_so_is_kept_and_any_other_is_not() {
    let service = Counting::start();
    let edge = service.edge();
    for (path, kept) in [
        ("/plain", false),
        ("/a?cache-control=max-age=60", true),
        ("/b?cache-control=private,+max-age=60", false),
        ("/c?cache-control=max-age=60&set-cookie=a=b", false),
        ("/d?cache-control=no-store", false),
        ("/e?cache-control=max-age=60&vary=*", false),
    ] {
        let before = service.asked();
        let first = ask(&edge, path, "").await;
        let second = ask(&edge, path, "").await;
        assert_eq!(service.asked() - before, if kept { 1 } else { 2 }, "{path}");
        assert_eq!(first.body == second.body, kept, "{path}");
        assert_eq!(first.header("set-cookie"), path.contains("cookie").then_some("a=b"), "{path}");
        if kept {
            assert_eq!(cache_status(&first), "mana; fwd=miss; fwd-status=200; stored");
            assert!(cache_status(&second).starts_with("mana; hit; ttl="), "{}", cache_status(&second));
            assert_eq!(second.header("age"), Some("0"));
            assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
        }
    }
    let count = async |result| edge.metric(&format!("mana_edge_cache_total{{{result}}}")).await;
    assert_eq!(count("route=\"chat\",slot=\"\",release=\"\",result=\"hit\"").await, Some(1.0));
}

#[tokio::test]
async fn the_query_the_host_and_what_vary_names_tell_answers_apart() {
    let service = Counting::start();
    let edge = service.edge();
    let path = "/?cache-control=max-age=60&vary=accept-language";
    let english = ask(&edge, path, "accept-language: en\r\n").await;
    let german = ask(&edge, path, "accept-language: de\r\n").await;
    assert_eq!((english.text(), german.text()), ("answer 1 en", "answer 2 de"));
    assert_eq!(ask(&edge, path, "accept-language: en\r\n").await.text(), "answer 1 en");
    assert_eq!(ask(&edge, path, "accept-language: de\r\n").await.text(), "answer 2 de");
    assert_eq!(ask(&edge, path, "").await.text(), "answer 3 ");
    assert_eq!(ask(&edge, "/?cache-control=max-age=60&vary=accept-language&x=1", "").await.text(), "answer 4 ");
}

#[tokio::test]
async fn credentials_get_and_leave_only_what_is_public() {
    let service = Counting::start();
    let edge = service.edge();
    for credentials in ["cookie: session=1\r\n", "authorization: Bearer x\r\n"] {
        let name = &credentials[..6];
        let shy = format!("/{name}/shy?cache-control=max-age=60");
        let public = format!("/{name}/public?cache-control=public,+max-age=60");
        let mine = ask(&edge, &shy, credentials).await;
        assert_ne!(
            ask(&edge, &shy, "").await.body,
            mine.body,
            "{name}: others do not get what was asked with credentials"
        );
        assert_ne!(
            ask(&edge, &shy, credentials).await.body,
            ask(&edge, &shy, "").await.body,
            "{name}: nor the other way"
        );
        let mine = ask(&edge, &public, credentials).await;
        assert_eq!(ask(&edge, &public, "").await.body, mine.body, "{name}");
        assert_eq!(ask(&edge, &public, credentials).await.body, mine.body, "{name}");
    }
}

#[tokio::test]
async fn a_thousand_clients_are_one_request_to_the_service() {
    let service = Counting::start();
    service.gate.forget_permits(Semaphore::MAX_PERMITS);
    let mut wide = service.snapshot();
    wide.limits.max_connections_per_address = 2_000;
    let edge = TestEdge::with_threads(&wide, 2);
    let address = edge.address();
    let clients: Vec<_> = (0..1_000)
        .map(|_| tokio::spawn(async move { ask_at(address, "GET", "/?cache-control=max-age=60", "").await }))
        .collect();
    let open = "mana_edge_requests_in_flight{route=\"chat\",slot=\"\",release=\"\"}";
    until("all wait", async || edge.metric(open).await.unwrap_or(0.0) >= 999.0).await;
    service.gate.add_permits(Semaphore::MAX_PERMITS);
    for client in clients {
        assert_eq!(client.await.unwrap().text(), "answer 1 ");
    }
    assert_eq!(service.asked(), 1);
}

#[tokio::test]
async fn those_who_wait_for_what_is_not_kept_ask_for_themselves() {
    let service = Counting::start();
    service.gate.forget_permits(Semaphore::MAX_PERMITS);
    let edge = service.edge();
    let address = edge.address();
    let clients: Vec<_> = (0..10)
        .map(|_| tokio::spawn(async move { ask_at(address, "GET", "/mine", "").await.text().to_owned() }))
        .collect();
    until("one asks", async || service.asked() == 1).await;
    service.gate.add_permits(Semaphore::MAX_PERMITS);
    let mut answers = Vec::new();
    for client in clients {
        answers.push(client.await.unwrap());
    }
    answers.sort();
    answers.dedup();
    assert_eq!(answers.len(), 10, "{answers:?}");
}

#[tokio::test]
async fn who_waited_while_the_instance_was_replaced_asks_the_new_one() {
    let (old, new) = (Counting::start(), Service::saying("new"));
    old.gate.forget_permits(Semaphore::MAX_PERMITS);
    let edge = TestEdge::with_threads(&old.snapshot(), 1);
    let asking = tokio::spawn(ask_at(edge.address(), "GET", "/", ""));
    until("the first asks", async || old.asked() == 1).await;
    let mut waiting = Raw::connect(edge.address()).await;
    waiting.write("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
    until("the second waits", async || edge.metric(IN_FLIGHT).await == Some(1.0)).await;
    let replaced = Snapshot { generation: 2, ..snapshot(vec![route("chat", slots(&[new.address]))]) };
    edge.admin().put(&replaced).await.unwrap();
    old.gate.add_permits(1);
    assert_eq!(asking.await.unwrap().text(), "answer 1 ");
    assert_eq!(waiting.answer().await.text(), "new");
    assert_eq!(old.asked(), 1);
}

#[tokio::test]
async fn who_waited_while_the_route_was_removed_goes_to_nobody() {
    let old = Counting::start();
    old.gate.forget_permits(Semaphore::MAX_PERMITS);
    let edge = TestEdge::with_threads(&old.snapshot(), 1);
    let asking = tokio::spawn(ask_at(edge.address(), "GET", "/", ""));
    until("the first asks", async || old.asked() == 1).await;
    let mut waiting = Raw::connect(edge.address()).await;
    waiting.write("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
    until("the second waits", async || edge.metric(IN_FLIGHT).await == Some(1.0)).await;
    edge.admin().put(&Snapshot { generation: 2, ..snapshot(Vec::new()) }).await.unwrap();
    old.gate.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(asking.await.unwrap().text(), "answer 1 ");
    assert_eq!(waiting.answer().await.status, 503);
    assert_eq!(old.asked(), 1, "by the second table nobody may ask it any more");
}

#[tokio::test]
async fn a_client_that_goes_away_first_leaves_the_way_to_the_next() {
    let service = Counting::start();
    service.gate.forget_permits(Semaphore::MAX_PERMITS);
    let edge = service.edge();
    let address = edge.address();
    let path = "/?cache-control=max-age=60";
    let first = tokio::spawn(async move { ask_at(address, "GET", path, "").await });
    until("it asks", async || service.asked() == 1).await;
    let second = tokio::spawn(async move { ask_at(address, "GET", path, "").await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(service.asked(), 1, "it waits");
    first.abort();
    until("the next one asks", async || service.asked() == 2).await;
    service.gate.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(second.await.unwrap().text(), "answer 2 ");
}

#[tokio::test]
async fn what_is_out_of_date_is_confirmed_and_kept_on() {
    let service = Counting::start();
    let edge = service.edge();
    let path = "/?cache-control=max-age=60&etag=%22one%22";
    let first = ask(&edge, path, "").await;
    // A client that wants to be sure.
    let confirmed = ask(&edge, path, "cache-control: no-cache\r\n").await;
    assert_eq!((confirmed.status, &confirmed.body), (200, &first.body));
    assert_eq!(
        (cache_status(&confirmed), confirmed.header("x-confirmed")),
        ("mana; fwd=stale; fwd-status=304", Some("2"))
    );
    assert_eq!(service.asked(), 2);
    let after = ask(&edge, path, "").await;
    assert_eq!((after.text(), after.header("x-confirmed")), ("answer 1 ", Some("2")), "its headers are the newer ones");
    assert_eq!(service.asked(), 2);
}

#[tokio::test]
async fn conditions_and_ranges_are_answered_from_what_is_kept() {
    let service = Counting::start();
    let edge = service.edge();
    let path = "/?cache-control=max-age=60&etag=%22one%22&last-modified=Tue,+14+Nov+2023+00:00:00+GMT";
    // A condition does not keep the answer from being kept.
    let first = ask(&edge, path, "if-none-match: \"other\"\r\n").await;
    assert_eq!((first.status, first.text()), (200, "answer 1 "));
    for (headers, status, body) in [
        ("if-none-match: \"one\"\r\n", 304, ""),
        ("if-none-match: W/\"one\"\r\n", 304, ""),
        ("if-none-match: \"two\"\r\n", 200, "answer 1 "),
        ("if-modified-since: Tue, 14 Nov 2023 00:00:00 GMT\r\n", 304, ""),
        ("if-modified-since: Mon, 13 Nov 2023 00:00:00 GMT\r\n", 200, "answer 1 "),
        ("range: bytes=0-5\r\n", 206, "answer"),
        ("range: bytes=-2\r\n", 206, "1 "),
        ("range: bytes=100-\r\n", 416, ""),
        ("range: bytes=0-5\r\nif-range: \"one\"\r\n", 206, "answer"),
        ("range: bytes=0-5\r\nif-range: \"two\"\r\n", 200, "answer 1 "),
    ] {
        let answer = ask(&edge, path, headers).await;
        assert_eq!((answer.status, answer.text()), (status, body), "{headers}");
        assert_eq!(answer.header("etag"), Some("\"one\""), "{headers}");
    }
    assert_eq!(ask(&edge, path, "range: bytes=0-5\r\n").await.header("content-range"), Some("bytes 0-5/9"));
    assert_eq!(service.asked(), 1);
    let mut raw = Raw::connect(edge.address()).await;
    raw.write(format!("HEAD {path} HTTP/1.1\r\nhost: chat.localhost\r\n\r\n")).await;
    let head = raw.answer_to("HEAD").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("9")));
    assert_eq!(service.asked(), 1);
    // What is not kept is not fetched whole for a part of it.
    assert_eq!(ask(&edge, "/x?cache-control=max-age=60", "range: bytes=0-1\r\n").await.header("cache-status"), None);
}

#[tokio::test]
async fn a_stale_answer_is_given_out_while_a_newer_one_is_fetched() {
    let service = Counting::start();
    let edge = service.edge();
    let path = "/?cache-control=max-age=0,+stale-while-revalidate=60";
    assert_eq!(ask(&edge, path, "").await.text(), "answer 1 ");
    service.gate.forget_permits(Semaphore::MAX_PERMITS);
    let stale = ask(&edge, path, "").await;
    assert_eq!(stale.text(), "answer 1 ", "nobody waits for the newer one");
    assert!(cache_status(&stale).starts_with("mana; hit; ttl=-") || cache_status(&stale) == "mana; hit; ttl=0");
    until("a newer one is asked for", async || service.asked() == 2).await;
    assert_eq!(ask(&edge, path, "").await.text(), "answer 1 ", "and only once");
    assert_eq!(service.asked(), 2);
    service.gate.add_permits(Semaphore::MAX_PERMITS);
    until("the newer one is there", async || ask(&edge, path, "").await.text() != "answer 1 ").await;
}

#[tokio::test]
async fn a_stale_answer_stands_in_for_an_error_as_long_as_it_says() {
    let service = Counting::start();
    let edge = service.edge();
    let covered = "/?cache-control=max-age=0,+stale-if-error=60";
    assert_eq!(ask(&edge, covered, "").await.text(), "answer 1 ");
    service.status.store(503, Ordering::SeqCst);
    assert_eq!((ask(&edge, covered, "").await.status, service.asked()), (200, 2));
    assert_eq!(ask(&edge, covered, "").await.text(), "answer 1 ");
    assert_eq!(service.asked(), 2, "the service is left alone for a moment");
    assert_eq!(ask(&edge, "/bare?cache-control=max-age=60", "").await.status, 503);
    // It answers no more at all.
    let mut none = service.snapshot();
    none.generation += 1;
    none.routes = vec![route("chat", slots(&[Service::nobody()]))];
    edge.admin().put(&none).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(ask(&edge, covered, "").await.text(), "answer 1 ");
}

#[tokio::test]
async fn what_is_changed_is_forgotten() {
    let service = Counting::start();
    let edge = service.edge();
    let path = "/?cache-control=max-age=60";
    let first = ask(&edge, path, "").await;
    ask_at(edge.address(), "POST", path, "content-length: 0\r\n").await;
    let second = ask(&edge, path, "").await;
    assert_ne!(first.body, second.body);
    // A change elsewhere, which says where what it changed is to be found.
    ask_at(edge.address(), "POST", "/other?location=/?cache-control=max-age=60", "content-length: 0\r\n").await;
    let third = ask(&edge, path, "").await;
    assert_ne!(second.body, third.body);
    for method in ["POST", "GET"] {
        // A change that failed, and a question, change nothing.
        service.status.store(if method == "POST" { 500 } else { 200 }, Ordering::SeqCst);
        ask_at(edge.address(), method, path, "content-length: 0\r\n").await;
        assert_eq!(ask(&edge, path, "").await.body, third.body, "{method}");
    }
}

#[tokio::test]
async fn what_is_purged_while_it_is_fetched_is_not_kept() {
    let service = Counting::start();
    let edge = service.edge();
    let (address, path) = (edge.address(), "/?cache-control=max-age=60");
    service.gate.forget_permits(Semaphore::MAX_PERMITS);
    let reader = tokio::spawn(async move { ask_at(address, "GET", path, "").await });
    until("it is asked for", async || service.asked() == 1).await;
    let purged = edge.admin().purge(&Purge { host: "chat.localhost".into(), ..Purge::default() }).await.unwrap();
    assert_eq!(purged.answers, 0);
    service.gate.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(reader.await.unwrap().header("cache-status"), Some("mana; fwd=miss; fwd-status=200"));
    assert_eq!(ask(&edge, path, "").await.text(), "answer 2 ");
}

#[tokio::test]
async fn answers_are_purged_by_host_path_prefix_and_tag() {
    let service = Counting::start();
    let edge = service.edge();
    let paths = [
        "/blog/a?cache-control=max-age=60&cache-tag=one,two",
        "/blog/b?cache-control=max-age=60",
        "/c?cache-control=max-age=60&surrogate-key=two",
    ];
    let purge = async |path: Option<&str>, tag: Option<&str>| {
        let what = Purge { host: "Chat.localhost".into(), path: path.map(Into::into), tag: tag.map(Into::into) };
        for path in paths {
            assert_eq!(ask(&edge, path, "").await.header("cache-tag"), None, "a tag is for the edge alone");
        }
        edge.admin().purge(&what).await.map(|purged| purged.answers)
    };
    assert_eq!(purge(None, None).await.unwrap(), 3);
    assert_eq!(purge(Some("/blog/a"), None).await.unwrap(), 1);
    assert_eq!(purge(Some("/blog"), None).await.unwrap(), 0);
    assert_eq!(purge(Some("/blog/*"), None).await.unwrap(), 2);
    assert_eq!(purge(None, Some("two")).await.unwrap(), 2);
    assert_eq!(purge(None, Some("one")).await.unwrap(), 1);
    assert!(purge(Some("/c"), Some("two")).await.is_err() && purge(Some("c"), None).await.is_err());
    let elsewhere = Purge { host: "other.localhost".into(), ..Purge::default() };
    assert_eq!(edge.admin().purge(&elsewhere).await.unwrap().answers, 0);
}

#[tokio::test]
async fn memory_is_bounded_in_bytes_and_objects() {
    let service = Counting::start();
    let mut small = service.snapshot();
    small.limits.max_cache_objects = 160;
    small.limits.max_cache_bytes = 160 * 1024;
    let edge = TestEdge::start(&small);
    for number in 0..1_000 {
        ask(&edge, &format!("/{number}?cache-control=max-age=60"), "").await;
    }
    let (objects, bytes) = (edge.metric("mana_edge_cache_objects").await, edge.metric("mana_edge_cache_bytes").await);
    assert!((100.0..=160.0).contains(&objects.unwrap()), "{objects:?}");
    assert!((50_000.0..=163_840.0).contains(&bytes.unwrap()), "{bytes:?}");
    assert!(edge.metric("mana_edge_cache_evictions_total").await.unwrap() >= 800.0);
}

#[tokio::test]
async fn bodies_that_are_too_large_or_too_slow_pass_as_they_come() {
    let large = Service::http(|_| async {
        let mut answer = text(vec![b'x'; 300_000]);
        answer.headers_mut().insert("cache-control", HeaderValue::from_static("max-age=60"));
        answer
    });
    let mut small = snapshot(vec![route("chat", slots(&[large.address]))]);
    small.limits.max_cache_object_bytes = 100_000;
    let edge = TestEdge::start(&small);
    for _ in 0..2 {
        let answer = ask(&edge, "/", "").await;
        assert_eq!((answer.body.len(), answer.header("cache-status")), (300_000, None));
    }

    let (hand, mut senders) = tokio::sync::mpsc::channel(1);
    let slow = Service::http(move |_| {
        let hand = hand.clone();
        async move {
            let (mut answer, sender) = streamed();
            answer.headers_mut().insert("cache-control", HeaderValue::from_static("max-age=60"));
            hand.send(sender).await.unwrap();
            answer
        }
    });
    let edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[slow.address]))]));
    let mut raw = Raw::connect(edge.address()).await;
    raw.write("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
    let sender = senders.recv().await.unwrap();
    sender.send("one").await.unwrap();
    raw.head().await;
    assert_eq!(raw.chunk().await.as_deref(), Some(b"one".as_slice()), "the client sees what there is");
    sender.send("two").await.unwrap();
    assert_eq!(raw.chunk().await.as_deref(), Some(b"two".as_slice()));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_not_kept() {
    let broken = Service::raw(|mut socket| async move {
        use tokio::io::AsyncWriteExt as _;
        read_head(&mut socket).await;
        let answer = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 100\r\n\r\nhalf";
        socket.write_all(answer.as_bytes()).await.unwrap();
    });
    let edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[broken.address]))]));
    for _ in 0..2 {
        assert_eq!(ask(&edge, "/", "").await.status, 502);
    }
    assert_eq!(edge.metric("mana_edge_cache_objects").await, Some(0.0));
}

#[tokio::test]
async fn services_that_ask_each_other_are_never_answered_from_memory() {
    let service = Counting::start();
    let mut both = service.snapshot();
    both.listeners = vec![public(), internal("chat")];
    let edge = TestEdge::start(&both);
    for _ in 0..2 {
        ask_at(edge.addresses()[1], "GET", "/?cache-control=max-age=60", "").await;
    }
    assert_eq!(service.asked(), 2);
}

#[tokio::test]
async fn only_if_cached_asks_nobody() {
    let service = Counting::start();
    let edge = service.edge();
    let path = "/?cache-control=max-age=60";
    assert_eq!(ask(&edge, path, "cache-control: only-if-cached\r\n").await.status, 504);
    assert_eq!(service.asked(), 0);
    ask(&edge, path, "").await;
    assert_eq!(ask(&edge, path, "cache-control: only-if-cached\r\n").await.status, 200);
}
