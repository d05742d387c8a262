//! `/v1`: OpenAI's protocol, so that its clients work with another base URL and an access token as key.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kit::Problem;
use kit::service::REQUEST_TIMEOUT;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::openai_schema::{OpenAiCompletion, OpenAiError, OpenAiModel, OpenAiModels, OpenAiRequest};
use super::openai_wire::{self as wire, Body, Refusal};
use super::writer::Writer;
use super::{Beginning, Renderer, begin, respond};
use crate::app::App;
use crate::caller::KeyCaller;
use crate::conversations::Origin;
use crate::delivery::Event;
use crate::failure::Failure;
use crate::idempotency::{self, Key};
use crate::lifecycle::Call;

/// What an `Idempotency-Key` belongs to.
const OPERATION: &str = "openai";

/// Longest wait for the head of an answer: a little less than the whole service's, whose refusal has another shape.
const TIMEOUT: Duration = Duration::from_secs(118);

const _: () = assert!(TIMEOUT.as_secs() < REQUEST_TIMEOUT.as_secs());

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.body())).into_response();
        if let Some(retry) = self.should_retry {
            let value = HeaderValue::from_static(if retry { "true" } else { "false" });
            response.headers_mut().insert("x-should-retry", value);
        }
        response
    }
}

/// Nobody we know, or nobody we can look up at the moment.
fn stranger(problem: &Problem) -> Response {
    if problem.status == StatusCode::UNAUTHORIZED {
        return Refusal::unauthenticated().into_response();
    }
    let message = problem.detail.clone().unwrap_or_else(|| problem.title.clone().into_owned());
    let status = problem.status.as_u16();
    let refusal = Refusal { status, message, kind: "server_error", code: problem.code, ..Refusal::default() };
    when_to_retry(refusal.into_response(), problem.retry_after_seconds)
}

/// With the header that tells clients when to try again.
fn when_to_retry(mut response: Response, after_seconds: Option<u64>) -> Response {
    if let Some(after) = after_seconds {
        // Never "at once": a whole second is the least that the header can say.
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.max(1)));
    }
    response
}

/// A failure before the first word.
fn refuse(failure: &Failure) -> Response {
    when_to_retry(Refusal::from(failure).into_response(), failure.retry_after().map(|after| after.as_secs()))
}

/// `POST /v1/chat/completions`
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "openai", operation_id = "openaiCreateCompletion",
    summary = "An answer, in OpenAI's protocol",
    description = "As OpenAI documents it, with an API key of `/api/keys` (or an access token) as API key. Runs the same lifecycle as `/api/chat/completions`: \
        one message is one charge; the exchange is stored. Out of credits is 402 with code `insufficient_quota`.",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the same call again the same call: it is carried out and charged once, and gets the same answer for a day")),
    request_body = OpenAiRequest,
    responses(
        (
            status = 200, description = "The answer: `chat.completion`, or with `stream` events of `chat.completion.chunk`, ended by `[DONE]`",
            content((OpenAiCompletion = "application/json"), (String = "text/event-stream"))
        ),
        (status = 400, description = "Invalid request", body = OpenAiError),
        (status = 401, description = "No valid API key", body = OpenAiError),
        (status = 402, description = "Out of credits", body = OpenAiError),
        (status = 403, description = "The account is closed", body = OpenAiError),
        (status = 404, description = "No such model", body = OpenAiError),
        (status = 409, description = "The Idempotency-Key belongs to another call, or to one under way", body = OpenAiError),
        (status = 429, description = "More requests a minute than the key or the account may make (the provider's own limit is 503)", body = OpenAiError),
        (status = 413, description = "The body is larger than 4 MiB", body = OpenAiError),
        (status = 415, description = "The body is not JSON", body = OpenAiError),
        (status = 502, description = "The model failed", body = OpenAiError),
        (status = 503, description = "Ledger, model or database do not answer", body = OpenAiError),
        (status = 504, description = "The model took too long", body = OpenAiError),
    ),
    security(("token" = []))
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Result<KeyCaller, Problem>,
    headers: HeaderMap,
    body: Result<Json<Value>, JsonRejection>,
) -> Response {
    let caller = match caller {
        Ok(KeyCaller(caller)) => caller,
        Err(problem) => return stranger(&problem),
    };
    let body = match body {
        Ok(Json(body)) => body,
        Err(rejection) => {
            return Refusal::unreadable(rejection.status().as_u16(), rejection.body_text()).into_response();
        }
    };
    let key = headers.get(idempotency::HEADER).map(HeaderValue::as_bytes);
    let key = match Key::read(key, caller.user, OPERATION, || body.to_string()) {
        Ok(key) => key,
        Err(failure) => return refuse(&failure),
    };
    let body: Body = match serde_json::from_value(body) {
        Ok(body) => body,
        Err(error) => return Refusal::unreadable(400, error.to_string()).into_response(),
    };
    let (streams, include_usage) = (body.stream.unwrap_or(false), body.include_usage());
    let input = match body.into_input() {
        Ok(input) => input,
        Err(refusal) => return refusal.into_response(),
    };
    match begin(&app, caller, Call::new(input, Origin::Api, key), streams).await {
        Ok(Beginning::Whole(answered)) => Json(wire::completion(&answered)).into_response(),
        Ok(Beginning::Stream(first, answer)) => {
            let Some(lead) = answer.lead().cloned() else { return refuse(&Failure::Storage) };
            let id = format!("chatcmpl-{}", lead.message);
            let frame = Frame::new(id, lead.created_at / 1000, lead.model, include_usage);
            respond(first, answer, frame)
        }
        Err(failure) => refuse(&failure),
    }
}

