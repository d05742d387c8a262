//! The access log, as whoever looks for a request reads it.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use mana_edge::{AccessLog, Edge, Options};
use serde_json::Value;

use crate::support::{Service, get, route, send, slots, snapshot, text};

const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn each_request_leaves_a_line_by_which_it_is_found_elsewhere() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    let service = Service::http(move |request| {
        seen.lock().unwrap().push(request.headers()["traceparent"].to_str().unwrap().to_owned());
        async { text("hello") }
    });
    let folder = tempfile::tempdir().unwrap();
    let (config, log) = (folder.path().join("edge.json"), folder.path().join("access.log"));
    let mut given = snapshot(vec![route("chat", slots(&[service.address]))]);
    given.trusted_proxies = vec!["127.0.0.1".into()];
    std::fs::write(&config, serde_json::to_vec(&given).unwrap()).unwrap();
    let options = Options::new(&config).threads(NonZeroUsize::MIN).access_log(AccessLog::File(log.clone()));
    let edge = Edge::start(options).unwrap();
    let address = edge.addresses()[0];
    let answer = get(address, "chat.localhost", "/a?token=secret").await;
    let traced = format!(
        "GET /b HTTP/1.1\r\nhost: chat.localhost\r\ntraceparent: {GIVEN}\r\nx-forwarded-for: 203.0.113.9\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(send(address, &traced).await.status, 200);
    assert_eq!(get(address, "other.localhost", "/c").await.status, 404);
    edge.stop().unwrap();

    let lines = std::fs::read_to_string(&log).unwrap();
    assert!(!lines.contains("secret"), "{lines}");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, second, third] = lines.as_slice() else { panic!("{lines:?}") };
    let instance = format!("blue-{}", service.address.port());
    for (field, expected) in [
        ("level", "INFO"),
        ("method", "GET"),
        ("host", "chat.localhost"),
        ("path", "/a"),
        ("route", "chat"),
        ("slot", "blue"),
        ("release", "blue-1"),
        ("instance", instance.as_str()),
        ("peer", "127.0.0.1"),
        ("request_id", answer.header("x-request-id").unwrap()),
    ] {
        assert_eq!(first[field], expected, "{field}");
    }
    assert_eq!((&first["status"], &first["sent_bytes"], &first["received_bytes"]), (&200.into(), &5.into(), &0.into()));
    assert!(first["head_us"].as_u64() <= first["total_us"].as_u64(), "{first}");
    let told = told.lock().unwrap();
    assert_eq!([&first["traceparent"], &second["traceparent"]], [told[0].as_str(), told[1].as_str()]);
    assert_eq!(second["traceparent"], GIVEN);
    assert_eq!((&first["client"], &second["client"]), (&Value::Null, &"203.0.113.9".into()));
    assert_eq!((&third["status"], &third["route"]), (&404.into(), &Value::Null));
    assert_eq!(third["traceparent"].as_str().map(str::len), Some(GIVEN.len()));
}
