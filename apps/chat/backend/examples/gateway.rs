//! A gateway and no more: an access token is verified, the model is called. For `benches/ai/run.py`, which tells by it what reserving, settling and storing cost. Variables: those of `chat-backend`, without
//! a database.

use std::process::ExitCode;
use std::sync::Arc;

use ai::{Catalog, Request};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use kit::auth::{User, Verifier};
use kit::config::{Base, Error};
use kit::service::{Service, serve};
use kit::{Problem, clock};
use serde_json::{Value, json};

fn main() -> ExitCode {
    kit::run(|env, _| async move {
        let base = Base::read(&env, "gateway")?;
        let catalog =
            ai::config::catalog(|name| env.optional(name)).map_err(|error| Error::Usage(error.to_string()))?;
        let routes = Router::new().route("/v1/chat/completions", post(complete)).with_state(catalog);
        serve(&base, Service::new(routes).verifier(Arc::new(Verifier::read(&env)?))).await
    })
}

async fn complete(_: User, State(catalog): State<Catalog>, Json(body): Json<Value>) -> Result<Json<Value>, Problem> {
    let offer = catalog.default_offer();
    let wrong = |_| Problem::bad_request("messages are not understood");
    let request = Request {
        model: offer.model.clone(),
        messages: serde_json::from_value(body["messages"].clone()).map_err(wrong)?,
        ..Request::default()
    };
    let answer = offer.provider.complete(&request).await.map_err(|error| {
        tracing::warn!(%error, "no answer");
        Problem::internal(&error)
    })?;
    let message = json!({ "role": "assistant", "content": answer.content });
    let choice = json!({ "index": 0, "message": message, "finish_reason": answer.ending.finish.as_str() });
    Ok(Json(json!({
        "id": format!("chatcmpl-{}", clock::new_id().simple()),
        "object": "chat.completion",
        "created": clock::now().as_second(),
        "model": request.model,
        "choices": [choice],
        "usage": answer.ending.usage,
    })))
}
