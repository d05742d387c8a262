//! What is counted, and what is not.

use std::collections::BTreeSet;

use mana_edge::admin::Since;

use crate::support::{Raw, Service, TestEdge, get, route, send, site, slots, snapshot, text, until};

#[tokio::test]
async fn requests_are_counted_per_route_slot_and_release() {
    let service = Service::saying("12345");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "home").unwrap();
    let edge = TestEdge::start(&snapshot(vec![
        route("chat", slots(&[service.address])),
        route("none", slots(&[])),
        route("site", site(folder.path())),
    ]));
    let address = edge.address();
    let mut client = Raw::connect(address).await;
    for _ in 0..7 {
        client.ask("POST / HTTP/1.1\r\nhost: chat.localhost\r\ncontent-length: 3\r\n\r\nabc").await;
    }
    get(address, "none.localhost", "/").await;
    get(address, "site.localhost", "/").await;
    get(address, "site.localhost", "/missing").await;
    get(address, "nobody.localhost", "/").await;
    send(address, "GET / HTTP/1.1\r\n\r\n").await;
    for _ in 0..3 {
        get(address, "chat.localhost", "/api/health/ready").await;
    }
    let blue = "route=\"chat\",slot=\"blue\",release=\"blue-1\"";
    let requests = format!("mana_edge_requests_total{{{blue},class=\"2xx\"}}");
    until("all are counted", async || edge.metric(&requests).await == Some(7.0)).await;
    for (series, value) in [
        (format!("mana_edge_requests_total{{{blue},class=\"5xx\"}}"), 0.0),
        (format!("mana_edge_received_bytes_total{{{blue}}}"), 21.0),
        (format!("mana_edge_sent_bytes_total{{{blue}}}"), 35.0),
        (format!("mana_edge_requests_in_flight{{{blue}}}"), 0.0),
        (format!("mana_edge_request_seconds_count{{{blue}}}"), 7.0),
        (format!("mana_edge_request_seconds_bucket{{{blue},le=\"+Inf\"}}"), 7.0),
        ("mana_edge_requests_total{route=\"none\",slot=\"\",release=\"\",class=\"5xx\"}".into(), 1.0),
        ("mana_edge_requests_total{route=\"site\",slot=\"\",release=\"\",class=\"2xx\"}".into(), 1.0),
        ("mana_edge_requests_total{route=\"site\",slot=\"\",release=\"\",class=\"4xx\"}".into(), 1.0),
        ("mana_edge_refused_total{reason=\"unknown_host\"}".into(), 1.0),
        ("mana_edge_refused_total{reason=\"bad_request\"}".into(), 1.0),
        ("mana_edge_probes_total".into(), 3.0),
        ("mana_edge_generation".into(), 1.0),
        ("mana_edge_threads".into(), 2.0),
    ] {
        assert_eq!(edge.metric(&series).await, Some(value), "{series}");
    }
}

#[tokio::test]
async fn what_a_slot_counted_stays_when_the_snapshot_changes() {
    let service = Service::saying("ok");
    let mut given = snapshot(vec![route("chat", slots(&[service.address]))]);
    let edge = TestEdge::start(&given);
    get(edge.address(), "chat.localhost", "/").await;
    given.generation = 2;
    given.routes.clear();
    edge.admin().put(&given).await.unwrap();
    let series = "mana_edge_requests_total{route=\"chat\",slot=\"blue\",release=\"blue-1\",class=\"2xx\"}";
    assert_eq!(edge.metric(series).await, Some(1.0));
    assert_eq!(edge.metric("mana_edge_generation").await, Some(2.0));
}

#[tokio::test]
async fn every_line_of_the_page_is_prometheus_text() {
    let service = Service::saying("ok");
    let edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[service.address]))]));
    get(edge.address(), "chat.localhost", "/").await;
    let page = edge.admin().metrics().await.unwrap();
    let mut declared = std::collections::HashSet::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(declared.insert(rest.split(' ').next().unwrap().to_owned()), "declared twice: {line}");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        assert!(declared.contains(family) || declared.contains(name), "not declared: {line}");
    }
}

#[tokio::test]
async fn the_reference_names_the_series_that_there_are() {
    let service = Service::saying("ok");
    let edge = TestEdge::start(&snapshot(vec![route("chat", slots(&[service.address]))]));
    let page = edge.admin().metrics().await.unwrap();
    let shown = page.lines().filter_map(|line| line.strip_prefix("# TYPE mana_edge_")?.split(' ').next());
    let reference = include_str!("../../../../docs/EDGE.md");
    let section = reference.split_once("\n## Metrics\n").unwrap().1.split_once("\n## ").unwrap().0;
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('|').next());
    let named = cells.flat_map(|cell| cell.split(", `")).map(|name| name.split(['`', '{']).next().unwrap().trim());
    assert_eq!(named.collect::<BTreeSet<_>>(), shown.collect::<BTreeSet<_>>());
}

#[tokio::test]
async fn a_window_counts_exactly_what_happened_since_a_snapshot() {
    let service = Service::http(async |request| {
        let mut answer = text("chat");
        if request.uri().path() == "/fails" {
            *answer.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        }
        answer
    });
    let mut given = snapshot(vec![route("chat", slots(&[service.address])), route("a b&c", slots(&[service.address]))]);
    given.routes[1].hosts = vec!["other.localhost".into()];
    let edge = TestEdge::start(&given);
    for _ in 0..7 {
        get(edge.address(), "chat.localhost", "/fails").await;
    }
    given.generation = 2;
    edge.admin().put(&given).await.unwrap();
    for path in ["/", "/", "/fails"] {
        get(edge.address(), "chat.localhost", path).await;
        get(edge.address(), "other.localhost", path).await;
    }
    let admin = edge.admin();
    until("all have ended", async || {
        let window = admin.window(Since::Generation(2), None, None).await.unwrap();
        window.slots.iter().map(|slot| slot.requests).sum::<u64>() == 6
    })
    .await;
    let window = admin.window(Since::Generation(2), Some("chat"), None).await.unwrap();
    let slot = window.slots.iter().find(|slot| slot.slot == "blue").unwrap();
    assert_eq!((slot.requests, slot.classes["2xx"], slot.classes["5xx"], slot.in_flight), (3, 2, 1, 0));
    assert_eq!((slot.to_head.count, slot.upstream.count, slot.total.count), (3, 3, 3));
    assert!(slot.upstream.p99 > 0.0 && slot.upstream.mean <= slot.total.mean, "{slot:?}");
    let other = admin.window(Since::Generation(2), Some("a b&c"), None).await.unwrap();
    assert!(!other.slots.is_empty() && other.slots.iter().all(|slot| slot.route == "a b&c"), "{other:?}");
    let since_start = admin.window(Since::Generation(1), Some("chat"), None).await.unwrap();
    assert_eq!(since_start.slots.iter().map(|slot| slot.requests).sum::<u64>(), 10);
    let minutes = admin.window(Since::SecondsAgo(600), Some("chat"), None).await.unwrap();
    assert_eq!(minutes.slots.iter().map(|slot| slot.requests).sum::<u64>(), 10);
    let unknown = admin.window(Since::Generation(99), None, None).await.unwrap_err().to_string();
    assert!(unknown.contains("64"), "{unknown}");
}
