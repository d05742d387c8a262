//! One request of a person, told by everything that it went through.

use std::time::Duration;

use serde_json::Value;
use system_tests::Ecosystem;
use system_tests::ecosystem::text;
use system_tests::people::Person;
use system_tests::wait::until;

/// Spans come a second after they ended.
const BOUND: Duration = Duration::from_secs(20);

/// What `mana logs --request` prints where nobody looks: lines as they were written, and a span a line.
fn told(ecosystem: &Ecosystem, id: &str) -> (Vec<String>, Vec<Value>) {
    let output = ecosystem.mana(["logs", "--request", id]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_span = |line: &&str| line.contains("\"span_id\":");
    let spans = said.lines().filter(is_span).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (said.lines().filter(|line| !is_span(line)).map(str::to_owned).collect(), spans)
}

/// The span of a service with this name that is within another one.
fn within<'a>(spans: &'a [Value], outer: &Value, service: &str, name: &str) -> Option<&'a Value> {
    spans.iter().find(|span| {
        span["service"] == service && span["message"] == name && span["parent_span_id"] == outer["span_id"]
    })
}

#[tokio::test]
async fn a_chat_request_is_one_story_over_the_edge_and_all_services() {
    let ecosystem = Ecosystem::up();
    let person = Person::register(&ecosystem).await;
    let answer = person.ask("What is a mana?", None).await;
    let id = answer.headers()["x-request-id"].to_str().expect("text").to_owned();
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(body["credits"], 49, "{body}");

    let (lines, spans) = until("all spans of the request", BOUND, async || {
        let (lines, spans) = told(&ecosystem, &id);
        spans.iter().any(|span| span["message"] == "settle").then_some((lines, spans))
    })
    .await;
    let root = spans.iter().find(|span| span["parent_span_id"] == Value::Null).expect("the edge began the trace");
    assert_eq!((&root["service"], &root["message"]), (&"edge".into(), &"POST chat-backend".into()));
    let chat = within(&spans, root, "chat-backend", "POST /api/chat/completions").expect("chat-backend answered it");
    for (name, path) in [("reserve", "/api/internal/credits/reserve/many"), ("settle", "/api/internal/credits/settle")]
    {
        let asked = within(&spans, chat, "chat-backend", name).unwrap_or_else(|| panic!("{name} in {spans:#?}"));
        let passed = within(&spans, asked, "edge", "POST mana-core-auth").expect("through the edge");
        within(&spans, passed, "mana-core-auth", &format!("POST {path}")).expect("the ledger's own");
    }
    for name in ["model", "store", "reserve_durable"] {
        within(&spans, chat, "chat-backend", name).unwrap_or_else(|| panic!("{name} in {spans:#?}"));
    }
    assert!(spans.iter().all(|span| span["trace_id"] == root["trace_id"]), "{spans:#?}");
    for service in ["access", "chat-backend", "mana-core-auth"] {
        assert!(lines.iter().any(|line| line.starts_with(service)), "{service} in {lines:#?}");
    }

    // Its trace's id leads to the same, and works without a control plane.
    let down = ecosystem.mana(["down"]);
    assert!(down.status.success(), "{}", text(&down));
    let (_, again) = told(&ecosystem, root["trace_id"].as_str().expect("an id"));
    // By now there may be more of it: its conversation was named aside.
    for span in &spans {
        assert!(again.contains(span), "{span:#?} in {again:#?}");
    }
}
