//! One request by its id: the edge's line, the service's lines, and the spans of both, through a real control plane and a real edge.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Command as Process;

use mana_control::{paths, requests};
use mana_watch::trace::tree;
use support::{Ecosystem, Service, until};

/// What curl is answered: its status, and the head with the body.
fn curl(url: &str, arguments: &[&str]) -> (u16, String) {
    let mut curl = Process::new("curl");
    curl.args(["--silent", "--include", "--max-time", "30", "--write-out", "\n%{http_code}"]).args(arguments).arg(url);
    let output = curl.output().expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (answer, code) = text.rsplit_once('\n').expect("a code");
    (code.parse().expect("a number"), answer.to_owned())
}

/// A service's own address.
struct At(u16);

impl At {
    /// Through the edge, by the service's own address: the request's id and the body.
    fn ask(&self, path: &str, traceparent: &str) -> (String, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.0);
        let (status, answer) = curl(&url, &["-H", traceparent]);
        assert_eq!(status, 200, "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let id = head.to_ascii_lowercase();
        let id = id.lines().find_map(|line| line.strip_prefix("x-request-id: ")).expect("an id");
        (id.trim().to_owned(), body.to_owned())
    }

    /// A variable of its environment.
    fn variable(&self, name: &str) -> String {
        self.ask(&format!("/env/{name}"), "x-none: 1").1
    }
}

/// What an exporter posts that is set up by these variables.
fn post(endpoint: &str, header: &str, kind: &str, body: &str) -> u16 {
    let url = format!("{endpoint}/v1/traces");
    curl(&url, &["-H", header, "-H", &format!("content-type: {kind}"), "--data-binary", body]).0
}

fn span(trace: &str, id: &str, parent: &str) -> String {
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"somebody else"}}}}]}},"scopeSpans":[{{"spans":[
        {{"traceId":"{trace}","spanId":"{id}","parentSpanId":"{parent}","name":"work","kind":1,"startTimeUnixNano":"1767323045000000000","endTimeUnixNano":"1767323045000500000"}}]}}]}}]}}"#
    )
}

#[tokio::test]
async fn a_request_is_one_story_over_the_edge_and_the_services() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem
        .up(&[Service::new("a"), Service::new("b").env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")])
        .await;
    let (a, b) = (At(ecosystem.port("a")), At(ecosystem.port("b")));
    let endpoint = a.variable("OTEL_EXPORTER_OTLP_ENDPOINT");
    let header = a.variable("OTEL_EXPORTER_OTLP_HEADERS").replace("authorization=Bearer%20", "authorization: Bearer ");
    assert_eq!(a.variable("OTEL_SERVICE_NAME"), "a");
    // Where the manifest has decided, that is kept to.
    assert_eq!(b.variable("OTEL_EXPORTER_OTLP_ENDPOINT"), "http://127.0.0.1:9");
    assert_eq!(b.variable("OTEL_EXPORTER_OTLP_HEADERS"), "");

    // The edge's line and span are found by the request's id; the span is within that of whoever asked.
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let (id, _) = a.ask("/work", &format!("traceparent: 00-{trace}-00f067aa0ba902b7-01"));
    let data = ecosystem.data();
    let edge = until("the edge's line and span", async || {
        let found = requests::find(&data, &id);
        (found.lines.len() == 1).then_some(())?;
        found.spans.into_iter().next()
    })
    .await;
    assert_eq!((edge.service.as_str(), edge.name.as_str(), edge.trace_id.as_str()), ("edge", "GET a", trace));
    assert_eq!(edge.parent_span_id.as_deref(), Some("00f067aa0ba902b7"));

    // A service posts within it, and cannot post as somebody else.
    let inner = span(trace, "53995c3f42cd8ad8", &edge.span_id);
    assert_eq!(post(&endpoint, &header, "application/json", &inner), 200);
    for (header, kind, body, refused) in [
        ("x-none: 1", "application/json", inner.as_str(), 401),
        (&header.replace("Bearer a.", "Bearer b."), "application/json", &inner, 401),
        (&header, "text/plain", &inner, 415),
        (&header, "application/json", "{\"resourceSpans\": 1}", 400),
        (&header, "application/x-protobuf", "nonsense", 400),
    ] {
        assert_eq!(post(&endpoint, header, kind, body), refused, "{header} {kind}");
    }
    for id in [id.as_str(), trace] {
        let found = requests::find(&data, id);
        let (rows, _) = tree::rows(&found.spans);
        let shape: Vec<(&str, &str, usize)> =
            rows.iter().map(|row| (row.span.service.as_str(), row.span.name.as_str(), row.depth)).collect();
        assert_eq!(shape, [("edge", "GET a", 0), ("a", "work", 1)], "{id}");
        assert_eq!(found.lines.iter().map(|line| line.message.as_str()).collect::<Vec<_>>(), ["GET /work 200"]);
    }
    let mode = std::fs::metadata(paths::spans(&data)).expect("there").permissions().mode();
    assert_eq!(mode & 0o077, 0);

    // Instances outlive the control plane; the next one listens where they post to.
    ecosystem.kill_control();
    assert_eq!(requests::find(&data, &id).spans.len(), 2, "what is kept is read without it");
    ecosystem.start_control().await;
    let later = span(trace, "0000000000000001", &edge.span_id);
    until("spans are received again", async || {
        (post(&endpoint, &header, "application/json", &later) == 200).then_some(())
    })
    .await;
    assert_eq!(requests::find(&data, trace).spans.len(), 3);
    ecosystem.down().await;
}

#[tokio::test]
async fn what_a_collector_of_ones_own_gets_is_not_received_here() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.write(&[Service::new("a")]);
    let manifest = std::fs::read_to_string(ecosystem.manifest()).expect("read");
    let manifest = manifest.replace("listen = ", "traces = \"http://127.0.0.1:9/v1/traces\"\nlisten = ");
    std::fs::write(ecosystem.manifest(), manifest).expect("written");
    support::repository::up(&ecosystem).await;
    let a = At(ecosystem.port("a"));
    assert_eq!(a.variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), "http://127.0.0.1:9/v1/traces");
    assert_eq!(a.variable("OTEL_EXPORTER_OTLP_ENDPOINT"), "");
    ecosystem.down().await;
}
