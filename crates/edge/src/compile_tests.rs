//! Every rule of `compile`, with the words a person reads.

use serde_json::{Value, json};

use crate::snapshot::Snapshot;

/// A snapshot without a problem, for the cases to spoil.
fn good() -> Value {
    json!({
        "generation": 1,
        "listeners": [{"address": "127.0.0.1:8080"}, {"address": "127.0.0.1:3002", "route": "chat"}],
        "routes": [
            {"name": "chat", "hosts": ["api-chat.localhost"], "target": {"slots": [
                {"name": "blue", "release": "v1", "weight": 9, "instances": [{"id": "a", "address": "127.0.0.1:40001"}]},
                {"name": "green", "release": "v2", "weight": 1, "instances": [{"id": "b", "address": "127.0.0.1:40002"}]},
            ]}},
            {"name": "landing", "hosts": ["chat.localhost"], "target": {"static": {"root": "/srv/landing"}}},
            {"name": "app", "hosts": ["chat.localhost"], "path": "/app", "target": {"redirect": {"to": "http://app.localhost:8080", "status": 302}}},
        ],
        "trusted_proxies": ["10.0.0.0/8"],
    })
}

fn problems(snapshot: Value) -> String {
    let snapshot: Snapshot = serde_json::from_value(snapshot).unwrap();
    let problems = snapshot.compile().err().unwrap_or_default();
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What is said when the value at `pointer` is replaced.
fn check(pointer: &str, value: Value, expected: &str) {
    let mut snapshot = good();
    let place = snapshot.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}"));
    *place = value;
    assert_eq!(problems(snapshot), expected, "{pointer}");
}

#[test]
fn a_good_snapshot_has_no_problem() {
    assert_eq!(problems(good()), "");
}

#[test]
fn routes_are_named_where_something_is_wrong() {
    let slots = "/routes/0/target/slots";
    check("/routes/1/name", json!("chat"), "route `chat`: appears twice; names of routes are unique");
    check(
        "/routes/1/hosts/0",
        json!("api-chat.localhost"),
        "route `landing`: host `api-chat.localhost` with path `/` belongs to route `chat` already",
    );
    check(
        "/routes/2/path",
        json!("/"),
        "route `app`: host `chat.localhost` with path `/` belongs to route `landing` already",
    );
    check(
        "/routes/0/hosts",
        json!(["a.b", "a.b"]),
        "route `chat`: host `a.b` with path `/` belongs to route `chat` already",
    );
    for host in ["Chat.localhost", "chat.localhost:80", "*.localhost", "chat.localhost.", "", "a b"] {
        check(
            "/routes/1/hosts/0",
            json!(host),
            &format!("route `landing`: host `{host}` must be a host name in lower case, without port"),
        );
    }
    for path in ["app", "/a?b", "/a b", "/a/../b", "//a", "/a#b"] {
        check(
            "/routes/2/path",
            json!(path),
            &format!(
                "route `app`: path `{path}` must begin with `/` and have no empty, `.` or `..` segment, encoded separator, space, `?` or `#`"
            ),
        );
    }
    check(&format!("{slots}/0/weight"), json!(0), "");
    check(slots, json!([]), "");
    check(
        slots,
        json!([{"name": "blue", "release": "v1", "weight": 0, "instances": []}]),
        "route `chat`: every slot has weight 0; give at least one a positive weight",
    );
    check(&format!("{slots}/1/name"), json!("blue"), "route `chat`: slot `blue` appears twice");
    check(&format!("{slots}/1/instances/0/id"), json!("a"), "route `chat`: instance `a` appears twice");
    check(
        &format!("{slots}/0/release"),
        json!(""),
        "route `chat`: release `` must have 1 to 128 bytes and no control characters",
    );
}

#[test]
fn instances_must_be_reachable_and_not_the_edge_itself() {
    let address = "/routes/0/target/slots/0/instances/0/address";
    check(
        address,
        json!("127.0.0.1:0"),
        "route `chat`: instance `a` has the address 127.0.0.1:0, which nobody can connect to",
    );
    check(
        address,
        json!("0.0.0.0:40001"),
        "route `chat`: instance `a` has the address 0.0.0.0:40001, which nobody can connect to",
    );
    check(
        address,
        json!("127.0.0.1:3002"),
        "route `chat`: instance `a` has the address 127.0.0.1:3002, which is the edge's own: requests would go round",
    );
}

