//! What routes ask of requests, and what they add to answers.

use std::time::{Duration, Instant};

use mana_edge::snapshot::{
    BasicAuth, Cors, Maintenance, Policies, RateKey, RateLimit, Route, Snapshot, Sticky, Target,
};

use crate::support::{Answer, Raw, Service, TestEdge, get, route, send, slot, slots, snapshot, text, until};

fn with(policies: Policies, service: &Service) -> Snapshot {
    snapshot(vec![Route { policies, ..route("chat", slots(&[service.address])) }])
}

/// A GET with further headers, on a connection of its own.
async fn ask(edge: &TestEdge, headers: &[&str]) -> Answer {
    let mut request = "GET / HTTP/1.1\r\nhost: chat.localhost\r\nconnection: close\r\n".to_owned();
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    send(edge.address(), &format!("{request}\r\n")).await
}

fn limit(key: RateKey, requests: u32, burst: Option<u32>) -> RateLimit {
    RateLimit { key, requests, per_ms: 60_000, burst }
}

#[tokio::test]
async fn more_than_the_limit_is_refused_with_when_to_come_again_on_all_threads() {
    let service = Service::saying("chat");
    let policies = Policies { rate_limits: vec![limit(RateKey::Address, 6, Some(4))], ..Policies::default() };
    let given = with(policies, &service);
    let edge = TestEdge::with_threads(&given, 2);
    for left in (0..4).rev() {
        let answer = ask(&edge, &[]).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("ratelimit").unwrap().starts_with(&format!("\"address\";r={left};t=")), "{answer:?}");
        assert_eq!(answer.header("ratelimit-policy"), Some("\"address\";q=4;w=40"));
    }
    let refused = ask(&edge, &[]).await;
    assert_eq!((refused.status, refused.title().as_str()), (429, "Too many requests"));
    assert_eq!(refused.header("retry-after"), Some("10"));
    // A new snapshot does not start over, and what a stranger claims changes nothing.
    edge.admin().put(&Snapshot { generation: 2, ..given }).await.unwrap();
    assert_eq!(ask(&edge, &["x-forwarded-for: 203.0.113.9"]).await.status, 429);
    assert_eq!(ask(&edge, &["x-real-ip: 203.0.113.9", "forwarded: for=203.0.113.9"]).await.status, 429);
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_share() {
    let service = Service::saying("chat");
    let policies = Policies { rate_limits: vec![limit(RateKey::Address, 1, None)], ..Policies::default() };
    let given = Snapshot { trusted_proxies: vec!["127.0.0.1".into()], ..with(policies, &service) };
    let edge = TestEdge::start(&given);
    for (headers, expected) in [
        ("x-forwarded-for: 192.0.2.1", 200),
        ("x-forwarded-for: 192.0.2.1", 429),
        ("x-forwarded-for: 198.51.100.7, 192.0.2.1", 429),
        ("x-forwarded-for: 2001:db8::1", 200),
        ("x-forwarded-for: 2001:db8::ffff:2", 429),
        ("x-forwarded-for: 2001:db8:0:1::2", 200),
        ("forwarded: for=\"[2001:db8:0:1::3]:443\";proto=https", 429),
        ("forwarded: for=192.0.2.2", 200),
    ] {
        assert_eq!(ask(&edge, &[headers]).await.status, expected, "{headers}");
    }
}

#[tokio::test]
async fn tokens_and_routes_are_counted_too_and_the_tightest_limit_shows() {
    let service = Service::saying("chat");
    let rate_limits = vec![limit(RateKey::Token, 2, None), limit(RateKey::Route, 4, None)];
    let edge = TestEdge::start(&with(Policies { rate_limits, ..Policies::default() }, &service));
    for (header, expected, shown) in [
        ("authorization: Bearer a", 200, "\"token\";r=1"),
        ("authorization: Bearer a", 200, "\"token\";r=0"),
        ("authorization: Bearer a", 429, "\"token\";r=0"),
        ("authorization: Bearer b", 200, "\"token\";r=1"),
        ("x-none: 1", 200, "\"route\";r=0"),
        ("x-none: 1", 429, "\"route\";r=0"),
    ] {
        let answer = ask(&edge, &[header]).await;
        assert_eq!(answer.status, expected, "{header}");
        assert!(answer.header("ratelimit").unwrap().starts_with(shown), "{header}: {answer:?}");
    }
}

