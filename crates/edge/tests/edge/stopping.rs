//! How an edge ends: through its real program where signals and exit codes matter.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use mana_edge::admin::Status;
use mana_edge::snapshot::{Issuer, Listener, LocalAuthority, Snapshot, Tls};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    Process, Raw, SOON, Service, TlsClient, get, program, route, slots, snapshot, spawn, text, until, websocket_echo,
};

/// Answers when told to.
fn held() -> (Service, Arc<Notify>, Arc<Notify>) {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (signal, wait) = (Arc::clone(&begun), Arc::clone(&go_on));
    let service = Service::http(move |_| {
        let (signal, wait) = (Arc::clone(&signal), Arc::clone(&wait));
        async move {
            signal.notify_one();
            wait.notified().await;
            text("finished")
        }
    });
    (service, begun, go_on)
}

const ASK: &str = "GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n";

#[tokio::test]
async fn on_sigterm_requests_finish_idle_connections_close_and_the_exit_code_is_0() {
    let (service, begun, go_on) = held();
    let mut process = Process::start(&snapshot(vec![route("chat", slots(&[service.address]))]));
    let address = process.address().await;
    let mut idle = Raw::connect(address).await;
    let mut busy = Raw::connect(address).await;
    busy.write(ASK).await;
    begun.notified().await;
    process.signal("TERM");
    assert!(idle.is_closed().await, "an idle connection closes at once");
    until("nobody accepts any more", async || tokio::net::TcpStream::connect(address).await.is_err()).await;
    assert_eq!(process.admin().health().await.unwrap().status, Status::Draining);
    assert!(process.child.try_wait().unwrap().is_none(), "it waits for the request");
    go_on.notify_one();
    let answer = busy.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "finished"));
    assert!(busy.is_closed().await);
    assert_eq!(process.ended().await, 0);
    assert!(!process.folder.path().join("edge.sock").exists(), "nothing is left behind");
    let log = std::fs::read_to_string(process.folder.path().join("access.log")).unwrap();
    assert!(log.contains("\"status\":200,\"route\":\"chat\",\"slot\":\"blue\",\"release\":\"blue-1\""), "{log}");
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_at_the_drain_timeout() {
    let (service, begun, _go_on) = held();
    let mut given = snapshot(vec![route("chat", slots(&[service.address]))]);
    given.limits.drain_timeout_ms = 200;
    let mut process = Process::start(&given);
    let mut busy = Raw::connect(process.address().await).await;
    busy.write(ASK).await;
    begun.notified().await;
    process.signal("INT");
    assert_eq!(process.ended().await, 0);
    assert!(busy.is_closed().await);
}

#[tokio::test]
async fn draining_can_be_asked_for_on_the_admin_socket() {
    let service = Service::saying("ok");
    let mut process = Process::start(&snapshot(vec![route("chat", slots(&[service.address]))]));
    assert_eq!(get(process.address().await, "chat.localhost", "/").await.status, 200);
    process.admin().drain().await.unwrap();
    assert_eq!(process.ended().await, 0);
}

#[tokio::test]
async fn a_broken_snapshot_ends_it_with_64_and_says_why() {
    let mut wrong = snapshot(vec![route("chat", slots(&[]))]);
    wrong.routes[0].hosts = vec!["Upper.Case".into()];
    let mut process = Process::start(&wrong);
    assert_eq!(process.ended().await, 64);
    let mut said = String::new();
    std::io::Read::read_to_string(process.child.stderr.as_mut().unwrap(), &mut said).unwrap();
    assert!(said.contains("route `chat`: host `Upper.Case` must be a host name in lower case"), "{said}");
}

