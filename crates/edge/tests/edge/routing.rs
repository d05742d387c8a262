//! Where a request goes.

use std::net::SocketAddr;

use mana_edge::snapshot::{Redirect, Route, Target};

use crate::support::{Answer, Raw, Service, TestEdge, get, internal, route, send, slot, slots, snapshot, text, until};

fn at(path: &str, route: Route) -> Route {
    Route { path: path.into(), ..route }
}

#[tokio::test]
async fn the_exact_host_and_the_longest_prefix_decide() {
    let services: Vec<_> = ["app", "api", "v1", "other"].map(Service::saying).into_iter().collect();
    let to = |index: usize| slots(&[services[index].address]);
    let hosts = vec!["app.localhost".to_owned(), "alias.localhost".to_owned()];
    let on_app = |name: &str, path: &str, target| at(path, Route { hosts: hosts.clone(), ..route(name, target) });
    let edge = TestEdge::start(&snapshot(vec![
        on_app("app", "/", to(0)),
        on_app("api", "/api", to(1)),
        on_app("v1", "/api/v1/", to(2)),
        route("other", to(3)),
    ]));
    for (host, path, expected) in [
        ("app.localhost", "/", "app"),
        ("app.localhost", "/apix", "app"),
        ("app.localhost", "/api", "api"),
        ("app.localhost", "/api?x=/v1", "api"),
        ("app.localhost", "/api/v10", "api"),
        ("app.localhost", "/api/v1", "v1"),
        ("app.localhost", "/api/v1/x/y", "v1"),
        ("alias.localhost", "/api", "api"),
        ("APP.localhost", "/", "app"),
        ("app.localhost:8080", "/", "app"),
        ("app.localhost.", "/", "app"),
        ("other.localhost", "/api", "other"),
    ] {
        let answer = get(edge.address(), host, path).await;
        assert_eq!((answer.status, answer.text()), (200, expected), "{host}{path}");
    }
}

#[tokio::test]
async fn what_leads_nowhere_says_so() {
    let service = Service::saying("api");
    let edge = TestEdge::start(&snapshot(vec![at("/api", route("api", slots(&[service.address])))]));
    let address = edge.address();
    let ask = async |request: &str| send(address, request).await;
    let check = |answer: Answer, status: u16, title: &str| {
        assert_eq!((answer.status, answer.title().as_str()), (status, title));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.header("x-request-id").is_some());
    };
    check(get(address, "unknown.localhost", "/").await, 404, "No such host here");
    check(get(address, "localhost", "/api").await, 404, "No such host here");
    check(get(address, "api.localhost", "/").await, 404, "No service for this path");
    let host = "Host header missing or malformed";
    check(ask("GET /api HTTP/1.1\r\n\r\n").await, 400, host);
    check(ask("GET /api HTTP/1.1\r\nhost: api.localhost\r\nhost: api.localhost\r\n\r\n").await, 400, host);
    check(ask("GET /api HTTP/1.1\r\nhost: api.localhost/x\r\n\r\n").await, 400, host);
    check(ask("GET /api HTTP/1.1\r\nhost: \r\n\r\n").await, 400, host);
    check(ask("GET /api HTTP/1.0\r\n\r\n").await, 400, host);
    let target = "Ambiguous request target";
    check(ask("GET http://evil.localhost/api HTTP/1.1\r\nhost: api.localhost\r\n\r\n").await, 400, target);
    for path in ["/api/../secret", "/api/%2e%2E/secret", "/./api", "/api/.."] {
        check(ask(&format!("GET {path} HTTP/1.1\r\nhost: api.localhost\r\n\r\n")).await, 400, target);
    }
    let connect = "CONNECT api.localhost:443 HTTP/1.1\r\nhost: api.localhost:443\r\n\r\n";
    check(ask(connect).await, 501, "Method not offered");
}

#[tokio::test]
async fn an_absolute_target_is_passed_on_as_a_path() {
    let service = Service::http(async |request| crate::support::text(request.uri().to_string()));
    let edge = TestEdge::start(&snapshot(vec![route("api", slots(&[service.address]))]));
    let request = "GET http://api.localhost/x?y=1 HTTP/1.1\r\nhost: api.localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(send(edge.address(), request).await.text(), "/x?y=1");
}

#[tokio::test]
async fn browsers_get_a_page_with_the_requests_id() {
    let edge = TestEdge::start(&snapshot(Vec::new()));
    let answer =
        send(edge.address(), "GET / HTTP/1.1\r\nhost: nobody.localhost\r\naccept: text/html,*/*;q=0.8\r\n\r\n").await;
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    let id = answer.header("x-request-id").unwrap();
    assert!(answer.text().contains(id) && answer.text().contains("<h1>No such host here</h1>"), "{}", answer.text());
}

#[tokio::test]
async fn an_internal_listener_leads_to_its_route_whatever_the_host() {
    let (one, two) = (Service::saying("one"), Service::saying("two"));
    let hidden = Route { hosts: Vec::new(), ..at("/api", route("two", slots(&[two.address]))) };
    let mut given = snapshot(vec![route("one", slots(&[one.address])), hidden]);
    given.listeners.push(internal("two"));
    let edge = TestEdge::start(&given);
    let addresses: Vec<SocketAddr> = edge.addresses().to_vec();
    for host in ["127.0.0.1:3001", "one.localhost", "whatever"] {
        assert_eq!(get(addresses[1], host, "/x").await.text(), "two");
    }
    assert_eq!(get(addresses[0], "two.localhost", "/api").await.status, 404, "it has no public host");
}