#[tokio::test]
async fn addresses_are_let_in_or_kept_out() {
    let service = Service::saying("chat");
    let lists = |allow: &[&str], deny: &[&str]| {
        let owned = |list: &[&str]| list.iter().map(|range| (*range).to_owned()).collect();
        let policies = Policies { allow: owned(allow), deny: owned(deny), ..Policies::default() };
        Snapshot { trusted_proxies: vec!["127.0.0.1".into()], ..with(policies, &service) }
    };
    for (allow, deny, client, expected) in [
        (&["192.0.2.0/24"][..], &[][..], "192.0.2.7", 200),
        (&["192.0.2.0/24"], &[], "198.51.100.1", 403),
        (&["192.0.2.0/24"], &["192.0.2.7"], "192.0.2.7", 403),
        (&[], &["2001:db8::/32"], "2001:db8::1", 403),
        (&[], &["2001:db8::/32"], "192.0.2.1", 200),
    ] {
        let edge = TestEdge::start(&lists(allow, deny));
        let answer = ask(&edge, &[&format!("x-forwarded-for: {client}")]).await;
        assert_eq!(answer.status, expected, "{client} with {allow:?} and not {deny:?}");
        assert!(expected == 200 || answer.title() == "Not open to this address");
    }
}

#[tokio::test]
async fn name_and_password_are_asked_for_and_not_passed_on() {
    let service = Service::http(async |request| text(format!("{:?}", request.headers().get("authorization"))));
    // SHA-256 of `team:open sesame`.
    let sha256 = vec!["0".repeat(64), "c3d6f3f4b3a1".into()];
    let spoiled = Policies { basic_auth: Some(BasicAuth { realm: "staging".into(), sha256 }), ..Policies::default() };
    let problems = with(spoiled, &service).compile().unwrap_err();
    assert_eq!(problems[0].to_string(), "route `chat`: sha256 number 2 is not 64 hexadecimal digits");

    let sha256 = vec!["0".repeat(64), "e55cc6a869200de83319906ddd876bc9fe141446c423414de26afbb453f9a148".into()];
    let policies = Policies { basic_auth: Some(BasicAuth { realm: "staging".into(), sha256 }), ..Policies::default() };
    let edge = TestEdge::start(&with(policies, &service));
    for (header, expected) in [
        ("x-none: 1", 401),
        ("authorization: Basic dGVhbTpvcGVuIHNlc2FtZQ==", 200),
        ("authorization: basic dGVhbTpvcGVuIHNlc2FtZQ==", 200),
        ("authorization: Basic dGVhbTp3cm9uZw==", 401),
        ("authorization: Basic !!", 401),
        ("authorization: Bearer dGVhbTpvcGVuIHNlc2FtZQ==", 401),
    ] {
        let answer = ask(&edge, &[header]).await;
        assert_eq!(answer.status, expected, "{header}");
        if expected == 401 {
            assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"staging\", charset=\"UTF-8\""));
        } else {
            assert_eq!(answer.text(), "None", "the service does not see it");
        }
    }
}

