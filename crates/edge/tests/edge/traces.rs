//! Traces, as a collector gets them (OTLP over HTTP, in JSON).

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use mana_edge::snapshot::{Snapshot, Traces};
use serde_json::Value;

use crate::support::{Service, TestEdge, get, route, send, slots, snapshot, text, until};

/// Keeps the spans it is sent.
fn collector() -> (Service, Arc<Mutex<Vec<Value>>>) {
    let spans = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&spans);
    let service = Service::http(move |request| {
        let kept = Arc::clone(&kept);
        async move {
            assert_eq!(
                (request.uri().path(), &request.headers()["content-type"]),
                ("/v1/traces", &"application/json".parse().unwrap())
            );
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let resource = &body["resourceSpans"][0];
            assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "mana-edge");
            kept.lock().unwrap().extend(resource["scopeSpans"][0]["spans"].as_array().unwrap().iter().cloned());
            text("{}")
        }
    });
    (service, spans)
}

fn tracing(service: &Service, endpoint: String, ratio: f64) -> Snapshot {
    Snapshot {
        traces: Some(Traces { ratio, ..Traces::to(endpoint) }),
        trusted_proxies: vec!["127.0.0.1/32".into()],
        ..snapshot(vec![route("app", slots(&[service.address]))])
    }
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    found.map_or(&Value::Null, |attribute| attribute["value"].as_object().unwrap().values().next().unwrap())
}

/// Says what the service was told of the trace.
fn told() -> Service {
    Service::http(|request| async move { text(request.headers()["traceparent"].to_str().unwrap().to_owned()) })
}

#[tokio::test]
async fn a_span_says_what_happened_and_lies_between_caller_and_service() {
    let (collector, spans) = collector();
    let service = told();
    let endpoint = format!("http://{}/v1/traces", collector.address);
    let edge = TestEdge::start(&tracing(&service, endpoint, 0.0));
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let asked = format!("GET /a\"b?token=secret HTTP/1.1\r\nhost: app.localhost\r\ntraceparent: {parent}\r\n\r\n");
    let told = send(edge.address(), &asked).await.text().to_owned();
    until("the span arrives", async || !spans.lock().unwrap().is_empty()).await;
    let span = spans.lock().unwrap()[0].clone();
    assert_eq!(span["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(span["parentSpanId"], "00f067aa0ba902b7");
    assert_eq!(told, format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", span["spanId"].as_str().unwrap()));
    assert_eq!((&span["name"], &span["kind"]), (&"GET app".into(), &2.into()));
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/a\"b"),
        ("url.scheme", "http"),
        ("server.address", "app.localhost"),
        ("mana.route", "app"),
        ("mana.slot", "blue"),
        ("mana.release", "blue-1"),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(attribute(&span, key), value, "{key}");
    }
    assert!(!span.to_string().contains("secret"));
    let nanos = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
    assert!(nanos("endTimeUnixNano") > nanos("startTimeUnixNano"));
    assert_eq!(edge.metric("mana_edge_spans_total").await, Some(1.0));
}

#[tokio::test]
async fn chance_decides_for_strangers_and_what_is_not_traced_leaves_nothing() {
    let (collector, spans) = collector();
    let service = told();
    let endpoint = format!("http://{}/v1/traces", collector.address);
    let strangers = Snapshot { trusted_proxies: Vec::new(), ..tracing(&service, endpoint.clone(), 0.0) };
    let edge = TestEdge::start(&strangers);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let asked = format!("GET / HTTP/1.1\r\nhost: app.localhost\r\ntraceparent: {parent}\r\n\r\n");
    assert_eq!(send(edge.address(), &asked).await.text(), &format!("{}00", &parent[..53]), "not traced, and said so");
    let all = Snapshot { generation: 2, ..tracing(&service, endpoint, 1.0) };
    edge.admin().put(&all).await.unwrap();
    for _ in 0..20 {
        assert!(get(edge.address(), "app.localhost", "/").await.text().ends_with("-01"));
    }
    until("all arrive", async || spans.lock().unwrap().len() == 20).await;
}

#[tokio::test]
async fn of_each_second_so_many_are_traced_and_no_probe_and_the_collector_is_shown_who_sends() {
    let shown = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&shown);
    let collector = Service::http(move |request| {
        kept.lock().unwrap().push(request.headers()["authorization"].to_str().unwrap().to_owned());
        async { text("{}") }
    });
    let service = told();
    let endpoint = format!("http://{}/v1/traces", collector.address);
    let authorization = Some("Bearer edge.secret".to_owned());
    let traces = Traces { per_second: Some(3), authorization, ..Traces::to(endpoint) };
    assert!(!format!("{traces:?}").contains("secret"));
    let mut wanted = snapshot(vec![route("app", slots(&[service.address]))]);
    wanted.traces = Some(traces);
    let edge = TestEdge::with_threads(&wanted, 1);
    let ask = async |path: &str| get(edge.address(), "app.localhost", path).await.text().ends_with("-01");
    assert!(!ask("/api/health").await, "a probe is nobody's request");
    // However the requests fall into seconds.
    let began = std::time::Instant::now();
    let mut with_trace = 0_u64;
    for _ in 0..60 {
        with_trace += u64::from(ask("/").await);
    }
    let seconds = began.elapsed().as_secs() + 2;
    assert!((3..=seconds * 3).contains(&with_trace), "{with_trace} in parts of {seconds} seconds");
    until("they arrive", async || !shown.lock().unwrap().is_empty()).await;
    assert_eq!(shown.lock().unwrap()[0], "Bearer edge.secret");
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_spans_and_nothing_else() {
    let service = told();
    let edge = TestEdge::start(&tracing(&service, format!("http://{}/v1/traces", Service::nobody()), 1.0));
    assert_eq!(get(edge.address(), "app.localhost", "/").await.status, 200);
    until("it is counted", async || edge.metric("mana_edge_spans_lost_total").await == Some(1.0)).await;
}

#[tokio::test]
async fn the_last_spans_are_sent_when_the_edge_ends() {
    let (collector, spans) = collector();
    let service = told();
    let mut edge = TestEdge::start(&tracing(&service, format!("http://{}/v1/traces", collector.address), 1.0));
    get(edge.address(), "app.localhost", "/").await;
    edge.stop();
    assert_eq!(spans.lock().unwrap().len(), 1);
}

#[test]
fn an_endpoint_that_cannot_be_posted_to_is_a_problem() {
    for (endpoint, ratio) in [("https://a.b/v1/traces", 1.0), ("127.0.0.1:4318", 1.0), ("http://a.b/v1/traces", 1.5)] {
        let snapshot = Snapshot { traces: Some(Traces { ratio, ..Traces::to(endpoint.into()) }), ..snapshot(vec![]) };
        assert!(snapshot.compile().is_err(), "{endpoint} {ratio}");
    }
}