#[tokio::test]
async fn shares_are_exact_over_a_thousand_requests_on_all_threads() {
    let (blue, green) = (Service::saying("blue"), Service::saying("green"));
    let target = Target::Slots(vec![slot("blue", 90, &[blue.address]), slot("green", 10, &[green.address])]);
    let edge = TestEdge::start(&snapshot(vec![route("chat", target)]));
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Raw::connect(edge.address()).await);
    }
    let mut greens = 0;
    for turn in 0..1_000 {
        let answer = clients[turn % 8].ask("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
        greens += usize::from(answer.text() == "green");
    }
    assert_eq!(greens, 100);
}

#[tokio::test]
async fn a_slot_without_weight_or_instances_gets_nothing() {
    let (blue, green) = (Service::saying("blue"), Service::saying("green"));
    let target = Target::Slots(vec![
        slot("blue", 1, &[blue.address]),
        slot("green", 0, &[green.address]),
        slot("empty", 99, &[]),
    ]);
    let edge = TestEdge::start(&snapshot(vec![route("chat", target)]));
    for _ in 0..20 {
        assert_eq!(get(edge.address(), "chat.localhost", "/").await.text(), "blue");
    }
}

#[tokio::test]
async fn instances_of_a_slot_share_its_requests() {
    let services = ["a", "b", "c"].map(Service::saying);
    let edge = TestEdge::with_threads(
        &snapshot(vec![route("chat", slots(&services.each_ref().map(|service| service.address)))]),
        1,
    );
    // Drawn by chance, and one that was slow for a moment gets fewer for a while: in the end each has its share.
    let mut counts = std::collections::BTreeMap::new();
    until("each has answered often", async || {
        *counts.entry(get(edge.address(), "chat.localhost", "/").await.text().to_owned()).or_insert(0) += 1;
        counts.len() == 3 && counts.values().all(|count| *count >= 20)
    })
    .await;
}

#[tokio::test]
async fn a_route_without_a_ready_instance_answers_503_at_once() {
    let edge = TestEdge::start(&snapshot(vec![route("none", slots(&[])), route("empty", Target::Slots(Vec::new()))]));
    for host in ["none.localhost", "empty.localhost"] {
        let answer = get(edge.address(), host, "/").await;
        assert_eq!((answer.status, answer.title().as_str()), (503, "No ready instance"));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
}

#[tokio::test]
async fn a_redirect_keeps_what_it_is_told_to_keep() {
    let to = |to: &str, status, keep_path| Target::Redirect(Redirect { to: to.into(), status, keep_path });
    let edge = TestEdge::start(&snapshot(vec![
        at("/app", route("a", to("https://app.example/", 308, true))),
        route("b", to("https://b.example", 302, false)),
        route("c", to("https://c.example/base", 301, true)),
    ]));
    for (host, path, status, location) in [
        ("a.localhost", "/app/x?y=1", 308, "https://app.example/x?y=1"),
        ("a.localhost", "/app", 308, "https://app.example"),
        ("b.localhost", "/x?y=1", 302, "https://b.example"),
        ("c.localhost", "/x", 301, "https://c.example/base/x"),
        ("c.localhost", "//evil.example", 301, "https://c.example/base//evil.example"),
    ] {
        let answer = get(edge.address(), host, path).await;
        assert_eq!((answer.status, answer.header("location")), (status, Some(location)), "{host}{path}");
    }
}

#[tokio::test]
async fn a_routes_headers_are_on_all_its_answers() {
    let service = Service::saying("ok");
    let mut chat = route("chat", slots(&[service.address]));
    chat.response_headers = [("x-frame-options".into(), "DENY".into()), ("server".into(), "mana".into())].into();
    let mut down = Route { hosts: vec!["down.localhost".into()], name: "down".into(), ..chat.clone() };
    down.target = slots(&[]);
    let edge = TestEdge::start(&snapshot(vec![chat, down]));
    for host in ["chat.localhost", "down.localhost"] {
        let answer = get(edge.address(), host, "/").await;
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("server"), Some("mana"));
    }
}

#[tokio::test]
async fn a_prefix_is_the_same_however_its_letters_are_written() {
    let (all, admin) = (Service::saying("all"), Service::http(async |request| text(request.uri().to_string())));
    let given = snapshot(vec![
        route("app", slots(&[all.address])),
        at("/%61dmin", Route { hosts: vec!["app.localhost".into()], ..route("admin", slots(&[admin.address])) }),
    ]);
    let edge = TestEdge::start(&given);
    for path in ["/admin", "/%61dmin", "/a%64min/x", "/admi%6E/%78?y=%61", "/%61%64%6d%69%6e"] {
        assert_eq!(get(edge.address(), "app.localhost", path).await.text(), path);
    }
    for path in ["/admi", "/%2561dmin", "/adm%69nx", "/%41dmin"] {
        assert_eq!(get(edge.address(), "app.localhost", path).await.text(), "all", "{path}");
    }
}