#[test]
fn listeners_must_be_different_and_lead_somewhere() {
    check("/listeners/1/route", json!("chta"), "listener 127.0.0.1:3002: names the route `chta`, which does not exist");
    check("/listeners/1/address", json!("127.0.0.1:8080"), "listener 127.0.0.1:8080: appears twice");
    for address in ["127.9.0.1:3002", "[::1]:3002", "[::ffff:127.0.0.1]:3002"] {
        check("/listeners/1/address", json!(address), "");
    }
    for address in ["0.0.0.0:3002", "[::]:3002", "10.0.0.1:3002"] {
        let expected = format!(
            "listener {address}: has a `route`, which is for programs on this machine: use a loopback address, such as 127.0.0.1"
        );
        check("/listeners/1/address", json!(address), &expected);
    }
    check(
        "/trusted_proxies/0",
        json!("10.0.0.0/40"),
        "trusted_proxies: `10.0.0.0/40` is no address range; write `10.0.0.0/8` or `::1/128`",
    );
}

#[test]
fn the_proxy_header_needs_somebody_who_may_say_it_and_a_listener_for_everyone() {
    let with = |listener: usize, trusted: Value| {
        let mut snapshot = good();
        snapshot["listeners"][listener]["proxy_protocol"] = json!(true);
        snapshot["trusted_proxies"] = trusted;
        problems(snapshot)
    };
    assert_eq!(with(0, json!(["10.0.0.0/8"])), "");
    assert_eq!(
        with(0, json!([])),
        "listener 127.0.0.1:8080: reads the PROXY header, but `trusted_proxies` names nobody who may say it"
    );
    assert_eq!(
        with(1, json!(["10.0.0.0/8"])),
        "listener 127.0.0.1:3002: is internal and cannot have `proxy_protocol`: services call it themselves"
    );
}

#[test]
fn sites_and_redirects_must_make_sense() {
    check("/routes/1/target/static/root", json!("landing"), "route `landing`: root `landing` must be an absolute path");
    for page in ["../404.html", "/404.html", ""] {
        check(
            "/routes/1/target/static",
            json!({"root": "/srv", "not_found": page}),
            &format!("route `landing`: not_found `{page}` must be a file below root, without `..`"),
        );
    }
    for to in ["app.localhost", "/app", "ftp://x", "http://x/?a=b", "javascript:alert(1)"] {
        check(
            "/routes/2/target/redirect/to",
            json!(to),
            &format!("route `app`: to `{to}` must be an http or https URL without query"),
        );
    }
    check("/routes/2/target/redirect/status", json!(303), "route `app`: status 303 must be 301, 302, 307 or 308");
}

#[test]
fn headers_and_limits_must_be_possible() {
    for (headers, expected) in [
        (
            json!({"content-length": "1"}),
            "response header `content-length` belongs to the connection and cannot be set",
        ),
        (json!({"Connection": "close"}), "response header `connection` belongs to the connection and cannot be set"),
        (json!({"bad name": "x"}), "response header `bad name` is no header name"),
        (json!({"x-good": "a\nb"}), "response header `x-good` has a value that no header can have"),
    ] {
        let mut snapshot = good();
        snapshot["routes"][0]["response_headers"] = headers;
        assert_eq!(problems(snapshot), format!("route `chat`: {expected}"));
    }
    for (place, limits, expected) in [
        (
            "route",
            json!({"connect_timeout_ms": 0}),
            "route `chat`: connect_timeout_ms is 0; it must be 1 to 86400000 (a day)",
        ),
        (
            "route",
            json!({"request_timeout_ms": 86_400_001}),
            "route `chat`: request_timeout_ms is 86400001; it must be 1 to 86400000 (a day)",
        ),
        (
            "",
            json!({"idle_timeout_ms": 86_400_001}),
            "limits: idle_timeout_ms is 86400001; it must be 1 to 86400000 (a day)",
        ),
        ("", json!({"max_connections": 0}), "limits: max_connections is 0; nobody could connect"),
        ("", json!({"max_headers": 0}), "limits: max_headers is 0; it must be 1 to 1024"),
        ("", json!({"max_header_bytes": 100}), "limits: max_header_bytes is 100; it must be 1024 to 1048576"),
    ] {
        let mut snapshot = good();
        let place = if place == "route" { &mut snapshot["routes"][0] } else { &mut snapshot };
        place["limits"] = limits;
        assert_eq!(problems(snapshot), expected);
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let mut snapshot = good();
    snapshot["routes"][0]["hosts"] = json!(["UPPER", "lower.localhost:80"]);
    snapshot["routes"][1]["path"] = json!("no-slash");
    snapshot["listeners"][1]["route"] = json!("nowhere");
    snapshot["trusted_proxies"] = json!(["me"]);
    assert_eq!(problems(snapshot).lines().count(), 5);
}
