//! Spans as a collector gets them, over two services.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{get, post};
use http::HeaderMap;
use kit::client::InContext;
use kit::config::Env;
use kit::service::Service;
use kit::testing::Running;
use kit::trace::{self, Exporter, Settings};
use kit::{Problem, client};
use reqwest::Client;
use serde_json::Value;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
/// Longest wait for what a batch brings.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Value>>>,
    headers: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Collector {
    async fn start(&self) -> Running {
        let collector = self.clone();
        let take = post(move |headers: HeaderMap, body: axum::Json<Value>| async move {
            collector.headers.lock().unwrap().push(headers);
            let resource = &body["resourceSpans"][0];
            let named = |span: &Value| {
                let mut span = span.clone();
                span["service"] = resource["resource"]["attributes"][0]["value"]["stringValue"].clone();
                span
            };
            let spans = resource["scopeSpans"][0]["spans"].as_array().unwrap().iter().map(named);
            collector.spans.lock().unwrap().extend(spans);
            "{}"
        });
        Running::start(Router::new().route("/v1/traces", take)).await
    }

    async fn wait_for(&self, count: usize) -> Vec<Value> {
        let until = Instant::now() + PATIENCE;
        while self.spans.lock().unwrap().len() < count && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let spans = self.spans.lock().unwrap().clone();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }
}

fn exporter(collector: &Running, service: &str) -> Exporter {
    let env = Env::table([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20token"),
    ]);
    Exporter::start(Settings::read(&env, service, None).unwrap().unwrap()).0
}

fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("{name} is not in {spans:#?}"))
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a str {
    let found = span["attributes"].as_array().unwrap().iter().find(|attribute| attribute["key"] == key);
    found.unwrap()["value"]["stringValue"].as_str().unwrap()
}

/// A service that asks another one, which fails.
async fn two(collector: &Running) -> (Running, Running) {
    let inner = Router::new().route("/inner/{id}", get(|| async { Problem::unavailable("away", "Not now.") }));
    let inner = Running::start(Service::new(inner).traced(exporter(collector, "inner")).into_router()).await;
    let at = format!("{}/inner/7", inner.url);
    let outer = get(move || {
        let at = at.clone();
        async move {
            let asked = trace::call("ask inner", async {
                let answer = client::internal().get(at).in_context().send().await.unwrap();
                answer.error_for_status().map(drop).map_err(reqwest::Error::without_url)
            });
            let stored = trace::step("store", async { Ok::<_, String>(()) });
            format!("{} {}", asked.await.is_ok(), stored.await.is_ok())
        }
    });
    let outer = Router::new().route("/outer", outer);
    let outer = Running::start(Service::new(outer).traced(exporter(collector, "outer")).into_router()).await;
    (outer, inner)
}

async fn ask(service: &Running, path: &str, flags: &str) -> String {
    let call = Client::new().get(format!("{}{path}", service.url)).header("x-request-id", "abc-1");
    let call = call.header("traceparent", format!("00-{TRACE}-{PARENT}-{flags}"));
    call.send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn the_spans_of_a_request_are_a_tree_over_services() {
    let collector = Collector::default();
    let collecting = collector.start().await;
    let (outer, _inner) = two(&collecting).await;
    assert_eq!(ask(&outer, "/outer", "01").await, "false true");
    let spans = collector.wait_for(4).await;
    let (answered, asked) = (named(&spans, "GET /outer"), named(&spans, "ask inner"));
    let (inner, stored) = (named(&spans, "GET /inner/{id}"), named(&spans, "store"));
    for (span, parent, kind, service) in [
        (answered, &Value::from(PARENT), 2, "outer"),
        (asked, &answered["spanId"], 3, "outer"),
        (inner, &asked["spanId"], 2, "inner"),
        (stored, &answered["spanId"], 1, "outer"),
    ] {
        assert_eq!(span["traceId"], TRACE);
        assert_eq!((&span["parentSpanId"], &span["kind"], &span["service"]), (parent, &kind.into(), &service.into()));
        let nanos = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
        assert!(nanos("endTimeUnixNano") >= nanos("startTimeUnixNano"), "{span}");
    }
    assert_eq!((&answered["status"]["code"], &stored["status"]["code"]), (&Value::Null, &Value::Null));
    assert_eq!((&asked["status"]["code"], &inner["status"]["code"]), (&2.into(), &2.into()));
    assert_eq!((attribute(inner, "mana.request_id"), attribute(inner, "http.response.status_code")), ("abc-1", "503"));
    assert!(collector.headers.lock().unwrap().iter().all(|headers| headers["authorization"] == "Bearer token"));
}

#[tokio::test]
async fn nothing_is_told_of_probes_and_of_what_is_not_traced() {
    let collector = Collector::default();
    let collecting = collector.start().await;
    let (outer, _inner) = two(&collecting).await;
    ask(&outer, "/outer", "00").await;
    ask(&outer, "/api/health", "01").await;
    Client::new().get(format!("{}/outer", outer.url)).send().await.unwrap();
    // What comes last is told; so all before it would have been.
    ask(&outer, "/nowhere", "01").await;
    let spans = collector.wait_for(1).await;
    assert_eq!(spans[0]["name"], "GET unmatched");
}

#[tokio::test]
async fn a_request_whose_client_has_left_is_told_too() {
    let collector = Collector::default();
    let collecting = collector.start().await;
    let slow = Router::new().route("/slow", get(|| async { std::future::pending::<String>().await }));
    let slow = Running::start(Service::new(slow).traced(exporter(&collecting, "slow")).into_router()).await;
    let left = tokio::time::timeout(Duration::from_millis(300), ask(&slow, "/slow", "01")).await;
    assert!(left.is_err());
    assert_eq!(collector.wait_for(1).await[0]["name"], "GET /slow");
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let gone = Running::start(Router::new()).await;
    let exporter = exporter(&gone, "alone");
    drop(gone);
    let alone = Router::new().route("/", get(|| async { "fine" }));
    let alone = Running::start(Service::new(alone).traced(exporter).into_router()).await;
    assert_eq!(ask(&alone, "/", "01").await, "fine");
    let until = Instant::now() + PATIENCE;
    let lost = async || ask(&alone, "/metrics", "00").await.contains("spans_lost_total 1");
    while !lost().await && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(lost().await);
}