#[tokio::test]
async fn other_sites_pages_may_ask_as_far_as_the_route_says() {
    let service = Service::saying("chat");
    let cors = Cors {
        origins: vec!["https://app.example.org".into()],
        methods: vec!["PUT".into(), "DELETE".into()],
        headers: vec!["content-type".into()],
        expose: vec!["x-request-id".into()],
        credentials: true,
        max_age_s: 60,
    };
    let edge = TestEdge::start(&with(Policies { cors: Some(cors), ..Policies::default() }, &service));
    let preflight = |origin: &str| {
        format!(
            "OPTIONS / HTTP/1.1\r\nhost: chat.localhost\r\norigin: {origin}\r\naccess-control-request-method: PUT\r\nconnection: close\r\n\r\n"
        )
    };
    let allowed = send(edge.address(), &preflight("https://app.example.org")).await;
    assert_eq!(allowed.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://app.example.org"),
        ("access-control-allow-methods", "PUT, DELETE"),
        ("access-control-allow-headers", "content-type"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "60"),
        ("vary", "origin"),
    ] {
        assert_eq!(allowed.header(name), Some(value), "{name}");
    }
    let refused = send(edge.address(), &preflight("https://evil.example")).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (204, None));
    let answer = ask(&edge, &["origin: https://app.example.org"]).await;
    assert_eq!(answer.text(), "chat");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example.org"));
    assert_eq!(answer.header("access-control-expose-headers"), Some("x-request-id"));
    let stranger = ask(&edge, &["origin: https://evil.example"]).await;
    assert_eq!((stranger.status, stranger.header("access-control-allow-origin")), (200, None));
    assert_eq!(stranger.header("vary"), Some("origin"));

    let everyone = Cors {
        origins: vec!["*".into()],
        credentials: true,
        methods: vec![],
        headers: vec![],
        expose: vec![],
        max_age_s: 1,
    };
    let problems = with(Policies { cors: Some(everyone), ..Policies::default() }, &service).compile().unwrap_err();
    assert!(problems[0].to_string().contains("would open every account"), "{}", problems[0]);
}

#[tokio::test]
async fn browsers_are_told_to_be_careful_unless_the_service_says_otherwise() {
    let service = Service::http(async |_| {
        let mut answer = text("chat");
        answer.headers_mut().insert("x-frame-options", "DENY".parse().unwrap());
        answer
    });
    let edge = TestEdge::start(&with(Policies { security_headers: true, ..Policies::default() }, &service));
    let answer = ask(&edge, &[]).await;
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin-allow-popups"));
}

#[tokio::test]
async fn a_closed_route_says_so_or_holds_requests_until_it_is_open() {
    let service = Service::saying("chat");
    let closed = |generation, maintenance| Snapshot {
        generation,
        ..with(Policies { maintenance: Some(maintenance), ..Policies::default() }, &service)
    };
    let edge = TestEdge::start(&closed(1, Maintenance { hold_ms: 0, retry_after_s: 120 }));
    let answer = ask(&edge, &[]).await;
    assert_eq!((answer.status, answer.title().as_str()), (503, "Closed for maintenance"));
    assert_eq!(answer.header("retry-after"), Some("120"));

    // Not longer than it says.
    edge.admin().put(&closed(2, Maintenance { hold_ms: 150, retry_after_s: 5 })).await.unwrap();
    let begun = Instant::now();
    let waited = ask(&edge, &[]).await;
    assert_eq!((waited.status, waited.header("retry-after")), (503, Some("5")));
    assert!(begun.elapsed() >= Duration::from_millis(150));
    let counted = "mana_edge_requests_total{route=\"chat\",slot=\"\",release=\"\",class=\"5xx\"}";
    assert_eq!(edge.metric(counted).await, Some(2.0), "who waited in vain is counted too");

    // Many, with a body too, and a snapshot in between that leaves it closed.
    edge.admin().put(&closed(3, Maintenance { hold_ms: 10_000, retry_after_s: 5 })).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut raw = Raw::connect(edge.address()).await;
        raw.write("POST / HTTP/1.1\r\nhost: chat.localhost\r\ncontent-length: 4\r\n\r\nbody").await;
        waiting.push(raw);
    }
    until("they have come", async || edge.admin().health().await.unwrap().connections >= 20).await;
    edge.admin().put(&closed(4, Maintenance { hold_ms: 10_000, retry_after_s: 6 })).await.unwrap();
    assert!(waiting[0].is_silent_for(Duration::from_millis(100)).await);
    edge.admin().put(&Snapshot { generation: 5, ..with(Policies::default(), &service) }).await.unwrap();
    for mut raw in waiting {
        assert_eq!(raw.answer().await.text(), "chat");
    }
    assert_eq!(get(edge.address(), "chat.localhost", "/").await.text(), "chat");
}

