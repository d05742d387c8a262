//! How an edge is told what to serve, and what it remembers.

use std::net::SocketAddr;

use mana_edge::admin::{Client, ClientError, Status};
use mana_edge::snapshot::{Listener, Snapshot, Target};
use mana_edge::{Edge, Error, Options};

use crate::support::{Raw, Service, TestEdge, get, internal, route, slot, slots, snapshot, until};

fn next(snapshot: &Snapshot) -> Snapshot {
    Snapshot { generation: snapshot.generation + 1, ..snapshot.clone() }
}

#[tokio::test]
async fn a_snapshot_is_in_effect_and_on_disk_when_it_is_acknowledged() {
    let (one, two) = (Service::saying("one"), Service::saying("two"));
    let first = snapshot(vec![route("chat", slots(&[one.address]))]);
    let mut edge = TestEdge::start(&first);
    assert_eq!(get(edge.address(), "chat.localhost", "/").await.text(), "one");

    let mut second = next(&first);
    second.routes = vec![route("chat", slots(&[two.address]))];
    let applied = edge.admin().put(&second).await.unwrap();
    assert_eq!((applied.generation, applied.changed), (2, true));
    assert_eq!(applied.addresses, edge.addresses());
    assert_eq!(get(edge.address(), "chat.localhost", "/").await.text(), "two");
    assert_eq!(edge.admin().get().await.unwrap(), second);
    let stored: Snapshot = serde_json::from_slice(&std::fs::read(edge.config()).unwrap()).unwrap();
    assert_eq!(stored, second);

    edge.restart();
    assert_eq!(edge.admin().get().await.unwrap(), second);
    assert_eq!(get(edge.address(), "chat.localhost", "/").await.text(), "two");
}

#[tokio::test]
async fn a_late_writer_cannot_undo_a_newer_decision() {
    let first = Snapshot { generation: 7, ..snapshot(Vec::new()) };
    let edge = TestEdge::start(&first);
    let same = edge.admin().put(&first).await.unwrap();
    assert!(!same.changed, "the very same snapshot may be repeated");
    let mut other = first.clone();
    other.limits.max_headers = 50;
    for generation in [7, 6, 0] {
        let stale = Snapshot { generation, ..other.clone() };
        let refused = edge.admin().put(&stale).await.unwrap_err();
        assert!(matches!(refused, ClientError::Stale { current: 7, offered } if offered == generation), "{refused}");
    }
    assert_eq!(edge.admin().get().await.unwrap(), first);
    assert_eq!(edge.metric("mana_edge_snapshots_refused_total").await, Some(3.0));
}

#[tokio::test]
async fn a_wrong_snapshot_changes_nothing_and_hears_everything_at_once() {
    let service = Service::saying("one");
    let first = snapshot(vec![route("chat", slots(&[service.address]))]);
    let edge = TestEdge::start(&first);
    let mut wrong = next(&first);
    wrong.routes.push(route("chat", Target::Slots(vec![slot("blue", 0, &[])])));
    wrong.trusted_proxies = vec!["10.0.0.0/99".into()];
    let ClientError::Refused(refusal) = edge.admin().put(&wrong).await.unwrap_err() else { panic!("refused") };
    assert_eq!((refusal.status, refusal.title.as_str()), (422, "Invalid snapshot"));
    assert_eq!(refusal.problems.len(), 4, "{:#?}", refusal.problems);
    assert_eq!(edge.admin().get().await.unwrap(), first);
    assert_eq!(get(edge.address(), "chat.localhost", "/").await.text(), "one");
}

#[tokio::test]
async fn an_address_that_is_taken_refuses_the_whole_snapshot() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let service = Service::saying("one");
    let first = snapshot(vec![route("chat", slots(&[service.address]))]);
    let edge = TestEdge::start(&first);
    let mut second = next(&first);
    second.routes.clear();
    second.listeners.push(Listener::public("127.0.0.3:0".parse().unwrap()));
    second.listeners.push(Listener::public(taken.local_addr().unwrap()));
    let ClientError::Refused(refusal) = edge.admin().put(&second).await.unwrap_err() else { panic!("refused") };
    assert_eq!((refusal.status, refusal.title.as_str()), (409, "Address not available"));
    assert!(refusal.detail.contains(&taken.local_addr().unwrap().to_string()), "{}", refusal.detail);
    assert_eq!(edge.admin().get().await.unwrap(), first);
    assert_eq!(edge.admin().health().await.unwrap().addresses, edge.addresses());
    assert_eq!(get(edge.address(), "chat.localhost", "/").await.text(), "one");
    assert_eq!(std::fs::read(edge.config()).unwrap(), serde_json::to_vec(&first).unwrap());
}

