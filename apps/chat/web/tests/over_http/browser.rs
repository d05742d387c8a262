//! In a real browser: what a model says that would do harm does none, and everything on the pages works, in light and dark, on a
//! desk and on a phone. `ui/drive-chat.mjs` does what a person does.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use kit::testing::Running;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Store, World};

/// Longest time for all that the browser does.
const PATIENCE: Duration = Duration::from_mins(10);

/// What a model may be brought to say; each would set `window.ran`, fetch from elsewhere or break the page.
static HARM: LazyLock<Vec<String>> = LazyLock::new(|| serde_json::from_str(include_str!("../harm.json")).unwrap());

/// What a good answer looks like, with everything that Markdown has.
const GOOD: &str = "## Plan\n\nSome **bold**, *leaning* and ~~struck~~ words with `code`.\n\n1. one\n2. two\n   - deeper\n\n> quoted\n\n\
    | name | what it is |\n|---|---|\n| a | first |\n| b | second |\n\n```rust\nfn main() {\n    println!(\"a line that is a good deal longer than \
    any phone is wide, so that it has to be scrolled\");\n}\n```\n\n[more](https://example.org/more)\n\n---\n\nThe end.";

/// A model that says what it is told: `harm N` letter by letter, `good`, `watch` (the same for people to watch), `long`, `slow`, `never`;
/// else what it was asked.
async fn double() -> Running {
    let models = get(|| async { Json(json!({ "object": "list", "data": [{ "id": "double", "object": "model" }] })) });
    Running::start(Router::new().route("/v1/models", models).route("/v1/chat/completions", post(speak))).await
}

async fn speak(Json(body): Json<Value>) -> axum::response::Response {
    let asked = body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
    let mut words = asked.split_whitespace();
    let text = match (words.next(), words.next()) {
        (Some("harm"), Some(number)) => HARM[number.parse::<usize>().unwrap()].clone(),
        (Some("good" | "watch"), _) => GOOD.to_owned(),
        (Some("long"), _) => (1..=40).map(|n| format!("Line **{n}** of many.")).collect::<Vec<_>>().join("\n\n"),
        _ => format!("You said: {asked}"),
    };
    let pause = match asked.split_whitespace().next() {
        Some("never") => Duration::from_mins(1),
        Some("slow") => Duration::from_millis(150),
        Some("watch") => Duration::from_millis(15),
        Some("long") => Duration::from_millis(60),
        _ => Duration::from_millis(1),
    };
    let usage = json!({ "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 });
    if body["stream"] != json!(true) {
        let message = json!({ "role": "assistant", "content": text });
        let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
        return Json(json!({ "id": "x", "object": "chat.completion", "created": 1, "model": "double", "choices": [choice], "usage": usage }))
            .into_response();
    }
    let letters: Vec<char> = text.chars().collect();
    let size = if asked.starts_with("harm") || asked.starts_with("watch") { 1 } else { 7 };
    let pieces: Vec<String> = letters.chunks(size).map(|piece| piece.iter().collect()).collect();
    let chunk = |delta: Value, finish: Value| {
        json!({ "id": "x", "object": "chat.completion.chunk", "created": 1, "model": "double",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
        .to_string()
    };
    let mut events: Vec<String> =
        pieces.into_iter().map(|piece| chunk(json!({ "content": piece }), Value::Null)).collect();
    events.push(chunk(json!({}), json!("stop")));
    events.push("[DONE]".into());
    let events = stream::iter(events).then(move |data| async move {
        tokio::time::sleep(pause).await;
        Ok::<_, std::convert::Infallible>(Event::default().data(data))
    });
    Sse::new(events).into_response()
}

async fn a_person_does_everything_and_nothing_a_model_says_does_anything(store: Store) {
    let double = double().await;
    let model = format!("{}/v1", double.url);
    let world = World::start_with(
        store,
        &[
            ("AI_PROVIDERS", "openai"),
            ("OPENAI_BASE_URL", &model),
            ("OPENAI_MODELS", "double"),
            ("AI_PRICES", "*=0.1"),
            ("CHAT_TITLE_MODEL", "none"),
        ],
    )
    .await;
    let wire = world.for_a_real_browser().await;
    let cut = wire.control().await;
    let url = wire.url.replace("127.0.0.1", "localhost");
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../ui");
    let mut node = Command::new("node");
    node.arg("drive-chat.mjs").current_dir(ui).kill_on_drop(true);
    node.env("AT", url).env("CUT", &cut.url).env("HARM", HARM.len().to_string());
    let ended = tokio::time::timeout(PATIENCE, node.output()).await.expect("in time").expect("node starts");
    let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_a_person_does_everything_and_nothing_a_model_says_does_anything() {
    a_person_does_everything_and_nothing_a_model_says_does_anything(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_person_does_everything_and_nothing_a_model_says_does_anything() {
    a_person_does_everything_and_nothing_a_model_says_does_anything(Store::Postgres).await;
}