#[tokio::test]
async fn an_edge_that_was_killed_serves_its_last_snapshot_again() {
    let (one, two) = (Service::saying("one"), Service::saying("two"));
    let mut given = snapshot(vec![route("chat", slots(&[one.address]))]);
    let mut process = Process::start(&given);
    process.address().await;
    given.generation = 2;
    given.routes = vec![route("chat", slots(&[two.address]))];
    process.admin().put(&given).await.unwrap();
    process.signal("KILL");
    tokio::time::timeout(SOON, async {
        while process.child.try_wait().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let folder = process.folder.path().to_owned();
    process.child = Command::new(program())
        .arg("--config")
        .arg(folder.join("edge.json"))
        .arg("--admin")
        .arg(folder.join("edge.sock"))
        .spawn()
        .unwrap();
    let address = process.address().await;
    assert_eq!(get(address, "chat.localhost", "/").await.text(), "two");
    assert_eq!(process.admin().get().await.unwrap(), given);
}

/// Asks without a pause, on connections that are kept as long as the edge keeps them. Any failure is one of the test.
async fn ask_without_pause(address: std::net::SocketAddr, stop: Arc<AtomicBool>, keep: usize) -> usize {
    let mut asked = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut client = Raw::connect(address).await;
        for _ in 0..keep {
            let answer = client.ask("POST / HTTP/1.1\r\nhost: chat.localhost\r\ncontent-length: 2\r\n\r\nhi").await;
            assert_eq!((answer.status, answer.text()), (200, "chat"));
            asked += 1;
            if answer.header("connection") == Some("close") {
                break;
            }
        }
    }
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_replacements_under_load_fail_no_request() {
    let (slow_service, begun, finish) = held();
    let service = Service::saying("chat");
    let mut given =
        snapshot(vec![route("chat", slots(&[service.address])), route("slow", slots(&[slow_service.address]))]);
    given.limits.drain_timeout_ms = 4_000;
    let mut process = Process::start(&given);
    let address = process.address().await;
    // A request that is longer than one edge's life.
    let mut slow = Raw::connect(address).await;
    slow.write("GET / HTTP/1.1\r\nhost: slow.localhost\r\n\r\n").await;
    begun.notified().await;

    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for client in 0..6 {
        clients.spawn(ask_without_pause(address, Arc::clone(&stop), 1 + client * 9));
    }
    let mut old = Vec::new();
    for replacement in 0..20 {
        // Fewer and more threads: every socket that is handed over is accepted on.
        let ended = process.replace(["1", "3", "2"][replacement % 3]).await;
        old.push(ended);
        if replacement == 0 {
            finish.notify_one();
            assert_eq!(slow.answer().await.text(), "finished", "what was begun is finished");
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut asked = 0;
    while let Some(count) = clients.join_next().await {
        asked += count.unwrap();
    }
    assert!(asked > 200, "{asked}: there was load");
    for mut edge in old {
        until("the old one ends", async || edge.try_wait().unwrap().is_some_and(|status| status.success())).await;
    }
    // A snapshot goes to the one that is left, and its socket's file is still there.
    given.generation = 2;
    process.admin().put(&given).await.unwrap();
}

/// The same over TLS in HTTP/2, several streams at once. A connection that was told to go is left; what was begun on it is answered.
async fn ask_in_http2(tls: TlsClient, address: std::net::SocketAddr, stop: Arc<AtomicBool>) -> (usize, usize) {
    let (mut asked, mut connections) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let sender = tls.http2(address, "chat.localhost").await;
        connections += 1;
        while !stop.load(Ordering::Relaxed) {
            let streams = (0..4).map(|_| {
                let mut sender = sender.clone();
                async move {
                    sender.ready().await.ok()?;
                    let request = http::Request::get("https://chat.localhost/").body(http_body_util::Full::default());
                    match sender.send_request(request.unwrap()).await {
                        Ok(answer) => {
                            assert_eq!(answer.status(), 200);
                            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "chat");
                            Some(())
                        }
                        // The connection had ended, or was told to go, before this was sent.
                        Err(error) if error.is_canceled() || was_told_to_go(&error) => None,
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
            let answered = futures_util::future::join_all(streams).await;
            asked += answered.iter().flatten().count();
            if answered.iter().any(Option::is_none) {
                break;
            }
        }
    }
    (asked, connections)
}

/// What the client says of a request that it does not send any more, or that the server has not begun: its count shows that it has not.
fn was_told_to_go(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| cause.is_go_away() && cause.is_remote() && cause.reason() == Some(h2::Reason::NO_ERROR))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacements_under_load_fail_no_request_in_http2_either_and_tell_websockets() {
    let folder = tempfile::tempdir().unwrap();
    let begun = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&begun);
    let service = Service::http(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        async { text("chat") }
    });
    let echo = websocket_echo();
    let issuer = Issuer::Local(LocalAuthority { folder: folder.path().join("ca") });
    let mut given = Snapshot {
        listeners: vec![Listener::secure(([127, 0, 0, 1], 0).into())],
        tls: Some(Tls { issuer: Some(issuer), ..Tls::default() }),
        ..snapshot(vec![route("chat", slots(&[service.address])), route("echo", slots(&[echo.address]))])
    };
    given.limits.drain_timeout_ms = 4_000;
    let mut process = Process::start(&given);
    let address = process.address().await;
    let tls = TlsClient::trusting(&folder.path().join("ca/ca.pem"));
    let stream = tls.connect(address, "echo.localhost").await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://echo.localhost/", stream).await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        clients.spawn(ask_in_http2(tls.clone(), address, Arc::clone(&stop)));
    }
    let mut old = Vec::new();
    for replacement in 0..6 {
        old.push(process.replace(["1", "3", "2"][replacement % 3]).await);
        if replacement == 0 {
            socket.send(Message::text("still here")).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"), "it is not cut");
        }
    }
    let Message::Close(Some(goodbye)) = socket.next().await.unwrap().unwrap() else { panic!("no goodbye") };
    assert_eq!(u16::from(goodbye.code), 1_001);
    // Busy connections stay for a while with the edge that they are on, and are then told to go.
    for mut edge in old {
        until("the old one ends", async || edge.try_wait().unwrap().is_some_and(|status| status.success())).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (mut asked, mut connections) = (0, 0);
    while let Some(counts) = clients.join_next().await {
        let counts = counts.unwrap();
        asked += counts.0;
        connections += counts.1;
    }
    assert!(asked > 100 && connections >= 8, "{asked} on {connections}: there was load, and each moved on");
    assert_eq!(begun.load(Ordering::Relaxed), asked, "what was not answered has not been begun");
}

#[tokio::test]
async fn an_edge_that_replaces_nobody_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("edge.json"), serde_json::to_vec(&snapshot(Vec::new())).unwrap()).unwrap();
    let ended = spawn(folder.path(), &["--replace", "yes"]).wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("cannot replace the edge that runs"), "{said}");
}
