//! In a real browser: what a model says that would do harm does none, and everything on the pages works, in light and dark, on a
//! desk and on a phone. `ui/drive-chat.mjs` does what a person does.

use std::path::Path;
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
const PATIENCE: Duration = Duration::from_mins(5);

/// What a model may be brought to say; each would set `window.ran`, fetch from elsewhere or break the page.
const HARM: &[&str] = &[
    "<script>window.ran=1</script>",
    "</div></li></ol><script>window.ran=1</script>",
    "<img src=x onerror=window.ran=1>",
    "<img src=\"https://evil.example/pixel.png\">",
    "![pixel](https://evil.example/pixel.png)",
    "<svg/onload=window.ran=1>",
    "<svg><animate onbegin=window.ran=1 attributeName=x dur=1s>",
    "<iframe srcdoc=\"<script>parent.ran=1</script>\"></iframe>",
    "<details open ontoggle=window.ran=1>x</details>",
    "<style>body{display:none}</style><link rel=stylesheet href=https://evil.example/a.css>",
    "<meta http-equiv=refresh content=\"0;url=https://evil.example/\"><base href=https://evil.example/>",
    "<form action=https://evil.example/><input name=csrf><button>go</button></form>",
    "[click](javascript:window.ran=1)",
    "[click](JaVaScRiPt:window.ran=1)",
    "[click](java\tscript:window.ran=1)",
    "[click](&#106;avascript:window.ran=1)",
    "[click](data:text/html,<script>opener.ran=1</script>)",
    "[click](https://evil.example/\"onmouseover=\"window.ran=1)",
    "![x](x\"onerror=\"window.ran=1)",
    "<javascript:window.ran=1>",
    "[a]: javascript:window.ran=1\n\n[a]",
    "```\"><img src=x onerror=window.ran=1>\ncode\n```",
    "```html\n</code></pre><script>window.ran=1</script>\n```",
    "`</code><script>window.ran=1</script>`",
    "|<img src=x onerror=window.ran=1>|b|\n|-|-|\n|<script>window.ran=1</script>|d|",
    "# <script>window.ran=1</script>",
    "<div hx-get=\"https://evil.example/\" hx-trigger=load>x</div><div hx-on:load=\"window.ran=1\">y</div>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.ran=1>",
    "<noscript><p title=\"</noscript><img src=x onerror=window.ran=1>\">",
    "{{constructor.constructor('window.ran=1')()}} ${window.ran=1} <%= ran %>",
    "\u{202e}txt.exe \u{0} \u{feff} <\u{0}script>window.ran=1</script>",
    "&lt;script&gt;window.ran=1&lt;/script&gt; &amp;lt;img&amp;gt;",
];

/// What a good answer looks like, with everything that Markdown has.
const GOOD: &str = "## Plan\n\nSome **bold**, *leaning* and ~~struck~~ words with `code`.\n\n1. one\n2. two\n   - deeper\n\n> quoted\n\n\
    | name | what it is |\n|---|---|\n| a | first |\n| b | second |\n\n```rust\nfn main() {\n    println!(\"a line that is a good deal longer than \
    any phone is wide, so that it has to be scrolled\");\n}\n```\n\n[more](https://example.org/more)\n\n---\n\nThe end.";

/// A model that says what it is told: `harm N`, `good`, `slow`, `never`; else what it was asked.
async fn double() -> Running {
    let models = get(|| async { Json(json!({ "object": "list", "data": [{ "id": "double", "object": "model" }] })) });
    Running::start(Router::new().route("/v1/models", models).route("/v1/chat/completions", post(speak))).await
}

async fn speak(Json(body): Json<Value>) -> axum::response::Response {
    let asked = body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
    let mut words = asked.split_whitespace();
    let text = match (words.next(), words.next()) {
        (Some("harm"), Some(number)) => HARM[number.parse::<usize>().unwrap()].to_owned(),
        (Some("good"), _) => GOOD.to_owned(),
        _ => format!("You said: {asked}"),
    };
    let pause = match asked.split_whitespace().next() {
        Some("never") => Duration::from_mins(1),
        Some("slow") => Duration::from_millis(150),
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
    let pieces: Vec<String> = letters.chunks(7).map(|piece| piece.iter().collect()).collect();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_person_does_everything_and_nothing_a_model_says_does_anything() {
    let double = double().await;
    let model = format!("{}/v1", double.url);
    let world = World::start_with(
        Store::Sqlite,
        &[
            ("AI_PROVIDERS", "openai"),
            ("OPENAI_BASE_URL", &model),
            ("OPENAI_MODELS", "double"),
            ("AI_PRICES", "*=0.1"),
            ("CHAT_TITLE_MODEL", "none"),
        ],
    )
    .await;
    let url = world.for_a_real_browser().await;
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../ui");
    let mut node = Command::new("node");
    node.arg("drive-chat.mjs").current_dir(ui).kill_on_drop(true);
    node.env("AT", url).env("HARM", HARM.len().to_string());
    let ended = tokio::time::timeout(PATIENCE, node.output()).await.expect("in time").expect("node starts");
    let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{said}");
}