/// What all chunks of one stream share.
struct Frame {
    id: String,
    created: i64,
    model: String,
    include_usage: bool,
    begun: bool,
    /// A chunk with nothing but text, around the text: nearly all are one.
    before_text: String,
    after_text: &'static str,
}

impl Frame {
    fn new(id: String, created: i64, model: String, include_usage: bool) -> Self {
        let before_text = format!(
            r#"{{"id":{},"object":"chat.completion.chunk","created":{created},"model":{},"choices":[{{"index":0,"delta":{{"content":"#,
            Value::from(id.as_str()),
            Value::from(model.as_str()),
        );
        // `null` in all chunks but the last, where it was asked for; absent where it was not.
        let after_text = if include_usage {
            r#"},"logprobs":null,"finish_reason":null}],"usage":null}"#
        } else {
            r#"},"logprobs":null,"finish_reason":null}]}"#
        };
        Self { id, created, model, include_usage, begun: false, before_text, after_text }
    }

    fn chunk(&self, choices: &Value) -> Value {
        let mut chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "choices": choices,
        });
        if self.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn delta(&self, delta: &Value, finish: Option<&str>) -> Value {
        let choice = json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish });
        self.chunk(&json!([choice]))
    }

    /// The role comes before the first word.
    fn begin(&mut self, to: &mut Writer) {
        if !std::mem::replace(&mut self.begun, true) {
            to.data(&self.delta(&json!({ "role": "assistant", "content": "" }), None));
        }
    }
}

impl Renderer for Frame {
    fn render(&mut self, event: Event, to: &mut Writer) {
        match event {
            Event::Text(text) => {
                self.begin(to);
                to.around(&self.before_text, &text, self.after_text);
            }
            Event::Choices(choices) => {
                self.begin(to);
                to.data(&self.chunk(&Value::Array(choices)));
            }
            Event::Done(answered) => {
                self.begin(to);
                to.data(&self.delta(&json!({}), Some(wire::finish(&answered.finish))));
                if self.include_usage {
                    let mut chunk = self.chunk(&json!([]));
                    chunk["usage"] = wire::usage(answered.usage.unwrap_or_default());
                    to.data(&chunk);
                }
                to.done();
            }
            // No [DONE]: what was sent is not an answer.
            Event::Failed(failure) => to.data(&Refusal::from(&failure).body()),
        }
    }
}

/// `GET /v1/models`
#[utoipa::path(
    get, path = "/v1/models", tag = "openai", operation_id = "openaiListModels",
    summary = "The models on offer, in OpenAI's shape",
    responses(
        (status = 200, description = "The models", body = OpenAiModels),
        (status = 401, description = "No valid API key", body = OpenAiError),
        (status = 503, description = "The database does not answer", body = OpenAiError),
    ),
    security(("token" = []))
)]
pub(crate) async fn models(State(app): State<Arc<App>>, caller: Result<KeyCaller, Problem>) -> Response {
    if let Err(problem) = caller {
        return stranger(&problem);
    }
    let data: Vec<Value> = crate::models::list(&app).await.iter().map(|m| entry(&m.id, &m.provider)).collect();
    Json(json!({ "object": "list", "data": data })).into_response()
}

/// `GET /v1/models/{model}`
#[utoipa::path(
    get, path = "/v1/models/{model}", tag = "openai", operation_id = "openaiRetrieveModel",
    summary = "One model, in OpenAI's shape",
    params(("model" = String, Path, description = "The model's id")),
    responses(
        (status = 200, description = "The model", body = OpenAiModel),
        (status = 401, description = "No valid API key", body = OpenAiError),
        (status = 404, description = "No such model", body = OpenAiError),
        (status = 503, description = "The database does not answer", body = OpenAiError),
    ),
    security(("token" = []))
)]
pub(crate) async fn model(
    State(app): State<Arc<App>>,
    caller: Result<KeyCaller, Problem>,
    Path(id): Path<String>,
) -> Response {
    if let Err(problem) = caller {
        return stranger(&problem);
    }
    match app.catalog.find(&id) {
        Some(offer) => Json(entry(&offer.model, offer.provider.name())).into_response(),
        None => Refusal::no_model(&id).into_response(),
    }
}

/// Ends what takes too long in the shape that clients parse.
pub(crate) async fn in_time(request: Request, next: Next) -> Response {
    timeout(TIMEOUT, next.run(request)).await.unwrap_or_else(|_| {
        tracing::warn!(bound_seconds = TIMEOUT.as_secs(), "no answer within the bound");
        stranger(&Problem::unavailable("timeout", "This took too long; try again."))
    })
}

/// Whatever else is asked for below `/v1`, in the shape that clients parse.
pub(crate) async fn unknown(method: Method, uri: Uri) -> Response {
    Refusal::unknown_url(method.as_str(), uri.path()).into_response()
}

/// `created` is part of the shape, but nobody tells us when a model was made.
fn entry(id: &str, provider: &str) -> Value {
    json!({ "id": id, "object": "model", "created": 0, "owned_by": provider })
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_ends_in_the_shape_that_clients_parse() {
        let router = Router::new().route("/", get(std::future::pending::<()>)).layer(from_fn(in_time));
        let answer = router.oneshot(Request::new(Body::empty())).await.expect("infallible");
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
        let body = to_bytes(answer.into_body(), 1024).await.expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((&body["error"]["code"], &body["error"]["type"]), (&json!("timeout"), &json!("server_error")));
    }
}