#[tokio::test]
async fn who_waits_for_a_closed_route_is_told_when_the_edge_ends() {
    let service = Service::saying("chat");
    let maintenance = Some(Maintenance { hold_ms: 60_000, retry_after_s: 7 });
    let mut edge = TestEdge::start(&with(Policies { maintenance, ..Policies::default() }, &service));
    let mut raw = Raw::connect(edge.address()).await;
    raw.write("GET / HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
    assert!(raw.is_silent_for(Duration::from_millis(100)).await);
    let stopping = tokio::task::spawn_blocking(move || edge.stop());
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("7")));
    stopping.await.unwrap();
}

/// A route of two services by weight, whose clients stay where they are.
fn two_versions(old: &Service, new: &Service, weight: u32, sticky: Sticky) -> Snapshot {
    let target = Target::Slots(vec![slot("blue", 100 - weight, &[old.address]), slot("green", weight, &[new.address])]);
    let mut route = route("chat", target);
    route.policies.sticky = Some(sticky);
    Snapshot { generation: u64::from(weight) + 1, ..snapshot(vec![route]) }
}

#[tokio::test]
async fn a_client_stays_on_its_version_while_weights_move() {
    let (old, new) = (seen_cookies("old"), seen_cookies("new"));
    let sticky = || Sticky::Cookie("version".into());
    let edge = TestEdge::start(&two_versions(&old, &new, 10, sticky()));
    let mut clients = Vec::new();
    for _ in 0..100 {
        let answer = get(edge.address(), "chat.localhost", "/").await;
        let cookie = answer.header("set-cookie").expect("a place").to_owned();
        assert!(cookie.ends_with("; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"), "{cookie}");
        clients.push((cookie.split(';').next().unwrap().to_owned(), answer.text().to_owned()));
    }
    assert_eq!(
        clients.iter().filter(|(_, version)| version == "new:").count(),
        10,
        "new clients are shared out exactly"
    );
    for weight in [10, 50, 100] {
        if weight > 10 {
            edge.admin().put(&two_versions(&old, &new, weight, sticky())).await.unwrap();
        }
        let mut on_new = 0;
        for (cookie, version) in &clients {
            let request = format!("GET / HTTP/1.1\r\nhost: chat.localhost\r\ncookie: a=b; {cookie}\r\n\r\n");
            let answer = send(edge.address(), &request).await;
            let (now, cookies) = answer.text().split_once(':').unwrap();
            assert_eq!((cookies, answer.header("set-cookie")), ("a=b", None), "the edge's cookie is the edge's");
            assert!(version == "old:" || now == "new", "whoever is on the new version stays there");
            assert!(weight > 10 || format!("{now}:") == *version);
            on_new += u32::from(now == "new");
        }
        assert!(on_new.abs_diff(weight) <= 20, "{on_new} of 100 at {weight} %");
    }
}

#[tokio::test]
async fn a_header_can_say_who_stays_together() {
    let (old, new) = (seen_cookies("old"), seen_cookies("new"));
    let edge = TestEdge::start(&two_versions(&old, &new, 50, Sticky::Header("x-team".into())));
    let mut on_new = 0;
    for team in 0..40 {
        let request = format!("GET / HTTP/1.1\r\nhost: chat.localhost\r\nx-team: {team}\r\n\r\n");
        let first = send(edge.address(), &request).await;
        let second = send(edge.address(), &request).await;
        assert_eq!((first.text(), first.header("set-cookie")), (second.text(), None));
        on_new += i32::from(first.text() == "new:");
    }
    assert!((8..=32).contains(&on_new), "{on_new} of 40");
}

/// Says its name, and what cookies it was sent.
fn seen_cookies(name: &'static str) -> Service {
    Service::http(move |request| async move {
        let cookies = request.headers().get("cookie").map_or("", |value| value.to_str().unwrap());
        text(format!("{name}:{cookies}"))
    })
}