#[tokio::test]
async fn listeners_come_and_go_while_it_serves() {
    let service = Service::saying("one");
    let first = snapshot(vec![route("chat", slots(&[service.address]))]);
    let edge = TestEdge::start(&first);
    let mut kept = Raw::connect(edge.address()).await;
    let ask = "GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n";
    assert_eq!(kept.ask(ask).await.status, 200);

    let mut second = next(&first);
    second.listeners.push(internal("chat"));
    let addresses = edge.admin().put(&second).await.unwrap().addresses;
    let added: SocketAddr = addresses[1];
    let mut inside = Raw::connect(added).await;
    assert_eq!(inside.ask("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.status, 200);

    edge.admin().put(&Snapshot { generation: 3, ..first.clone() }).await.unwrap();
    until("nobody accepts there any more", async || tokio::net::TcpStream::connect(added).await.is_err()).await;
    assert!(inside.is_closed().await, "kept connections of a listener that is gone end");
    assert_eq!(kept.ask(ask).await.status, 200, "others live on");
}

#[tokio::test]
async fn health_says_how_the_edge_is() {
    let edge = TestEdge::start(&snapshot(Vec::new()));
    let _client = Raw::connect(edge.address()).await;
    until("the connection is counted", async || edge.admin().health().await.unwrap().connections == 1).await;
    let health = edge.admin().health().await.unwrap();
    assert_eq!((health.status, health.generation, health.threads), (Status::Serving, 1, 2));
}

#[tokio::test]
async fn nobody_on_the_socket_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let error = Client::new(folder.path().join("edge.sock")).get().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }));
    assert!(error.to_string().contains("edge.sock"), "{error}");
}

#[tokio::test]
async fn what_is_no_snapshot_is_refused_with_its_place() {
    let edge = TestEdge::start(&snapshot(Vec::new()));
    let answer = put_text(&edge, "{\"generation\": 2,\n \"listenrs\": []}").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("application/problem+json"), "{answer}");
    assert!(answer.contains("unknown field `listenrs`") && answer.contains("line 2"), "{answer}");
}

/// As somebody else writes it.
async fn put_text(edge: &TestEdge, body: &str) -> String {
    let mut stream = tokio::net::UnixStream::connect(edge.admin().socket()).await.unwrap();
    let head = format!("PUT /snapshot HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}", body.len());
    tokio::io::AsyncWriteExt::write_all(&mut stream, format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn what_a_newer_control_plane_wants_is_refused_but_for_hints_which_the_next_edge_finds() {
    let first = snapshot(Vec::new());
    let mut edge = TestEdge::start(&first);
    let with = |name: &str, value: serde_json::Value| {
        let mut json = serde_json::to_value(next(&first)).unwrap();
        json[name] = value;
        json.to_string()
    };
    let newer = serde_json::json!(mana_edge::snapshot::FORMAT + 1);
    for (name, value, says) in [("later", true.into(), "unknown field `later`"), ("format", newer, "of format")] {
        let answer = put_text(&edge, &with(name, value)).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(says) && answer.contains("mana up"), "{answer}");
        assert_eq!(edge.admin().get().await.unwrap(), first, "it goes on with what it understood");
    }
    let hint = serde_json::json!({"anything": [1]});
    let answer = put_text(&edge, &with("hints", serde_json::json!({ "later": hint }))).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let served = edge.admin().get().await.unwrap();
    assert_eq!((served.generation, served.hints.get("later")), (2, Some(&hint)));
    edge.restart();
    assert_eq!(edge.admin().get().await.unwrap(), served);
}

fn started(snapshot: &Snapshot) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("edge.json");
    std::fs::write(&config, serde_json::to_vec(snapshot).unwrap()).unwrap();
    Edge::start(Options::new(config)).unwrap_err()
}

#[tokio::test]
async fn two_edges_on_one_address_are_an_error_and_not_a_lottery() {
    let edge = TestEdge::start(&snapshot(Vec::new()));
    let mut second = snapshot(Vec::new());
    second.listeners[0].address = edge.address();
    let error = started(&second);
    assert!(matches!(error, Error::AddressInUse { address } if address == edge.address()), "{error}");
    assert_eq!(error.exit_code(), 1);
}

#[tokio::test]
async fn a_wrong_file_is_told_before_anything_is_bound() {
    let mut wrong = snapshot(vec![route("chat", slots(&["0.0.0.0:0".parse().unwrap()]))]);
    wrong.listeners.push(internal("nothing"));
    let error = started(&wrong);
    assert_eq!(error.exit_code(), 64);
    let text = error.to_string();
    assert!(text.contains("route `chat`: instance") && text.contains("names the route `nothing`"), "{text}");
}
