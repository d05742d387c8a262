//! Echo's HTTP side: requests in, a [`Speech`] out.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::script::{self, Course, MODELS};
use super::speak::{self, Speech};
use super::{Count, Echo};

/// Answers that one call may ask for.
const MAX_CHOICES: usize = 8;

#[derive(Debug, Deserialize)]
pub(super) struct Body {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    messages: Vec<BodyMessage>,
    #[serde(default)]
    n: Option<usize>,
    #[serde(default)]
    tools: Vec<Tool>,
    #[serde(default)]
    response_format: Value,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    stream_options: StreamOptions,
}

#[derive(Debug, Deserialize)]
struct BodyMessage {
    role: String,
    #[serde(default)]
    content: Value,
}

impl BodyMessage {
    /// Its words; a part that is no text counts as one in brackets.
    fn text(&self) -> String {
        match &self.content {
            Value::String(text) => text.clone(),
            Value::Array(parts) => {
                let part = |part: &Value| match part["text"].as_str() {
                    Some(text) => text.to_owned(),
                    None => format!("[{}]", part["type"].as_str().unwrap_or("part")),
                };
                parts.iter().map(part).collect::<Vec<_>>().join(" ")
            }
            _ => String::new(),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Tool {
    function: ToolFunction,
}

#[derive(Debug, Deserialize)]
struct ToolFunction {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct AzureQuery {
    api_version: Option<String>,
}

/// `GET /v1/models`
#[utoipa::path(
    get, path = "/v1/models", tag = "echo",
    responses((status = 200, description = "The models", body = serde_json::Value))
)]
pub(super) async fn models() -> Json<serde_json::Value> {
    let data: Vec<_> = MODELS
        .iter()
        .map(|id| json!({ "id": id, "object": "model", "created": 1_700_000_000, "owned_by": "echo" }))
        .collect();
    Json(json!({ "object": "list", "data": data }))
}

/// `GET /openai/models`, which is how Azure is asked whether it is there.
#[utoipa::path(
    get, path = "/openai/models", tag = "echo",
    params(("api-version" = String, Query), ("api-key" = String, Header)),
    responses((status = 200, description = "The models", body = serde_json::Value), (status = "default", description = "An error in OpenAI's shape", body = serde_json::Value))
)]
pub(super) async fn azure_models(Query(query): Query<AzureQuery>, headers: HeaderMap) -> Response {
    match azure_refuses(&query, &headers) {
        Some(refusal) => refusal,
        None => models().await.into_response(),
    }
}

/// What Azure insists on.
fn azure_refuses(query: &AzureQuery, headers: &HeaderMap) -> Option<Response> {
    if headers.get("api-key").is_none_or(HeaderValue::is_empty) {
        return Some(speak::error(401, "Access denied due to missing subscription key", "401"));
    }
    query.api_version.is_none().then(|| speak::error(404, "Resource not found", "404"))
}

/// `GET /echo/calls`
#[utoipa::path(
    get, path = "/echo/calls", tag = "echo",
    responses((status = 200, description = "The counters", body = Count))
)]
pub(super) async fn calls(State(echo): State<Arc<Echo>>) -> Json<Count> {
    Json(echo.calls.count())
}

/// `POST /v1/chat/completions`
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "echo",
    request_body = serde_json::Value,
    responses((status = 200, description = "The answer, or with `stream` a `text/event-stream`", body = serde_json::Value),
        (status = "default", description = "An error in OpenAI's shape", body = serde_json::Value))
)]
pub(super) async fn openai(State(echo): State<Arc<Echo>>, body: Result<Json<Value>, JsonRejection>) -> Response {
    match read(&echo, body) {
        Err(refusal) => refusal,
        Ok(body) => {
            let model = body.model.clone().unwrap_or_default();
            if MODELS.contains(&model.as_str()) {
                answer(&echo, model, body).await
            } else {
                speak::error(404, &format!("The model `{model}` does not exist"), "model_not_found")
            }
        }
    }
}

/// `POST /openai/deployments/{deployment}/chat/completions`, with Azure's manners: any deployment name is one.
#[utoipa::path(
    post, path = "/openai/deployments/{deployment}/chat/completions", tag = "echo",
    params(("deployment" = String, Path), ("api-version" = String, Query), ("api-key" = String, Header)),
    request_body = serde_json::Value,
    responses((status = 200, description = "The answer, or with `stream` a `text/event-stream`", body = serde_json::Value),
        (status = "default", description = "An error in OpenAI's shape", body = serde_json::Value))
)]
pub(super) async fn azure(
    State(echo): State<Arc<Echo>>,
    Path(deployment): Path<String>,
    Query(query): Query<AzureQuery>,
    headers: HeaderMap,
    body: Result<Json<Value>, JsonRejection>,
) -> Response {
    if let Some(refusal) = azure_refuses(&query, &headers) {
        return refusal;
    }
    match read(&echo, body) {
        Err(refusal) => refusal,
        Ok(body) => answer(&echo, deployment, body).await,
    }
}

/// The call, which is also remembered as the last one.
#[expect(clippy::result_large_err, reason = "the refusal is the answer itself")]
fn read(echo: &Echo, body: Result<Json<Value>, JsonRejection>) -> Result<Body, Response> {
    let Json(body) = body.map_err(|rejection| speak::error(400, &rejection.body_text(), "invalid_json"))?;
    echo.calls.remember(body.clone());
    serde_json::from_value(body).map_err(|error| speak::error(400, &error.to_string(), "invalid_json"))
}

async fn answer(echo: &Echo, model: String, body: Body) -> Response {
    let Some(last) = body.messages.iter().rev().find(|m| m.role == "user") else {
        return speak::error(400, "messages must hold one with role user", "invalid_messages");
    };
    let (number, mut call) = echo.calls.begin();
    let mut script = script::write(&echo.settings, &model, &last.text(), number);
    if body.response_format["type"].as_str().is_some_and(|kind| kind.starts_with("json")) {
        script.say_as_json();
    }
    if let Course::Fail(status) = script.course {
        call.finish();
        return speak::error(status, "echo fails, as it was told", "echo_failure");
    }
    let prompt_words = body.messages.iter().map(|m| m.text().split_whitespace().count()).sum();
    let include_usage = body.stream && body.stream_options.include_usage;
    let choices = body.n.unwrap_or(1).clamp(1, MAX_CHOICES).min(script.choices);
    let tools = body.tools.into_iter().take(script.calls).map(|tool| tool.function.name).collect();
    let speech = Speech { number, model, prompt_words, include_usage, choices, tools, script, call };
    if body.stream { speech.streamed().into_response() } else { speech.plain().await }
}
